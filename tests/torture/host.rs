//! A host: the process of `millstream run`, with a state folder of its own, that can be killed, stopped, woken and started
//! again.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::job::Job;
use crate::plan::Point;
use crate::state::StateFolder;

/// How long an orderly end may take, a broker that is away included.
const END: Duration = Duration::from_secs(90);
/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(10);
/// The least time between two starts, so that a host that ends at once does not take the machine.
const BETWEEN_STARTS: Duration = Duration::from_millis(500);

/// A host of a pipeline.
pub(crate) struct Host {
    /// Where its pipeline file and its logs are.
    folder: PathBuf,
    file: PathBuf,
    /// What it keeps its state in.
    pub(crate) state: StateFolder,
    /// Whether it should run: one that ends by itself is then started again.
    pub(crate) is_wanted: bool,
    running: Option<Child>,
    starts: u32,
    started: Instant,
}

impl Host {
    /// A host with its files in `folder`; not started.
    pub(crate) fn new(job: &Job, folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let state = StateFolder::new(&folder.join("state"));
        Self {
            file: job.write_file(&folder, state.path()),
            folder,
            state,
            is_wanted: false,
            running: None,
            starts: 0,
            started: Instant::now(),
        }
    }

    /// Starts it. It kills itself the n-th time that it reaches a point, where one is given.
    pub(crate) fn start(&mut self, workers: usize, kill_at: Option<(Point, u32)>) {
        assert!(self.running.is_none(), "it runs already");
        self.starts += 1;
        self.started = Instant::now();
        let log = File::create(self.log()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command
            .arg("run")
            .arg(&self.file)
            .args(["--workers", &workers.to_string()])
            .args(["--log-format", "text"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if let Some((point, nth)) = kill_at {
            let value = format!("{}:{nth}", point.name());
            command.env("MILLSTREAM_FAIL_AT", value);
        }
        self.running = Some(command.spawn().unwrap());
        self.is_wanted = true;
    }

    /// What it has said since its last start.
    fn log(&self) -> PathBuf {
        self.folder.join(format!("host-{}.log", self.starts))
    }

    /// Whether it has said this since its last start.
    pub(crate) fn has_said(&self, part: &str) -> bool {
        let said = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&said).contains(part)
    }

    /// Sends it a signal, if it runs.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(child) = &self.running {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
            // A child that was not waited for still has its number.
            kill_process(pid, signal).unwrap();
        }
    }

    /// SIGKILL, if it runs.
    pub(crate) fn kill(&mut self) {
        self.is_wanted = false;
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and waits for an orderly end, if it runs. An end that takes too long is told, after SIGKILL.
    pub(crate) fn stop(&mut self) -> Option<Ended> {
        self.is_wanted = false;
        self.signal(Signal::TERM);
        let begin = Instant::now();
        while self.running.is_some() {
            if let Some(ended) = self.ended() {
                return Some(ended);
            }
            if begin.elapsed() > END {
                self.tell_where_it_hangs();
                self.kill();
                return Some(Ended::Hung);
            }
            std::thread::park_timeout(LOOK);
        }
        None
    }

    /// Writes the stacks of its threads beside its logs, where there is a debugger.
    fn tell_where_it_hangs(&self) {
        let Some(child) = &self.running else { return };
        let process = child.id().to_string();
        let mut gdb = Command::new("gdb");
        gdb.args(["-p", &process, "-batch", "-ex", "thread apply all bt"]);
        if let Ok(output) = gdb.output() {
            std::fs::write(self.folder.join("stacks.log"), output.stdout).unwrap();
        }
    }

    /// How it ended, once after each end.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        let status = self.running.as_mut()?.try_wait().unwrap()?;
        self.running = None;
        Some(Ended::of(status, self.has_said("panicked at")))
    }

    /// Whether it may be started again after an end of its own.
    pub(crate) fn is_due(&self) -> bool {
        self.is_wanted && self.running.is_none() && self.started.elapsed() >= BETWEEN_STARTS
    }

    /// Where its logs are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a host ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// It killed itself at a point.
    Killed,
    /// With this code.
    Code(i32),
    /// It panicked.
    Panicked,
    /// It did not end when told to.
    Hung,
}

impl Ended {
    fn of(status: ExitStatus, has_panicked: bool) -> Self {
        match status.code() {
            _ if has_panicked => Ended::Panicked,
            Some(code) => Ended::Code(code),
            None if matches!(status.signal(), Some(6 | 9)) => Ended::Killed,
            // Told to stop before it had come as far as listening: nothing had begun.
            None if status.signal() == Some(15) => Ended::Code(0),
            None => Ended::Panicked,
        }
    }
}
