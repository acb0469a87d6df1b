//! What can be seen of a pipeline from outside, all the time: what it has committed to its topics, as a reader of committed
//! records gets it, and where its group stands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use millstream::log::kafka::{KafkaLog, KafkaReader};
use millstream::log::{Fetched, Log, Reader, RecordBatch, TopicPartition};

use crate::job::Job;
use crate::plan::PARTITIONS;

/// How long one poll waits for a record.
const WAIT: Duration = Duration::from_millis(50);
/// How often the group is asked where it stands.
const ASK: Duration = Duration::from_millis(200);
/// How long a reader may take to come to the end of a topic that nobody writes to any more.
const TO_THE_END: Duration = Duration::from_secs(60);

/// A record as read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) value: Option<Vec<u8>>,
    /// The place of the record that it was made of, where it says so.
    pub(crate) origin: Option<(i32, i64)>,
}

/// The records of a topic by where they stand.
pub(crate) type Records = BTreeMap<(i32, i64), Record>;

/// What was read of a pipeline's topics.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) results: Records,
    pub(crate) dead: Records,
    pub(crate) late: Records,
}

impl Seen {
    /// The records of each topic.
    fn topics(&mut self) -> [&mut Records; 3] {
        [&mut self.results, &mut self.dead, &mut self.late]
    }

    /// Whether all of it is also in `whole`.
    pub(crate) fn is_part_of(&self, whole: &Seen) -> bool {
        let pairs = [
            (&self.results, &whole.results),
            (&self.dead, &whole.dead),
            (&self.late, &whole.late),
        ];
        pairs.iter().all(|(part, whole)| {
            let mut records = part.iter();
            records.all(|(at, record)| whole.get(at) == Some(record))
        })
    }

    /// How many records there are.
    pub(crate) fn counts(&self) -> [usize; 3] {
        [self.results.len(), self.dead.len(), self.late.len()]
    }
}

/// Looks at one pipeline.
pub(crate) struct Watch {
    log: KafkaLog,
    job: Job,
    clicks: String,
    seen: Mutex<Seen>,
    /// The sum of the offsets that the group has committed in the clicks.
    committed: AtomicI64,
    /// How often the group was asked, and what it said that it must not.
    asked: AtomicI64,
    wrong: Mutex<Vec<String>>,
}

impl Watch {
    /// Looks at nothing yet.
    pub(crate) fn new(log: &KafkaLog, job: &Job, clicks: &str) -> Self {
        Self {
            log: log.clone(),
            job: job.clone(),
            clicks: clicks.to_owned(),
            seen: Mutex::default(),
            committed: AtomicI64::new(0),
            asked: AtomicI64::new(0),
            wrong: Mutex::default(),
        }
    }

    /// The sum of the offsets that the group has committed in the clicks, as of when it was last asked.
    pub(crate) fn committed(&self) -> i64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// How often the group said where it stands.
    pub(crate) fn asked(&self) -> i64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// What was read so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// What was seen that must not be.
    pub(crate) fn wrong(&self) -> MutexGuard<'_, Vec<String>> {
        self.wrong.lock().unwrap()
    }

    /// Reads what is committed, as it comes, until told to end.
    pub(crate) fn read(&self, end: &AtomicBool) {
        let mut readers = self.readers();
        let mut fetched = Fetched::new();
        while !end.load(Ordering::Relaxed) {
            for (index, reader) in readers.iter_mut().enumerate() {
                match reader.poll(&mut fetched, WAIT) {
                    Ok(()) => {
                        let mut seen = self.seen();
                        let topic = &mut seen.topics()[index];
                        self.wrong().extend(take(&fetched, topic));
                    }
                    // The broker is away now and then.
                    Err(error) => assert!(error.is_retriable(), "{error}"),
                }
            }
        }
    }

    /// Reads all of it once more, from the start to the end.
    pub(crate) fn read_again(&self) -> Seen {
        let mut seen = Seen::default();
        for (topic, records) in self.topics().into_iter().zip(seen.topics()) {
            read_to_end(&self.log, topic, |fetched| {
                self.wrong().extend(take(fetched, records));
            });
        }
        seen
    }

    fn topics(&self) -> [&str; 3] {
        [&self.job.results, &self.job.dead, &self.job.late]
    }

    fn readers(&self) -> [KafkaReader; 3] {
        self.topics()
            .map(|topic| self.log.reader(topic, &[]).unwrap())
    }

    /// Asks the group where it stands until told to end: it must never go back.
    pub(crate) fn follow(&self, end: &AtomicBool) {
        let partitions: Vec<TopicPartition> = (0..PARTITIONS)
            .map(|partition| TopicPartition::new(&*self.clicks, partition))
            .collect();
        let mut stands: BTreeMap<i32, i64> = BTreeMap::new();
        while !end.load(Ordering::Relaxed) {
            // While the broker is away, or a transaction is not decided, there is no answer.
            if let Ok(offsets) = self.log.group_offsets(&self.job.name, &partitions) {
                self.asked.fetch_add(1, Ordering::Relaxed);
                for offset in offsets {
                    let (partition, now) = (offset.at.partition, offset.offset.0);
                    let before = stands.insert(partition, now).unwrap_or(0);
                    if now < before {
                        let text = format!(
                            "the group went back from {before} to {now} in partition {partition}"
                        );
                        self.wrong().push(text);
                    }
                }
                self.committed
                    .store(stands.values().sum(), Ordering::Relaxed);
            }
            std::thread::park_timeout(ASK);
        }
    }
}

/// Reads a topic from its start to the end.
pub(crate) fn read_to_end(log: &KafkaLog, topic: &str, mut each: impl FnMut(&Fetched)) {
    let partitions = log.bounds(topic).unwrap().len();
    let mut reader = log.reader(topic, &[]).unwrap();
    let mut fetched = Fetched::new();
    let begin = Instant::now();
    while reader.at_end().len() < partitions {
        reader.poll(&mut fetched, WAIT).unwrap();
        each(&fetched);
        assert!(begin.elapsed() < TO_THE_END, "{topic} has no end");
    }
}

/// All records that were fetched, by their batch and row.
pub(crate) fn rows(fetched: &Fetched) -> impl Iterator<Item = (&RecordBatch, usize)> {
    let batches = fetched.batches();
    batches.flat_map(|batch| (0..batch.len()).map(move |row| (batch, row)))
}

/// The number in a header.
pub(crate) fn number_in(batch: &RecordBatch, row: usize, name: &str) -> Option<i64> {
    let header = batch.headers(row).find(|header| header.name == name)?;
    std::str::from_utf8(header.value).ok()?.parse().ok()
}

/// Takes records in. A reader may hand one out again, if the broker was away; it is the same record then. Returns what is
/// wrong otherwise.
fn take(fetched: &Fetched, records: &mut Records) -> Vec<String> {
    let mut wrong = Vec::new();
    for (batch, row) in rows(fetched) {
        let at = (batch.partition().partition, batch.offset(row).0);
        let number = |name| number_in(batch, row, name);
        let partition = number("millstream.partition").and_then(|it| i32::try_from(it).ok());
        let record = Record {
            value: batch.value(row).map(<[u8]>::to_vec),
            origin: partition.zip(number("millstream.offset")),
        };
        match records.insert(at, record.clone()) {
            Some(before) if before != record => {
                let topic = &batch.partition().topic;
                wrong.push(format!("{topic}: the record at {at:?} has changed"));
            }
            _ => {}
        }
    }
    wrong
}
