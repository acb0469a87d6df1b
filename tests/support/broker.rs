//! A broker of a test's own, which is killed and started again on the same folder and ports.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(clippy::print_stdout, reason = "a skipped test says so in plain sight")]

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a start may take; 4 seconds are usual.
const START: Duration = Duration::from_secs(120);
/// How often it is asked whether it answers.
const ASK: Duration = Duration::from_millis(200);

/// Any 16 bytes in base64 name a cluster; these read "millstream-hurts".
const CLUSTER: &str = "bWlsbHN0cmVhbS1odXJ0cw";

/// What every broker of ours has.
const COMMON: &str = include_str!("../../xtask/kafka/common.properties");
/// After a kill the controller waits no longer than this before it takes the broker for a new one.
const KILLED: &str = "broker.session.timeout.ms=2000\nbroker.heartbeat.interval.ms=500\n";

/// The folder of Kafka's jars, or `None`, said in plain sight, where there is none. Under CI it must be there.
pub(crate) fn jars() -> Option<PathBuf> {
    let libs = std::env::var_os("MILLSTREAM_KAFKA_LIBS").map(PathBuf::from);
    if libs.is_none() {
        let skip = std::env::var("MILLSTREAM_SKIP_KAFKA").is_ok_and(|skip| skip == "1");
        assert!(
            skip || std::env::var_os("CI").is_none(),
            "CI is set and MILLSTREAM_KAFKA_LIBS is not: run `cargo xtask test`"
        );
        println!("SKIPPED: no jars of Kafka to start a broker with (run `cargo xtask test`)");
    }
    libs
}

/// The process of a broker, with all its files in one folder.
pub(crate) struct Broker {
    libs: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
    starts: u32,
}

impl Broker {
    /// One with these settings, which has not been started. `told` is what its folder of data is made with, beside them.
    pub(crate) fn new(libs: &Path, folder: &Path, settings: &str, told: &[&str]) -> Self {
        fs::create_dir_all(folder.join("tmp")).unwrap();
        let data = folder.join("data").display().to_string();
        // What is said last holds.
        let settings = format!("{COMMON}{KILLED}log.dirs={data}\n{settings}");
        fs::write(folder.join("server.properties"), settings).unwrap();
        let broker = Self {
            libs: libs.to_owned(),
            folder: folder.to_owned(),
            child: None,
            starts: 0,
        };
        let format = broker
            .java("kafka.tools.StorageTool")
            .args(["format", "--cluster-id", CLUSTER, "--config"])
            .arg(folder.join("server.properties"))
            .args(told)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&format.stdout);
        assert!(format.status.success(), "no data folder for Kafka: {said}");
        broker
    }

    /// SIGKILL: nothing is written in good order.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it on what it left behind, and waits until it answers.
    pub(crate) fn start(&mut self, answers: impl Fn() -> bool) {
        self.starts += 1;
        let path = self.folder.join(format!("broker-{}.log", self.starts));
        let log = File::create(&path).unwrap();
        let child = self
            .java("kafka.Kafka")
            .arg(self.folder.join("server.properties"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let child = self.child.insert(child);
        let begin = Instant::now();
        while !answers() {
            let ended = child.try_wait().unwrap();
            assert_eq!(ended, None, "the broker ended: {}", path.display());
            let took = begin.elapsed();
            assert!(took < START, "no answer from it: {}", path.display());
            std::thread::park_timeout(ASK);
        }
    }

    /// The folder that holds a folder for each partition.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn java(&self, class: &str) -> Command {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/kafka");
        let mut java = Command::new("java");
        java.args(["-Xmx512m", "-XX:-UsePerfData", "-cp"])
            .arg(self.libs.join("*"))
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                sources.join("log4j2.xml").display()
            ))
            .arg(format!(
                "-Djava.io.tmpdir={}",
                self.folder.join("tmp").display()
            ))
            .arg(class)
            .stdin(Stdio::null());
        java
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Held at once, so that they differ.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
