//! One broker: its settings, its process and what is written down about it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::jars;
use crate::shell::{Shell, probe};

/// Any 16 bytes in base64 name a cluster; these read "millstream-tests".
const CLUSTER: &str = "bWlsbHN0cmVhbS10ZXN0cw";

/// How long a killed process may take to go.
const END: Duration = Duration::from_secs(30);

/// What is written down about a broker, so that a later command finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Its process.
    pub(crate) pid: i32,
    /// `host:port` for clients.
    pub(crate) address: String,
}

impl Run {
    /// `None` if nothing was written down.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let run = serde_json::from_slice(&text).with_context(|| {
            let path = path.display();
            format!("{path} is damaged: stop the broker by hand, if it runs, and remove the file")
        })?;
        Ok(Some(run))
    }

    /// Replaces what was written down before.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).context("a broker's record is JSON")?;
        let staged = path.with_extension("json.new");
        fs::write(&staged, text)
            .and_then(|()| fs::rename(&staged, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A broker's files before it starts.
pub(crate) struct Settings {
    /// `server.properties`.
    file: PathBuf,
    /// A folder for Java's temporary files, which would otherwise stay behind when the broker is killed.
    pub(crate) temporary: PathBuf,
    /// `host:port` for clients.
    address: String,
}

/// Writes the settings of a new broker on free ports into `folder`.
pub(crate) fn prepare(folder: &Path) -> Result<Settings> {
    let temporary = folder.join("tmp");
    fs::create_dir_all(&temporary)
        .with_context(|| format!("cannot create {}", temporary.display()))?;
    // Both are held at once, so that they differ. That another program takes one before the broker does is so unlikely
    // that its start may then fail.
    let (clients, controller) = (free_port()?, free_port()?);
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let (clients, controller) = (port(&clients)?, port(&controller)?);
    let file = folder.join("server.properties");
    fs::write(&file, properties(clients, controller, &folder.join("data")))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Settings {
        file,
        temporary,
        address: format!("127.0.0.1:{clients}"),
    })
}

fn free_port() -> Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").context("cannot find a free port")
}

/// What every broker of ours has.
const COMMON: &str = include_str!("../../kafka/common.properties");

/// The settings: Kafka's own defaults, as users have them, but for what one node and quick tests need.
fn properties(clients: u16, controller: u16, data: &Path) -> String {
    let data = data.display();
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=CLIENTS://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENTS
log.dirs={data}
{COMMON}"
    )
}

/// Java with Kafka's classes.
pub(crate) struct Java {
    class_path: String,
    logging: PathBuf,
    temporary: PathBuf,
}

impl Java {
    /// Java that logs as `logging` says and keeps its temporary files in `temporary`.
    pub(crate) fn new(libs: &Path, logging: &Path, temporary: &Path) -> Result<Self> {
        Ok(Self {
            class_path: jars::class_path(libs)?,
            logging: logging.to_owned(),
            temporary: temporary.to_owned(),
        })
    }

    fn command(&self, class: &str) -> Command {
        let mut java = Command::new("java");
        // Performance data would be a file in the system's temporary folder that stays when the broker is killed.
        java.args(["-Xmx512m", "-XX:-UsePerfData", "-cp", &self.class_path])
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                self.logging.display()
            ))
            .arg(format!("-Djava.io.tmpdir={}", self.temporary.display()))
            .arg(class)
            .stdin(Stdio::null());
        java
    }

    /// Makes the data folder that a broker needs before its first start.
    pub(crate) fn format(&self, settings: &Settings, shell: &Shell) -> Result<()> {
        shell.check()?;
        let output = self
            .command("kafka.tools.StorageTool")
            .args(["format", "--cluster-id", CLUSTER, "--config"])
            .arg(&settings.file)
            .output()
            .context("cannot run java; `cargo xtask doctor` says how to install it")?;
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            bail!("Kafka could not make its data folder:\n{}", text.trim());
        }
        shell.check()
    }

    /// Starts a broker that goes on when this process ends.
    pub(crate) fn start(&self, settings: &Settings, log: &Path) -> Result<Starting> {
        let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        // In a process group of its own, neither Ctrl-C nor a closed terminal reaches it.
        let child = self
            .command("kafka.Kafka")
            .arg(&settings.file)
            .process_group(0)
            .stdout(file.try_clone().context("cannot share the broker's log")?)
            .stderr(file)
            .spawn()
            .context("cannot start java")?;
        let run = Run {
            pid: i32::try_from(child.id()).context("a process id beyond 2^31")?,
            address: settings.address.clone(),
        };
        Ok(Starting { child, run })
    }
}

