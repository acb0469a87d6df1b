//! `millstream plugins`: the plugins of a service.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::Service;
use super::client::Client;
use super::pipelines::json;
use crate::cli::out::{self, Format};
use crate::cli::plugin::state_version;
use crate::cli::{Failure, signing};
use crate::format::hex;
use crate::plugin::Reference;
use crate::registry::{FieldInfo, PluginInfo};
use crate::server::PluginList;

/// Look after the plugins of a running service
///
/// A plugin is a component that was pushed; pipelines name it name@version, as it describes itself. The token is that of the
/// environment variable MILLSTREAM_TOKEN. For a component in a file see `millstream plugin`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    service: Service,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all plugins
    List,
    /// Push a component
    Push(Push),
    /// Show a plugin
    Show(Named),
    /// Delete a plugin that no pipeline names
    Delete(Named),
}

#[derive(Debug, clap::Args)]
struct Push {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Its signature, a file that `millstream plugin sign` has made
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The plugin
    #[arg(value_name = "NAME@VERSION")]
    reference: Reference,
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let client = Client::new(&args.service)?;
    let info: PluginInfo = match &args.command {
        Command::List => {
            let list: PluginList = client.get("/v1/plugins")?;
            return out::stdout(|out| show_list(&list.plugins, args.service.output, out));
        }
        Command::Delete(named) => return client.delete(&named.path()),
        Command::Show(named) => client.get(&named.path())?,
        Command::Push(args) => push(&client, args).map_err(|error| match error {
            Told::File(error) => Failure::Usage(format!("{}: {error}", args.file.display())),
            Told::Failure(failure) => failure,
        })?,
    };
    out::stdout(|out| match args.service.output {
        Format::Text => show(&info, out),
        Format::Json => json(&info, out),
    })
}

impl Named {
    /// A version may have a plus, which stands for itself in a path.
    fn path(&self) -> String {
        format!("/v1/plugins/{}", self.reference)
    }
}

/// What went wrong with a component that was sent.
pub(super) enum Told {
    File(io::Error),
    Failure(Failure),
}

/// A component file that is sent.
pub(super) struct Component {
    file: File,
    /// SHA-256, in hexadecimal.
    pub(super) sha256: String,
    size: u64,
}

impl Component {
    /// Reads it once, for its digest.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let (sha256, size) = digest(&mut file)?;
        file.rewind()?;
        Ok(Self { file, sha256, size })
    }

    /// Sends it.
    pub(super) fn post<T: DeserializeOwned>(
        self,
        client: &Client,
        path: &str,
    ) -> Result<T, Failure> {
        let Self { file, size, .. } = self;
        client.post(path, "application/wasm", file.take(size), size)
    }
}

fn push(client: &Client, args: &Push) -> Result<PluginInfo, Told> {
    let signature = match &args.signature {
        None => String::new(),
        Some(file) => {
            let signature = signing::read_signature(file).map_err(Told::Failure)?;
            format!("&signature={}", signature.to_text())
        }
    };
    let component = Component::open(&args.file).map_err(Told::File)?;
    let path = format!("/v1/plugins?sha256={}{signature}", component.sha256);
    component.post(client, &path).map_err(Told::Failure)
}

fn digest(file: &mut File) -> io::Result<(String, u64)> {
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((hex(&hash.finalize()), size)),
            read => {
                hash.update(&piece[..read]);
                size += read as u64;
            }
        }
    }
}

fn show_list(plugins: &[PluginInfo], format: Format, out: &mut dyn Write) -> io::Result<()> {
    let width = plugins.iter().map(|info| info.reference.len()).max();
    let width = width.unwrap_or_default();
    for info in plugins {
        match format {
            Format::Json => json(info, out)?,
            Format::Text => {
                let short = info.sha256.get(..12).unwrap_or(&info.sha256);
                writeln!(out, "{:width$}  {:<12}  {short}", info.reference, info.kind)?;
            }
        }
    }
    Ok(())
}

fn show(info: &PluginInfo, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "plugin         {}", info.reference)?;
    writeln!(out, "kind           {}", info.kind)?;
    writeln!(out, "sha256         {}", info.sha256)?;
    writeln!(out, "size           {} bytes", info.size)?;
    fields("reads", &info.reads, out)?;
    fields("produces", &info.produces, out)?;
    let version = state_version(info.state_version, &info.migrates_from);
    writeln!(out, "state version  {version}")?;
    writeln!(out, "pushed         {}", info.pushed)?;
    let signature = info.signature.as_deref().unwrap_or("none");
    writeln!(out, "signature      {signature}")
}

/// One field a line.
fn fields(what: &str, fields: &[FieldInfo], out: &mut dyn Write) -> io::Result<()> {
    if fields.is_empty() {
        return writeln!(out, "{what:<15}nothing");
    }
    for (at, field) in fields.iter().enumerate() {
        let what = if at == 0 { what } else { "" };
        let FieldInfo { name, ty, optional } = field;
        match optional {
            true => writeln!(out, "{what:<15}{name}: option<{ty}>")?,
            false => writeln!(out, "{what:<15}{name}: {ty}")?,
        }
    }
    Ok(())
}
