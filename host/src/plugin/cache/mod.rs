//! Compiled code, kept from one start to the next.
//!
//! Compiling a component takes a second; reading what came of it takes milliseconds. A [`CodeCache`] keeps it in a folder,
//! by the digest of the component and the fingerprint of the engine, and may be shared by many processes. It is only ever a shortcut: what
//! can't be read, or is not to be trusted, is compiled again, and a line in the log says so.
//!
//! wasmtime has a cache of its own. It is not used: it executes whatever lies in its folder without asking whose it is or whether it
//! is whole, and takes its settings from a file in the user's home.

mod folder;
mod header;
mod sweep;

use std::io;
use std::path::Path;
use std::time::SystemTime;

use folder::Folder;
pub(super) use header::Key;

use crate::format::hex;

/// How many bytes a cache keeps: some hundred components.
const MOST_BYTES: u64 = 512 << 20;
/// How large the code of one component may be.
const MOST_OF_ONE: u64 = 256 << 20;

/// Whether a file holds code of `key`: for `crate::fuzzing`.
#[cfg(feature = "fuzzing")]
pub(super) fn is_usable(key: &Key, file: &[u8]) -> bool {
    header::decode(key, file).is_ok()
}

/// A folder of compiled code.
#[derive(Debug)]
pub struct CodeCache {
    folder: Folder,
    most: u64,
}

impl CodeCache {
    /// Opens the cache in a folder, which is made where there is none.
    ///
    /// # Errors
    /// If the folder can't be made or opened, or others than the user of this process may write to it.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let at = |error| crate::service::disk::at(folder, &error);
        Ok(Self {
            folder: Folder::open(folder).map_err(at)?,
            most: MOST_BYTES,
        })
    }

    /// Hands the code kept by `key` to `load` and returns what that makes of it; `None`, and perhaps a line in the log, where there is
    /// none of use.
    pub(super) fn load<T>(
        &self,
        key: &Key,
        load: impl FnOnce(&[u8]) -> wasmtime::Result<T>,
    ) -> Option<T> {
        let name = name(key);
        let read = self.read(key, &name, load);
        read.unwrap_or_else(|why| {
            let file = self.folder.place(&name);
            tracing::warn!(file = %file.display(), why = %why, "not using compiled code: compiling again");
            None
        })
    }

    fn read<T>(
        &self,
        key: &Key,
        name: &str,
        load: impl FnOnce(&[u8]) -> wasmtime::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let Some(file) = self.folder.read(name, MOST_OF_ONE)? else {
            return Ok(None);
        };
        Ok(Some(load(header::decode(key, &file)?)?))
    }

    /// Keeps code by `key`, and lets go of what has not been used for longest where that makes too much. A disk that refuses costs no
    /// more than a line in the log.
    pub(super) fn keep(&self, key: &Key, code: &[u8]) {
        let name = name(key);
        let put = || {
            self.folder
                .write(&name, &[&header::encode(key, code), code])?;
            sweep::surplus(self.folder.list()?, self.most, SystemTime::now())
                .iter()
                .try_for_each(|name| self.folder.remove(name))
        };
        let result: io::Result<()> = { put }();
        if let Err(why) = result {
            let file = self.folder.place(&name);
            tracing::warn!(file = %file.display(), %why, "can't keep compiled code");
        }
    }
}

/// The name of a file. Half the fingerprint is enough to tell engines apart; the header has it whole.
fn name(key: &Key) -> String {
    format!(
        "{}-{}{}",
        hex(&key.component),
        hex(&key.engine[..16]),
        folder::ENDING
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use std::fs;

    use super::*;

    fn key(component: u8) -> Key {
        Key {
            component: [component; 32],
            engine: [7; 32],
        }
    }

    fn load(cache: &CodeCache, component: u8) -> Option<Vec<u8>> {
        cache.load(&key(component), |code| Ok(code.to_vec()))
    }

    #[test]
    fn code_is_given_back_and_damaged_code_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&folder.path().join("code")).unwrap();
        assert_eq!(load(&cache, 1), None);
        cache.keep(&key(1), b"machine code");
        assert_eq!(load(&cache, 1).unwrap(), b"machine code");

        let file = cache.folder.place(&name(&key(1)));
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert_eq!(load(&cache, 1), None);
        cache.keep(&key(1), b"machine code");
        assert_eq!(load(&cache, 1).unwrap(), b"machine code");

        let refused: Option<()> = cache.load(&key(1), |_| wasmtime::bail!("of another engine"));
        assert_eq!(refused, None);
    }

    #[test]
    fn a_cache_stays_within_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = CodeCache::open(&folder.path().join("code")).unwrap();
        cache.most = 2_000;
        for component in 1..=10 {
            cache.keep(&key(component), &[component; 500]);
            let size: u64 = cache.folder.list().unwrap().iter().map(|f| f.size).sum();
            assert!(size <= cache.most, "{size} bytes");
        }
        let kept = (1..=10).filter(|component| load(&cache, *component).is_some());
        assert_eq!(kept.count(), 3);
    }
}
