//! The torturer of one pipeline: keeps its hosts running, does to them, to the broker and to the network what the plan says,
//! and sees for each fault whether it bit and whether the pipeline went on.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millstream::log::Log;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;

use crate::broker::Broker;
use crate::host::{Ended, Host};
use crate::job::Job;
use crate::plan::{Fault, Point};
use crate::proxy::{Proxy, Trap, rest};
use crate::report::Report;
use crate::watch::Watch;

/// How often hosts are looked after.
const LOOK: Duration = Duration::from_millis(20);
/// How long a pipeline may go without a commit once a fault is over. A member that was killed is waited for until its
/// session ends, and a transaction until the broker ends it; beyond that nothing takes so long.
const RECOVERY: Duration = Duration::from_secs(90);
/// How long a fault is waited for that needs the host to do something.
const BITE: Duration = Duration::from_secs(40);
/// Less than a session lasts: whoever commits before has not been replaced yet.
const BEFORE_TAKEOVER: Duration = Duration::from_secs(4);
/// How long two processes are left to each other.
const TOGETHER: Duration = Duration::from_secs(3);
/// What a system says that has no space left.
const NO_SPACE: &str = "No space left";
/// The most workers of a host.
const MOST_WORKERS: usize = 4;

/// What both torturers work on.
pub(crate) struct World {
    pub(crate) broker: Mutex<Broker>,
    pub(crate) proxy: Proxy,
    /// Held by whoever does something to the network.
    pub(crate) network: Mutex<()>,
    /// How many clicks have been written.
    pub(crate) written: AtomicU64,
}

/// The torturer of a pipeline.
pub(crate) struct Torturer<'a> {
    world: &'a World,
    watch: &'a Watch,
    job: &'a Job,
    rng: ChaCha8Rng,
    hosts: [Host; 2],
    /// Which of the two runs when nothing special is going on.
    primary: usize,
    workers: usize,
    /// How often a host has killed itself as it was told to.
    killed_itself: u64,
    /// Where the group stood at the last kill.
    at_last_kill: i64,
    report: Report,
}

impl<'a> Torturer<'a> {
    /// Starts a host, with files in `folder`.
    pub(crate) fn start(
        world: &'a World,
        watch: &'a Watch,
        job: &'a Job,
        folder: &Path,
        seed: u64,
    ) -> Self {
        let mut torturer = Self {
            world,
            watch,
            job,
            rng: ChaCha8Rng::seed_from_u64(seed),
            hosts: ["a", "b"].map(|name| Host::new(job, folder.join(job.kind.name()).join(name))),
            primary: 0,
            workers: 2,
            killed_itself: 0,
            at_last_kill: 0,
            report: Report::default(),
        };
        torturer.start_host(0, None);
        torturer
    }

    /// Does all that is planned, one after the other. Ends early if the pipeline does not recover.
    pub(crate) fn work(&mut self, faults: &[Fault]) {
        let mut has_recovered = self.recover("its first start");
        for &fault in faults {
            if !has_recovered {
                return;
            }
            let bit = self.suffer(fault);
            self.report.note(fault, bit);
            has_recovered = self.recover(&fault.name());
        }
    }

    /// Starts hosts again that have ended by themselves, as a service manager would.
    pub(crate) fn tend(&mut self) {
        for index in 0..self.hosts.len() {
            if let Some(ended) = self.hosts[index].ended() {
                self.note_end(index, ended);
            }
            if self.hosts[index].is_due() {
                self.start_host(index, None);
            }
        }
    }

    /// Ends all hosts in good order, and tells what was done.
    pub(crate) fn finish(mut self) -> Report {
        for index in 0..self.hosts.len() {
            self.stop(index);
        }
        self.report
    }

    /// Whether as many records have been read as there should be in each topic, or more.
    pub(crate) fn has_all(&self, wanted: [usize; 3]) -> bool {
        let seen = self.watch.seen().counts();
        seen.iter()
            .zip(wanted)
            .all(|(seen, wanted)| *seen >= wanted)
    }

