//! A filter built for a contract 0.2.0, which is made up: a later one that today's host does not speak.

#![cfg(target_family = "wasm")]

#[allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    clippy::all,
    reason = "generated: the glue of the component model's ABI"
)]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "filter" });

    export!(Component with_types_in self);

    use super::Component;
}

use bindings::exports::millstream::udf::filter_function::Guest as Filter;
use bindings::exports::millstream::udf::plugin::{Description, Guest as Plugin};
use bindings::millstream::udf::types::{Batch, Field, FieldType};

struct Component;

impl Plugin for Component {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").to_owned(),
            author: "someone of the future".to_owned(),
            reads: vec![Field {
                name: "n".to_owned(),
                type_: FieldType::Int64,
            }],
        }
    }

    fn init(_: String) -> Result<(), String> {
        Ok(())
    }
}

impl Filter for Component {
    fn filter(rows: Batch) -> Vec<u64> {
        (0..rows.rows).collect()
    }
}
