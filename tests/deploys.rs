//! Deploys into a pipeline that runs: each row goes through one version, nothing is lost and nothing counted twice, and a version that is
//! bad goes by itself. On the embedded log and on Kafka.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use millstream::control::{Asked, Control, DeployError, DeployView, Outcome, Strategy, TrialSpec};
use millstream::control::{Followed, catch_up};
use millstream::log::Log;
use millstream::log::embedded::EmbeddedLog;
use millstream::pipeline::Pipeline;
use millstream::plugin::PluginEngine;
use millstream::registry::{Secret, Signature, Subject, Trust};
use millstream::state::InstanceFolder;
use millstream::time::{SystemClock, Timestamp};
use millstream::worker::{Team, TrialLimits, WorkerError};
use support::{ToWrite, create, ends, is_read, kafka, pipeline, read_all, unique, write};

/// Event time between two rows of a partition, in milliseconds.
const STEP: i64 = 10;
/// The size of a window.
const WINDOW: i64 = 1_000;
const PARTITIONS: i32 = 4;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job that adds numbers up by windows.
struct Job<'a, L> {
    log: &'a L,
    numbers: String,
    sums: String,
    dead: String,
    pipeline: Pipeline,
    engine: PluginEngine,
    trust: Trust,
    state: tempfile::TempDir,
    /// How many rows each partition has.
    written: i64,
    /// The sum and the number of rows of each window.
    expected: BTreeMap<i64, (i64, i64)>,
}

impl<'a, L: Log> Job<'a, L> {
    fn new(log: &'a L) -> Self {
        Self::with_step(log, "{plugins}/fixtures/marked.wasm", "")
    }

    /// `component` is the path of the first version, `more` are keys of the step.
    fn with_step(log: &'a L, component: &str, more: &str) -> Self {
        let [numbers, sums, dead, late] = ["numbers", "sums", "dead", "late"].map(unique);
        create(log, &numbers, PARTITIONS, &[]);
        let file = format!(
            r#"
            name = "{}"
            workers = 2
            log = {{ embedded = "unused", create_topics = true }}
            sink.topic = "{sums}"
            dead_letters.topic = "{dead}"
            late.topic = "{late}"
            commit.interval = "20ms"

            [source]
            topic = "{numbers}"
            event_time = {{ field = "at", unit = "ms" }}
            allowed_disorder = "0s"

            [[step]]
            name = "sum"
            aggregate = "{component}"
            window = {{ tumbling = "1s" }}
            {more}
            "#,
            unique("deploys")
        );
        let engine = PluginEngine::new().unwrap();
        Self {
            log,
            numbers,
            sums,
            dead,
            pipeline: pipeline(&file, &engine),
            engine,
            trust: Trust::default(),
            state: tempfile::tempdir().unwrap(),
            written: 0,
            expected: BTreeMap::new(),
        }
    }

