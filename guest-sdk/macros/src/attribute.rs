//! The attributes of the four kinds of function.
//!
//! An attribute leaves the implementation as it is, except that it adds `Config` and `new` where the author has
//! neither, exports the type as the component's function, and lets the component carry the crate's sample.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{
    Error, Ident, ImplItem, Item, ItemImpl, LitInt, Result, Token, Type, parenthesized,
    parse_quote_spanned,
};

use crate::sample;

/// The kind of a function, as its attribute says.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Kind {
    Filter,
    Map,
    Aggregate,
    WindowApply,
}

impl Kind {
    /// The name of the attribute, and of the bindings.
    fn attribute(self) -> &'static str {
        match self {
            Kind::Filter => "filter",
            Kind::Map => "map",
            Kind::Aggregate => "aggregate",
            Kind::WindowApply => "window_apply",
        }
    }

    /// The name of the trait.
    fn trait_name(self) -> &'static str {
        match self {
            Kind::Filter => "Filter",
            Kind::Map => "Map",
            Kind::Aggregate => "Aggregate",
            Kind::WindowApply => "WindowApply",
        }
    }
}

pub(crate) fn expand(kind: Kind, args: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = (|input: ParseStream<'_>| parse_args(kind, input)).parse2(args)?;
    let mut item = implementation(kind, syn::parse2(item)?)?;
    complete(&mut item)?;
    let export = export(kind, &item, &arguments);
    let sample = sample::carry()?;
    Ok(quote! {
        #item
        #export
        #sample
    })
}

/// What an attribute was given.
struct Arguments {
    /// The version of the partials.
    state_version: u32,
    /// Versions of partials that are read too, ascending, each with the type of the state at that time.
    migrates: Vec<(u32, Type)>,
}

/// `state_version = 2, migrates(1 = OldState)` for an aggregate, in this order, or less of it; else nothing.
fn parse_args(kind: Kind, input: ParseStream<'_>) -> Result<Arguments> {
    let mut arguments = Arguments {
        state_version: 1,
        migrates: Vec::new(),
    };
    if input.is_empty() {
        return Ok(arguments);
    }
    if kind != Kind::Aggregate {
        let message = format!("`#[{}]` takes no arguments", kind.attribute());
        return Err(input.error(message));
    }
    let name: Ident = input.parse()?;
    if name != "state_version" {
        return Err(Error::new_spanned(
            name,
            "unknown argument: `#[aggregate]` takes `state_version = 2`, then `migrates(1 = OldState)`",
        ));
    }
    input.parse::<Token![=]>()?;
    arguments.state_version = input.parse::<LitInt>()?.base10_parse()?;
    if input.parse::<Option<Token![,]>>()?.is_none() || input.is_empty() {
        return end(input, arguments);
    }
    let name: Ident = input.parse()?;
    if name != "migrates" {
        return Err(Error::new_spanned(
            name,
            "unknown argument: after `state_version` comes `migrates(1 = OldState)`",
        ));
    }
    let inside;
    parenthesized!(inside in input);
    for (version, ty) in inside.parse_terminated(migrated, Token![,])? {
        let number = version.base10_parse()?;
        if number == arguments.state_version {
            let message = "this is the function's own state version, which needs no migration";
            return Err(Error::new_spanned(version, message));
        }
        if arguments
            .migrates
            .last()
            .is_some_and(|(last, _)| *last >= number)
        {
            let message = "the versions in `migrates` ascend, and none comes twice";
            return Err(Error::new_spanned(version, message));
        }
        arguments.migrates.push((number, ty));
    }
    if arguments.migrates.is_empty() {
        return Err(Error::new_spanned(
            name,
            "`migrates` names at least one version and its state: `migrates(1 = OldState)`",
        ));
    }
    input.parse::<Option<Token![,]>>()?;
    end(input, arguments)
}

/// One version in `migrates`, with its state.
fn migrated(input: ParseStream<'_>) -> Result<(LitInt, Type)> {
    let version = input.parse()?;
    input.parse::<Token![=]>()?;
    Ok((version, input.parse()?))
}

/// The arguments, if no other follows.
fn end(input: ParseStream<'_>, arguments: Arguments) -> Result<Arguments> {
    if input.is_empty() {
        return Ok(arguments);
    }
    Err(input.error(
        "`#[aggregate]` takes `state_version = 2`, then `migrates(1 = OldState)`, and no more",
    ))
}

/// The implementation, if the attribute stands on one of its kind's trait.
fn implementation(kind: Kind, item: Item) -> Result<ItemImpl> {
    let (attribute, expected) = (kind.attribute(), kind.trait_name());
    let Item::Impl(item) = item else {
        let message = format!("`#[{attribute}]` goes on `impl {expected} for ...`");
        return Err(Error::new_spanned(item, message));
    };
    let Some((_, path, _)) = &item.trait_ else {
        let message = format!(
            "`#[{attribute}]` goes on an implementation of `{expected}`: `impl {expected} for ...`"
        );
        return Err(Error::new_spanned(&item.self_ty, message));
    };
    let trait_name = path.segments.last().map(|segment| &segment.ident);
    if trait_name.is_none_or(|name| name != expected) {
        let message = format!(
            "`#[{attribute}]` goes on an implementation of `{expected}`, not of this trait"
        );
        return Err(Error::new_spanned(path, message));
    }
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &item.generics,
            "a component is one function: its type is not generic",
        ));
    }
    Ok(item)
}

