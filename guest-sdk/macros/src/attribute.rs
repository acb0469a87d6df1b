//! The attributes of the four kinds of function.
//!
//! An attribute leaves the implementation as it is, except that it adds `Config` and `new` where the author has
//! neither, and exports the type as the component's function.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Error, Ident, ImplItem, Item, ItemImpl, LitInt, Result, Token, parse_quote_spanned};

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
    let state_version = (|input: ParseStream<'_>| parse_args(kind, input)).parse2(args)?;
    let mut item = implementation(kind, syn::parse2(item)?)?;
    complete(&mut item)?;
    let export = export(kind, &item, state_version);
    Ok(quote! {
        #item
        #export
    })
}

/// The state version: `state_version = 2` for an aggregate, else nothing.
fn parse_args(kind: Kind, input: ParseStream<'_>) -> Result<u32> {
    if input.is_empty() {
        return Ok(1);
    }
    if kind != Kind::Aggregate {
        let message = format!("`#[{}]` takes no arguments", kind.attribute());
        return Err(input.error(message));
    }
    let name: Ident = input.parse()?;
    if name != "state_version" {
        return Err(Error::new_spanned(
            name,
            "unknown argument: `#[aggregate]` takes `state_version = 2`",
        ));
    }
    input.parse::<Token![=]>()?;
    let version: LitInt = input.parse()?;
    if !input.is_empty() {
        return Err(input.error("`#[aggregate]` takes one argument"));
    }
    version.base10_parse()
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
fn export(kind: Kind, item: &ItemImpl, state_version: u32) -> TokenStream {
    let ty = &item.self_ty;
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
        };
    }
}
