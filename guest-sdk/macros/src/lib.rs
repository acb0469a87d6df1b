//! The attributes and derives of `millstream-sdk`.
//!
//! Each checks what it is put on, with errors that point at the author's own words, and expands to calls
//! of the SDK: what happens at run time is written there.

mod accumulator;
mod attribute;
mod fields;
mod output;
mod row;
mod sample;

use attribute::Kind;
use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Reads a struct from the columns of a batch; see the trait of the same name.
#[proc_macro_derive(Row, attributes(row))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    finish(row::expand(&input))
}

/// Takes a struct apart into columns; see the trait of the same name.
#[proc_macro_derive(Output, attributes(output))]
pub fn derive_output(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    finish(output::expand(&input))
}

/// Makes an accumulator of a struct whose fields are accumulators; see the trait of the same name.
///
/// A partial holds the fields in their order: to add, remove or swap fields is to change the encoding, and asks
/// for another `state_version`.
#[proc_macro_derive(Accumulator)]
pub fn derive_accumulator(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    finish(accumulator::expand(&input))
}

/// Exports an implementation of `Filter` as the component's function.
#[proc_macro_attribute]
pub fn filter(args: TokenStream, item: TokenStream) -> TokenStream {
    finish(attribute::expand(Kind::Filter, args.into(), item.into()))
}

/// Exports an implementation of `Map` as the component's function.
#[proc_macro_attribute]
pub fn map(args: TokenStream, item: TokenStream) -> TokenStream {
    finish(attribute::expand(Kind::Map, args.into(), item.into()))
}

/// Exports an implementation of `Aggregate` as the component's function.
///
/// `#[aggregate(state_version = 2)]` states the version of the partials, 1 if left out. With
/// `#[aggregate(state_version = 2, migrates(1 = OldState))]` the function also reads partials of version 1, whose state
/// was an `OldState`, by way of `From<OldState>` for today's state.
#[proc_macro_attribute]
pub fn aggregate(args: TokenStream, item: TokenStream) -> TokenStream {
    finish(attribute::expand(Kind::Aggregate, args.into(), item.into()))
}

/// Exports an implementation of `WindowApply` as the component's function.
#[proc_macro_attribute]
pub fn window_apply(args: TokenStream, item: TokenStream) -> TokenStream {
    finish(attribute::expand(
        Kind::WindowApply,
        args.into(),
        item.into(),
    ))
}

fn finish(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
