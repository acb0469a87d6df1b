//! The contract in Rust: generated from `wit/`, on every target.
//!
//! Each interface is generated once, in a world of its own, and a component is the union of the worlds that
//! its attribute exports: `common` and one kind. (Generating the four worlds of the contract instead would
//! define the export macro of `plugin` four times in one crate.)
//!
//! Natively the same types carry rows through unit tests; only the exports and the host's log are of the
//! component alone.

#![allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    clippy::all,
    reason = "generated: the glue of the component model's ABI"
)]

/// Types, `log` and `plugin`, which every component has.
pub mod common {
    wit_bindgen::generate!({
        inline: "
            package millstream:guest;
            world common {
                import millstream:udf/types@0.1.0;
                import millstream:udf/log@0.1.0;
                export millstream:udf/plugin@0.1.0;
            }
        ",
        path: "../wit",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "millstream_sdk::bindings::common",
    });
}

/// `filter-function`.
pub mod filter {
    wit_bindgen::generate!({
        inline: "
            package millstream:guest;
            world only-filter { export millstream:udf/filter-function@0.1.0; }
        ",
        path: "../wit",
        with: { "millstream:udf/types@0.1.0": crate::bindings::common::millstream::udf::types },
        pub_export_macro: true,
        export_macro_name: "export_filter",
        default_bindings_module: "millstream_sdk::bindings::filter",
    });
}

/// `map-function`.
pub mod map {
    wit_bindgen::generate!({
        inline: "
            package millstream:guest;
            world only-map { export millstream:udf/map-function@0.1.0; }
        ",
        path: "../wit",
        with: { "millstream:udf/types@0.1.0": crate::bindings::common::millstream::udf::types },
        pub_export_macro: true,
        export_macro_name: "export_map",
        default_bindings_module: "millstream_sdk::bindings::map",
    });
}

/// `aggregate-function`.
pub mod aggregate {
    wit_bindgen::generate!({
        inline: "
            package millstream:guest;
            world only-aggregate { export millstream:udf/aggregate-function@0.1.0; }
        ",
        path: "../wit",
        with: { "millstream:udf/types@0.1.0": crate::bindings::common::millstream::udf::types },
        pub_export_macro: true,
        export_macro_name: "export_aggregate",
        default_bindings_module: "millstream_sdk::bindings::aggregate",
    });
}

/// `window-apply-function`.
pub mod window_apply {
    wit_bindgen::generate!({
        inline: "
            package millstream:guest;
            world only-window-apply { export millstream:udf/window-apply-function@0.1.0; }
        ",
        path: "../wit",
        with: { "millstream:udf/types@0.1.0": crate::bindings::common::millstream::udf::types },
        pub_export_macro: true,
        export_macro_name: "export_window_apply",
        default_bindings_module: "millstream_sdk::bindings::window_apply",
    });
}
