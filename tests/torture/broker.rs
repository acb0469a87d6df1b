//! A broker of the harness's own, which is killed and started again on the same folder and ports.
//!
//! It has two doors: hosts come in through the proxy, which is what the broker tells them its address is, and the harness
//! itself comes in directly, so that what it sees does not depend on what it does to the hosts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream::log::Log;
use millstream::log::kafka::KafkaLog;

/// How long a start may take; 4 seconds are usual.
const START: Duration = Duration::from_secs(120);
/// How often it is asked whether it answers.
const ASK: Duration = Duration::from_millis(200);

/// Any 16 bytes in base64 name a cluster; these read "millstream-hurts".
const CLUSTER: &str = "bWlsbHN0cmVhbS1odXJ0cw";

/// The folder of Kafka's jars, or `None`, said in plain sight, where there is none. Under CI it must be there.
#[expect(clippy::print_stdout, reason = "a skipped test says so in plain sight")]
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

/// The broker.
pub(crate) struct Broker {
    libs: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
    starts: u32,
    /// The port that the proxy leads to.
    pub(crate) hosts: u16,
    /// The log, through the harness's own door.
    pub(crate) log: KafkaLog,
}

impl Broker {
    /// Starts a broker with its files in `folder`, which tells hosts to come to the port `proxy`.
    pub(crate) fn start_new(libs: &Path, folder: &Path, proxy: u16) -> Self {
        fs::create_dir_all(folder.join("tmp")).unwrap();
        let [hosts, harness, controller] = free_ports();
        let text = properties(hosts, proxy, harness, controller, &folder.join("data"));
        fs::write(folder.join("server.properties"), text).unwrap();
        let settings = BTreeMap::from([
            (
                "bootstrap.servers".to_owned(),
                format!("127.0.0.1:{harness}"),
            ),
            // The harness is back as soon as the broker is.
            ("reconnect.backoff.max.ms".to_owned(), "500".to_owned()),
        ]);
        let mut broker = Self {
            libs: libs.to_owned(),
            folder: folder.to_owned(),
            child: None,
            starts: 0,
            hosts,
            log: KafkaLog::new(settings).unwrap(),
        };
        let format = broker
            .java("kafka.tools.StorageTool")
            .args(["format", "--cluster-id", CLUSTER, "--config"])
            .arg(folder.join("server.properties"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&format.stdout);
        assert!(format.status.success(), "no data folder for Kafka: {told}");
        broker.start();
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
    pub(crate) fn start(&mut self) {
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
        while self.log.topics().is_err() {
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
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// As in `cargo xtask kafka up`, with the two doors.
fn properties(hosts: u16, proxy: u16, harness: u16, controller: u16, data: &Path) -> String {
    let data = data.display();
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=HOSTS://127.0.0.1:{hosts},HARNESS://127.0.0.1:{harness},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=HOSTS://127.0.0.1:{proxy},HARNESS://127.0.0.1:{harness}
listener.security.protocol.map=HOSTS:PLAINTEXT,HARNESS:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=HARNESS
log.dirs={data}

# One node holds the only replica.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# 50 partitions each are for clusters; few start sooner.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1

# A group starts without waiting for more members.
group.initial.rebalance.delay.ms=0

# After a kill the controller waits this long before it takes the broker for a new one.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500

# The clicks have event times of their own.
log.retention.ms=-1

# A misspelt topic is an error, not a new topic.
auto.create.topics.enable=false
"
    )
}