    /// Writes so many more rows to each partition.
    fn write(&mut self, rows: i64) {
        let mut records: Vec<ToWrite> = Vec::new();
        for row in self.written..self.written + rows {
            for partition in 0..PARTITIONS {
                let (at, n) = (row * STEP, row % 200 + i64::from(partition));
                let (sum, count) = self.expected.entry(at / WINDOW * WINDOW).or_default();
                *sum += n;
                *count += 1;
                let value = format!(r#"{{"at":{at},"n":{n}}}"#);
                records.push((partition, None, Some(value.into_bytes()), Timestamp(at)));
            }
        }
        self.written += rows;
        write(self.log, &self.numbers, records);
    }

    /// Runs the job while `test` does its part.
    fn run(&mut self, test: impl FnOnce(&mut Self, &Running<'_>)) {
        self.run_to(test).unwrap();
    }

    /// The same; what the workers ended with.
    fn run_to(&mut self, test: impl FnOnce(&mut Self, &Running<'_>)) -> Result<(), WorkerError> {
        let stop = Arc::new(AtomicBool::new(false));
        let folder =
            InstanceFolder::claim(self.state.path(), &self.pipeline.config().name).unwrap();
        let team = Team::new(2, Arc::clone(&stop));
        let (log, engine, base) = (self.log.clone(), self.engine.clone(), self.pipeline.clone());
        let Followed {
            control,
            rollout,
            follower,
        } = catch_up(&log, base, &engine, folder.instance(), &self.trust).unwrap();
        std::thread::scope(|scope| {
            let (done, until_done) = mpsc::channel::<()>();
            scope.spawn(move || follower.run(&until_done));
            let working = scope.spawn(|| {
                let clock = SystemClock::new();
                team.run(&rollout, &engine, &log, &clock, &folder, Some(PATIENCE))
            });
            let guard = StopsAnyway(&stop);
            let running = Running {
                team: &team,
                control: &control,
                stop: &stop,
            };
            test(self, &running);
            drop(guard);
            let ended = working.join().unwrap();
            drop(done);
            ended
        })
    }

    /// The component with other marks.
    fn marked(&self, version: u8, fault: u8) -> Vec<u8> {
        let file = &self.pipeline.functions()[0].config().component;
        let mut bytes = std::fs::read(file).unwrap();
        let mark = b"millstream-m:";
        let at = bytes.windows(mark.len()).position(|window| window == mark);
        let at = at.unwrap() + mark.len();
        bytes[at] = version;
        bytes[at + 2] = fault;
        bytes
    }

    fn deploy(
        &self,
        control: &Control,
        component: Vec<u8>,
        strategy: Strategy,
    ) -> Result<DeployView, DeployError> {
        let asked = Asked {
            step: "sum".to_owned(),
            component,
            signature: None,
            strategy,
            trial: TrialSpec::default(),
            by: "test".to_owned(),
        };
        control.deploy(asked, &self.engine)
    }

    /// Writes rows until a deploy has come to an end.
    fn write_until_over(&mut self, running: &Running<'_>, id: u64) -> DeployView {
        until(|| {
            self.write(10);
            let view = running.control.deploy_of(id).unwrap();
            view.outcome.is_over().then_some(view)
        })
    }

    /// Writes rows until every worker has gone over to what is deployed.
    fn write_until_in_place(&mut self, running: &Running<'_>) {
        let generation = running.control.generation();
        until(|| {
            self.write(10);
            let sources = ends(self.log, &self.numbers);
            until(|| is_read(&running.team.snapshot(), &sources).then_some(()));
            (running.team.snapshot().generation == generation).then_some(())
        });
    }

    /// Waits until all that was written has been read, and all is settled.
    fn settle(&self, running: &Running<'_>) {
        let sources = ends(self.log, &self.numbers);
        until(|| {
            let now = running.team.snapshot();
            (is_read(&now, &sources) && now.has_settled()).then_some(())
        });
    }

    /// Rows that were put aside are dead letters, and in no window: expects them there no more. Returns how many there are.
    fn take_dead(&mut self) -> usize {
        let dead = read_all(self.log, &self.dead);
        for letter in &dead {
            let row = letter.json();
            let (at, n) = (row["at"].as_i64().unwrap(), row["n"].as_i64().unwrap());
            let (sum, rows) = self.expected.get_mut(&(at / WINDOW * WINDOW)).unwrap();
            (*sum, *rows) = (*sum - n, *rows - 1);
        }
        dead.len()
    }

    /// Compares all results with what was written: each window once, its sum right, and each row counted by one version. Returns
    /// how many rows each version has counted.
    fn judge(&self) -> [i64; 4] {
        let mut by = [0; 4];
        let mut seen = BTreeSet::new();
        for record in read_all(self.log, &self.sums) {
            let json = record.json();
            let number = |name: &str| json[name].as_i64().unwrap();
            let start = number("window_start_ms");
            assert!(seen.insert(start), "twice: {json}");
            let (sum, rows) = self.expected[&start];
            assert_eq!((number("sum"), number("rows")), (sum, rows), "{json}");
            for (by, name) in by.iter_mut().zip(["by0", "by1", "by2", "by3"]) {
                *by += number(name);
            }
        }
        // The last window stays open.
        let expected: BTreeSet<i64> = self.expected.keys().copied().rev().skip(1).collect();
        assert_eq!(seen, expected);
        by
    }
}

struct Running<'a> {
    team: &'a Team,
    control: &'a Control,
    stop: &'a AtomicBool,
}

impl Running<'_> {
    /// Whether a worker has failed, which stops them all.
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A test that fails must not leave the workers running.
struct StopsAnyway<'a>(&'a AtomicBool);

impl Drop for StopsAnyway<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn until<T>(mut is_so: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = is_so() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not come to that");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Fifty deploys in a row while rows come, every fifth of a version that traps.
fn rows_go_through_one_version_each<L: Log>(log: &L) {
    let mut job = Job::new(log);
    job.run(|job, running| {
        job.write(200);
        // The version of the file counts some too, before the first deploy takes its place.
        job.settle(running);
        for turn in 0..50_u8 {
            let is_bad = turn % 5 == 4;
            let version = match (is_bad, turn % 2) {
                (true, _) => job.marked(b'3', b't'),
                (false, 0) => job.marked(b'1', b'.'),
                (false, _) => job.marked(b'2', b'.'),
            };
            let deployed = job
                .deploy(running.control, version, Strategy::Immediate)
                .unwrap();
            job.write(60);
            if is_bad {
                let view = job.write_until_over(running, deployed.id);
                assert_eq!(view.outcome, Outcome::RolledBack);
                let why = view.reason.unwrap();
                assert!(why.contains("this version has a bug"), "{why}");
            } else {
                // Rows of this version and the one before are in the same windows.
                job.write_until_in_place(running);
            }
        }
        job.settle(running);
        assert_eq!(running.control.deploys().len(), 50);
    });
    let by = job.judge();
    assert!(by.iter().take(3).all(|rows| *rows > 0), "{by:?}");
    assert_eq!(read_all(log, &job.dead).len(), 0, "no row is to blame");
    let generations: BTreeSet<Option<u64>> = read_all(log, &job.sums)
        .iter()
        .map(|record| {
            let header = record.headers.get("millstream.generation");
            header.map(|value| std::str::from_utf8(value).unwrap().parse().unwrap())
        })
        .collect();
    assert!(generations.len() > 20, "{generations:?}");
}

#[test]
fn rows_go_through_one_version_each_on_the_embedded_log() {
    rows_go_through_one_version_each(&EmbeddedLog::in_memory());
}

#[test]
fn rows_go_through_one_version_each_on_kafka() {
    if let Some(log) = kafka() {
        rows_go_through_one_version_each(&log);
    }
}

/// What was deployed is there again after a restart; what the file has counts where nothing was.
#[test]
fn a_restart_goes_on_with_what_was_deployed() {
    let log = EmbeddedLog::in_memory();
    let mut job = Job::new(&log);
    let mut deployed = 0;
    job.run(|job, running| {
        job.write(150);
        job.settle(running);
        let view = job.deploy(running.control, job.marked(b'1', b'.'), Strategy::Immediate);
        deployed = view.unwrap().id;
        job.write_until_in_place(running);
        job.settle(running);
    });
    job.run(|job, running| {
        assert_eq!(running.control.generation(), deployed);
        job.write(150);
        job.settle(running);
        // The trial begins again with the process.
        assert_eq!(
            running.control.deploy_of(deployed).unwrap().outcome,
            Outcome::OnTrial
        );
        let view = running.control.roll_back("sum", "test").unwrap();
        assert!(view.is_rollback && view.to == running.control.deploy_of(deployed).unwrap().from);
        job.write_until_in_place(running);
        job.write(150);
        job.settle(running);
        let error = running.control.promote(deployed).unwrap_err();
        assert!(error.to_string().contains("is over"), "{error}");
    });
    let [first, second, ..] = job.judge();
    // 150 rows of each partition came before the deploy, 150 after the restart, and 150 after it was rolled back.
    assert!(first >= 800 && second >= 600, "{first} {second}");
}

/// A version that refuses too many rows is taken back before any of its doing is committed.
#[test]
fn a_version_with_more_errors_than_before_is_taken_back() {
    let log = EmbeddedLog::in_memory();
    let mut job = Job::new(&log);
    job.run(|job, running| {
        job.write(500);
        job.settle(running);
        let view = job.deploy(running.control, job.marked(b'1', b'e'), Strategy::Immediate);
        let id = view.unwrap().id;
        let view = job.write_until_over(running, id);
        assert_eq!(view.outcome, Outcome::RolledBack);
        let why = view.reason.unwrap();
        assert!(why.contains("rows could not be processed"), "{why}");
        job.settle(running);
    });
    // Few rows of a worker are not judged: what the version did to those stays.
    assert!(job.take_dead() < 100);
    let [_, second, ..] = job.judge();
    assert!(second < 200, "{second}");
}

/// A canary has its share of the partitions until it is promoted.
#[test]
fn a_canary_has_its_share_and_then_all() {
    let log = EmbeddedLog::in_memory();
    let mut job = Job::new(&log);
    job.run(|job, running| {
        job.write(100);
        job.settle(running);
        let quarter = Strategy::Canary {
            percent: 25,
            seconds: None,
            rows: Some(150),
        };
        let view = job
            .deploy(running.control, job.marked(b'1', b'.'), quarter)
            .unwrap();
        assert_eq!(view.outcome, Outcome::Canary);
        let error = job.deploy(running.control, job.marked(b'2', b'.'), Strategy::Immediate);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("is under way"), "{error}");
        let view = until(|| {
            job.write(10);
            let view = running.control.deploy_of(view.id).unwrap();
            (view.outcome == Outcome::OnTrial).then_some(view)
        });
        assert!(view.rows >= 150, "{view:?}");
        job.write_until_in_place(running);
        job.write(200);
        job.settle(running);
    });
    let [before, canary, ..] = job.judge();
    let all = before + canary;
    // Three quarters went to the version before while the canary got its rows.
    assert!(
        before >= 400 + 3 * 150 && canary >= 150 + 400,
        "{before} of {all}"
    );
}

/// A canary that fails is taken back, and its partitions go on with the version before.
#[test]
fn a_canary_that_fails_is_taken_back() {
    let log = EmbeddedLog::in_memory();
    let mut job = Job::new(&log);
    job.run(|job, running| {
        job.write(150);
        job.settle(running);
        let half = Strategy::Canary {
            percent: 50,
            seconds: Some(3_600),
            rows: None,
        };
        let view = job
            .deploy(running.control, job.marked(b'1', b't'), half)
            .unwrap();
        let view = job.write_until_over(running, view.id);
        assert_eq!(view.outcome, Outcome::RolledBack);
        job.settle(running);
    });
    job.judge();
    assert_eq!(read_all(&log, &job.dead).len(), 0);
}

#[test]
fn what_can_not_run_in_a_place_is_refused_and_changes_nothing() {
    let log = EmbeddedLog::in_memory();
    let mut job = Job::new(&log);
    job.run(|job, running| {
        let folder = job.pipeline.functions()[0].config().component.clone();
        let folder = folder.parent().unwrap();
        let refused = |file: &str| {
            let bytes = std::fs::read(folder.join(file)).unwrap();
            let refused = job.deploy(running.control, bytes, Strategy::Immediate);
            refused.unwrap_err().to_string()
        };
        let why = refused("poison.wasm");
        assert!(why.contains("filter") && why.contains("aggregate"), "{why}");
        let why = refused("frozen-aggregate.wasm");
        assert!(why.contains("the function was aggregate marked"), "{why}");
        let error = running.control.roll_back("sum", "test").unwrap_err();
        assert!(
            error.to_string().contains("nothing was deployed"),
            "{error}"
        );
        let error = running.control.roll_back("sums", "test").unwrap_err();
        assert!(error.to_string().contains("there are sum"), "{error}");
        job.write(200);
        job.settle(running);
        assert_eq!(running.control.generation(), 0);
    });
    job.judge();
}

/// A shadow runs on the same rows and is compared; equal for so many windows it takes the place.
fn a_shadow_takes_the_place_when_it_is_equal<L: Log>(log: &L) {
    let mut job = Job::new(log);
    job.run(|job, running| {
        job.write(150);
        job.settle(running);
        let shadow = Strategy::Shadow { windows: Some(3) };
        // Other marks, but nothing that results tell.
        let view = job
            .deploy(running.control, job.marked(b'0', b'-'), shadow)
            .unwrap();
        assert_eq!(view.outcome, Outcome::Shadow);
        let view = until(|| {
            job.write(10);
            let view = running.control.deploy_of(view.id).unwrap();
            (view.outcome != Outcome::Shadow).then_some(view)
        });
        assert_eq!(view.outcome, Outcome::OnTrial, "{view:?}");
        let compared = view.comparison.unwrap();
        assert!(
            compared.in_a_row >= 3 && compared.different == 0,
            "{compared:?}"
        );
        job.write_until_in_place(running);
        job.settle(running);
    });
    job.judge();
    let left = |name: &str| name.contains("-shadow-");
    until(|| {
        let topics = log.topics().unwrap();
        let ours = job.pipeline.config().name.clone();
        let mut left = topics
            .iter()
            .filter(|topic| topic.name.starts_with(&ours) && left(&topic.name));
        left.next().is_none().then_some(())
    });
}

#[test]
fn a_shadow_takes_the_place_when_it_is_equal_on_the_embedded_log() {
    a_shadow_takes_the_place_when_it_is_equal(&EmbeddedLog::in_memory());
}

#[test]
fn a_shadow_takes_the_place_when_it_is_equal_on_kafka() {
    if let Some(log) = kafka() {
        a_shadow_takes_the_place_when_it_is_equal(&log);
    }
}

/// What a shadow does differently is shown, and touches nothing.
#[test]
fn what_a_shadow_does_differently_is_shown_and_touches_nothing() {
    let log = EmbeddedLog::in_memory();
    let mut job = Job::new(&log);
    job.run(|job, running| {
        job.write(150);
        job.settle(running);
        let shadow = Strategy::Shadow { windows: Some(3) };
        let view = job
            .deploy(running.control, job.marked(b'1', b'e'), shadow)
            .unwrap();
        let view = until(|| {
            job.write(10);
            let view = running.control.deploy_of(view.id).unwrap();
            let compared = view.comparison.as_ref();
            compared
                .is_some_and(|compared| compared.different > 0)
                .then_some(view)
        });
        let compared = view.comparison.unwrap();
        let difference = &compared.differences[0];
        let rows = |rows: &[serde_json::Value]| rows[0]["rows"].as_i64().unwrap();
        assert!(
            rows(&difference.shadow) < rows(&difference.running),
            "{difference:?}"
        );
        assert_eq!(compared.equal, 0);
        let view = running.control.abort(view.id, "somebody").unwrap();
        assert_eq!(view.outcome, Outcome::Aborted);
        assert_eq!(view.reason.as_deref(), Some("somebody took it back"));
        job.write(150);
        job.settle(running);
        assert_eq!(running.control.generation(), 0);
    });
    let [all, other, ..] = job.judge();
    assert!(all > 0 && other == 0);
    assert_eq!(read_all(&log, &job.dead).len(), 0);
}

/// Who takes a component in may ask for less than others who run the same pipeline.
#[test]
fn what_nobody_signs_whom_a_host_trusts_is_taken_back_by_that_host() {
    let log = EmbeddedLog::in_memory();
    let mut job = Job::new(&log);
    let (trusted, stranger) = (Secret::generate(), Secret::generate());
    let trust = |secret: &Secret| Trust {
        keys: vec![("ci".to_owned(), secret.public())],
        required: true,
    };
    job.trust = trust(&trusted);
    let component = job.marked(b'2', b'.');
    let new = job.pipeline.with_component(0, &component, &job.engine);
    let new = new.unwrap();
    let subject = Subject::of(new.functions()[0].plugin());
    let digest = new.functions()[0].plugin().digest();
    let signed = |signature: Option<Signature>| Asked {
        signature,
        ..unwatched(component.clone())
    };
    let none_and_wrong = [None, Some(stranger.sign(subject))];
    job.run(|job, running| {
        for (signature, says) in none_and_wrong
            .into_iter()
            .zip(["not signed", "none of the keys"])
        {
            let view = running
                .control
                .deploy(signed(signature), &job.engine)
                .unwrap();
            let view = job.write_until_over(running, view.id);
            assert_eq!(view.outcome, Outcome::RolledBack);
            let why = view.reason.unwrap();
            assert!(
                why.contains("a host refuses it") && why.contains(says),
                "{why}"
            );
        }
        let right = signed(Some(trusted.sign(subject)));
        let view = running.control.deploy(right, &job.engine).unwrap();
        let view = job.write_until_over(running, view.id);
        assert_eq!(view.outcome, Outcome::Done, "{view:?}");
        job.write_until_in_place(running);
        job.settle(running);
    });
    // It is still trusted after a restart, and no longer when its key is not.
    job.run(|job, running| {
        assert_eq!(
            running.control.running().functions()[0].plugin().digest(),
            digest
        );
        job.write(150);
        job.settle(running);
    });
    job.judge();
    let base = job.pipeline.clone();
    let nobody = trust(&Secret::generate());
    let refused = catch_up(&log, base, &job.engine, "another", &nobody);
    let why = refused.err().unwrap().to_string();
    assert!(
        why.contains("may not be run") && why.contains("none of the keys"),
        "{why}"
    );
}

/// A deploy of a component that may fail as often as it likes, and is not watched for long.
fn unwatched(component: Vec<u8>) -> Asked {
    Asked {
        step: "sum".to_owned(),
        component,
        signature: None,
        strategy: Strategy::Immediate,
        trial: TrialSpec {
            seconds: 0,
            limits: TrialLimits {
                failures: u32::MAX,
                ..TrialLimits::default()
            },
        },
        by: "test".to_owned(),
    }
}

/// A version that has passed its trial and then fails at too many rows is replaced by the one before, where the step says so.
#[test]
fn a_step_that_fails_too_often_goes_back_where_it_may() {
    let log = EmbeddedLog::in_memory();
    let more = "on_exhausted = \"previous\"\nlimits = { failures_per_minute = 2 }";
    let mut job = Job::with_step(&log, "{plugins}/fixtures/marked.wasm", more);
    job.run(|job, running| {
        job.write(150);
        job.settle(running);
        let asked = unwatched(job.marked(b'1', b't'));
        let deployed = running.control.deploy(asked, &job.engine).unwrap();
        until(|| {
            job.write(10);
            (running.control.deploys().len() == 2).then_some(())
        });
        let back = running.control.deploys().remove(0);
        assert!(back.is_rollback && back.to == deployed.from, "{back:?}");
        assert_eq!(back.by, "the limit of failures");
        job.write_until_in_place(running);
        job.settle(running);
    });
    // Two of each worker are within the limit.
    let dead = job.take_dead();
    assert!((1..=4).contains(&dead), "{dead}");
    job.judge();
}

/// A component whose partials have their bytes in another order, and which reads those of the one before: what it were handed without
/// `migrate` would be another number.
fn state_is_carried_over<L: Log>(log: &L) {
    let mut job = Job::with_step(log, "{plugins}/fixtures/frozen-aggregate.wasm", "");
    job.run(|job, running| {
        job.write(150);
        job.settle(running);
        let file = &job.pipeline.functions()[0].config().component;
        let successor = std::fs::read(file.with_file_name("frozen-migration.wasm")).unwrap();
        let successor = renamed(successor, b"frozen-migration", b"frozen-aggregate");
        let quarter = Strategy::Canary {
            percent: 25,
            seconds: None,
            rows: None,
        };
        let refused = job.deploy(running.control, successor.clone(), quarter);
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("another state version"), "{why}");
        job.write(30);
        let view = job
            .deploy(running.control, successor, Strategy::Immediate)
            .unwrap();
        // The one before does not read the new state, so there is no way back.
        assert_eq!(view.outcome, Outcome::Done);
        job.write_until_in_place(running);
        job.write(150);
        job.settle(running);
        let error = running
            .control
            .roll_back("sum", "test")
            .unwrap_err()
            .to_string();
        assert!(error.contains("state version was 2, now 1"), "{error}");
    });
    // And what was carried over is what a restart finds.
    job.run(|job, running| {
        job.write(150);
        job.settle(running);
    });
    let mut sums = BTreeMap::new();
    for record in read_all(log, &job.sums) {
        let json = record.json();
        let start = json["window_start_ms"].as_i64().unwrap();
        assert_eq!(
            sums.insert(start, json["sum"].as_i64().unwrap()),
            None,
            "{json}"
        );
    }
    let mut expected: BTreeMap<i64, i64> = job
        .expected
        .iter()
        .map(|(start, (sum, _))| (*start, *sum))
        .collect();
    expected.pop_last();
    assert_eq!(sums, expected);
}

