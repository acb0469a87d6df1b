//! `millstream token`: a new token for a service's API.

use std::io::Write as _;

use sha2::{Digest as _, Sha256};

use super::{Failure, out};
use crate::format::hex;
use crate::service::Role;

/// Make a token for the API of a service
///
/// Prints the lines for the service's file, which hold only the token's SHA-256, and the token, which is shown this once.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Who it is for: the service's log calls them so
    #[arg(long)]
    name: String,
    /// What they may do: look; also create, pause, resume and push; also delete
    #[arg(long, value_enum)]
    role: Role,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    // The generator is seeded by the operating system and fit for secrets.
    let token = format!("ms_{}", hex(&rand::random::<[u8; 32]>()));
    let name = toml::Value::String(args.name.clone());
    out::stdout(|out| {
        writeln!(out, "# For the service's file:")?;
        writeln!(out, "[[token]]")?;
        writeln!(out, "name = {name}")?;
        writeln!(out, "role = \"{}\"", args.role.name())?;
        writeln!(out, "sha256 = \"{}\"", hex(&Sha256::digest(&token)))?;
        writeln!(out)?;
        writeln!(out, "# For whoever uses it:")?;
        writeln!(out, "export MILLSTREAM_TOKEN={token}")
    })
}
