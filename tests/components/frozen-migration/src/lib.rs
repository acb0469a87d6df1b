//! A sum of numbers that reads the partials of `frozen-aggregate`, built from the frozen contract 0.1.1 alone.
//!
//! It has what 0.1.1 has brought: it migrates partials of state version 1, whose sums are 8 bytes, to its own, which are as many
//! in the other order, and it counts and measures.

#![cfg(target_family = "wasm")]

#[allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    clippy::all,
    reason = "generated: the glue of the component model's ABI"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../contract/0.1.1",
        inline: "
            package test:frozen;
            world measured {
                include millstream:udf/migrating-aggregate@0.1.1;
                import millstream:udf/metrics@0.1.1;
            }
        ",
        world: "test:frozen/measured",
        generate_all,
    });

    export!(Component with_types_in self);

    use super::Component;
}

use std::cell::RefCell;
use std::collections::HashMap;

use bindings::exports::millstream::udf::aggregate_function::Guest as Aggregate;
use bindings::exports::millstream::udf::aggregate_migration::Guest as Migration;
use bindings::exports::millstream::udf::plugin::{Description, Guest as Plugin, Kind};
use bindings::millstream::udf::log::{self, Level};
use bindings::millstream::udf::metrics;
use bindings::millstream::udf::types::{
    Batch, Column, Field, FieldType, Produced, RowErrors, Values, VarValues,
};

/// What a slot holds.
#[derive(Default)]
struct Sum {
    whole: i64,
    /// What has come in since the last delta was taken.
    new: i64,
}

impl Sum {
    fn add(&mut self, n: i64) {
        self.whole = self.whole.wrapping_add(n);
        self.new = self.new.wrapping_add(n);
    }
}

thread_local! {
    static SLOTS: RefCell<HashMap<u32, Sum>> = RefCell::default();
}

struct Component;

impl Plugin for Component {
    fn describe() -> Description {
        let field = |name: &str| Field {
            name: name.to_owned(),
            type_: FieldType::Int64,
            optional: false,
        };
        Description {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: Kind::Aggregate,
            reads: vec![field("n")],
            produces: vec![field("sum")],
            state_version: 2,
        }
    }

    fn init(config: String) -> Result<(), String> {
        if config != "{}" {
            return Err(format!(
                "config: there is nothing to configure, not {config}"
            ));
        }
        log::write(Level::Info, "adds numbers up");
        Ok(())
    }
}

impl Aggregate for Component {
    fn accumulate(slots: Vec<u32>, rows: Batch) -> RowErrors {
        let [column] = rows.columns.as_slice() else {
            panic!("{} columns for one field", rows.columns.len());
        };
        let Values::Int64(numbers) = &column.values else {
            panic!("`n` is not int64");
        };
        SLOTS.with_borrow_mut(|sums| {
            for (slot, &n) in slots.iter().zip(numbers) {
                sums.entry(*slot).or_default().add(n);
                metrics::observe("number", n as f64);
            }
            metrics::count("rows", u64::from(rows.rows));
        });
        RowErrors {
            rows: vec![],
            messages: no_values(),
        }
    }

    fn merge(slots: Vec<u32>, partials: VarValues) -> Result<(), String> {
        SLOTS.with_borrow_mut(|sums| {
            for (slot, bounds) in slots.iter().zip(partials.offsets.windows(2)) {
                let partial = usize::try_from(bounds[0])
                    .ok()
                    .zip(usize::try_from(bounds[1]).ok())
                    .and_then(|(start, end)| partials.data.get(start..end))
                    .ok_or("the offsets of the partials do not lie in their data")?;
                sums.entry(*slot).or_default().add(read(partial)?);
            }
            Ok(())
        })
    }

    fn take_deltas(slots: Vec<u32>) -> VarValues {
        partials(&slots, |sum| std::mem::take(&mut sum.new))
    }

    fn snapshot(slots: Vec<u32>) -> VarValues {
        partials(&slots, |sum| sum.whole)
    }

    fn finish(slots: Vec<u32>) -> Produced {
        let sums = SLOTS.with_borrow(|sums| slots.iter().map(|slot| sums[slot].whole).collect());
        Produced {
            source: (0..).take(slots.len()).collect(),
            columns: vec![Column {
                validity: None,
                values: Values::Int64(sums),
            }],
        }
    }

    fn close(slots: Vec<u32>) {
        SLOTS.with_borrow_mut(|sums| {
            for slot in slots {
                sums.remove(&slot).expect("only a slot in use is closed");
            }
        });
    }
}

impl Migration for Component {
    fn from_versions() -> Vec<u32> {
        vec![1]
    }

    fn migrate(from_version: u32, mut partials: VarValues) -> Result<VarValues, String> {
        if from_version != 1 {
            return Err(format!("state version {from_version} is not known"));
        }
        for bounds in partials.offsets.windows(2) {
            let partial = usize::try_from(bounds[0])
                .ok()
                .zip(usize::try_from(bounds[1]).ok())
                .and_then(|(start, end)| partials.data.get_mut(start..end))
                .ok_or("the offsets of the partials do not lie in their data")?;
            read(partial)?;
            partial.reverse();
        }
        Ok(partials)
    }
}

fn no_values() -> VarValues {
    VarValues {
        offsets: vec![0],
        data: vec![],
    }
}

/// A partial for each slot, of the number that `of` takes from it.
fn partials(slots: &[u32], of: impl Fn(&mut Sum) -> i64) -> VarValues {
    SLOTS.with_borrow_mut(|sums| {
        let mut out = no_values();
        for slot in slots {
            let n = of(sums.get_mut(slot).expect("only slots in use are asked for"));
            if n != 0 {
                out.data.extend(n.to_be_bytes());
            }
            let end = i32::try_from(out.data.len());
            out.offsets
                .push(end.expect("8 bytes a slot stay below 2 GiB"));
        }
        out
    })
}

fn read(partial: &[u8]) -> Result<i64, String> {
    if partial.is_empty() {
        return Ok(0);
    }
    let bytes = partial
        .try_into()
        .map_err(|_| format!("a partial has 8 bytes, not {}", partial.len()))?;
    Ok(i64::from_be_bytes(bytes))
}
