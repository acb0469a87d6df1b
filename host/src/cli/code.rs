//! The cache of compiled code, and the engine that uses it.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use super::Failure;
use crate::plugin::{CodeCache, PluginEngine};

#[derive(Debug, clap::Args)]
#[group(id = "code")]
pub(super) struct Options {
    /// Where compiled components are kept, so that the next start need not compile them; `off` keeps none. By default in the
    /// user's folder of caches, and for a service in its data folder
    #[arg(
        long,
        global = true,
        env = "MILLSTREAM_CODE_CACHE",
        value_name = "FOLDER|off"
    )]
    code_cache: Option<PathBuf>,
}

impl Options {
    /// An engine with the cache that was asked for, or else the user's.
    ///
    /// # Errors
    /// If the machine can't run components, or the folder that was asked for can't be used.
    pub(super) fn engine(&self) -> Result<PluginEngine, Failure> {
        let users = etcetera::choose_base_strategy().ok();
        let users = users.map(|user| user.cache_dir().join("millstream/code"));
        self.engine_or(users.as_deref())
    }

    /// The same, with a default of the caller's.
    ///
    /// # Errors
    /// As [`engine`](Self::engine).
    pub(super) fn engine_or(&self, default: Option<&Path>) -> Result<PluginEngine, Failure> {
        let engine = PluginEngine::new()?;
        let cache = match (&self.code_cache, default) {
            (Some(folder), _) if folder.as_os_str() == "off" => return Ok(engine),
            (Some(folder), _) => CodeCache::open(folder)
                .map_err(|error| Failure::Usage(format!("--code-cache: {error}")))?,
            (None, None) => return Ok(engine),
            // Nobody has asked for this one, so nothing ends because of it.
            (None, Some(folder)) => match CodeCache::open(folder) {
                Ok(cache) => cache,
                Err(why) => {
                    tracing::warn!(%why, "keeping no compiled code: components are compiled at each start");
                    return Ok(engine);
                }
            },
        };
        Ok(engine.with_cache(cache))
    }
}
