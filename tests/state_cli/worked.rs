//! State, written as a worker writes it.

use std::sync::Arc;
use std::time::Duration;

use millstream::log::{
    Delivery, Fetched, GroupOffset, Log, Membership, Offset, Outbox, Polled, RecordParts, Session,
    TopicPartition,
};
use millstream::pipeline::{config, topics};
use millstream::state::{
    ExchangeWriter, Lineage, Mark, Origin, Stage, StateKey, TaskId, TaskState, Write, put_parts,
};
use millstream::time::Timestamp;
use millstream::window::{Pane, Window};

use crate::job::Job;
use crate::support::{create, write};
use crate::{PARTITIONS, RECORDS};

const MINUTE: i64 = 60_000;

/// The source, with records a second apart: even ones in partition 0, odd ones in partition 1.
pub(crate) fn source<L: Log>(job: &Job, log: &L) {
    create(log, &job.clicks, PARTITIONS, &[]);
    let record = |n: i64| {
        let partition = i32::try_from(n).unwrap() % PARTITIONS;
        (partition, None, Some(b"{}".to_vec()), Timestamp(n * 1_000))
    };
    write(log, &job.clicks, (0..RECORDS * 2).map(record));
}

/// What a worker of this pipeline would have written in one commit: both source partitions at 4, the final task 0 with two keys
/// in one window and a third in another, and partials for the final task 1, of which it has not read the last.
pub(crate) fn worked<L: Log>(job: &Job, log: &L) {
    source(job, log);
    let config = config::load(&job.file()).unwrap();
    for spec in [
        topics::changelog_spec(&config, PARTITIONS),
        topics::repartition_spec(&config, PARTITIONS),
    ] {
        log.create_topic(&spec).unwrap();
    }
    let mut session = join(job, log);
    let mut outbox = Outbox::new();
    let changelog: Arc<str> = topics::changelog(&config).into();
    let mut put = |task: i32, key: &[u8], value: &[u8]| {
        outbox.push(&changelog, record(task, Some(key), value));
    };
    for task in 0..PARTITIONS {
        let state = TaskState {
            next_write: Write(9),
            fired: Timestamp(MINUTE),
            watermarks: vec![
                (
                    TopicPartition::new(job.clicks.as_str(), 0),
                    Timestamp(5_000),
                ),
                (
                    TopicPartition::new(job.clicks.as_str(), 1),
                    Timestamp(7_000),
                ),
            ],
            firing: None,
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        StateKey::Task.encode(&mut key);
        state.encode(&mut value);
        put(task, &key, &value);
    }
    let windows = [(1, "a"), (1, "b"), (2, "a")];
    for (minute, key) in windows {
        put_parts(
            pane(minute),
            key.as_bytes(),
            Write(1),
            &[7; 100],
            64,
            &mut |key, value| put(0, key, value),
        );
    }
    let repartition: Arc<str> = topics::repartition(&config).into();
    for source in 0..2_u32 {
        let mut exchange = ExchangeWriter::new(1_000);
        exchange.part(pane(3), b"c", source, b"partial");
        exchange.finish(|value| outbox.push(&repartition, record(1, None, value)));
    }
    let offset = |topic: &str, partition, offset, state| GroupOffset {
        at: TopicPartition::new(topic, partition),
        offset: Offset(offset),
        metadata: Mark {
            watermark: Timestamp(5_000),
            highest: Timestamp(5_000),
            shape: job.shape(),
            state,
            generation: 0,
        }
        .to_json(),
    };
    let origin = |partition| {
        let task = TaskId {
            stage: Stage::Final,
            partition,
        };
        Some(Origin {
            lineage: Lineage::new(Timestamp(0), "test", task),
            base: Offset(0),
        })
    };
    let offsets: Vec<GroupOffset> = (0..PARTITIONS)
        .flat_map(|partition| {
            let read = i64::from(partition);
            [
                offset(&job.clicks, partition, 4, None),
                offset(&repartition, partition, read, origin(partition)),
            ]
        })
        .collect();
    session.commit(&outbox, &offsets).unwrap();
}

fn pane(minute: i64) -> Pane {
    Pane::of(Window {
        start: Timestamp(minute * MINUTE),
        end: Timestamp((minute + 1) * MINUTE),
    })
}

fn record<'a>(partition: i32, key: Option<&'a [u8]>, value: &'a [u8]) -> RecordParts<'a> {
    RecordParts {
        partition: Some(partition),
        timestamp: Timestamp(0),
        key,
        value: Some(value),
        headers: &[],
    }
}

/// A member of the group to which all partitions have been assigned.
pub(crate) fn join<L: Log>(job: &Job, log: &L) -> L::Session {
    let mut session = log
        .join(&Membership {
            group: job.name.clone(),
            member: "test-0".to_owned(),
            topics: vec![job.clicks.clone(), format!("{}-repartition", job.name)],
            apart: None,
            delivery: Delivery::ExactlyOnce,
        })
        .unwrap();
    let mut fetched = Fetched::new();
    let all = usize::try_from(PARTITIONS * 2).unwrap();
    while session.assignment().len() < all {
        match session
            .poll(&mut fetched, Duration::from_millis(100))
            .unwrap()
        {
            Polled::Records | Polled::Assigned(_) => {}
            Polled::Revoked(given_up) | Polled::Lost(given_up) => {
                session.release(&given_up).unwrap();
            }
        }
    }
    session
}
