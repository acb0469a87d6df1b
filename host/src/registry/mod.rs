//! The plugins of a service: components by their digest, named `name@version` as they describe themselves.
//!
//! # Layout, version 1
//!
//! | path | what |
//! |---|---|
//! | `blobs/{sha256}.wasm` | a component, never changed |
//! | `names/{name}@{version}.json` | what the component with that name and version is, and its digest |
//! | `incoming/` | uploads on their way; emptied at the start |
//!
//! A name and version is given once: the same digest again changes nothing, another one is refused. So a pipeline that names a
//! plugin gets the same bytes whenever it starts.
//!
//! # Stories of a crash
//! - *During an upload:* the rest of it is removed at the next start.
//! - *After the component is in its place, before its name is:* nothing names it; the same upload again finishes, and the next start
//!   removes it otherwise.
//! - *A component was changed on the disk:* its digest is compared each time it is taken, and it is refused.
//! - *A key is no longer trusted, or signatures are required from now on:* a plugin's signature is verified each time it is taken, too.

mod entry;
mod refusal;
mod signature;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use tempfile::NamedTempFile;

pub use entry::{FieldInfo, PluginInfo};
pub use refusal::Refusal;
pub use signature::{NotTrusted, PublicKey, Secret, Signature, Subject, Trust};

