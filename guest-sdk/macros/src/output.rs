//! `#[derive(Output)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Field, Ident, LitStr, Result, Type};

use crate::fields;

struct OutputField<'i> {
    ident: &'i Ident,
    ty: &'i Type,
    /// The name that the host goes by, and where the author wrote it.
    name: String,
    name_span: Span,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let named = fields::named(input, "an output")?;
    if named.is_empty() {
        return Err(Error::new_spanned(
            &input.ident,
            "an output has at least one field",
        ));
    }
    let output_fields = fields::collect(named.iter().map(output_field))?;
    fields::check_distinct(
        output_fields
            .iter()
            .map(|field| (field.name.as_str(), field.name_span)),
    )?;

    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let sdk = quote!(::millstream_sdk::expanded);
    let idents = output_fields.iter().map(|field| field.ident);
    let names = output_fields.iter().map(|field| &field.name);
    let as_columns: Vec<_> = output_fields
        .iter()
        .map(|OutputField { ty, .. }| quote_spanned!(ty.span()=> <#ty as #sdk::IntoColumn>))
        .collect();
    let indices = 0..output_fields.len();

    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::millstream_sdk::Output for #name #type_generics #where_clause {
            const FIELDS: &'static [#sdk::FieldSpec] = &[#(
                #sdk::FieldSpec {
                    name: #names,
                    ty: #as_columns::TYPE,
                    optional: #as_columns::OPTIONAL,
                },
            )*];

            #[inline]
            fn write(&self, columns: &mut [#sdk::ColumnBuilder]) {
                #(columns[#indices].push(#as_columns::scalar(&self.#idents));)*
            }
        }
    })
}

fn output_field(field: &Field) -> Result<OutputField<'_>> {
    let ident = field
        .ident
        .as_ref()
        .ok_or_else(|| Error::new_spanned(field, "a field of an output has a name"))?;
    let mut output_field = OutputField {
        ident,
        ty: &field.ty,
        name: ident.unraw().to_string(),
        name_span: ident.span(),
    };
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("output")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(
                    meta.error("unknown attribute: an output's field takes `name = \"...\"`")
                );
            }
            let name: LitStr = meta.value()?.parse()?;
            if name.value().is_empty() {
                return Err(Error::new_spanned(name, "a name is not empty"));
            }
            output_field.name = name.value();
            output_field.name_span = name.span();
            Ok(())
        })?;
    }
    Ok(output_field)
}
