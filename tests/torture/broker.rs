//! The broker of the torture. It has two doors: hosts come in through the proxy, which is what the broker tells them its address is, and the
//! harness itself comes in directly, so that what it sees does not depend on what it does to the hosts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream::log::Log;
use millstream::log::kafka::KafkaLog;

use crate::support::broker::{self, free_ports};

/// The broker.
pub(crate) struct Broker {
    process: broker::Broker,
    /// The port that the proxy leads to.
    pub(crate) hosts: u16,
    /// The log, through the harness's own door.
    pub(crate) log: KafkaLog,
}

impl Broker {
    /// Starts a broker with its files in `folder`, which tells hosts to come to the port `proxy`.
    pub(crate) fn start_new(libs: &Path, folder: &Path, proxy: u16) -> Self {
        let [hosts, harness, controller] = free_ports();
        let settings = BTreeMap::from([
            (
                "bootstrap.servers".to_owned(),
                format!("127.0.0.1:{harness}"),
            ),
            // The harness is back as soon as the broker is.
            ("reconnect.backoff.max.ms".to_owned(), "500".to_owned()),
        ]);
        let doors = doors(hosts, proxy, harness, controller);
        let mut broker = Self {
            process: broker::Broker::new(libs, folder, &doors, &[]),
            hosts,
            log: KafkaLog::new(settings).unwrap(),
        };
        broker.start();
        broker
    }

    /// SIGKILL: nothing is written in good order.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it on what it left behind, and waits until it answers.
    pub(crate) fn start(&mut self) {
        let log = &self.log;
        self.process.start(|| log.topics().is_ok());
    }

    /// The folder that holds a folder for each partition.
    pub(crate) fn data(&self) -> PathBuf {
        self.process.data()
    }
}

fn doors(hosts: u16, proxy: u16, harness: u16, controller: u16) -> String {
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
"
    )
}