/// A broker that this process has started and does not answer yet.
pub(crate) struct Starting {
    child: Child,
    /// What is to be written down about it.
    pub(crate) run: Run,
}

impl Starting {
    /// Whether it gave up.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        let status = self.child.try_wait().context("cannot watch the broker")?;
        Ok(status.is_some())
    }

    /// Ends it.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .context("cannot stop the broker")?;
        Ok(())
    }
}

/// The process of a broker that an earlier command started. Its number may long be another program's, which is told by the command line.
pub(crate) struct Process {
    pid: i32,
    /// The folder that the broker's command line names.
    folder: PathBuf,
}

impl Process {
    /// The process of the broker that was written down, with its files in `folder`.
    pub(crate) fn of(run: &Run, folder: &Path) -> Self {
        Self {
            pid: run.pid,
            folder: folder.to_owned(),
        }
    }

    /// Whether it runs, be it idle or busy.
    pub(crate) fn is_alive(&self) -> bool {
        command_line(self.pid).is_some_and(|line| is_broker(&line, &self.folder))
    }

    /// Ends it if it runs, and waits until it has gone. Without grace: nobody will read its data.
    pub(crate) fn kill(&self) -> Result<()> {
        let start = Instant::now();
        while self.is_alive() {
            let pid = Pid::from_raw(self.pid).context("zero is no process id")?;
            // Between the two lines it may have gone, which is what is wanted.
            match kill_process(pid, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot stop process {}", self.pid));
                }
            }
            if start.elapsed() > END {
                bail!("process {} was killed and is still there", self.pid);
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a process that is no child can only be polled"
            )]
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// A process's command line; `None`, or nothing in it, once it has ended.
fn command_line(pid: i32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&line).into_owned());
    }
    let pid = pid.to_string();
    probe(Command::new("ps").args(["-o", "command=", "-p", &pid]))
}

/// Whether a command line is that of a broker with its files in `folder`.
fn is_broker(command_line: &str, folder: &Path) -> bool {
    let settings = folder.join("server.properties");
    command_line.contains("kafka.Kafka") && command_line.contains(&*settings.to_string_lossy())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_written_down_is_no_broker_and_damage_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        assert_eq!(Run::read(&path).unwrap(), None);
        for damaged in [
            "",
            "{\"pid\": 7}",
            "{\"pid\": 7, \"address\": \"a:1\", \"x\": 1}",
        ] {
            fs::write(&path, damaged).unwrap();
            let error = Run::read(&path).unwrap_err().to_string();
            assert!(error.contains("run.json is damaged"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_down_is_read_again(pid: i32, address: String) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("run.json");
            let run = Run { pid, address };
            run.write(&path).unwrap();
            prop_assert_eq!(Run::read(&path).unwrap(), Some(run));
        }
    }

    #[test]
    fn the_settings_name_two_free_ports_and_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let settings = prepare(folder.path()).unwrap();
        let text = fs::read_to_string(&settings.file).unwrap();
        assert!(text.contains(&format!("listeners=CLIENTS://{},", settings.address)));
        let data = folder.path().join("data");
        assert!(text.contains(&format!("log.dirs={}\n", data.display())));
        let voter = text
            .lines()
            .find_map(|line| line.strip_prefix("controller.quorum.voters=1@"));
        assert_ne!(voter.unwrap(), settings.address);
    }

    #[test]
    fn a_process_number_that_another_program_has_now_is_left_alone() {
        let folder = Path::new("/w/target/kafka/run");
        let ours = "java\0-Xmx512m\0kafka.Kafka\0/w/target/kafka/run/server.properties\0";
        assert!(is_broker(ours, folder));
        assert!(!is_broker(ours, Path::new("/other/target/kafka/run")));
        assert!(!is_broker("", folder), "one that has ended has none");

        let this_test = Run {
            pid: i32::try_from(std::process::id()).unwrap(),
            address: String::new(),
        };
        let process = Process::of(&this_test, folder);
        assert!(!process.is_alive());
        process.kill().unwrap();
    }
}
