//! The format of a file of compiled code.
//!
//! # Layout, version 1
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `MILLCODE` |
//! | 8..12 | version of this format, big-endian |
//! | 12..44 | SHA-256 of everything after it |
//! | 44..76 | SHA-256 of the component |
//! | 76..108 | fingerprint of the engine that compiled it |
//! | 108.. | what the engine made |
//!
//! A file that was cut off, changed or is of another component or engine is told by this alone, before the engine sees a byte of it.
//!
//! # Stories of a crash
//! - *While a file is written:* it has another name until it is whole, and is swept away later.
//! - *The machine loses power:* the name may have come before all bytes; the first SHA-256 tells, and the component is compiled again.

use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"MILLCODE";
const VERSION: [u8; 4] = 1_u32.to_be_bytes();
/// Where what is hashed begins.
const HASHED: usize = 44;
/// How long the header is.
pub(super) const LENGTH: usize = 108;

/// What compiled code is kept by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::plugin) struct Key {
    /// SHA-256 of the component.
    pub(in crate::plugin) component: [u8; 32],
    /// SHA-256 of what the engine says its code depends on: its release, its settings, and the processor.
    pub(in crate::plugin) engine: [u8; 32],
}

/// Why a file is of no use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unusable {
    /// It is something else, or another release wrote it.
    #[error("it is not compiled code in the format of this release")]
    Foreign,
    /// It has been cut off or changed.
    #[error("it is damaged: its contents do not have the digest that it names")]
    Damaged,
    /// It holds another component's code, or another engine's.
    #[error("it holds the code of another component or engine")]
    Another,
}

/// A header for `code`.
pub(super) fn encode(key: &Key, code: &[u8]) -> [u8; LENGTH] {
    let digest = Sha256::new()
        .chain_update(key.component)
        .chain_update(key.engine)
        .chain_update(code)
        .finalize();
    let mut header = [0; LENGTH];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION);
    header[12..HASHED].copy_from_slice(&digest);
    header[HASHED..76].copy_from_slice(&key.component);
    header[76..].copy_from_slice(&key.engine);
    header
}

/// The code in a file, if it is whole and of `key`.
pub(super) fn decode<'a>(key: &Key, file: &'a [u8]) -> Result<&'a [u8], Unusable> {
    let (header, code) = file
        .split_first_chunk::<LENGTH>()
        .ok_or(Unusable::Foreign)?;
    if header[..8] != *MAGIC || header[8..12] != VERSION {
        return Err(Unusable::Foreign);
    }
    if Sha256::digest(&file[HASHED..])[..] != header[12..HASHED] {
        return Err(Unusable::Damaged);
    }
    if header[HASHED..76] != key.component || header[76..] != key.engine {
        return Err(Unusable::Another);
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key {
        component: [1; 32],
        engine: [2; 32],
    };

    #[test]
    fn what_was_written_is_read_and_no_changed_byte_is_let_through() {
        let mut file = encode(&KEY, b"code").to_vec();
        file.extend_from_slice(b"code");
        assert_eq!(decode(&KEY, &file), Ok(&b"code"[..]));
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(decode(&KEY, &changed).is_err(), "byte {at}");
            assert!(decode(&KEY, &file[..at]).is_err(), "cut at {at}");
        }
        file.push(0);
        assert_eq!(decode(&KEY, &file), Err(Unusable::Damaged));
    }

    #[test]
    fn code_of_another_component_or_engine_is_not_taken() {
        let file = encode(&KEY, b"");
        let component = Key {
            component: [3; 32],
            ..KEY
        };
        let engine = Key {
            engine: [3; 32],
            ..KEY
        };
        assert_eq!(decode(&component, &file), Err(Unusable::Another));
        assert_eq!(decode(&engine, &file), Err(Unusable::Another));
    }
}
