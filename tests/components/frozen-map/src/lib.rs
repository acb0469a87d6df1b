//! A map that makes of each number itself and the next, built from the frozen contract 0.1.0 alone.
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
    wit_bindgen::generate!({ path: "../../contract/0.1.0", world: "%map" });

    export!(Component with_types_in self);

    use super::Component;
}

use bindings::exports::millstream::udf::map_function::{Guest as Map, Mapped};
use bindings::exports::millstream::udf::plugin::{Description, Guest as Plugin, Kind};
use bindings::millstream::udf::log::{self, Level};
use bindings::millstream::udf::types::{
    Batch, Column, Field, FieldType, Produced, RowErrors, Values, VarValues,
};

/// The message for the one number that has no next.
const NO_NEXT: &str = "n + 1 is no int64";

struct Component;

impl Plugin for Component {
    fn describe() -> Description {
        let n = Field {
            name: "n".to_owned(),
            type_: FieldType::Int64,
            optional: false,
        };
        Description {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: Kind::Map,
            reads: vec![n.clone()],
            produces: vec![n],
            state_version: 1,
        }
    }

    fn init(config: String) -> Result<(), String> {
        if config != "{}" {
            return Err(format!(
                "config: there is nothing to configure, not {config}"
            ));
        }
        log::write(Level::Info, "makes two numbers of each");
        Ok(())
    }
}

impl Map for Component {
    fn map(rows: Batch) -> Mapped {
        let [column] = rows.columns.as_slice() else {
            panic!("{} columns for one field", rows.columns.len());
        };
        let Values::Int64(numbers) = &column.values else {
            panic!("`n` is not int64");
        };
        let mut source = Vec::with_capacity(2 * numbers.len());
        let mut produced = Vec::with_capacity(2 * numbers.len());
        let mut errors = RowErrors {
            rows: vec![],
            messages: VarValues {
                offsets: vec![0],
                data: vec![],
            },
        };
        for (index, &n) in (0..).zip(numbers) {
            let Some(next) = n.checked_add(1) else {
                errors.rows.push(index);
                errors.messages.data.extend(NO_NEXT.as_bytes());
                let end = i32::try_from(errors.messages.data.len());
                errors
                    .messages
                    .offsets
                    .push(end.expect("the messages of a batch stay below 2 GiB"));
                continue;
            };
            source.extend([index, index]);
            produced.extend([n, next]);
        }
        Mapped {
            rows: Produced {
                source,
                columns: vec![Column {
                    validity: None,
                    values: Values::Int64(produced),
                }],
            },
            errors,
        }
    }
}
