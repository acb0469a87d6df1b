//! How long each phase of a long command took.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Runs phases one after the other and remembers the time of each; displayed, it is a table.
#[derive(Default)]
pub(crate) struct Phases {
    done: Vec<Phase>,
}

struct Phase {
    name: &'static str,
    took: Duration,
    ok: bool,
}

impl Phases {
    /// Runs one phase. Its failure is remembered too, and goes on to the caller with the phase's name.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let result = work();
        self.done.push(Phase {
            name,
            took: start.elapsed(),
            ok: result.is_ok(),
        });
        result.context(name)
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.done.iter().map(|phase| phase.name.len()).max();
        let width = width.unwrap_or_default();
        for Phase { name, took, ok } in &self.done {
            let failed = if *ok { "" } else { "  failed" };
            writeln!(f, "{name:width$}  {:7.1} s{failed}", took.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_table_lines_up_and_shows_what_failed() {
        let phase = |name, millis, ok| Phase {
            name,
            took: Duration::from_millis(millis),
            ok,
        };
        let phases = Phases {
            done: vec![phase("format", 1_230, true), phase("docs", 61_000, false)],
        };
        assert_eq!(
            phases.to_string(),
            "format      1.2 s\ndocs       61.0 s  failed\n"
        );
    }

    #[test]
    fn an_error_says_in_which_phase_it_was() {
        let mut phases = Phases::default();
        phases.run("first", || Ok(())).unwrap();
        let result: Result<()> = phases.run("second", || anyhow::bail!("no space left"));
        assert_eq!(
            format!("{:#}", result.unwrap_err()),
            "second: no space left"
        );
        assert_eq!(phases.done.len(), 2);
    }
}