/// Adds `Config` and `new` where the author has neither.
fn complete(item: &mut ItemImpl) -> Result<()> {
    let config = item.items.iter().find_map(|item| match item {
        ImplItem::Type(item) if item.ident == "Config" => Some(item.span()),
        _ => None,
    });
    let new = item.items.iter().find_map(|item| match item {
        ImplItem::Fn(item) if item.sig.ident == "new" => Some(item.sig.span()),
        _ => None,
    });
    match (config, new) {
        (Some(_), Some(_)) => Ok(()),
        (Some(config), None) => Err(Error::new(
            config,
            "with `Config` comes `fn new(config: Self::Config) -> Result<Self, Error>`",
        )),
        (None, Some(new)) => Err(Error::new(
            new,
            "with `new` comes `type Config = ...;`, or leave out both where there is none",
        )),
        (None, None) => {
            // So that a lack of `Default` is reported at the type.
            let span = item.self_ty.span().resolved_at(Span::mixed_site());
            item.items.push(parse_quote_spanned! {span=>
                type Config = ::millstream_sdk::NoConfig;
            });
            item.items.push(parse_quote_spanned! {span=>
                fn new(
                    _: ::millstream_sdk::NoConfig,
                ) -> ::core::result::Result<Self, ::millstream_sdk::Error> {
                    ::core::result::Result::Ok(<Self as ::core::default::Default>::default())
                }
            });
            Ok(())
        }
    }
}

/// Makes the type a component, and in a component exports it.
fn export(kind: Kind, item: &ItemImpl, arguments: &Arguments) -> TokenStream {
    let ty = &item.self_ty;
    let state_version = arguments.state_version;
    let migration = migration(ty, &arguments.migrates);
    let sdk = quote!(::millstream_sdk);
    let instance = format_ident!("{}Instance", kind.trait_name());
    let instance = quote_spanned!(ty.span()=> #sdk::component::#instance<#ty>);
    let bindings = format_ident!("{}", kind.attribute());
    let export_kind = format_ident!("export_{}", kind.attribute());
    quote! {
        const _: () = {
            ::std::assert!(
                #sdk::component::is_valid_name(::std::env!("CARGO_PKG_NAME")),
                "a function is named after its crate: lower-case letters, digits and hyphens, at most 64"
            );

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<::core::option::Option<#instance>> =
                    const { ::std::cell::RefCell::new(::core::option::Option::None) };
            }

            impl #sdk::component::Component for #ty {
                type Instance = #instance;
                const NAME: &'static str = ::std::env!("CARGO_PKG_NAME");
                const VERSION: &'static str = ::std::env!("CARGO_PKG_VERSION");
                const STATE_VERSION: u32 = #state_version;

                fn cell() -> &'static ::std::thread::LocalKey<
                    ::std::cell::RefCell<::core::option::Option<Self::Instance>>,
                > {
                    &INSTANCE
                }
            }

            type Exported = #sdk::component::Exported<#ty>;
            // Natively only tests call the function. To the compiler it is in use all the same.
            #[cfg(not(target_family = "wasm"))]
            const _: fn() -> #sdk::component::Description =
                <Exported as #sdk::component::Plugin>::describe;
            #[cfg(target_family = "wasm")]
            #sdk::bindings::common::export_plugin!(
                Exported with_types_in #sdk::bindings::common
            );
            #[cfg(target_family = "wasm")]
            #sdk::bindings::#bindings::#export_kind!(
                Exported with_types_in #sdk::bindings::#bindings
            );
            #migration
        };
    }
}

/// Lets an aggregate read the states that it migrates, and in a component exports that.
fn migration(ty: &Type, migrates: &[(u32, Type)]) -> TokenStream {
    if migrates.is_empty() {
        return TokenStream::new();
    }
    let sdk = quote!(::millstream_sdk);
    let from = migrates.iter().map(|(version, old)| {
        // So that a lack of `From` is reported at the old state.
        quote_spanned! {old.span()=>
            (#version, #sdk::component::migrate_state::<#old, <#ty as #sdk::Aggregate>::State>)
        }
    });
    quote! {
        impl #sdk::component::Migration for #ty {
            const FROM: &'static [(u32, #sdk::component::Migrate)] = &[#(#from),*];
        }
        #[cfg(target_family = "wasm")]
        #sdk::bindings::aggregate_migration::export_aggregate_migration!(
            Exported with_types_in #sdk::bindings::aggregate_migration
        );
    }
}
