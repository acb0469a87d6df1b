//! Counts the rows of a window.

use millstream_sdk::prelude::*;

/// Nothing is read of a row: that it came is all that counts.
#[derive(Row)]
pub struct AnyRow {}

/// What is said of a window.
#[derive(Output)]
pub struct Counted {
    rows: i64,
}

/// The function.
#[derive(Default)]
pub struct RowCount;

#[aggregate]
impl Aggregate for RowCount {
    type Row<'a> = AnyRow;
    type State = Count;
    type Output<'a> = Counted;

    fn add(&self, count: &mut Count, _: AnyRow) -> RowResult {
        count.inc();
        Ok(())
    }

    fn result(&self, count: &Count, out: &mut Collector<Counted>) {
        out.push(Counted {
            rows: count.value(),
        });
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{self, json};

    use super::*;

    #[test]
    fn rows_count_whatever_is_in_them() {
        let rows = [json!({}), json!({"user_id": 7}), json!({"user_id": null})];
        let outcome = testing::aggregate::<RowCount>(json!({}), &rows);
        assert_eq!(outcome.rows, [json!({"rows": 3})]);
        assert_eq!(outcome.errors, []);
    }

    #[test]
    fn counts_add_up() {
        let rows = [json!({}), json!({}), json!({})];
        let parts = [&rows[..1], &[], &rows[1..]];
        let rows = testing::aggregate_in_parts::<RowCount>(json!({}), &parts);
        assert_eq!(rows, [json!({"rows": 3})]);
    }
}
