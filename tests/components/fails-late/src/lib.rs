//! The sum of `n`, which panics when it finishes a window with a sum of a million or more: no single row is to blame for that.

use millstream_sdk::prelude::*;

#[derive(Row)]
struct Number {
    n: i64,
}

#[derive(Output)]
struct Total {
    sum: i64,
}

#[derive(Default)]
struct FailsLate;

#[aggregate]
impl Aggregate for FailsLate {
    type Row<'a> = Number;
    type State = SumI64;
    type Output<'a> = Total;

    fn add(&self, sum: &mut SumI64, number: Number) -> RowResult {
        sum.add(number.n);
        Ok(())
    }

    fn result(&self, sum: &SumI64, out: &mut Collector<Total>) {
        let sum = sum.value();
        assert!(sum < 1_000_000, "a sum of {sum} was not foreseen");
        out.push(Total { sum });
    }
}
