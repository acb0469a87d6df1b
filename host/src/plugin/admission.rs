//! Admission: from a file to a component that may run, or to one readable reason why not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::carried::{self, SampleFiles};
use super::contract::{self, Description, LOG, METRICS, MIGRATION, PLUGIN, TYPES, VERSION};
use super::engine::PluginEngine;
use super::meter::Meter;
use super::reference::{is_name, is_version};
use super::running::Running;
use super::sandbox::Limits;
use super::{GuestFailure, GuestFault, NativeFunction, Reference, inspection};
use crate::format::hex;
use crate::rows::{Field, FieldType};

/// The largest file that is looked at as a component.
pub const MAX_FILE_BYTES: u64 = 64 << 20;
/// How many fields a component may read or produce.
const MAX_FIELDS: usize = 256;
/// How many versions of partials a component may migrate.
const MAX_VERSIONS: usize = 256;
/// How long a field's name may be, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// What the names of the contract's interfaces begin with.
const CONTRACT: &str = "millstream:udf/";

/// Interfaces of WASI that the standard libraries of guests import. None of them grants anything (see `sandbox`).
const WASI: [&str; 5] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
];

/// The kind of a function, which is the world it was built for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Keeps some of the rows.
    Filter,
    /// Turns each row into any number of rows.
    Map,
    /// Folds the rows of each window and key.
    Aggregate,
    /// Computes results from all rows of a window.
    WindowApply,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Filter, Kind::Map, Kind::Aggregate, Kind::WindowApply];

    /// The name of the world in the contract.
    pub fn world(self) -> &'static str {
        match self {
            Kind::Filter => "filter",
            Kind::Map => "map",
            Kind::Aggregate => "aggregate",
            Kind::WindowApply => "window-apply",
        }
    }

    /// The interface by which a component shows that it is of this kind.
    pub(super) fn interface(self) -> &'static str {
        match self {
            Kind::Filter => "millstream:udf/filter-function",
            Kind::Map => "millstream:udf/map-function",
            Kind::Aggregate => "millstream:udf/aggregate-function",
            Kind::WindowApply => "millstream:udf/window-apply-function",
        }
    }
}

/// Why a component is not admitted. The message names the file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct AdmissionError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

/// An admitted component: compiled, and known by what it says of itself. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    code: Code,
    inner: Arc<About>,
    meter: Arc<Meter>,
}

/// What a function is made of.
#[derive(Clone)]
enum Code {
    Component(Component),
    Native(NativeFunction),
}

struct About {
    name: String,
    version: String,
    digest: String,
    kind: Kind,
    reads: Vec<Field>,
    produces: Vec<Field>,
    state_version: u32,
    migrates_from: Vec<u32>,
    sample: SampleFiles,
}

impl Plugin {
    /// Reads, checks and compiles a component, and asks it to describe itself under `limits`.
    ///
    /// # Errors
    /// If it can't be read, is no component, was built for another contract, imports what no component may
    /// import, fails while it describes itself, or describes what can't be.
    pub fn load(
        engine: &PluginEngine,
        file: &Path,
        limits: Limits,
    ) -> Result<Self, AdmissionError> {
        read(file)
            .and_then(|bytes| Self::admit(engine, &bytes, limits))
            .map_err(|reason| AdmissionError {
                file: file.to_owned(),
                reason,
            })
    }

