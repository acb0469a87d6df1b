//! What a registry knows of a plugin: the file of its name, and what the API shows.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Signature;
use crate::plugin::{Plugin, Reference};
use crate::rows::Field;
use crate::service::disk;

/// A plugin of the registry.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct PluginInfo {
    /// `name@version`, as a pipeline file names it.
    pub reference: String,
    /// Its kind, which is the world it was built for.
    pub kind: String,
    /// SHA-256 of the component, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// The fields that it reads.
    pub reads: Vec<FieldInfo>,
    /// The fields that it produces.
    pub produces: Vec<FieldInfo>,
    /// The version of its partials.
    pub state_version: u32,
    /// The other versions of partials that it can turn into its own; none for most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrates_from: Vec<u32>,
    /// When it was pushed, in RFC 3339.
    pub pushed: String,
    /// Its signature, in hexadecimal, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// A field of a plugin's rows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct FieldInfo {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Whether a row may lack it.
    pub optional: bool,
}

impl From<&Field> for FieldInfo {
    fn from(field: &Field) -> Self {
        Self {
            name: field.name.clone(),
            ty: field.ty.to_string(),
            optional: field.optional,
        }
    }
}

impl PluginInfo {
    /// What an admitted component says of itself.
    pub(super) fn of(plugin: &Plugin, size: u64, signature: Option<Signature>) -> Self {
        Self {
            reference: plugin.who(),
            kind: plugin.kind().world().to_owned(),
            sha256: plugin.digest().to_owned(),
            size,
            reads: plugin.reads().iter().map(FieldInfo::from).collect(),
            produces: plugin.produces().iter().map(FieldInfo::from).collect(),
            state_version: plugin.state_version(),
            migrates_from: plugin.migrates_from().to_vec(),
            pushed: jiff::Timestamp::now().to_string(),
            signature: signature.map(|signature| signature.to_text()),
        }
    }

    /// Its name and version.
    pub(super) fn reference_of(&self) -> Option<Reference> {
        self.reference.parse().ok()
    }

    /// Its signature.
    ///
    /// # Errors
    /// If what is kept as such is none.
    pub fn signed(&self) -> io::Result<Option<Signature>> {
        let Some(text) = &self.signature else {
            return Ok(None);
        };
        let signature = Signature::from_text(text).ok_or_else(|| {
            let what = format!(
                "the signature kept of {} is none: push it again",
                self.reference
            );
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        Ok(Some(signature))
    }

    pub(super) fn to_json(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(&Named {
            version: VERSION,
            plugin: self.clone(),
        })?)
    }
}

const VERSION: u32 = 1;

/// The file of a name.
#[derive(Deserialize, Serialize)]
struct Named {
    version: u32,
    plugin: PluginInfo,
}

/// All names in a folder.
pub(super) fn read_all(folder: &Path) -> io::Result<BTreeMap<Reference, PluginInfo>> {
    let mut names = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let (reference, info) = read(&path).map_err(|error| disk::at(&path, &error))?;
            names.insert(reference, info);
        }
    }
    Ok(names)
}

fn read(path: &Path) -> io::Result<(Reference, PluginInfo)> {
    let refuse = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    let named: Named = serde_json::from_slice(&fs::read(path)?)?;
    if named.version != VERSION {
        return Err(refuse("written by another release: run that one"));
    }
    let reference = named.plugin.reference_of();
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    match reference {
        Some(reference) if Some(&*named.plugin.reference) == stem => Ok((reference, named.plugin)),
        _ => Err(refuse(
            "it names another plugin than the file's name says: remove it and push the plugin again",
        )),
    }
}
