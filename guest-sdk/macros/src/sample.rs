//! The sample of a crate, carried by its component: each file of the folder `sample` in a custom section of its own, so that a host
//! can try the component before it is let near anybody's records.

use std::path::Path;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Error, Result};

/// The files that a sample may have, and whether it must. `plugins/README.md` of Millstream's repository says what they hold.
const FILES: [(&str, bool); 5] = [
    ("input.ndjson", true),
    ("expected.ndjson", true),
    ("errors.ndjson", false),
    ("config.toml", false),
    ("step.toml", false),
];

/// How large a sample may be in all, in bytes, as hosts have it.
const MAX_BYTES: u64 = 256 << 10;

/// What puts the sample of the crate that is compiled into its component; nothing where the crate has none.
pub(crate) fn carry() -> Result<TokenStream> {
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(folder) => carry_from(&Path::new(&folder).join("sample")),
        None => Ok(TokenStream::new()),
    }
}

fn carry_from(folder: &Path) -> Result<TokenStream> {
    if !folder.is_dir() {
        return Ok(TokenStream::new());
    }
    let mut size = 0;
    let mut sections = TokenStream::new();
    for (number, (name, is_needed)) in FILES.into_iter().enumerate() {
        let file = folder.join(name);
        match file.metadata() {
            Ok(metadata) => size += metadata.len(),
            Err(_) if !is_needed => continue,
            Err(error) => {
                return Err(refuse(&format!(
                    "{}: {error}; a crate with a folder `sample` has its input and what is expected of it there",
                    file.display()
                )));
            }
        }
        let path = format!("/sample/{name}");
        let section = format!("millstream:sample/{name}");
        let ident = format_ident!("FILE_{number}");
        // Public, so that it is kept though nothing refers to it; with `#[used]` it would be in the memory of each instance, too.
        sections.extend(quote! {
            #[cfg(target_family = "wasm")]
            #[unsafe(link_section = #section)]
            pub static #ident: [u8; ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #path)).len()] =
                *::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #path));
        });
    }
    if size > MAX_BYTES {
        return Err(refuse(&format!(
            "{}: {size} bytes, and a component carries a sample of at most {MAX_BYTES}",
            folder.display()
        )));
    }
    Ok(quote! { const _: () = { #sections }; })
}

fn refuse(why: &str) -> Error {
    Error::new(Span::call_site(), why)
}
