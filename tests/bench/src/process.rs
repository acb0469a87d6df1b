//! A measured process: on a core of its own, with its CPU time and memory as the kernel counts them.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end when it is asked to.
const END: Duration = Duration::from_secs(30);

/// In how many ticks a second Linux tells times, on every machine that it has today.
const TICKS: u64 = 100;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// The most memory that it had resident, in bytes.
    pub(crate) memory: u64,
}

/// A running system.
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a command line on the cores of a list as `taskset` reads it; what it says goes to a file.
    pub(crate) fn start(name: &str, line: &[String], cores: &str, said: &Path) -> Result<Self> {
        let file = fs::File::create(said)?;
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).args(line);
        command.stdout(file.try_clone()?).stderr(file);
        command.stdin(Stdio::null());
        let child = command
            .spawn()
            .with_context(|| format!("{name}: {line:?}"))?;
        Ok(Self {
            child,
            name: name.to_owned(),
        })
    }

    /// What it has used.
    ///
    /// # Errors
    /// If it has ended, which no system does by itself.
    pub(crate) fn used(&mut self) -> Result<Used> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended: {status}", self.name);
        }
        let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let stat = of("stat")?;
        // The name may have blanks; what follows it are numbers (proc_pid_stat(5), from field 3 on).
        let fields = stat.rsplit_once(") ").context("a stat without a name")?.1;
        let field = |number: usize| fields.split(' ').nth(number - 3)?.parse::<u64>().ok();
        let ticks = field(14).zip(field(15)).context("a stat without times")?;
        let most = of("status")?;
        let most = most.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let most = most.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(Used {
            cpu: Duration::from_millis((ticks.0 + ticks.1) * 1_000 / TICKS),
            memory: most.context("a status without its peak")? << 10,
        })
    }

    /// Asks it to end, and sees that it does.
    pub(crate) fn end(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process has a number")?, Signal::TERM)?;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let by_signal = status.signal() == Some(Signal::TERM.as_raw());
                // A JVM that is asked to end tells it by this code.
                let is_asked = by_signal || matches!(status.code(), Some(0 | 143));
                anyhow::ensure!(is_asked, "{}: {status}", self.name);
                return Ok(());
            }
            anyhow::ensure!(begun.elapsed() < END, "{} does not end", self.name);
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of no use where it has ended, and then it does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
