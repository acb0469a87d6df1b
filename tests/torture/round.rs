//! One round: clicks, two pipelines and their torturers, and what came of it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream::log::Log;

use crate::faults::{Torturer, World};
use crate::feed::{Answer, Feed};
use crate::job::{Job, create_clicks};
use crate::judge::{judge, wanted};
use crate::plan::Round;
use crate::report::Report;
use crate::segments::{Told, aborted_transactions};
use crate::watch::Watch;

/// How long the last results may take once the last click is written.
const DRAIN: Duration = Duration::from_secs(120);
/// How long a transaction may stay undecided once all hosts have ended: longer than the broker lets it be open.
const DECIDED: Duration = Duration::from_secs(30);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);
/// The most differences of a pipeline that are told.
const MOST_TOLD: usize = 20;

/// Runs a round with its files in `folder`.
pub(crate) fn run(round: &Round, world: &World, folder: &Path) -> Report {
    let log = world.broker.lock().unwrap().log.clone();
    let clicks = create_clicks(&log);
    let window = format!("{}s", round.clicks.window.as_secs());
    let address = format!("127.0.0.1:{}", world.proxy.port());
    let jobs = round
        .torture
        .each_ref()
        .map(|(kind, _)| Job::new(*kind, &clicks, &window, &address));
    jobs.iter().for_each(|job| job.create_topics(&log));
    let watches = jobs.each_ref().map(|job| Watch::new(&log, job, &clicks));
    let (enough, end) = (AtomicBool::new(false), AtomicBool::new(false));
    world.written.store(0, Ordering::Relaxed);

    let mut report = Report::default();
    let answer = std::thread::scope(|scope| {
        let feed = Feed {
            round,
            topic: &clicks,
            enough: &enough,
            written: &world.written,
        };
        let feed = scope.spawn(|| feed.write(&log));
        let ends = Flags([&enough, &end]);
        for watch in &watches {
            scope.spawn(|| watch.read(&end));
            scope.spawn(|| watch.follow(&end));
        }
        let torturers = [0, 1].map(|index| {
            let (_, faults) = &round.torture[index];
            let (watch, job, seed) = (&watches[index], &jobs[index], round.seed + index as u64);
            scope.spawn(move || {
                let mut torturer = Torturer::start(world, watch, job, folder, seed);
                torturer.work(faults);
                torturer
            })
        });
        let mut torturers = torturers.map(|torturer| torturer.join().unwrap());
        enough.store(true, Ordering::Relaxed);
        let written = feed.join().unwrap();
        let answer = Answer::of_topic(round, &log, &clicks, written);
        drain(&mut torturers, &jobs, &answer);
        for torturer in torturers {
            report.add(torturer.finish());
        }
        drop(ends);
        answer
    });

    for (job, watch) in jobs.iter().zip(&watches) {
        report.add(look_back(job, watch, world, &answer));
    }
    report.rows = answer.rows();
    report.repeated = answer.repeated;
    report
}

/// Flags that are set at the latest when a scope ends, also by a panic: otherwise its threads would be waited for in vain.
struct Flags<'a>([&'a AtomicBool; 2]);

impl Drop for Flags<'_> {
    fn drop(&mut self) {
        for flag in self.0 {
            flag.store(true, Ordering::Relaxed);
        }
    }
}

/// Waits until all that should come has come.
fn drain(torturers: &mut [Torturer<'_>; 2], jobs: &[Job; 2], answer: &Answer) {
    let wanted = jobs.each_ref().map(|job| wanted(job.kind, answer));
    let begin = Instant::now();
    while begin.elapsed() < DRAIN {
        torturers.iter_mut().for_each(Torturer::tend);
        let mut pairs = torturers.iter().zip(wanted);
        if pairs.all(|(torturer, wanted)| torturer.has_all(wanted)) {
            return;
        }
        std::thread::park_timeout(LOOK);
    }
}

/// What a pipeline has left behind, once all its hosts have ended.
fn look_back(job: &Job, watch: &Watch, world: &World, answer: &Answer) -> Report {
    let broker = world.broker.lock().unwrap();
    let mut report = Report::default();
    let begin = Instant::now();
    let is_undecided = |topic: &String| {
        let bounds = broker.log.bounds(topic).unwrap();
        bounds.iter().any(|bounds| bounds.written > bounds.end)
    };
    while [&job.results, &job.dead, &job.late]
        .into_iter()
        .any(is_undecided)
    {
        if begin.elapsed() > DECIDED {
            let text = format!("{}: a transaction was never decided", job.name);
            report.wrong.push(text);
            break;
        }
        std::thread::park_timeout(LOOK);
    }

    let again = watch.read_again();
    let mut told = Vec::new();
    report.verdict = judge(job.kind, answer, &again, &mut told);
    let more = told.len().saturating_sub(MOST_TOLD);
    told.truncate(MOST_TOLD);
    if more > 0 {
        told.push(format!("and {more} more differences"));
    }
    for text in told {
        report.wrong.push(format!("{}: {text}", job.name));
    }
    // The other one had read on for as long as anything was written, but not necessarily to the last record.
    let live = watch.seen();
    if !live.is_part_of(&again) {
        let text = format!("{}: a reader that was there saw other records", job.name);
        report.wrong.push(text);
    }
    report.wrong.append(&mut watch.wrong());
    report.offsets_asked = watch.asked().cast_unsigned();

    let data = broker.data();
    let topics = job.written().map(|topic| Told::of_topic(&data, &topic));
    report.aborted_transactions = aborted_transactions(topics.iter().flatten());
    for told in topics.iter().flatten() {
        report.aborted_records += told.aborted;
        report.committed_records += told.committed;
    }
    let changelog = Told::of_topic(&data, &job.changelog());
    report.moves = changelog.iter().map(|told| told.moves).sum();
    report
}
