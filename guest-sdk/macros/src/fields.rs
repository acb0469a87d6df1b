//! What the derives of rows and outputs share: a struct with named fields, each under a name of its own.

use std::collections::HashSet;

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::token::Comma;
use syn::{Data, DeriveInput, Error, Field, Fields, Result};

/// The named fields of a struct; `what` says what it is to be (`a row`).
pub(crate) fn named<'i>(
    input: &'i DeriveInput,
    what: &str,
) -> Result<&'i Punctuated<Field, Comma>> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(&fields.named),
            Fields::Unnamed(_) | Fields::Unit => Err(Error::new_spanned(
                &input.ident,
                format!("{what} is a struct with named fields: the host goes by their names"),
            )),
        },
        Data::Enum(_) | Data::Union(_) => Err(Error::new_spanned(
            &input.ident,
            format!("{what} is a struct, with a field for each column"),
        )),
    }
}

/// Refuses a name that occurs twice.
pub(crate) fn check_distinct<'n>(names: impl Iterator<Item = (&'n str, Span)>) -> Result<()> {
    let mut seen = HashSet::new();
    for (name, span) in names {
        if !seen.insert(name) {
            return Err(Error::new(span, format!("a second field named `{name}`")));
        }
    }
    Ok(())
}

/// All results, or all errors as one.
pub(crate) fn collect<T>(results: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let mut errors: Option<Error> = None;
    for result in results {
        match (result, &mut errors) {
            (Ok(value), _) => values.push(value),
            (Err(error), Some(errors)) => errors.combine(error),
            (Err(error), None) => errors = Some(error),
        }
    }
    errors.map_or(Ok(values), Err)
}
