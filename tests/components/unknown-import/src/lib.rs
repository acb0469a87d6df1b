//! A filter that imports `evil:host/files`, which no plugin may import. All else about it keeps to the contract.

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
        path: ["../../../wit", "wit"],
        world: "evil:host/snoop",
        generate_all,
    });

    export!(Component with_types_in self);

    use super::Component;
}

use bindings::evil::host::files;
use bindings::exports::millstream::udf::filter_function::{Guest as Filter, Selection};
use bindings::exports::millstream::udf::plugin::{Description, Guest as Plugin, Kind};
use bindings::millstream::udf::types::{Batch, RowErrors, VarValues};

struct Component;

impl Plugin for Component {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: Kind::Filter,
            reads: vec![],
            produces: vec![],
            state_version: 1,
        }
    }

    fn init(_: String) -> Result<(), String> {
        Ok(())
    }
}

impl Filter for Component {
    /// Keeps all rows if the host lets it read a file, else none.
    fn filter(rows: Batch) -> Selection {
        let granted = !files::read("/etc/passwd").is_empty();
        Selection {
            kept: (0..rows.rows).filter(|_| granted).collect(),
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
