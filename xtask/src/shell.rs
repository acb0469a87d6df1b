//! Child processes: shown, run to their end, and never left behind when this process is asked to stop.
//!
//! Each child is the leader of a process group, and a signal that comes here is passed on to the whole group. So
//! Ctrl-C and a `kill` of this process have the same effect, and this process outlives its child and can clean up.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// No signal, or no child.
const NONE: i32 = 0;

/// Runs child processes, and knows whether this process was asked to stop.
pub(crate) struct Shell {
    /// The last signal received.
    signal: Arc<AtomicI32>,
    /// The process group of the child that is running now.
    group: Arc<AtomicI32>,
}

impl Shell {
    /// Takes over SIGINT and SIGTERM from here on; called once, before the first child.
    pub(crate) fn new() -> Result<Self> {
        let shell = Self {
            signal: Arc::new(AtomicI32::new(NONE)),
            group: Arc::new(AtomicI32::new(NONE)),
        };
        let (signal, group) = (Arc::clone(&shell.signal), Arc::clone(&shell.group));
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot handle signals")?;
        thread::spawn(move || {
            for received in signals.forever() {
                signal.store(received, Ordering::SeqCst);
                forward(received, group.load(Ordering::SeqCst));
            }
        });
        Ok(shell)
    }

    /// Fails if this process was asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        match self.signal.load(Ordering::SeqCst) {
            NONE => Ok(()),
            SIGINT => bail!("interrupted"),
            signal => bail!("stopped by signal {signal}"),
        }
    }

    /// Shows the command and runs it to its end. Fails if it does, or if this process was asked to stop.
    pub(crate) fn run(&self, command: &mut Command) -> Result<()> {
        self.check()?;
        let line = display(command);
        eprintln!("$ {line}");
        // A child outside the terminal's foreground group would be suspended if it read from the terminal.
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let group = i32::try_from(child.id()).context("a process id beyond 2^31")?;
        self.group.store(group, Ordering::SeqCst);
        // One that came between the check above and this line found no group to go to.
        forward(self.signal.load(Ordering::SeqCst), group);
        let status = child.wait();
        self.group.store(NONE, Ordering::SeqCst);
        let status = status.with_context(|| format!("cannot wait for `{line}`"))?;
        self.check()?;
        if status.success() {
            Ok(())
        } else {
            bail!("`{line}` failed ({status})")
        }
    }
}

/// Passes a signal on to a process group, if there are both. A group that has just ended is as good as one signalled.
fn forward(signal: i32, group: i32) {
    if let (Some(signal), Some(group)) = (Signal::from_named_raw(signal), Pid::from_raw(group)) {
        let _ = kill_process_group(group, signal);
    }
}

/// What the program printed on both its streams; `None` if it is missing or failed.
pub(crate) fn probe(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&text).into_owned())
}

/// The command as one would type it, without the folder of its program.
fn display(command: &Command) -> String {
    let program = command.get_program();
    let program = Path::new(program).file_name().unwrap_or(program);
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_failing_child_is_named_with_its_status() {
        let error = Shell::new()
            .unwrap()
            .run(Command::new("sh").args(["-c", "exit 3"]))
            .unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` failed (exit status: 3)");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Shell::new()
            .unwrap()
            .run(&mut Command::new("no-such-program"))
            .unwrap_err();
        assert_eq!(error.to_string(), "cannot start `no-such-program`");
    }

    #[test]
    fn a_command_is_shown_without_the_folder_of_its_program() {
        let mut cargo = Command::new("/toolchains/1.95/bin/cargo");
        assert_eq!(
            display(cargo.args(["build", "--tests"])),
            "cargo build --tests"
        );
    }

    #[test]
    fn a_probe_reads_both_streams_and_takes_failure_for_absence() {
        let both = probe(Command::new("sh").args(["-c", "echo out; echo err >&2"]));
        assert_eq!(both.unwrap(), "out\nerr\n");
        assert_eq!(probe(&mut Command::new("false")), None);
        assert_eq!(probe(&mut Command::new("no-such-program")), None);
    }
}
