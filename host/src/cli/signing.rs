//! `millstream plugin keygen` and `sign`: standing for a component.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{Failure, out};
use crate::pipeline::config::defaults;
use crate::plugin::{Plugin, PluginEngine};
use crate::registry::{Secret, Signature, Subject};

/// Make a key to sign plugins with
///
/// Writes the secret half to a file that only its owner may read, and prints the lines for the service's file, which hold the public half.
#[derive(Debug, clap::Args)]
pub(super) struct Keygen {
    /// The file of the secret half; one that is there is not overwritten
    #[arg(value_name = "KEY")]
    file: PathBuf,
    /// Who signs with it: services call them so
    #[arg(long)]
    name: String,
}

/// Sign a component
///
/// The signature holds for this file under the name and version that it gives itself. It goes to a file of its own, for
/// `millstream plugins push --signature`.
#[derive(Debug, clap::Args)]
pub(super) struct Sign {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The secret half of a key, a file that `millstream plugin keygen` has made
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// Where the signature goes; beside the component, with `.sig` after its name, unless named
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

fn at<'a>(file: &'a Path) -> impl Fn(io::Error) -> Failure + 'a {
    |error| Failure::Usage(format!("{}: {error}", file.display()))
}

pub(super) fn keygen(args: &Keygen) -> Result<(), Failure> {
    let secret = Secret::generate();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&args.file).map_err(at(&args.file))?;
    writeln!(file, "{}", secret.to_text()).map_err(at(&args.file))?;
    file.sync_all().map_err(at(&args.file))?;
    let name = toml::Value::String(args.name.clone());
    out::stdout(|out| {
        writeln!(out, "# For the service's file:")?;
        writeln!(out, "[[plugins.key]]")?;
        writeln!(out, "name = {name}")?;
        writeln!(out, "ed25519 = \"{}\"", secret.public().to_text())
    })
}

pub(super) fn sign(args: &Sign, engine: &PluginEngine) -> Result<(), Failure> {
    let text = fs::read_to_string(&args.key).map_err(at(&args.key))?;
    let secret = Secret::from_text(text.trim()).ok_or_else(|| {
        Failure::Usage(format!(
            "{}: expected the secret half of a key in 64 hexadecimal digits, as `millstream plugin keygen` makes it",
            args.key.display()
        ))
    })?;
    let plugin = Plugin::load(engine, &args.file, defaults::LIMITS.into())?;
    let signature = secret.sign(Subject::of(&plugin));
    let to = args.to.clone().unwrap_or_else(|| {
        let mut name = args.file.clone().into_os_string();
        name.push(".sig");
        name.into()
    });
    fs::write(&to, format!("{}\n", signature.to_text())).map_err(at(&to))?;
    out::stdout(|out| {
        let (who, key) = (plugin.who(), secret.public().to_text());
        writeln!(out, "signed {who} (sha256 {}) with {key}", plugin.digest())?;
        writeln!(out, "the signature is in {}", to.display())
    })
}

/// Reads a file that [`sign`] has made.
pub(super) fn read_signature(file: &Path) -> Result<Signature, Failure> {
    let text = fs::read_to_string(file).map_err(at(file))?;
    Signature::from_text(text.trim()).ok_or_else(|| {
        Failure::Usage(format!(
            "{}: expected a signature in 128 hexadecimal digits, as `millstream plugin sign` makes it",
            file.display()
        ))
    })
}