use crate::pipeline::config::defaults;
use crate::plugin::{Plugin, PluginEngine, Reference};
use crate::sample;
use crate::service::disk;

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The caller's fault: no such plugin.
    #[error("there is no plugin {0}: `millstream plugins list` shows those there are")]
    Unknown(String),
    /// The caller's fault: what came is not what was announced.
    #[error("the digest of what came is {came}, and {announced} was announced: send it again")]
    Digest {
        /// What was announced, in hexadecimal.
        announced: String,
        /// What came, in hexadecimal.
        came: String,
    },
    /// The plugin's fault: it is not admitted.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The caller's fault: another component has the name.
    #[error(
        "{reference} is another component already (sha256 {digest}): a version is given once, so give this one the next"
    )]
    Taken {
        /// The name and version.
        reference: String,
        /// The digest of the component that has it.
        digest: String,
    },
    /// The plugin's fault, or that of whoever pushed it: its signature.
    #[error(transparent)]
    NotTrusted(#[from] NotTrusted),
    /// The environment's fault.
    #[error("the plugin folder: {0}")]
    Disk(#[from] io::Error),
}

/// The plugins of a service. It may be used from several threads.
#[derive(Debug)]
pub struct Registry {
    folder: PathBuf,
    trust: Trust,
    names: Mutex<BTreeMap<Reference, PluginInfo>>,
}

impl Registry {
    /// Opens the registry in a folder, which is made where there is none. Called once, at the start of a service. `trust` says whose
    /// plugins it takes and gives out.
    ///
    /// # Errors
    /// If the disk refuses, or a name's file can't be read.
    pub fn open(folder: &Path, trust: Trust) -> Result<Self, RegistryError> {
        let registry = Self {
            folder: folder.to_owned(),
            trust,
            names: Mutex::new(BTreeMap::new()),
        };
        let incoming = registry.incoming();
        if incoming.exists() {
            fs::remove_dir_all(&incoming)?;
        }
        for part in [incoming, folder.join("blobs"), folder.join("names")] {
            disk::make_folder(&part)?;
        }
        let names = entry::read_all(&folder.join("names"))?;
        registry.remove_nameless(&names)?;
        *registry.names() = names;
        Ok(registry)
    }

    /// Where an upload is put until it is [pushed](Self::push).
    pub fn incoming(&self) -> PathBuf {
        self.folder.join("incoming")
    }

    /// Admits an upload and gives it the name and version that it describes itself by. Returns whether it is new. `came` is the
    /// digest of the file, in hexadecimal. Compiles the component, which takes seconds.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn push(
        &self,
        engine: &PluginEngine,
        upload: NamedTempFile,
        announced: &str,
        came: &str,
        signature: Option<Signature>,
    ) -> Result<(PluginInfo, bool), RegistryError> {
        if !announced.eq_ignore_ascii_case(came) {
            return Err(RegistryError::Digest {
                announced: announced.to_owned(),
                came: came.to_owned(),
            });
        }
        // What nobody stands for is not even started.
        if self.trust.required && signature.is_none() {
            let who = format!("the component of sha256 {came}");
            return Err(NotTrusted::Unsigned { who }.into());
        }
        let size = upload.as_file().metadata()?.len();
        let limits = defaults::LIMITS.into();
        let refuse = |why| RegistryError::Refused(Box::new(Refusal::new(came, size, why)));
        let plugin =
            Plugin::load(engine, upload.path(), limits).map_err(|error| refuse(error.reason))?;
        self.trust.judge(Subject::of(&plugin), signature.as_ref())?;
        sample::prove(engine, &plugin, limits).map_err(|error| refuse(error.to_string()))?;
        let info = PluginInfo::of(&plugin, size, signature);
        let reference = info.reference_of().ok_or_else(|| {
            io::Error::other(format!("an admitted plugin has the name {}", plugin.who()))
        })?;

        let mut names = self.names();
        if let Some(known) = names.get(&reference) {
            if known.sha256 != info.sha256 {
                return Err(RegistryError::Taken {
                    reference: info.reference,
                    digest: known.sha256.clone(),
                });
            }
            let mut known = known.clone();
            if info.signature.is_some() && info.signature != known.signature {
                known.signature = info.signature;
                disk::write(&self.name_file(&reference), &known.to_json()?)?;
                names.insert(reference, known.clone());
            }
            return Ok((known, false));
        }
        let blob = self.blob(&info.sha256);
        upload.as_file().sync_all()?;
        upload
            .persist(&blob)
            .map_err(|error| disk::at(&blob, &error.error))?;
        disk::flush_folder(&blob)?;
        disk::write(&self.name_file(&reference), &info.to_json()?)?;
        names.insert(reference, info.clone());
        Ok((info, true))
    }

    /// All plugins, by name and version.
    pub fn list(&self) -> Vec<PluginInfo> {
        self.names().values().cloned().collect()
    }

    /// What is known of a plugin.
    ///
    /// # Errors
    /// If there is none of that name and version.
    pub fn get(&self, reference: &Reference) -> Result<PluginInfo, RegistryError> {
        let found = self.names().get(reference).cloned();
        found.ok_or_else(|| RegistryError::Unknown(reference.to_string()))
    }

    /// Where the component of a plugin is, and its digest.
    ///
    /// # Errors
    /// If there is none of that name and version, or its signature is not one that is trusted now.
    pub fn resolve(&self, reference: &Reference) -> Result<(PathBuf, String), RegistryError> {
        let info = self.get(reference)?;
        let subject = Subject {
            name: reference.name(),
            version: reference.version(),
            digest: &info.sha256,
        };
        self.trust.judge(subject, info.signed()?.as_ref())?;
        Ok((self.blob(&info.sha256), info.sha256))
    }

    /// Takes a plugin away. Whether a pipeline needs it is for the caller to see to.
    ///
    /// # Errors
    /// If there is none, or the disk refuses.
    pub fn delete(&self, reference: &Reference) -> Result<(), RegistryError> {
        let mut names = self.names();
        let Some(info) = names.get(reference) else {
            return Err(RegistryError::Unknown(reference.to_string()));
        };
        // First the name: a component without one is removed at the next start.
        disk::remove(&self.name_file(reference))?;
        disk::remove(&self.blob(&info.sha256))?;
        names.remove(reference);
        Ok(())
    }

    /// Removes components that nothing names: what a crash has left.
    fn remove_nameless(&self, names: &BTreeMap<Reference, PluginInfo>) -> io::Result<()> {
        for file in fs::read_dir(self.folder.join("blobs"))? {
            let path = file?.path();
            let digest = path.file_stem().and_then(|stem| stem.to_str());
            if !names.values().any(|info| Some(&*info.sha256) == digest) {
                tracing::info!(file = %path.display(), "removing a component that nothing names");
                disk::remove(&path)?;
            }
        }
        Ok(())
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{digest}.wasm"))
    }

    fn name_file(&self, reference: &Reference) -> PathBuf {
        self.folder.join("names").join(format!("{reference}.json"))
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<Reference, PluginInfo>> {
        self.names
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
