//! A map that passes `n` on, except where `n` tells it to misbehave.
//!
//! | `n` | what happens |
//! |---|---|
//! | 13 | it panics |
//! | 14 | it never returns |
//! | 15 | it takes memory without end |
//! | 16 | it sleeps for an hour |
//! | 17 | it passes on what the clocks say |
//! | 18 | it passes on what chance says |
//! | below 0 | it refuses the row |

use std::hint::black_box;

use millstream_sdk::prelude::*;

#[derive(Row)]
struct Number {
    n: i64,
}

#[derive(Output)]
struct Same {
    n: i64,
}

#[derive(Default)]
struct Panics;

#[expect(
    clippy::disallowed_methods,
    reason = "to see that the host does not let it"
)]
#[map]
impl Map for Panics {
    type Row<'a> = Number;
    type Output<'a> = Same;

    fn map(&self, Number { n }: Number, out: &mut Collector<Same>) -> RowResult {
        match n {
            13 => panic!("13 brings bad luck"),
            14 => run_for_ever(),
            15 => take_all_memory(),
            16 => std::thread::sleep(std::time::Duration::from_secs(3_600)),
            17 => out.push(Same { n: clocks() }),
            18 => out.push(Same { n: chance() }),
            ..0 => return Err(format!("{n} is below 0").into()),
            _ => out.push(Same { n }),
        }
        Ok(())
    }
}

/// Milliseconds since 1970 and since another look at the clock, added up.
fn clocks() -> i64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let began = std::time::Instant::now();
    let since_1970 = now.map_or(u128::MAX, |now| now.as_millis());
    i64::try_from(since_1970).unwrap_or(-1)
        + i64::try_from(began.elapsed().as_millis()).unwrap_or(-1)
}

/// What the keys of hash tables are made of.
fn chance() -> i64 {
    let hash = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1_u8);
    hash.cast_signed()
}

fn run_for_ever() -> ! {
    loop {
        black_box(());
    }
}

fn take_all_memory() -> ! {
    const BLOCK: usize = 1 << 20;
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; BLOCK]));
    }
}