    /// The same with a component at hand; `label` says in errors where it comes from.
    ///
    /// # Errors
    /// As [`Plugin::load`].
    pub fn from_bytes(
        engine: &PluginEngine,
        label: &Path,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Self, AdmissionError> {
        Self::admit(engine, bytes, limits).map_err(|reason| AdmissionError {
            file: label.to_owned(),
            reason,
        })
    }

    fn admit(engine: &PluginEngine, bytes: &[u8], limits: Limits) -> Result<Self, String> {
        check_header(bytes)?;
        inspection::check_size(bytes)?;
        let sample = carried::sample(bytes)?;
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let component = engine
            .compile(bytes, digest)
            .map_err(|error| format!("not a valid component: {}", error.root_cause()))?;
        let digest = hex(&digest);
        let ty = component.component_type();
        let imports: Vec<&str> = ty.imports(&engine.engine).map(|(name, _)| name).collect();
        let exports: Vec<&str> = ty
            .exports(&engine.engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
            .map(|(name, _)| name)
            .collect();
        check_contract(imports.iter().chain(&exports))?;
        check_imports(&imports)?;
        let kind = kind_of(&exports)?;

        let migrates = exports
            .iter()
            .any(|name| name.starts_with(&format!("{MIGRATION}@")));
        let (description, versions) = describe(engine, &component, &digest, limits, migrates)
            .map_err(|failure| failure.to_string())?;
        let about = about(description, versions, sample, digest, kind)?;
        let meter = Meter::unplaced(&format!("{}@{}", about.name, about.version));
        Ok(Self {
            code: Code::Component(component),
            inner: Arc::new(about),
            meter,
        })
    }

    /// An aggregate in Rust that the program has, in the place of a component.
    pub fn native(function: NativeFunction) -> Self {
        let who = format!("{}@{}", function.name, function.version);
        let about = About {
            name: function.name.clone(),
            version: function.version.clone(),
            digest: digest_of(format!("native {who}").as_bytes()),
            kind: Kind::Aggregate,
            reads: function.reads.clone(),
            produces: function.produces.clone(),
            state_version: function.state_version,
            migrates_from: Vec::new(),
            sample: SampleFiles::new(),
        };
        Self {
            code: Code::Native(function),
            inner: Arc::new(about),
            meter: Meter::unplaced(&who),
        }
    }

    /// Its component, unless it is Rust.
    pub(super) fn component(&self) -> Option<&Component> {
        match &self.code {
            Code::Component(component) => Some(component),
            Code::Native(_) => None,
        }
    }

    /// Its Rust, unless it is a component.
    pub(super) fn rust(&self) -> Option<&NativeFunction> {
        match &self.code {
            Code::Native(function) => Some(function),
            Code::Component(_) => None,
        }
    }

    /// The same component as the function of a step: what its instances log and count is that step's.
    #[must_use]
    pub fn placed(mut self, engine: &PluginEngine, pipeline: &str, step: &str) -> Self {
        let meters = engine.meters();
        self.meter = meters.meter(pipeline, step, &self.who());
        self
    }

    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The function's version.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// `name@version`.
    pub fn who(&self) -> String {
        format!("{}@{}", self.inner.name, self.inner.version)
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// The fields it reads.
    pub fn reads(&self) -> &[Field] {
        &self.inner.reads
    }

    /// The fields it produces.
    pub fn produces(&self) -> &[Field] {
        &self.inner.produces
    }

    /// The version of its partials.
    pub fn state_version(&self) -> u32 {
        self.inner.state_version
    }

    /// The other versions of partials that it can turn into its own, ascending; none for most.
    pub fn migrates_from(&self) -> &[u32] {
        &self.inner.migrates_from
    }

    /// The files of the sample that the component carries; none where it carries none.
    pub fn sample(&self) -> &SampleFiles {
        &self.inner.sample
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let explain = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            match Reference::of_component(Path::new(file.file_name().unwrap_or_default())) {
                Some(_) => "there is no such file; only a pipeline that a service runs names plugins as name@version: give \
                            the path of the component, or create the pipeline in a service"
                    .to_owned(),
                None => "there is no such file: build the plugins, or correct the path".to_owned(),
            }
        }
        _ => error.to_string(),
    };
    let size = std::fs::metadata(file).map_err(explain)?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!(
            "{size} bytes are too many for a component: at most {MAX_FILE_BYTES} are taken"
        ));
    }
    std::fs::read(file).map_err(explain)
}

/// SHA-256 of a component's file, in hexadecimal.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Tells a component from what is often mistaken for one, by its first eight bytes.
fn check_header(bytes: &[u8]) -> Result<(), String> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Err(
            "a core WebAssembly module, not a component: build it for the target wasm32-wasip2"
                .to_owned(),
        ),
        Some([0, b'a', b's', b'm', ..]) => {
            Err("WebAssembly of a version that is not known here".to_owned())
        }
        _ => Err("not WebAssembly: expected a component in binary form".to_owned()),
    }
}

fn check_imports(imports: &[&str]) -> Result<(), String> {
    let ours = [LOG, METRICS, TYPES].map(|interface| format!("{interface}@0.1."));
    let is_granted = |name: &str| {
        WASI.iter().any(|prefix| name.starts_with(prefix))
            || ours.iter().any(|prefix| name.starts_with(prefix))
    };
    let refused: Vec<&str> = imports
        .iter()
        .copied()
        .filter(|name| !is_granted(name))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(format!(
        "it imports what no plugin may import: {}; granted are {}",
        refused.join(", "),
        granted()
    ))
}

