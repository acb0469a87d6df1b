//! The count and the sum of a window's numbers, built from the frozen contract 0.1.0 alone.
//!
//! A host that still speaks 0.1 loads and runs it, whatever has been added to the contract since. It uses
//! neither `wit/` nor the SDK, both of which move on.

#![cfg(target_family = "wasm")]

#[allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    clippy::all,
    reason = "generated: the glue of the component model's ABI"
)]
mod bindings {
    wit_bindgen::generate!({ path: "../../contract/0.1.0", world: "window-apply" });

    export!(Component with_types_in self);

    use super::Component;
}

use bindings::exports::millstream::udf::plugin::{Description, Guest as Plugin, Kind};
use bindings::exports::millstream::udf::window_apply_function::{Guest as WindowApply, Window};
use bindings::millstream::udf::log::{self, Level};
use bindings::millstream::udf::types::{Batch, Column, Field, FieldType, Produced, Values};

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
            kind: Kind::WindowApply,
            reads: vec![field("n")],
            produces: vec![field("count"), field("sum")],
            state_version: 1,
        }
    }

    fn init(config: String) -> Result<(), String> {
        if config != "{}" {
            return Err(format!(
                "config: there is nothing to configure, not {config}"
            ));
        }
        log::write(Level::Info, "counts and adds up numbers");
        Ok(())
    }
}

impl WindowApply for Component {
    fn apply(windows: Vec<Window>, bounds: Vec<u32>, rows: Batch) -> Result<Produced, String> {
        let [column] = rows.columns.as_slice() else {
            return Err(format!("{} columns for one field", rows.columns.len()));
        };
        let Values::Int64(numbers) = &column.values else {
            return Err("`n` is not int64".to_owned());
        };
        let mut source = Vec::with_capacity(windows.len());
        let mut counts = Vec::with_capacity(windows.len());
        let mut sums = Vec::with_capacity(windows.len());
        for ((index, window), bounds) in (0..).zip(&windows).zip(bounds.windows(2)) {
            let rows = numbers
                .get(bounds[0] as usize..bounds[1] as usize)
                .ok_or_else(|| format!("the bounds of window {index} lie outside the batch"))?;
            let sum = rows.iter().try_fold(0, |sum: i64, &n| sum.checked_add(n));
            source.push(index);
            counts.push(i64::from(bounds[1] - bounds[0]));
            sums.push(sum.ok_or_else(|| {
                format!(
                    "the sum from {} to {} is no int64",
                    window.start, window.end
                )
            })?);
        }
        let column = |numbers| Column {
            validity: None,
            values: Values::Int64(numbers),
        };
        Ok(Produced {
            source,
            columns: vec![column(counts), column(sums)],
        })
    }
}
