//! A run from beginning to end: writes events, starts and restarts workers, does to them what the dice say, and in the end lets all
//! be well until everything is settled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};

use millstream::log::embedded::EmbeddedLog;
use millstream::worker::WorkerError;
use rand::RngExt;

use crate::baton::{DIRECTOR, End, Id, World};
use crate::broker::{Broker, SESSION_TIMEOUT};
use crate::deploys::{Deploys, Ear};
use crate::faults::{Fault, Odds, Tally};
use crate::judge::{innards, output};
use crate::life::Life;
use crate::mutations::Mutation;
use crate::oracle::{Heard, expected};
use crate::scenario::{DEAD, LATE, SOURCE, Scenario, written_at};
use crate::settled::{behind, is_settled};
use crate::sim_log::SimLog;
use crate::sim_store::Disk;
use crate::support::{Record, create, read_all, write};

/// How many members a run has over time.
const MEMBERS: usize = 5;
/// How long settling may take.
const PATIENCE: u64 = 300_000;

/// What a run has come to.
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// A digest of the schedule: the same for the same seed.
    pub(crate) digest: u64,
    pub(crate) steps: u64,
    /// What the judge complains of.
    pub(crate) verdict: Result<(), String>,
}

/// Runs what `seed` makes of a run.
pub(crate) fn run(seed: u64, mutation: Option<Mutation>, is_traced: bool) -> Outcome {
    let scenario = Scenario::of(seed);
    let log = EmbeddedLog::in_memory();
    create(&log, SOURCE, scenario.partitions, &[]);
    let world = World::new(
        scenario.schedule,
        Broker::new(log.clone()),
        mutation,
        is_traced,
    );
    world.with(|state| {
        state.odds = scenario.odds.clone();
        state.tally = scenario.tally.clone();
        state.disks = vec![Disk::default(); MEMBERS];
    });
    world.note(DIRECTOR, || {
        format!(
            "seed {seed}: {:?} on {} partitions, {} events, {:?}",
            scenario.kind,
            scenario.partitions,
            scenario.events().count(),
            scenario.topics
        )
    });
    let world = Arc::new(world);
    std::thread::scope(|scope| {
        let mut director = Director {
            scope,
            world: Arc::clone(&world),
            log: log.clone(),
            scenario: &scenario,
            members: (0..MEMBERS)
                .map(|number| Member {
                    disk: number,
                    restart_at: None,
                })
                .collect(),
            running: Vec::new(),
            next_chunk: 0,
            deploys: Deploys::new(scenario.kind_number, mutation),
        };
        director.make_trouble();
        director.settle();
        director.stop_all();
    });
    let is_trapped = |record: &Record| record.header("millstream.step") == "poison";
    if scenario.kind.poison && read_all(&log, DEAD).iter().any(is_trapped) {
        world.with(|state| state.tally.count(Fault::Trap));
    }
    let mut heard = Heard::default();
    if scenario.kind.idle {
        heard.marks = world.with(|state| state.broker.marks.clone());
        heard.late = read_all(&log, LATE).iter().map(Record::origin).collect();
    }
    let right = expected(&scenario, &heard);
    if right.has_promises(&heard) {
        world.with(|state| state.tally.count(Fault::Promised));
    }
    if scenario.kind.idle && right.late != expected(&scenario, &Heard::default()).late {
        world.with(|state| state.tally.count(Fault::LateByPromise));
    }
    world.with(|state| Outcome {
        tally: std::mem::take(&mut state.tally),
        digest: state.digest,
        steps: state.steps,
        verdict: match state.failed.take() {
            Some(why) => Err(why),
            None => output(&scenario, &right, &log).and_then(|()| match mutation {
                None => innards(&scenario, &right, &log, &state.broker, &state.disks),
                // A broken protocol has to show in what users see.
                Some(_) => Ok(()),
            }),
        },
    })
}

/// One who may run a worker, with a disk that outlives it.
struct Member {
    disk: usize,
    /// When it is started again; `None` if it runs, or is not to.
    restart_at: Option<u64>,
}

/// A worker at work.
struct Running<'s> {
    id: Id,
    member: usize,
    stop: Arc<AtomicBool>,
    thread: ScopedJoinHandle<'s, ()>,
    /// How it hears of deploys.
    ear: Ear,
    /// There is another process of its name: one of them is to be fenced.
    is_doubled: bool,
}

struct Director<'s, 'e> {
    scope: &'s Scope<'s, 'e>,
    world: Arc<World>,
    log: EmbeddedLog,
    scenario: &'e Scenario,
    members: Vec<Member>,
    running: Vec<Running<'s>>,
    next_chunk: usize,
    deploys: Deploys,
}

