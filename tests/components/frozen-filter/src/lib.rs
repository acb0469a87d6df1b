//! A filter that keeps even numbers, built from the frozen contract 0.1.0 alone.
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
    wit_bindgen::generate!({ path: "../../contract/0.1.0", world: "filter" });

    export!(Component with_types_in self);

    use super::Component;
}

use bindings::exports::millstream::udf::filter_function::{Guest as Filter, Selection};
use bindings::exports::millstream::udf::plugin::{Description, Guest as Plugin, Kind};
use bindings::millstream::udf::log::{self, Level};
use bindings::millstream::udf::types::{Batch, Field, FieldType, RowErrors, Values, VarValues};

struct Component;

impl Plugin for Component {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: Kind::Filter,
            reads: vec![Field {
                name: "n".to_owned(),
                type_: FieldType::Int64,
                optional: false,
            }],
            produces: vec![],
            state_version: 1,
        }
    }

    fn init(config: String) -> Result<(), String> {
        if config != "{}" {
            return Err(format!(
                "config: there is nothing to configure, not {config}"
            ));
        }
        log::write(Level::Info, "keeps even numbers");
        Ok(())
    }
}

impl Filter for Component {
    fn filter(rows: Batch) -> Selection {
        let [column] = rows.columns.as_slice() else {
            panic!("{} columns for one field", rows.columns.len());
        };
        let Values::Int64(numbers) = &column.values else {
            panic!("`n` is not int64");
        };
        let even = |(index, n): (u32, &i64)| (n % 2 == 0).then_some(index);
        Selection {
            kept: (0..).zip(numbers).filter_map(even).collect(),
            errors: RowErrors {
                rows: vec![],
                messages: VarValues {
                    offsets: vec![0],
                    data: vec![],
                },
            },
        }
    }
}