/// The component with another name of the same length.
fn renamed(mut component: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<usize> = (0..=component.len() - from.len())
        .filter(|at| component[*at..].starts_with(from))
        .collect();
    for at in places {
        component[at..at + to.len()].copy_from_slice(to);
    }
    component
}

#[test]
fn state_is_carried_over_to_another_version_on_the_embedded_log() {
    state_is_carried_over(&EmbeddedLog::in_memory());
}

#[test]
fn state_is_carried_over_to_another_version_on_kafka() {
    if let Some(log) = kafka() {
        state_is_carried_over(&log);
    }
}

/// Where there is no way back, since the component that ran before is gone, the step ends the pipeline as any other does.
#[test]
fn a_step_that_can_not_go_back_ends_the_pipeline() {
    let log = EmbeddedLog::in_memory();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("marked.wasm");
    std::fs::copy(support::components().join("fixtures/marked.wasm"), &file).unwrap();
    let more = "on_exhausted = \"previous\"\nlimits = { failures_per_minute = 1 }";
    let mut job = Job::with_step(&log, file.to_str().unwrap(), more);
    let ended = job.run_to(|job, running| {
        let asked = unwatched(job.marked(b'1', b't'));
        running.control.deploy(asked, &job.engine).unwrap();
        std::fs::remove_file(&file).unwrap();
        until(|| {
            job.write(10);
            running.is_over().then_some(())
        });
    });
    let why = ended.unwrap_err().to_string();
    assert!(why.contains("more than 1 rows within a minute"), "{why}");
    assert!(why.contains("this version has a bug"), "{why}");
}
