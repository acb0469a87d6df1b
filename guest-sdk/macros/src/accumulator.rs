//! `#[derive(Accumulator)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Result};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let fields = fields_of(input)?;
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let accumulator = quote!(::millstream_sdk::Accumulator);
    let sdk = quote!(::millstream_sdk::expanded);

    let members: Vec<_> = fields.members().collect();
    let count = members.len();
    let indices = 0..count;
    let as_accumulators: Vec<_> = fields
        .iter()
        .map(|field| {
            let ty = &field.ty;
            quote_spanned!(ty.span()=> <#ty as #accumulator>)
        })
        .collect();

    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #accumulator for #name #type_generics #where_clause {
            fn snapshot(&self, out: &mut ::std::vec::Vec<u8>) {
                let mut parts = #sdk::PartsWriter::new(out);
                #(parts.part(|out| #as_accumulators::snapshot(&self.#members, out));)*
                parts.finish();
            }

            fn take_delta(&mut self, out: &mut ::std::vec::Vec<u8>) {
                let mut parts = #sdk::PartsWriter::new(out);
                #(parts.part(|out| #as_accumulators::take_delta(&mut self.#members, out));)*
                parts.finish();
            }

            fn merge(
                &mut self,
                partial: &[u8],
            ) -> ::core::result::Result<(), ::millstream_sdk::PartialError> {
                let parts = #sdk::split_parts::<#count>(partial)?;
                #(#as_accumulators::merge(&mut self.#members, parts[#indices])?;)*
                ::core::result::Result::Ok(())
            }
        }
    })
}

fn fields_of(input: &DeriveInput) -> Result<&Fields> {
    match &input.data {
        Data::Struct(data) if !data.fields.is_empty() => Ok(&data.fields),
        _ => Err(Error::new_spanned(
            &input.ident,
            "`#[derive(Accumulator)]` goes on a struct whose fields are accumulators",
        )),
    }
}
