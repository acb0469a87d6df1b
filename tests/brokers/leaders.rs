//! Leaders that die, come back and are elected anew, and replicas that are nearer than they.

use std::time::Duration;

use millstream::log::kafka::KafkaLog;
use millstream::log::{Fetched, Log, Polled, Session};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::log_support::{join_alone, membership, new_topic, unique, until, write_numbers};
use crate::support::broker::{Broker, free_ports, jars};
use crate::{log, new_folder};

const PARTITIONS: i32 = 4;

/// Two brokers, each with a replica of every partition. The first has the cluster's records of itself too.
struct Cluster {
    brokers: [Broker; 2],
    addresses: [String; 2],
}

impl Cluster {
    fn start(libs: &std::path::Path, folder: &std::path::Path) -> Self {
        let ports: [u16; 3] = free_ports();
        let [first, second, controller] = ports;
        let settings = |id: usize, roles: &str, listeners: &str| {
            format!(
                "\
process.roles={roles}
node.id={id}
broker.rack=rack-{id}
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners}
listener.security.protocol.map=OPEN:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=OPEN
default.replication.factor=2
offsets.topic.replication.factor=2
transaction.state.log.replication.factor=2
replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector
leader.imbalance.check.interval.seconds=1
leader.imbalance.per.broker.percentage=0
"
            )
        };
        let listeners = format!("OPEN://127.0.0.1:{first},CONTROLLER://127.0.0.1:{controller}");
        let one = settings(1, "broker,controller", &listeners);
        let two = settings(2, "broker", &format!("OPEN://127.0.0.1:{second}"));
        let mut cluster = Self {
            brokers: [
                Broker::new(libs, &folder.join("one"), &one, &[]),
                Broker::new(libs, &folder.join("two"), &two, &[]),
            ],
            addresses: [first, second].map(|port| format!("127.0.0.1:{port}")),
        };
        (0..2).for_each(|broker| cluster.start_one(broker));
        cluster
    }

    fn start_one(&mut self, broker: usize) {
        let own = log(&[("bootstrap.servers", &self.addresses[broker])]);
        self.brokers[broker].start(|| own.topics().is_ok());
    }

    /// A log on both.
    fn log(&self, more: &[(&str, &str)]) -> KafkaLog {
        let both = self.addresses.join(",");
        log(&[
            &[
                ("bootstrap.servers", &*both),
                ("reconnect.backoff.max.ms", "500"),
            ],
            more,
        ]
        .concat())
    }

    /// A topic that both have, of which each leads partitions.
    fn new_topic(&self, log: &KafkaLog) -> std::sync::Arc<str> {
        until("the second broker to be known", || {
            self.leaders(None).1 == [1, 2]
        });
        let topic = new_topic(log, PARTITIONS);
        self.wait_for_leaders(&topic, &[1, 2]);
        topic
    }

    /// Waits until just these lead partitions of a topic.
    fn wait_for_leaders(&self, topic: &str, expected: &[i32]) {
        until("other leaders", || self.leaders(Some(topic)).0 == expected);
    }

    /// Who leads partitions of a topic, and who is there.
    fn leaders(&self, topic: Option<&str>) -> (Vec<i32>, Vec<i32>) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.addresses.join(","))
            .create()
            .unwrap();
        let Ok(told) = consumer.fetch_metadata(topic, Duration::from_secs(5)) else {
            return (vec![], vec![]);
        };
        let partitions = told.topics().iter().flat_map(|topic| topic.partitions());
        let mut leaders: Vec<i32> = partitions.map(|one| one.leader()).collect();
        leaders.sort_unstable();
        leaders.dedup();
        let mut brokers: Vec<i32> = told.brokers().iter().map(|one| one.id()).collect();
        brokers.sort_unstable();
        (leaders, brokers)
    }
}

/// One poll, whose records are sorted by partition: offsets and texts. That a broker is away is no end of a session.
fn poll_through(session: &mut impl Session, read: &mut [Vec<(i64, String)>]) {
    let mut fetched = Fetched::new();
    match session.poll(&mut fetched, Duration::from_millis(100)) {
        Ok(Polled::Records) => {}
        Err(error) if error.is_retriable() => return,
        other => panic!("{other:?}"),
    }
    for batch in fetched.batches() {
        let partition = usize::try_from(batch.partition().partition).unwrap();
        read[partition].extend((0..batch.len()).map(|row| {
            let text = std::str::from_utf8(batch.value(row).unwrap()).unwrap();
            (batch.offset(row).0, text.to_owned())
        }));
    }
}

#[test]
fn each_record_is_read_once_and_in_order_whoever_leads() {
    let Some(libs) = jars() else { return };
    let folder = new_folder("leaders");
    let mut cluster = Cluster::start(&libs, &folder);
    let log = cluster.log(&[]);
    let topic = cluster.new_topic(&log);
    let mut session = join_alone(&log, &membership(&unique("group"), 0, &[&topic]), 4);
    let mut read = vec![Vec::new(); 4];
    let mut next = 0;
    // Numbers from each partition's own counter, so that each stretch goes on where the last has ended.
    let mut go_on = || {
        for partition in 0..PARTITIONS {
            write_numbers(&log, &topic, partition, 50);
        }
        next += 50;
        let expected: Vec<_> = (0..next).map(|n: i64| (n, (n % 50).to_string())).collect();
        until("records of each partition", || {
            poll_through(&mut session, &mut read);
            read.iter().all(|read| read.len() >= expected.len())
        });
        for read in &read {
            assert_eq!(*read, expected);
        }
    };
    go_on();
    for _ in 0..2 {
        cluster.brokers[1].kill();
        // The first records are written, and asked for, while the dead one still counts as the leader.
        go_on();
        cluster.wait_for_leaders(&topic, &[1]);
        go_on();
        cluster.start_one(1);
        cluster.wait_for_leaders(&topic, &[1, 2]);
        go_on();
    }
    drop(cluster);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_replica_nearby_is_read_as_its_leader_would_be_also_when_it_dies() {
    let Some(libs) = jars() else { return };
    let folder = new_folder("racks");
    let mut cluster = Cluster::start(&libs, &folder);
    let log = cluster.log(&[("client.rack", "rack-2")]);
    let topic = cluster.new_topic(&log);
    let mut session = join_alone(&log, &membership(&unique("group"), 0, &[&topic]), 4);
    let mut read = vec![Vec::new(); 4];
    for round in 1..3 {
        for partition in 0..PARTITIONS {
            write_numbers(&log, &topic, partition, 50);
        }
        let expected: Vec<_> = (0..50 * round)
            .map(|n: i64| (n, (n % 50).to_string()))
            .collect();
        until("records of each partition", || {
            poll_through(&mut session, &mut read);
            read.iter().all(|read| read.len() >= expected.len())
        });
        for read in &read {
            assert_eq!(*read, expected);
        }
        cluster.brokers[1].kill();
    }
    drop(cluster);
    std::fs::remove_dir_all(folder).unwrap();
}
