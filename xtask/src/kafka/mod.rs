//! `cargo xtask kafka`: one real Apache Kafka broker for tests, on this machine, whose data ends with it.
//!
//! Everything is under `target/kafka`:
//!
//! The broker of `cargo xtask bench` has a folder of its own, with all but the jars.
//!
//! | path | what |
//! |---|---|
//! | `libs/` | Kafka's jars, fetched once by Maven |
//! | `lock` | held by whoever fetches the jars, or starts or stops the broker |
//! | `run.json` | process id and address of the broker that was started last |
//! | `run/` | its settings, data and temporary files |
//! | `broker.log` | what it logged; kept after it has gone |

mod broker;
mod jars;
mod metadata;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::broker::{Process, Run, Starting};
use crate::shell::Shell;
use crate::workspace::Workspace;

/// How long a broker may take to start; 3 seconds are usual.
const START: Duration = Duration::from_secs(90);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Start a broker, unless one is up, and print its address
    Up,
    /// Stop the broker and remove its data
    Down,
    /// Print the broker's address; fail if none is up
    Status,
}

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    let kafka = Kafka::new(workspace, shell);
    match args.action {
        Action::Up => print_address(&kafka.up()?.address),
        Action::Down => {
            let stopped = kafka.down()?;
            eprintln!(
                "{}",
                if stopped {
                    "stopped"
                } else {
                    "no broker is up"
                }
            );
        }
        Action::Status => match kafka.state()? {
            State::Serving(run) => print_address(&run.address),
            State::Silent(run) => bail!(
                "process {} does not answer on {}; stop it with `cargo xtask kafka down`",
                run.pid,
                run.address
            ),
            State::Absent => bail!("no broker is up; start one with `cargo xtask kafka up`"),
        },
    }
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "the answer of the command, for scripts to read"
)]
fn print_address(address: &str) {
    println!("{address}");
}

/// The broker of this workspace.
pub(crate) struct Kafka<'a> {
    shell: &'a Shell,
    /// `target/kafka`, or a folder of its own for a broker beside that of the tests.
    home: PathBuf,
    /// Kafka's jars, which all brokers share.
    libs: PathBuf,
    /// The folder of the committed pom.xml and log4j2.xml.
    sources: PathBuf,
}

/// What is known of the broker.
enum State {
    /// No process, whatever was once written about one.
    Absent,
    /// A process that does not answer: it is starting, ending, or hangs.
    Silent(Run),
    /// It answers.
    Serving(Run),
}

/// A broker that answers.
pub(crate) struct Up {
    /// `host:port` for clients.
    pub(crate) address: String,
    /// Whether this call started it; who starts a broker stops it.
    pub(crate) started: bool,
    /// Its process.
    pub(crate) pid: i32,
}

impl<'a> Kafka<'a> {
    /// Does nothing yet.
    pub(crate) fn new(workspace: &Workspace, shell: &'a Shell) -> Self {
        Self::apart(workspace, shell, "kafka")
    }

    /// A broker that has nothing to do with that of the tests, in a folder of this name under `target`.
    pub(crate) fn apart(workspace: &Workspace, shell: &'a Shell, folder: &str) -> Self {
        Self {
            shell,
            home: workspace.target.join(folder),
            libs: workspace.target.join("kafka").join("libs"),
            sources: workspace.root.join("xtask").join("kafka"),
        }
    }

    /// The folder of Kafka's jars, fetched where they are missing.
    pub(crate) fn libs(&self) -> Result<PathBuf> {
        let _lock = self.lock()?;
        self.fetch()
    }

    /// The same, for who holds the lock.
    fn fetch(&self) -> Result<PathBuf> {
        jars::fetch(&self.sources.join("pom.xml"), &self.libs, self.shell)?;
        Ok(self.libs.clone())
    }

    /// Starts the broker unless it is up, and waits until it answers. If it does not come up, nothing is left running.
    pub(crate) fn up(&self) -> Result<Up> {
        let _lock = self.lock()?;
        match self.state()? {
            State::Serving(run) => {
                return Ok(Up {
                    address: run.address,
                    started: false,
                    pid: run.pid,
                });
            }
            State::Silent(run) => Process::of(&run, &self.data()).kill()?,
            State::Absent => {}
        }
        self.clear()?;
        match self.start() {
            Ok(run) => Ok(Up {
                address: run.address,
                started: true,
                pid: run.pid,
            }),
            Err(error) => {
                self.clear()?;
                Err(error)
            }
        }
    }

    /// Starts a broker and waits until it answers.
    fn start(&self) -> Result<Run> {
        let libs = self.fetch()?;
        let config = self.sources.join("log4j2.xml");
        let settings = broker::prepare(&self.data())?;
        let java = broker::Java::new(&libs, &config, &settings.temporary)?;
        java.format(&settings, self.shell)?;
        let mut starting = java.start(&settings, &self.log())?;
        let ready = starting
            .run
            .write(&self.record())
            .and_then(|()| self.wait_until_it_answers(&mut starting));
        if let Err(error) = ready {
            starting.kill()?;
            return Err(error);
        }
        Ok(starting.run)
    }

    /// Stops the broker and removes its data. Says whether there was one.
    pub(crate) fn down(&self) -> Result<bool> {
        let _lock = self.lock()?;
        let stopped = match self.state()? {
            State::Serving(run) | State::Silent(run) => {
                Process::of(&run, &self.data()).kill()?;
                true
            }
            State::Absent => false,
        };
        self.clear()?;
        Ok(stopped)
    }

    fn state(&self) -> Result<State> {
        let Some(run) = Run::read(&self.record())? else {
            return Ok(State::Absent);
        };
        if !Process::of(&run, &self.data()).is_alive() {
            return Ok(State::Absent);
        }
        Ok(if metadata::answers(&run.address) {
            State::Serving(run)
        } else {
            State::Silent(run)
        })
    }

    fn wait_until_it_answers(&self, starting: &mut Starting) -> Result<()> {
        let begin = Instant::now();
        while !metadata::answers(&starting.run.address) {
            self.shell.check()?;
            let log = self.log();
            if starting.has_ended()? {
                bail!("the broker ended at its start:\n{}", end_of(&log));
            }
            if begin.elapsed() > START {
                bail!(
                    "no answer from the broker within {START:?}:\n{}",
                    end_of(&log)
                );
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a starting process can only be polled"
            )]
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Waits for other commands that start or stop the broker. The system gives the lock up with the process.
    fn lock(&self) -> Result<File> {
        let path = self.home.join("lock");
        fs::create_dir_all(&self.home)
            .and_then(|()| File::create(&path))
            .and_then(|file| file.lock().map(|()| file))
            .with_context(|| format!("cannot lock {}", path.display()))
    }

    /// Removes what a broker that has gone left behind, except its log.
    fn clear(&self) -> Result<()> {
        remove_if_there(&self.record(), |path| fs::remove_file(path))?;
        remove_if_there(&self.data(), |path| fs::remove_dir_all(path))
    }

    fn record(&self) -> PathBuf {
        self.home.join("run.json")
    }

    fn data(&self) -> PathBuf {
        self.home.join("run")
    }

    fn log(&self) -> PathBuf {
        self.home.join("broker.log")
    }
}

fn remove_if_there(path: &Path, remove: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    match remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The last lines of a log, and where the rest is.
fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(15)..);
    format!(
        "{}\n(all of it: {})",
        last.unwrap_or_default().join("\n"),
        log.display()
    )
}
