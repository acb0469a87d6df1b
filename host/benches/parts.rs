//! What the parts of a row's path cost, each alone: decoding, the border of the sandbox, windows, a commit, the store.
//!
//! `cargo bench --workspace --profile dev --bench parts`, with `cargo xtask plugins` before it; `-- decode` behind it runs one
//! group. That profile compiles our own code hardly optimised: figures of what is in the host, against those of others, need
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3` before it.

#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on stops")]
#![allow(missing_docs, reason = "criterion's macros make public functions")]

mod common;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use common::{SOURCE, new_log};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use millstream::decode::{Decoded, Decoder, EventTime, Format, TimeUnit};
use millstream::log::embedded::EmbeddedLog;
use millstream::log::{
    Delivery, Fetched, GroupOffset, Log, Membership, Offset, Outbox, Polled, RecordBatch,
    RecordParts, Session, TopicPartition,
};
use millstream::pipeline::config::defaults;
use millstream::plugin::{AggregateInstance, FilterInstance, Limits, Plugin, PluginEngine};
use millstream::rows::{Field, FieldType, Rows};
use millstream::state::{
    Change, DiskStore, Lineage, MemoryStore, Position, Slice, Stage, Store, TaskId,
};
use millstream::time::Timestamp;
use millstream::window::{Assigner, Owner, Pane, Sessions, Sliding, Slots, Tumbling, Window};

/// Rows of a batch, as a worker takes them.
const ROWS: usize = 1_024;
/// The first event time.
const START: i64 = 1_767_225_600_123;

/// A batch of clicks like this one, of 100 bytes.
fn clicks() -> RecordBatch {
    clicks_from(0)
}

/// Those with numbers from the given one on: no two of the first million are by the same user.
fn clicks_from(first: u32) -> RecordBatch {
    batch(|n| {
        let n = first + n;
        let (user, page) = (n * 7_919 % 1_000_003, n % 1_000);
        let at = START + i64::from(n);
        format!(
            r#"{{"event_time":{at},"user_id":"user-{user:07}","url":"/products/{page:04}","status":200,"pad":"xx"}}"#
        )
    })
}

fn batch(value: impl Fn(u32) -> String) -> RecordBatch {
    let mut batch = RecordBatch::new(TopicPartition::new(SOURCE, 0));
    for n in (0..).take(ROWS) {
        let value = value(n);
        batch.push(
            Offset(n.into()),
            Timestamp(START),
            None,
            Some(value.as_bytes()),
        );
    }
    batch
}

fn field(name: &str, ty: FieldType) -> Field {
    Field {
        name: name.to_owned(),
        ty,
        optional: false,
    }
}

/// Rows of these fields.
fn rows(fields: &[Field], batch: &RecordBatch) -> Rows {
    let mut decoder = Decoder::new(Format::Json, EventTime::Record, fields.to_vec()).unwrap();
    let mut decoded = Decoded::new();
    decoder.decode(batch, 0..batch.len(), &mut decoded);
    assert_eq!(decoded.failures, []);
    decoded.rows
}

/// From the bytes of records to columns.
fn decode(c: &mut Criterion) {
    let at = || EventTime::Field {
        path: "event_time".to_owned(),
        unit: TimeUnit::Millis,
    };
    let user = || field("user_id", FieldType::Text);
    let four = [
        user(),
        field("url", FieldType::Text),
        field("status", FieldType::Int64),
    ];
    let value = field("$value", FieldType::Bytes);
    let cases = [
        ("json, 2 fields", Format::Json, at(), vec![user()]),
        ("json, 4 fields", Format::Json, at(), four.to_vec()),
        ("raw", Format::Raw, EventTime::Record, vec![value]),
    ];
    let batch = clicks();
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, format, event_time, fields) in cases {
        let mut decoder = Decoder::new(format, event_time, fields).unwrap();
        let mut decoded = Decoded::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                decoder.decode(&batch, 0..batch.len(), &mut decoded);
                black_box(&decoded);
            });
        });
    }
}

/// From columns to what a component says of them.
fn boundary(c: &mut Criterion) {
    let engine = PluginEngine::new().unwrap();
    let limits: Limits = defaults::LIMITS.into();
    let load = |name: &str| {
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins");
        Plugin::load(&engine, &plugins.join(name), limits).unwrap()
    };
    let mut group = c.benchmark_group("boundary");
    group.throughput(Throughput::Elements(ROWS as u64));

    let visitors = load("unique-visitors.wasm");
    let mut instance = AggregateInstance::start(&engine, &visitors, "{}", limits).unwrap();
    let users: Vec<Rows> = (0..100)
        .map(|n| rows(visitors.reads(), &clicks_from(n * 1_024)))
        .collect();
    let select: Vec<usize> = (0..visitors.reads().len()).collect();
    let slots = vec![0; ROWS];
    for users in &users {
        instance.accumulate(&slots, users, &select).unwrap();
    }
    let mut users = users.iter().cycle();
    // Of users that are among those in the set, a hundred thousand.
    group.bench_function("accumulate, unique-visitors", |b| {
        b.iter(|| {
            let users = users.next().unwrap();
            instance.accumulate(&slots, users, &select).unwrap()
        });
    });

    let filter = load("bot-filter.wasm");
    let mut instance = FilterInstance::start(&engine, &filter, "{}", limits).unwrap();
    let agents = batch(|n| {
        let build = n % 100;
        let agent = format!("Mozilla/5.0 (X11; Linux x86_64) Chrome/{build}.0 Safari/537.36");
        format!(r#"{{"user_agent":"{agent}","user_id":"user-{n:07}"}}"#)
    });
    let agents = rows(filter.reads(), &agents);
    let select: Vec<usize> = (0..agents.columns.len()).collect();
    group.bench_function("filter, bot-filter", |b| {
        b.iter(|| instance.filter(&agents, &select).unwrap());
    });
}

/// From event times to panes and slots.
fn windows(c: &mut Criterion) {
    let minute = Duration::from_mins(1);
    let second = Duration::from_secs(1);
    let tumbling = Tumbling::new(minute, Duration::ZERO).unwrap();
    let sliding = Sliding::new(minute, second, Duration::ZERO).unwrap();
    let times: Vec<Timestamp> = (0..)
        .take(ROWS)
        .map(|n: i64| Timestamp(START + n * 100))
        .collect();
    let keys: Vec<String> = (0..ROWS).map(|n| format!("key-{:03}", n % 100)).collect();
    let mut group = c.benchmark_group("windows");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, assigner) in [
        ("tumbling, 60 s", Assigner::Tumbling(tumbling)),
        ("sliding, 60 s by 1 s", Assigner::Sliding(sliding)),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                for time in &times {
                    black_box(assigner.pane_of(*time));
                }
            });
        });
    }

    let mut slots = Slots::new();
    group.bench_function("slots of 100 keys", |b| {
        b.iter(|| {
            for (time, key) in times.iter().zip(&keys) {
                let pane = Pane::of(tumbling.window_of(*time));
                black_box(slots.slot(Owner(0), pane, key.as_bytes()));
            }
        });
    });

    // Time goes on from one round to the next, so that each row makes its session longer.
    let mut sessions = Sessions::new();
    let mut begin = 0;
    group.bench_function("sessions of 100 keys", |b| {
        b.iter(|| {
            for (time, key) in times.iter().zip(&keys) {
                let span = Window {
                    start: Timestamp(time.0 + begin),
                    end: Timestamp(time.0 + begin + 120_001),
                };
                black_box(sessions.join(key.as_bytes(), span));
            }
            begin += 102_400;
        });
    });
}

/// A member of a group that owns the source, and where the group stands after its commits.
fn owner(log: &EmbeddedLog) -> (impl Session + use<>, GroupOffset) {
    let at = TopicPartition::new(SOURCE, 0);
    let membership = Membership {
        group: "bench".to_owned(),
        member: "one".to_owned(),
        topics: vec![SOURCE.to_owned()],
        apart: None,
        delivery: Delivery::ExactlyOnce,
    };
    let mut session = log.join(&membership).unwrap();
    let mut fetched = Fetched::new();
    while !matches!(
        session
            .poll(&mut fetched, Duration::from_millis(1))
            .unwrap(),
        Polled::Assigned(_)
    ) {}
    session.begin(&[(at.clone(), Offset(0))]).unwrap();
    let offset = GroupOffset {
        at,
        offset: Offset(0),
        metadata: String::new(),
    };
    (session, offset)
}

/// A transaction of a hundred records, and the group's offset.
fn commit(c: &mut Criterion) {
    const RECORDS: usize = 100;
    let mut outbox = Outbox::new();
    for n in 0..RECORDS {
        let (key, value) = (format!("key-{n:03}"), "x".repeat(100));
        let parts = RecordParts {
            partition: Some(0),
            timestamp: Timestamp(START),
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        outbox.push(&SOURCE.into(), parts);
    }
    let mut group = c.benchmark_group("commit");
    group.throughput(Throughput::Elements(RECORDS as u64));
    // What comes before each commit takes longer than the commit.
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(1));
    group.bench_function("100 records, embedded log in memory", |b| {
        // Each in a log of its own, since one keeps all that was written to it.
        b.iter_batched_ref(
            || {
                let log = new_log();
                let owner = owner(&log);
                (log, owner)
            },
            |(_, (session, offset))| {
                session
                    .commit(&outbox, std::slice::from_ref(offset))
                    .unwrap()
            },
            BatchSize::SmallInput,
        );
    });
}

/// Entries of a task, written in lots and read one by one.
fn store(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    entries(c, "memory", &mut MemoryStore::new());
    entries(c, "disk", &mut DiskStore::open(folder.path()).unwrap());
}

fn entries(c: &mut Criterion, name: &str, store: &mut impl Store) {
    const LOT: usize = 1_000;
    const KEYS: usize = 100_000;
    let task = TaskId {
        stage: Stage::Source,
        partition: 0,
    };
    let position = Position {
        lineage: Lineage::new(Timestamp(START), "one", task),
        next: Offset(1),
        applied: Timestamp(START),
    };
    let value = [7; 100];
    // Spread over all keys: the stride has no factor in common with their number.
    let keys: Vec<String> = (0..KEYS)
        .map(|n| format!("key-{:06}", n * 61_737 % KEYS))
        .collect();
    let mut lots = keys.chunks(LOT).cycle();
    let mut put = |store: &mut dyn Store| {
        let changes = lots.next().unwrap().iter().map(|key| Change {
            key: key.as_bytes(),
            value: Some(&value),
        });
        let slice = Slice {
            task,
            changes: changes.collect(),
            position: &position,
        };
        store.apply(&[slice]).unwrap();
    };
    for _ in 0..KEYS / LOT {
        put(store);
    }
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(LOT as u64));
    group.bench_function(format!("{name}, put 1000"), |b| b.iter(|| put(store)));
    group.throughput(Throughput::Elements(1));
    let mut asked = keys.iter().cycle();
    group.bench_function(format!("{name}, get"), |b| {
        b.iter(|| {
            let key = asked.next().unwrap();
            store.get(task, key.as_bytes()).unwrap().unwrap()
        });
    });
}

criterion_group!(parts, decode, boundary, windows, commit, store);
criterion_main!(parts);
