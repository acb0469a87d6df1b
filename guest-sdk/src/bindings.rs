//! The contract in Rust: generated from `wit/`, on every target.
//!
//! Each interface is generated once, in a world of its own, and a component is the union of the worlds that
//! its attribute exports: `common` and one kind, and `aggregate_migration` where an aggregate migrates. (Generating the four worlds of the contract instead would
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

/// Types, `log`, `metrics` and `plugin`, which every component has. Of the imports a component keeps those that it uses.
pub mod common {
    wit_bindgen::generate!({
        inline: "
            package millstream:guest;
            world common {
                import millstream:udf/types@0.1.1;
                import millstream:udf/log@0.1.1;
                import millstream:udf/metrics@0.1.1;
                export millstream:udf/plugin@0.1.1;
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
            world only-filter { export millstream:udf/filter-function@0.1.1; }
        ",
        path: "../wit",
        with: { "millstream:udf/types@0.1.1": crate::bindings::common::millstream::udf::types },
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
            world only-map { export millstream:udf/map-function@0.1.1; }
        ",
        path: "../wit",
        with: { "millstream:udf/types@0.1.1": crate::bindings::common::millstream::udf::types },
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
            world only-aggregate { export millstream:udf/aggregate-function@0.1.1; }
        ",
        path: "../wit",
        with: { "millstream:udf/types@0.1.1": crate::bindings::common::millstream::udf::types },
        pub_export_macro: true,
        export_macro_name: "export_aggregate",
        default_bindings_module: "millstream_sdk::bindings::aggregate",
    });
}

/// `aggregate-migration`.
pub mod aggregate_migration {
    wit_bindgen::generate!({
        inline: "
            package millstream:guest;
            world only-aggregate-migration { export millstream:udf/aggregate-migration@0.1.1; }
        ",
        path: "../wit",
        with: { "millstream:udf/types@0.1.1": crate::bindings::common::millstream::udf::types },
        pub_export_macro: true,
        export_macro_name: "export_aggregate_migration",
        default_bindings_module: "millstream_sdk::bindings::aggregate_migration",
    });
}

/// `window-apply-function`.
pub mod window_apply {
    wit_bindgen::generate!({
        inline: "
            package millstream:guest;
            world only-window-apply { export millstream:udf/window-apply-function@0.1.1; }
        ",
        path: "../wit",
        with: { "millstream:udf/types@0.1.1": crate::bindings::common::millstream::udf::types },
        pub_export_macro: true,
        export_macro_name: "export_window_apply",
        default_bindings_module: "millstream_sdk::bindings::window_apply",
    });
}
