//! An aggregate that adds numbers up, and counts rows by the version that has seen them: who writes other marks into the built
//! component has another version of it, with a digest of its own.
//!
//! The first mark, a digit, is the version's number. The second says what is wrong with it: `.` nothing, `t` it traps at
//! every hundredth row, `e` it refuses every third row, `s` it is slow.

use millstream_sdk::prelude::*;

/// Found and replaced in the component's file.
static MARKS: [u8; 16] = *b"millstream-m:0 .";

/// A mark as it stands in the file.
fn mark(at: usize) -> u8 {
    // Otherwise the compiler knows what it was when it was built.
    std::hint::black_box(&MARKS)[at]
}

#[derive(Row)]
struct Number {
    n: i64,
}

#[derive(Output)]
struct Sum {
    sum: i64,
    rows: i64,
    /// How many of the rows version 0 has counted, and so on.
    by0: i64,
    by1: i64,
    by2: i64,
    by3: i64,
}

/// The sum, and the rows of each version, in the order of their numbers.
#[derive(Clone, Default)]
struct Counted {
    sum: i64,
    rows: [u64; 10],
}

impl Counted {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sum.to_le_bytes());
        for rows in self.rows {
            out.extend_from_slice(&rows.to_le_bytes());
        }
    }

    fn add(&mut self, more: &Counted) {
        self.sum += more.sum;
        for (rows, more) in self.rows.iter_mut().zip(more.rows) {
            *rows += more;
        }
    }
}

/// What has come in all, and what since the last delta.
#[derive(Default)]
struct Totals {
    all: Counted,
    new: Counted,
}

impl Accumulator for Totals {
    fn snapshot(&self, out: &mut Vec<u8>) {
        self.all.put(out);
    }

    fn take_delta(&mut self, out: &mut Vec<u8>) {
        std::mem::take(&mut self.new).put(out);
    }

    fn merge(&mut self, partial: &[u8]) -> Result<(), PartialError> {
        if partial.is_empty() {
            return Ok(());
        }
        let wrong = || PartialError(format!("{} bytes", partial.len()));
        let (words, rest) = partial.as_chunks::<8>();
        let [sum, rows @ ..] = words else {
            return Err(wrong());
        };
        let rows: [[u8; 8]; 10] = rows.try_into().map_err(|_| wrong())?;
        if !rest.is_empty() {
            return Err(wrong());
        }
        let more = Counted {
            sum: i64::from_le_bytes(*sum),
            rows: rows.map(u64::from_le_bytes),
        };
        self.all.add(&more);
        self.new.add(&more);
        Ok(())
    }
}

#[derive(Default)]
struct Marked;

#[aggregate]
impl Aggregate for Marked {
    type Row<'a> = Number;
    type State = Totals;
    type Output<'a> = Sum;

    fn add(&self, totals: &mut Totals, number: Number) -> RowResult {
        let n = number.n;
        match mark(15) {
            b't' => assert!(n % 100 != 99, "this version has a bug"),
            b'e' if n % 3 == 0 => return Err("this version does not like it".into()),
            b's' => {
                for turn in 0..20_000_u64 {
                    std::hint::black_box(turn);
                }
            }
            _ => {}
        }
        let mut one = Counted {
            sum: n,
            ..Counted::default()
        };
        one.rows[usize::from(mark(13) - b'0')] = 1;
        totals.all.add(&one);
        totals.new.add(&one);
        Ok(())
    }

    fn result(&self, totals: &Totals, out: &mut Collector<Sum>) {
        let [by0, by1, by2, by3, ..] = totals.all.rows.map(u64::cast_signed);
        out.push(Sum {
            sum: totals.all.sum,
            rows: totals.all.rows.iter().sum::<u64>().cast_signed(),
            by0,
            by1,
            by2,
            by3,
        });
    }
}
