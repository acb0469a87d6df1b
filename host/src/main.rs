//! The `millstream` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(millstream::cli::main())
}