/// What a component may import, in a sentence.
pub fn granted() -> String {
    format!(
        "{LOG} and {METRICS} {VERSION}, and the parts of WASI that standard libraries need ({})",
        WASI.map(|prefix| prefix.trim_end_matches('/')).join(", ")
    )
}

/// Refuses a component that was built for a version of the contract that this host does not speak.
fn check_contract<'a>(mut names: impl Iterator<Item = &'a &'a str>) -> Result<(), String> {
    let of_another = |name: &&&str| {
        let version = name
            .strip_prefix(CONTRACT)
            .and_then(|name| name.split_once('@'));
        version.is_some_and(|(_, version)| !version.starts_with("0.1."))
    };
    match names.find(of_another) {
        None => Ok(()),
        Some(other) => Err(format!(
            "it was built for another version of the contract ({other}); this host speaks {VERSION}: build it with \
             the millstream-sdk of this release"
        )),
    }
}

/// The one kind whose interface is exported.
fn kind_of(exports: &[&str]) -> Result<Kind, String> {
    let base = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| exports.iter().any(|name| base(name) == kind.interface()))
        .collect();
    let has_plugin = exports.iter().any(|name| base(name) == PLUGIN);
    match (kinds.as_slice(), has_plugin) {
        ([kind], true) => Ok(*kind),
        ([_], false) => Err(format!("it does not export {PLUGIN}")),
        ([], _) => Err(format!(
            "it is a component of another world: it exports {}, and none of {}",
            if exports.is_empty() {
                "nothing".to_owned()
            } else {
                exports.join(", ")
            },
            Kind::ALL.map(Kind::interface).join(", ")
        )),
        (several, _) => Err(format!(
            "it exports functions of several kinds ({}): a component is of one",
            several
                .iter()
                .map(|kind| kind.world())
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}

fn describe(
    engine: &PluginEngine,
    component: &Component,
    digest: &str,
    limits: Limits,
    migrates: bool,
) -> Result<(Description, Vec<u32>), GuestFailure> {
    let meter = Meter::unplaced("(undescribed)");
    let mut running = Running::start(engine, component, &meter, digest, limits)?;
    let describe = running.function(PLUGIN, "describe")?;
    let (description,) = running.call::<(), (Description,)>(&describe, ())?;
    if !migrates {
        return Ok((description, Vec::new()));
    }
    let from_versions = running.function(MIGRATION, "from-versions")?;
    let (versions,) = running.call::<(), (Vec<u32>,)>(&from_versions, ())?;
    Ok((description, versions))
}

/// Checks the versions of partials that a component says it migrates.
fn check_versions(versions: &[u32], kind: Kind, own: u32) -> Result<(), String> {
    if versions.is_empty() {
        return Ok(());
    }
    if kind != Kind::Aggregate {
        return Err(format!(
            "it exports {MIGRATION} and is a {}: only an aggregate has partials to migrate",
            kind.world()
        ));
    }
    if versions.len() > MAX_VERSIONS {
        return Err(format!(
            "it migrates {} state versions: at most {MAX_VERSIONS} are taken",
            versions.len()
        ));
    }
    if versions.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("the state versions that it migrates do not ascend".to_owned());
    }
    if versions.contains(&own) {
        return Err(format!("it migrates state version {own}, which is its own"));
    }
    Ok(())
}

fn about(
    description: Description,
    migrates_from: Vec<u32>,
    sample: SampleFiles,
    digest: String,
    kind: Kind,
) -> Result<About, String> {
    let Description {
        name,
        version,
        kind: said,
        reads,
        produces,
        state_version,
    } = description;
    let said = match said {
        contract::Kind::Filter => Kind::Filter,
        contract::Kind::Map => Kind::Map,
        contract::Kind::Aggregate => Kind::Aggregate,
        contract::Kind::WindowApply => Kind::WindowApply,
    };
    if said != kind {
        return Err(format!(
            "it describes itself as {} and exports the functions of {}",
            said.world(),
            kind.world()
        ));
    }
    if !is_name(&name) {
        return Err(format!(
            "its name {:?} is not of 1 to 64 lower-case letters, digits and hyphens",
            super::sandbox::clip(&name, 80)
        ));
    }
    if !is_version(&version) {
        return Err(format!(
            "its version {:?} is not a version",
            super::sandbox::clip(&version, 80)
        ));
    }
    if kind == Kind::Filter && !produces.is_empty() {
        return Err("a filter produces no fields, and it describes some".to_owned());
    }
    check_versions(&migrates_from, kind, state_version)?;
    Ok(About {
        name,
        version,
        digest,
        kind,
        reads: fields("reads", reads)?,
        produces: fields("produces", produces)?,
        state_version,
        migrates_from,
        sample,
    })
}

fn fields(what: &str, fields: Vec<contract::Field>) -> Result<Vec<Field>, String> {
    if fields.len() > MAX_FIELDS {
        return Err(format!(
            "it {what} {} fields: at most {MAX_FIELDS} are taken",
            fields.len()
        ));
    }
    let mut known: Vec<Field> = Vec::with_capacity(fields.len());
    for contract::Field { name, ty, optional } in fields {
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
            return Err(format!(
                "it {what} a field whose name {:?} is not of 1 to {MAX_NAME_BYTES} printable bytes",
                super::sandbox::clip(&name, 80)
            ));
        }
        if known.iter().any(|field| field.name == name) {
            return Err(format!("it {what} the field {name} twice"));
        }
        known.push(Field {
            name,
            ty: field_type(ty),
            optional,
        });
    }
    Ok(known)
}

