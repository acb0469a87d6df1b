//! Commands that ask a running service: `millstream pipelines`, `results`, `dead-letters`, `plugins`, `deploy`, `deploys` and
//! `rollback`.

mod client;
pub(super) mod dead_letters;
pub(super) mod deploys;
mod local;
pub(super) mod pipelines;
pub(super) mod plugins;
mod replay;
mod reset;
pub(super) mod results;

use std::path::PathBuf;

use super::out::Format;

/// Which service, and how its answers are shown.
#[derive(Debug, clap::Args)]
pub(super) struct Service {
    /// Where the service is
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "MILLSTREAM_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    server: String,
    /// A certificate in PEM to trust, for a service whose certificate the machine does not
    #[arg(long, global = true, value_name = "FILE", env = "MILLSTREAM_CA")]
    ca: Option<PathBuf>,
    // Not an option: what stands on a command line is there for everybody on the machine to see.
    /// How answers are shown
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
}
