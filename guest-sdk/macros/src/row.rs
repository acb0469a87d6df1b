//! `#[derive(Row)]`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Expr, Field, GenericParam, Ident, Lifetime, LitStr, Result, Type};

use crate::fields;

/// The properties of a record that a field can read instead of its value.
const PROPERTIES: [&str; 7] = [
    "$value",
    "$key",
    "$topic",
    "$partition",
    "$offset",
    "$timestamp",
    "$event_time",
];

struct RowField<'i> {
    ident: &'i Ident,
    ty: &'i Type,
    /// The name that the host goes by, and where the author wrote it.
    path: String,
    path_span: Span,
    default: Option<Expr>,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let lifetime = lifetime_of(input)?;
    let named = fields::named(input, "a row")?;
    let row_fields = fields::collect(named.iter().map(row_field))?;
    fields::check_distinct(
        row_fields
            .iter()
            .map(|field| (field.path.as_str(), field.path_span)),
    )?;

    let name = &input.ident;
    let (_, type_generics, where_clause) = input.generics.split_for_impl();
    let sdk = quote!(::millstream_sdk::expanded);

    let idents: Vec<_> = row_fields.iter().map(|field| field.ident).collect();
    let paths: Vec<_> = row_fields.iter().map(|field| &field.path).collect();
    // A field with a default is read as one that may be missing.
    let types: Vec<_> = row_fields
        .iter()
        .map(|RowField { ty, default, .. }| match default {
            Some(_) => quote_spanned!(ty.span()=> ::core::option::Option<#ty>),
            None => quote!(#ty),
        })
        .collect();
    let as_columns: Vec<_> = types
        .iter()
        .zip(&row_fields)
        .map(|(ty, field)| quote_spanned!(field.ty.span()=> <#ty as #sdk::FromColumn<#lifetime>>))
        .collect();
    let locals: Vec<_> = (0..row_fields.len())
        .map(|index| format_ident!("column_{index}", span = Span::mixed_site()))
        .collect();
    let defaults = row_fields.iter().map(|field| {
        let default = field.default.as_ref()?;
        Some(quote!(.unwrap_or_else(|| #default)))
    });
    let indices = 0..row_fields.len();

    // Columns nest as pairs, for a flat tuple of more than twelve has no `Clone`.
    let columns = nest(as_columns.iter().map(|column| quote!(#column::Column)));
    let opened =
        nest(as_columns.iter().zip(indices).map(
            |(column, index)| quote!(#column::open_field(&Self::FIELDS[#index], batch, #index)?),
        ));
    let pattern = nest(locals.iter().map(|local| quote!(#local)));
    let reads = as_columns
        .iter()
        .zip(&locals)
        .zip(defaults)
        .map(|((column, local), default)| quote!(#column::get(#local, row) #default));

    Ok(quote! {
        #[automatically_derived]
        #[allow(unused_variables, clippy::unused_unit)]
        impl<#lifetime> ::millstream_sdk::Row<#lifetime> for #name #type_generics #where_clause {
            const FIELDS: &'static [#sdk::FieldSpec] = &[#(
                #sdk::FieldSpec {
                    name: #paths,
                    ty: #as_columns::TYPE,
                    optional: #as_columns::OPTIONAL,
                },
            )*];
            type Columns = #columns;

            fn open(
                batch: &#lifetime #sdk::wire::Batch,
            ) -> ::core::result::Result<Self::Columns, #sdk::ContractError> {
                ::core::result::Result::Ok(#opened)
            }

            #[inline]
            fn read(columns: &Self::Columns, row: usize) -> Self {
                let #pattern = columns;
                Self { #(#idents: #reads,)* }
            }
        }
    })
}

/// `(a, (b, (c, ())))`.
fn nest(items: impl DoubleEndedIterator<Item = TokenStream>) -> TokenStream {
    items.rfold(quote!(()), |rest, item| quote!((#item, #rest)))
}

/// The lifetime that the row borrows the batch for.
fn lifetime_of(input: &DeriveInput) -> Result<Lifetime> {
    let mut lifetime = None;
    for param in &input.generics.params {
        match param {
            GenericParam::Lifetime(param) if lifetime.is_none() => {
                lifetime = Some(param.lifetime.clone());
            }
            GenericParam::Lifetime(param) => {
                return Err(Error::new_spanned(
                    param,
                    "a row has at most one lifetime, that of the batch",
                ));
            }
            GenericParam::Type(_) | GenericParam::Const(_) => {
                return Err(Error::new_spanned(
                    param,
                    "a row is not generic: the host must know its fields",
                ));
            }
        }
    }
    Ok(lifetime.unwrap_or_else(|| Lifetime::new("'batch", Span::mixed_site())))
}

fn row_field(field: &Field) -> Result<RowField<'_>> {
    let ident = field
        .ident
        .as_ref()
        .ok_or_else(|| Error::new_spanned(field, "a field of a row has a name"))?;
    let mut row_field = RowField {
        ident,
        ty: &field.ty,
        path: ident.unraw().to_string(),
        path_span: ident.span(),
        default: None,
    };
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("row")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("path") {
                let path: LitStr = meta.value()?.parse()?;
                check_path(&path)?;
                row_field.path = path.value();
                row_field.path_span = path.span();
                Ok(())
            } else if meta.path.is_ident("default") {
                row_field.default = Some(meta.value()?.parse()?);
                Ok(())
            } else {
                Err(meta.error(
                    "unknown attribute: a row's field takes `path = \"...\"` and `default = ...`",
                ))
            }
        })?;
    }
    if row_field.default.is_some() && is_option(&field.ty) {
        return Err(Error::new_spanned(
            &field.ty,
            "a field with a default is never missing: leave out the `Option`",
        ));
    }
    Ok(row_field)
}

fn check_path(path: &LitStr) -> Result<()> {
    let value = path.value();
    if value.starts_with('$') && !PROPERTIES.contains(&value.as_str()) {
        let message = format!(
            "a record has no property `{value}`; it has {}",
            PROPERTIES.map(|name| format!("`{name}`")).join(", ")
        );
        return Err(Error::new_spanned(path, message));
    }
    if value.split('.').any(str::is_empty) {
        return Err(Error::new_spanned(
            path,
            "a path is names joined by dots, such as `user.id`",
        ));
    }
    Ok(())
}

fn is_option(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let last = path.path.segments.last();
    last.is_some_and(|segment| segment.ident == "Option")
}