fn field_type(ty: contract::FieldType) -> FieldType {
    match ty {
        contract::FieldType::Bool => FieldType::Bool,
        contract::FieldType::Int64 => FieldType::Int64,
        contract::FieldType::Float64 => FieldType::Float64,
        contract::FieldType::Timestamp => FieldType::Timestamp,
        contract::FieldType::Text => FieldType::Text,
        contract::FieldType::Bytes => FieldType::Bytes,
        contract::FieldType::Json => FieldType::Json,
    }
}

/// A failure of an instance of this component.
pub(super) fn failure(who: &str, digest: &str, fault: GuestFault, stderr: String) -> GuestFailure {
    GuestFailure {
        plugin: who.to_owned(),
        digest: digest.to_owned(),
        fault,
        stderr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_component_is_told_apart() {
        let told = |bytes: &[u8]| check_header(bytes).expect_err("no component");
        assert!(told(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
        assert!(told(b"\0asm\x0e\0\x01\0").contains("version"));
        assert!(told(b"name = \"x\"").contains("not WebAssembly"));
        assert!(told(b"").contains("not WebAssembly"));
        assert!(check_header(b"\0asm\x0d\0\x01\0rest").is_ok());
    }

    #[test]
    fn imports_beyond_the_grant_are_named() {
        assert!(check_imports(&["wasi:io/streams@0.2.6", "millstream:udf/log@0.1.0"]).is_ok());
        let told = check_imports(&["wasi:sockets/tcp@0.2.0", "wasi:io/error@0.2.0"])
            .expect_err("sockets are not granted");
        assert!(told.contains("wasi:sockets/tcp@0.2.0") && !told.contains("wasi:io/error@"));
        assert!(check_imports(&["millstream:udf/log@0.2.0"]).is_err());
        assert!(check_imports(&["wasi:iota/x"]).is_err());
    }

    #[test]
    fn versions_to_migrate_are_few_ascend_and_are_not_its_own() {
        let check = |versions: &[u32]| check_versions(versions, Kind::Aggregate, 3);
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[1, 2, 4]), Ok(()));
        assert!(check(&[1, 1]).expect_err("twice").contains("ascend"));
        assert!(check(&[2, 1]).expect_err("descends").contains("ascend"));
        assert!(check(&[1, 3]).expect_err("own").contains("its own"));
        let many: Vec<u32> = (4..=260).collect();
        assert!(check(&many).expect_err("257").contains("at most 256"));
        assert_eq!(check_versions(&[], Kind::Map, 1), Ok(()));
        let told = check_versions(&[2], Kind::Map, 1).expect_err("no partials");
        assert!(told.contains("only an aggregate"), "{told}");
    }

    #[test]
    fn a_component_shows_its_kind_by_its_exports() {
        let filter = [
            "millstream:udf/plugin@0.1.0",
            "millstream:udf/filter-function@0.1.3",
        ];
        assert_eq!(kind_of(&filter), Ok(Kind::Filter));
        assert!(
            kind_of(&["wasi:cli/run@0.2.0"])
                .expect_err("no kind")
                .contains("another world")
        );
        let future = ["wasi:io/error@0.2.6", "millstream:udf/map-function@0.2.0"];
        let told = check_contract(future.iter()).expect_err("0.2");
        assert!(told.contains("another version") && told.contains("map-function"));
        assert!(check_contract(filter.iter()).is_ok());
        let both = [filter[0], filter[1], "millstream:udf/map-function@0.1.0"];
        assert!(
            kind_of(&both)
                .expect_err("two kinds")
                .contains("several kinds")
        );
    }
}