impl<'s> Director<'s, '_> {
    /// Writes all events, while everything happens that can.
    fn make_trouble(&mut self) {
        let mut write_at = 0;
        self.start(0);
        loop {
            let now = self.now();
            let chunk = self.scenario.chunks.get(self.next_chunk);
            match chunk {
                Some((wait, _)) if self.next_chunk == 0 || now >= write_at + wait => {
                    self.write_chunk();
                    write_at = now;
                }
                Some(_) => {}
                // Trouble goes on for a while after the last event.
                None if now > write_at + 2_000 => return,
                None => {}
            }
            self.reap();
            self.restart();
            self.act();
            let hear = self.world.with(|state| state.odds.hear);
            self.follow_deploys(hear);
            let wait = self.draw(|rng| rng.random_range(5..120));
            self.world.pass(DIRECTOR, wait);
            if self.has_failed() {
                return;
            }
        }
    }

    /// No more faults: waits until nothing happens any more and everything has been read.
    fn settle(&mut self) {
        self.world.with(|state| {
            state.odds = Odds::default();
            state.away_until = 0;
            for member in &self.members {
                state.disks[member.disk].recover();
            }
        });
        let last = self.scenario.last_workers;
        for member in self.members.iter_mut().skip(last) {
            if member.restart_at.take().is_some() {
                self.world
                    .with(|state| state.tally.count(Fault::NeverCameBack));
            }
        }
        let begun = self.now();
        while !is_settled(&self.world, &self.log) {
            self.reap();
            self.follow_deploys(1.0);
            for member in 0..last {
                if !self.runs(member) {
                    self.start(member);
                }
            }
            self.world.pass(DIRECTOR, 50);
            let now = self.now();
            if now > begun + PATIENCE {
                let behind = behind(&self.world, &self.log).join(", ");
                self.world.fail(format!("it does not settle: {behind}"));
            }
            if self.has_failed() {
                return;
            }
        }
    }

    fn stop_all(&mut self) {
        for running in &self.running {
            running.stop.store(true, Ordering::Relaxed);
        }
        while !self.running.is_empty() {
            self.world.pass(DIRECTOR, 10);
            self.reap();
        }
    }

    /// Does something to somebody, or not.
    fn act(&mut self) {
        let odds = self.world.with(|state| state.odds.clone());
        if self.happens(odds.kill)
            && let Some(id) = self.somebody()
        {
            self.world.note(DIRECTOR, || format!("kills {id}"));
            self.world.with(|state| {
                state.actors[id].killed = true;
                state.tally.count(Fault::Killed);
            });
        }
        if self.happens(odds.freeze)
            && let Some(id) = self.somebody()
        {
            self.freeze(id);
        }
        if self.happens(odds.second) {
            self.second_process();
        }
        if self.happens(odds.join) && self.running.len() < self.scenario.workers {
            let free: Vec<usize> = (0..MEMBERS).filter(|member| !self.runs(*member)).collect();
            let member = free[self.draw(|rng| rng.random_range(0..free.len()))];
            self.world.with(|state| state.tally.count(Fault::Joined));
            self.start(member);
        }
        if self.happens(odds.leave) && self.running.len() > 1 {
            let at = self.draw(|rng| rng.random_range(0..self.running.len()));
            self.world.with(|state| state.tally.count(Fault::Left));
            self.running[at].stop.store(true, Ordering::Relaxed);
        }
        if self.happens(odds.outage) {
            self.world.with(|state| {
                state.away_until = state.now + state.rng.random_range(10..2_500);
                state.tally.count(Fault::Outage);
            });
        }
        if self.happens(odds.deploy)
            && let Some(fault) = self.world.with(|state| self.deploys.act(&mut state.rng))
        {
            self.count(fault);
        }
        if self.happens(0.05) {
            self.world
                .with(|state| state.disks.iter_mut().for_each(Disk::keep));
        }
    }

    /// Heeds what workers report of versions on trial, and lets each hear of what is deployed with a probability.
    fn follow_deploys(&mut self, hear: f64) {
        let reports = self.running.iter().map(|it| it.ear.rollout.take_reports());
        for report in reports.flatten().collect::<Vec<_>>() {
            if self.deploys.heed(&report) {
                self.count(Fault::FailedTrial);
            }
        }
        for Running { id, ear, .. } in &mut self.running {
            let has_news = self.deploys.has_news(ear);
            if has_news && self.world.with(|state| state.draw(hear)) {
                let generation = self.world.with(|state| {
                    let generation = self.deploys.tell(ear, &mut state.rng);
                    state.told(*id, generation);
                    generation
                });
                self.world.note(DIRECTOR, || {
                    format!("tells {id} of generation {generation}")
                });
            }
        }
    }

    fn count(&self, fault: Fault) {
        self.world.note(DIRECTOR, || format!("deploys: {fault:?}"));
        self.world.with(|state| state.tally.count(fault));
    }

    /// Lets a worker stand still, mostly for longer than its group waits.
    fn freeze(&self, id: Id) {
        self.world.with(|state| {
            let now = state.now;
            let span = state.rng.random_range(500..3 * SESSION_TIMEOUT);
            state.actors[id].frozen_until = now + span;
            if span > SESSION_TIMEOUT {
                state.tally.count(Fault::Zombie);
                state.broker.fell_silent(id, now);
            }
        });
        self.world.note(DIRECTOR, || format!("freezes {id}"));
    }

    /// Starts a member a second time, on a copy of its disk.
    fn second_process(&mut self) {
        let Some(id) = self.somebody() else { return };
        let Some(at) = self.running.iter().position(|running| running.id == id) else {
            return;
        };
        let member = self.running[at].member;
        if self
            .running
            .iter()
            .filter(|running| running.member == member)
            .count()
            > 1
        {
            return;
        }
        self.running[at].is_doubled = true;
        let disk = self.world.with(|state| {
            state.tally.count(Fault::SecondProcess);
            let copy = state.disks[self.members[member].disk].clone();
            state.disks.push(copy);
            state.disks.len() - 1
        });
        self.members[member].disk = disk;
        self.start(member);
        // Whichever joins last fences the other.
        if let Some(second) = self.running.last_mut() {
            second.is_doubled = true;
        }
    }

    /// Starts a worker. Something may have happened to its disk in the meantime.
    fn start(&mut self, member: usize) {
        let Member { disk, restart_at } = &mut self.members[member];
        let disk = *disk;
        *restart_at = None;
        let suffers = self.world.with(|state| {
            let odds = (state.odds.store * 3.0).min(1.0);
            let suffers = state.draw(odds);
            if suffers {
                Disk::suffer(state, disk);
            }
            suffers
        });
        let id = self.world.enter(format!(
            "m{member}.{}",
            self.world.with(|state| state.actors.len())
        ));
        self.world.note(id, || {
            format!(
                "starts on disk {disk}{}",
                if suffers { ", which has suffered" } else { "" }
            )
        });
        let log = SimLog {
            world: Arc::clone(&self.world),
            me: id,
            inner: self.log.clone(),
            topics: self.scenario.topics,
        };
        let (ear, generation) = self.deploys.ear();
        self.world.with(|state| state.told(id, generation));
        let stop = Arc::new(AtomicBool::new(false));
        let life = Life {
            log,
            member: format!("m{member}"),
            disk,
            rollout: Arc::clone(&ear.rollout),
            stop: Arc::clone(&stop),
        };
        let thread = self.scope.spawn(|| life.live());
        self.world.runs_on(id, thread.thread().clone());
        self.running.push(Running {
            id,
            member,
            stop,
            thread,
            ear,
            is_doubled: false,
        });
    }

    /// Sees who has ended, and what follows from how it did.
    fn reap(&mut self) {
        let ended =
            |running: &Running<'_>| self.world.with(|state| state.actors[running.id].end.take());
        let mut over = Vec::new();
        for at in (0..self.running.len()).rev() {
            if let Some(end) = ended(&self.running[at]) {
                over.push((self.running.remove(at), end));
            }
        }
        for (running, end) in over {
            // It has nothing left to do but to return.
            _ = running.thread.join();
            self.world
                .with(|state| state.actors[running.id].end = Some(End::Stopped));
            let is_fenced = matches!(&end, End::Failed(WorkerError::Fenced(_)));
            match end {
                End::Failed(WorkerError::Fenced(_)) if running.is_doubled => {}
                End::Failed(error) => {
                    let member = running.member;
                    self.world.fail(format!("worker m{member} ended: {error}"));
                }
                End::Panicked(what) => self
                    .world
                    .fail(format!("worker m{} panicked: {what}", running.member)),
                End::Stopped | End::Crashed => {}
            }
            if !is_fenced && !self.runs(running.member) {
                let now = self.now();
                let wait = self.draw(|rng| {
                    let quick = rng.random_range(0..500);
                    [quick, quick, rng.random_range(0..2 * SESSION_TIMEOUT)][rng.random_range(0..3)]
                });
                self.members[running.member].restart_at = Some(now + wait);
            }
        }
    }

    /// Starts those again whose time has come.
    fn restart(&mut self) {
        let now = self.now();
        for member in 0..MEMBERS {
            let is_due = self.members[member].restart_at.is_some_and(|at| at <= now);
            if is_due && self.running.len() < self.scenario.workers {
                self.start(member);
            }
        }
        if self.running.is_empty()
            && self
                .members
                .iter()
                .all(|member| member.restart_at.is_none())
        {
            self.start(0);
        }
    }

    fn write_chunk(&mut self) {
        let (_, events) = &self.scenario.chunks[self.next_chunk];
        self.next_chunk += 1;
        self.world
            .note(DIRECTOR, || format!("writes {} events", events.len()));
        let at = written_at(self.now());
        let records = events.iter().map(|event| {
            let key = event.key.as_ref().map(|key| key.clone().into_bytes());
            (event.partition, key, event.value.clone(), at)
        });
        write(&self.log, SOURCE, records);
    }

    fn runs(&self, member: usize) -> bool {
        self.running.iter().any(|running| running.member == member)
    }

    fn somebody(&mut self) -> Option<Id> {
        let count = self.running.len();
        (count > 0).then(|| self.running[self.draw(|rng| rng.random_range(0..count))].id)
    }

    fn now(&self) -> u64 {
        self.world.with(|state| state.now)
    }

    fn has_failed(&self) -> bool {
        self.world.with(|state| state.failed.is_some())
    }

    fn happens(&self, odds: f64) -> bool {
        self.world.with(|state| state.draw(odds))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut rand_chacha::ChaCha8Rng) -> T) -> T {
        self.world.with(|state| draw(&mut state.rng))
    }
}
