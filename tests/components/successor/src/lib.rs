//! A sum and a count of numbers that goes on with what `frozen-aggregate` has left: its partials are of state version 1 and hold
//! a sum alone. What is counted of a window then begins where this function takes over.

use millstream_sdk::prelude::*;

#[derive(Row)]
struct Numbered {
    n: i64,
}

#[derive(Output)]
struct Totals {
    sum: i64,
    counted: i64,
}

/// The state of version 1: a sum in 8 bytes, little-endian, or no bytes for zero.
#[derive(Default)]
struct OldSum(i64);

impl Accumulator for OldSum {
    fn snapshot(&self, _: &mut Vec<u8>) {
        unreachable!("the old state is only read");
    }

    fn take_delta(&mut self, _: &mut Vec<u8>) {
        unreachable!("the old state is only read");
    }

    fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
        let bytes = partial
            .try_into()
            .map_err(|_| PartialError(format!("a sum has 8 bytes, not {}", partial.len())))?;
        self.0 = i64::from_le_bytes(bytes);
        Ok(())
    }
}

#[derive(Accumulator, Default)]
struct State {
    sum: SumI64,
    rows: Count,
}

impl From<OldSum> for State {
    fn from(OldSum(sum): OldSum) -> Self {
        let mut state = State::default();
        state.sum.add(sum);
        state
    }
}

#[derive(Default)]
struct Successor;

#[aggregate(state_version = 2, migrates(1 = OldSum))]
impl Aggregate for Successor {
    type Row<'a> = Numbered;
    type State = State;
    type Output<'a> = Totals;

    fn add(&self, state: &mut State, row: Numbered) -> RowResult {
        state.sum.add(row.n);
        state.rows.add(1);
        metrics::count("rows_added", 1);
        metrics::observe("size", row.n.unsigned_abs() as f64);
        Ok(())
    }

    fn result(&self, state: &State, out: &mut Collector<Totals>) {
        let (sum, counted) = (state.sum.value(), state.rows.value());
        out.push(Totals { sum, counted });
    }
}