    fn suffer(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::KilledAt(point) => self.killed_at(point),
            Fault::Killed => {
                let time = self.millis(200..3_000);
                self.pass(time);
                self.kill(self.primary);
                self.start_host(self.primary, None);
                true
            }
            Fault::Zombie => self.zombie(),
            Fault::TwoProcesses => self.two_processes(),
            Fault::BrokerKilled => {
                let away = self.millis(0..2_000);
                let mut broker = self.world.broker.lock().unwrap();
                broker.kill();
                rest(away);
                broker.start();
                true
            }
            Fault::Cut => {
                let _network = self.world.network.lock().unwrap();
                let cut = self.world.proxy.cut();
                let time = self.millis(500..9_000);
                self.pass(time);
                self.world.proxy.clear();
                self.report.connections += cut as u64;
                cut > 0
            }
            Fault::Slow => {
                let _network = self.world.network.lock().unwrap();
                let by = self.millis(20..400);
                self.world.proxy.slow(by);
                self.pass(Duration::from_secs(4));
                self.world.proxy.clear() > 0
            }
            Fault::AnswerLost => self.trap(Trap::LoseAnswer, Duration::ZERO),
            Fault::AnswerHeld => {
                let by = self.millis(1_000..9_000);
                self.trap(Trap::HoldAnswer(by), by)
            }
            Fault::CommitLate => {
                let by = self.millis(300..6_000);
                self.trap(Trap::DeliverLate(by), by)
            }
            Fault::StateDeleted => self.between_starts(|host, _| host.state.delete()),
            Fault::StateDamaged => self
                .between_starts(|host, rng| host.state.damage(|files| rng.random_range(0..files))),
            Fault::StateOld => {
                let copied = self.between_starts(|host, _| host.state.copy());
                let went_on = self.recover("a copy was made");
                self.pass(Duration::from_secs(1));
                let restored = self.between_starts(|host, _| host.state.restore());
                copied && went_on && restored
            }
            Fault::DiskFull => self.disk_full(),
            Fault::MoreWorkers => {
                self.restart_with(self.workers.min(MOST_WORKERS - 1));
                let more = self.rng.random_range(self.workers + 1..=MOST_WORKERS);
                self.restart_with(more)
            }
            Fault::FewerWorkers => {
                self.restart_with(self.workers.max(2));
                let fewer = self.rng.random_range(1..self.workers);
                self.restart_with(fewer)
            }
        }
    }

    fn killed_at(&mut self, point: Point) -> bool {
        let nth = self.rng.random_range(1..20);
        self.put_down(self.primary);
        let before = self.killed_itself;
        self.start_host(self.primary, Some((point, nth)));
        let bit = self.until(BITE, |this| this.killed_itself > before);
        if !bit {
            self.kill(self.primary);
            self.start_host(self.primary, None);
        }
        bit
    }

    /// Stops a host until another has committed in its place, and wakes it.
    fn zombie(&mut self) -> bool {
        let (old, new) = (self.primary, 1 - self.primary);
        self.hosts[old].signal(Signal::STOP);
        self.start_host(new, None);
        self.pass(BEFORE_TAKEOVER);
        let stood = self.watch.committed();
        let taken = self.until(BITE, |this| this.watch.committed() > stood);
        self.hosts[old].signal(Signal::CONT);
        self.pass(TOGETHER);
        self.leave_one();
        taken
    }

    /// Runs both hosts until the group has members of both, and a while longer.
    fn two_processes(&mut self) -> bool {
        let new = 1 - self.primary;
        self.start_host(new, None);
        let log = self.world.broker.lock().unwrap().log.clone();
        let group = self.job.name.clone();
        let both = self.until(BITE, |_| {
            let members = log.members(&group).unwrap_or_default();
            let ours = members.iter().filter(|member| member.starts_with(&group));
            // What is behind the last hyphen is the worker's number.
            let processes = ours.filter_map(|member| member.rsplit_once('-'));
            let processes: BTreeSet<&str> = processes.map(|(process, _)| process).collect();
            processes.len() > 1
        });
        let stood = self.watch.committed();
        self.pass(TOGETHER);
        let at_work = self.until(BITE, |this| this.watch.committed() > stood);
        self.leave_one();
        both && at_work
    }

    /// Ends one of two hosts, whichever; the other is the primary from now on.
    fn leave_one(&mut self) {
        let leaving = self.rng.random_range(0..2);
        self.put_down(leaving);
        self.primary = 1 - leaving;
    }

    fn trap(&mut self, trap: Trap, work: Duration) -> bool {
        let _network = self.world.network.lock().unwrap();
        let before = self.world.proxy.sprung();
        self.world.proxy.set(Some(trap));
        let bit = self.until(BITE, |this| this.world.proxy.sprung() > before);
        self.world.proxy.set(None);
        if bit {
            self.pass(work);
        }
        bit
    }

    fn disk_full(&mut self) -> bool {
        let primary = self.primary;
        if !self.hosts[primary].state.can_be_full() {
            let why = "no file system of its own could be mounted (that takes root)";
            self.report.left_out.insert(Fault::DiskFull, why.to_owned());
            return false;
        }
        self.hosts[primary].state.fill();
        let noticed = self.until(BITE, |this| this.hosts[primary].has_said(NO_SPACE));
        self.hosts[primary].state.empty();
        noticed
    }

    /// Restarts the primary, after something has been done to it. Says what that said.
    fn between_starts(&mut self, act: impl FnOnce(&mut Host, &mut ChaCha8Rng) -> bool) -> bool {
        self.put_down(self.primary);
        let bit = act(&mut self.hosts[self.primary], &mut self.rng);
        self.start_host(self.primary, None);
        bit
    }

    /// Restarts the primary with so many workers. Says whether that is a change.
    fn restart_with(&mut self, workers: usize) -> bool {
        let is_change = workers != self.workers;
        if is_change {
            self.put_down(self.primary);
            self.workers = workers;
            self.start_host(self.primary, None);
        }
        is_change
    }

    /// Waits until the pipeline has committed something. Says whether it has, and notes it if not.
    fn recover(&mut self, from: &str) -> bool {
        let begin = Instant::now();
        let stood = self.watch.committed();
        let goes_on = self.until(RECOVERY, |this| this.watch.committed() > stood);
        let took = begin.elapsed();
        self.report.slowest_recovery = self.report.slowest_recovery.max(took);
        if !goes_on {
            let name = &self.job.name;
            let text = format!("{name}: no commit for {RECOVERY:?} after this: {from}");
            self.report.wrong.push(text);
        }
        goes_on
    }

    /// Kills or stops a host, whichever.
    fn put_down(&mut self, index: usize) {
        if self.rng.random() {
            self.kill(index);
        } else {
            self.stop(index);
        }
    }

    fn kill(&mut self, index: usize) {
        self.hosts[index].kill();
        self.note_kill();
    }

    fn stop(&mut self, index: usize) {
        match self.hosts[index].stop() {
            None | Some(Ended::Code(0)) => {}
            Some(ended) => self.note_end(index, ended),
        }
    }

    fn start_host(&mut self, index: usize, kill_at: Option<(Point, u32)>) {
        self.hosts[index].start(self.workers, kill_at);
    }

    /// A kill falls between two commits if its process had committed, and rows had been written since.
    fn note_kill(&mut self) {
        let committed = self.watch.committed();
        let written = self.world.written.load(Ordering::Relaxed);
        let is_behind = u64::try_from(committed).is_ok_and(|committed| committed < written);
        self.report.between_commits += u64::from(is_behind && committed > self.at_last_kill);
        self.at_last_kill = committed;
    }

    fn note_end(&mut self, index: usize, ended: Ended) {
        let place = self.hosts[index].folder().display();
        match ended {
            Ended::Killed => {
                self.killed_itself += 1;
                self.note_kill();
            }
            Ended::Code(code) => self.report.note_end(format!("code {code}")),
            Ended::Panicked => self.report.wrong.push(format!("a host panicked: {place}")),
            Ended::Hung => {
                let text = format!("a host did not end when told to: {place}");
                self.report.wrong.push(text);
            }
        }
    }

    /// Looks after the hosts until something is so, for so long at most. Says whether it is.
    fn until(&mut self, patience: Duration, mut is_so: impl FnMut(&Self) -> bool) -> bool {
        let begin = Instant::now();
        loop {
            self.tend();
            if is_so(self) {
                return true;
            }
            if begin.elapsed() >= patience {
                return false;
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// Looks after the hosts for so long.
    fn pass(&mut self, time: Duration) {
        self.until(time, |_| false);
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }
}
