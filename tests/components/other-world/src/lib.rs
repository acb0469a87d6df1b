//! A good component of a world that has nothing to do with Millstream: it greets.

#![cfg(target_family = "wasm")]

#[allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    clippy::all,
    reason = "generated: the glue of the component model's ABI"
)]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "greeter" });

    export!(Component with_types_in self);

    use super::Component;
}

use bindings::exports::greeter::demo::hello::Guest as Hello;

struct Component;

impl Hello for Component {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }
}
