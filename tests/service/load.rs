//! A load of numbers on Kafka that goes on while things are deployed, the pipeline that adds them up by windows, and whether it has done so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use millstream::log::kafka::KafkaLog;
use millstream::log::{Log, Writer};
use millstream::time::Timestamp;

use crate::rig::{Home, Service};
use crate::support::{ToWrite, append, components, ends, read_all};

/// Partitions of the source.
pub(crate) const PARTITIONS: i32 = 4;
/// Event time between two rows of a partition, and the size of a window, in milliseconds.
const STEP: i64 = 10;
const WINDOW: i64 = 1_000;

/// Numbers that are written all the time, and what they come to.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) rows: i64,
    /// The sum and the number of rows of each window.
    pub(crate) expected: BTreeMap<i64, (i64, i64)>,
}

impl Load {
    /// Writes so many more rows to each partition.
    pub(crate) fn write<L: Log>(&mut self, log: &L, topic: &str, rows: i64) {
        self.append(&mut log.writer().unwrap(), topic, rows);
    }

    fn append<W: Writer>(&mut self, writer: &mut W, topic: &str, rows: i64) {
        let mut records: Vec<ToWrite> = Vec::new();
        for row in self.rows..self.rows + rows {
            for partition in 0..PARTITIONS {
                let (at, n) = (row * STEP, row % 200 + i64::from(partition));
                let (sum, count) = self.expected.entry(at / WINDOW * WINDOW).or_default();
                *sum += n;
                *count += 1;
                let value = format!(r#"{{"at":{at},"n":{n}}}"#);
                records.push((partition, None, Some(value.into_bytes()), Timestamp(at)));
            }
        }
        self.rows += rows;
        append(writer, topic, records);
    }

    /// Writes about two thousand rows a second while something is done.
    pub(crate) fn while_doing<T>(
        &mut self,
        log: &KafkaLog,
        topic: &str,
        what: impl FnOnce() -> T + Send,
    ) -> T
    where
        T: Send,
    {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let doing = scope.spawn(|| {
                let came = std::panic::catch_unwind(std::panic::AssertUnwindSafe(what));
                done.store(true, Ordering::Relaxed);
                came
            });
            let mut writer = log.writer().unwrap();
            while !done.load(Ordering::Relaxed) {
                self.append(&mut writer, topic, 20);
                std::thread::park_timeout(std::time::Duration::from_millis(40));
            }
            doing.join().unwrap().unwrap()
        })
    }
}

/// Marks in the component make versions of it.
pub(crate) fn version(home: &Home, number: u8, fault: u8) -> String {
    let mut bytes = std::fs::read(components().join("fixtures/marked.wasm")).unwrap();
    let mark = b"millstream-m:";
    let at = bytes.windows(mark.len()).position(|window| window == mark);
    let at = at.unwrap() + mark.len();
    (bytes[at], bytes[at + 2]) = (number, fault);
    let path = home.path(&format!("version-{number}-{fault}.wasm"));
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A pipeline of that component with two workers.
pub(crate) fn file(name: &str, address: &str) -> String {
    format!(
        r#"
        name = "{name}"
        workers = 2
        source = {{ topic = "{name}-numbers", event_time = {{ field = "at", unit = "ms" }}, allowed_disorder = "0s" }}
        sink.topic = "{name}-sums"
        dead_letters.topic = "{name}-dead"
        late.topic = "{name}-late"
        state.folder = "state"
        [log]
        kafka = {{ "bootstrap.servers" = "{address}" }}
        create_topics = true
        [[step]]
        name = "sum"
        aggregate = "marked@0.1.0"
        window = {{ tumbling = "1s" }}
        "#
    )
}

/// Waits until all that was written has been read, and all is committed.
pub(crate) fn settle(service: &Service, log: &KafkaLog, name: &str) {
    let sources: BTreeMap<String, i64> = ends(log, &format!("{name}-numbers"))
        .into_iter()
        .map(|(at, end)| (at.to_string(), end.0))
        .collect();
    service.pipeline_until(name, |view| {
        let read = |(at, end): (&String, &i64)| view["positions"][at].as_i64() == Some(*end);
        view["progress"]["settled"] == true && sources.iter().all(read)
    });
}

/// Every window is there once, and right; where there are keys, all of its keys together.
pub(crate) fn judge(log: &KafkaLog, name: &str, load: &Load) {
    let mut seen = BTreeSet::new();
    let mut sums: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for record in read_all(log, &format!("{name}-sums")) {
        let json = record.json();
        let number = |name: &str| json[name].as_i64().unwrap();
        let start = number("window_start_ms");
        assert!(seen.insert((start, json["key"].as_i64())), "twice: {json}");
        let (sum, count) = sums.entry(start).or_default();
        *sum += number("sum");
        *count += number("rows");
    }
    let all = load.expected.iter().rev().skip(1);
    let all: BTreeMap<i64, (i64, i64)> = all.map(|(start, right)| (*start, *right)).collect();
    assert_eq!(sums, all);
    assert_eq!(read_all(log, &format!("{name}-dead")).len(), 0);
}
