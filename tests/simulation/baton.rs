//! The baton: of all threads of a run exactly one runs, and the seed says which.
//!
//! A simulated worker is a real one on a thread of its own. Whatever it asks of the world (the log, its store, the clock) goes
//! through a wrapper, and each wrapper first gives the baton back ([`World::pass`]). The next one to run is then drawn. So a
//! run is a function of its seed, however the machine schedules threads.
//!
//! A crash is an unwinding with a payload of its own, out of a wrapper's call: all that the worker had in memory is gone, and
//! no line of its code runs any more but destructors, which the wrappers make harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::broker::Broker;
use crate::faults::{Call, Fault, Odds, Tally, When};
use crate::mutations::Mutation;
use crate::sim_store::Disk;

/// Who takes part in a run: by the order of appearance.
pub(crate) type Id = usize;
/// The thread that drives the run.
pub(crate) const DIRECTOR: Id = 0;
/// No run takes so many steps unless something goes round in circles.
const MOST_STEPS: u64 = 400_000;

/// With what a crash unwinds.
pub(crate) struct Crash;

/// How a worker has ended.
#[derive(Debug)]
pub(crate) enum End {
    Stopped,
    Crashed,
    Failed(millstream::worker::WorkerError),
    Panicked(String),
}

/// One who takes part.
pub(crate) struct Actor {
    pub(crate) name: String,
    thread: Option<Thread>,
    /// It does not run before this time.
    wake: u64,
    /// The machine does not let it run before this time.
    pub(crate) frozen_until: u64,
    /// It crashes as soon as it would go on.
    pub(crate) killed: bool,
    pub(crate) end: Option<End>,
}

/// All that the participants of a run share.
pub(crate) struct World {
    turn: AtomicUsize,
    state: Mutex<State>,
    pub(crate) mutation: Option<Mutation>,
    is_traced: bool,
}

/// What changes. Only who has the baton touches it.
pub(crate) struct State {
    pub(crate) rng: ChaCha8Rng,
    /// Milliseconds since the run began.
    pub(crate) now: u64,
    pub(crate) actors: Vec<Actor>,
    pub(crate) odds: Odds,
    pub(crate) tally: Tally,
    pub(crate) broker: Broker,
    pub(crate) disks: Vec<Disk>,
    /// What has gone wrong: the first thing only.
    pub(crate) failed: Option<String>,
    /// Calls of workers fail until this time.
    pub(crate) away_until: u64,
    pub(crate) steps: u64,
    /// A digest of the schedule.
    pub(crate) digest: u64,
    /// The generation that each worker has heard of.
    pub(crate) heard: BTreeMap<Id, u64>,
    /// Workers that have heard of another target and not committed since.
    pub(crate) swapping: BTreeSet<Id>,
}

impl World {
    /// A world with nobody in it but the director, which has the baton.
    pub(crate) fn new(
        seed: u64,
        broker: Broker,
        mutation: Option<Mutation>,
        is_traced: bool,
    ) -> Self {
        let director = Actor {
            name: "director".to_owned(),
            thread: Some(std::thread::current()),
            wake: 0,
            frozen_until: 0,
            killed: false,
            end: None,
        };
        Self {
            turn: AtomicUsize::new(DIRECTOR),
            state: Mutex::new(State {
                rng: ChaCha8Rng::seed_from_u64(seed),
                now: 0,
                actors: vec![director],
                odds: Odds::default(),
                tally: Tally::default(),
                broker,
                disks: Vec::new(),
                failed: None,
                away_until: 0,
                steps: 0,
                digest: 0,
                heard: BTreeMap::new(),
                swapping: BTreeSet::new(),
            }),
            mutation,
            is_traced,
        }
    }

    /// Looks at the state, or changes it. Nobody passes the baton meanwhile.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut state)
    }

    /// A line of the trace.
    pub(crate) fn note(&self, me: Id, text: impl FnOnce() -> String) {
        if self.is_traced {
            let (now, name) = self.with(|state| (state.now, state.actors[me].name.clone()));
            eprintln!("{now:>7} {name:<9} {}", text());
        }
    }

    /// Something is wrong: the run ends, and this is what the judge says.
    pub(crate) fn fail(&self, what: String) {
        self.with(|state| {
            state.failed.get_or_insert(what);
        });
    }

    /// Takes in somebody new, who runs once the baton comes to it.
    pub(crate) fn enter(&self, name: String) -> Id {
        self.with(|state| {
            let wake = state.now;
            state.actors.push(Actor {
                name,
                thread: None,
                wake,
                frozen_until: 0,
                killed: false,
                end: None,
            });
            state.actors.len() - 1
        })
    }

    /// Tells on which thread somebody runs; before the baton is passed for the first time.
    pub(crate) fn runs_on(&self, who: Id, thread: Thread) {
        self.with(|state| state.actors[who].thread = Some(thread));
    }

    /// Waits for the baton, on a thread that begins.
    pub(crate) fn await_turn(&self, me: Id) {
        while self.turn.load(Ordering::Acquire) != me {
            std::thread::park();
        }
    }

    /// Gives the baton back, and does not ask for it again for `wait` milliseconds.
    pub(crate) fn pass(&self, me: Id, wait: u64) {
        let next = self.with(|state| {
            state.actors[me].wake = state.now + wait;
            state.next(Some(me).filter(|_| wait == 0))
        });
        self.hand_to(me, next);
        self.await_turn(me);
        let dies = self.with(|state| state.actors[me].killed || state.failed.is_some());
        if dies && me != DIRECTOR {
            crash();
        }
    }

    /// Leaves for good.
    pub(crate) fn leave(&self, me: Id, end: End) {
        self.note(me, || format!("has ended: {end:?}"));
        let next = self.with(|state| {
            state.actors[me].end = Some(end);
            state.next(None)
        });
        self.hand_to(me, next);
    }

    fn hand_to(&self, me: Id, next: Id) {
        if next == me {
            return;
        }
        let thread = self.with(|state| state.actors[next].thread.clone());
        self.turn.store(next, Ordering::Release);
        if let Some(thread) = thread {
            thread.unpark();
        }
    }

    /// Crashes `me` here, if the dice say so.
    pub(crate) fn may_crash(&self, me: Id, call: Call, when: When) {
        let crashes = self.with(|state| {
            let odds = state.odds.crash(call);
            state.happens(odds, Fault::Crash(when, call))
        });
        if crashes {
            self.note(me, || format!("crashes {when:?} {call:?}"));
            crash();
        }
    }
}

/// Ends the life of the worker on this thread.
pub(crate) fn crash() -> ! {
    std::panic::resume_unwind(Box::new(Crash))
}

impl State {
    /// Whether something happens that does so with this probability. It is counted if so.
    pub(crate) fn happens(&mut self, probability: f64, fault: Fault) -> bool {
        let happens = self.draw(probability);
        if happens {
            self.tally.count(fault);
        }
        happens
    }

    /// Takes note that a worker knows of a generation.
    pub(crate) fn told(&mut self, who: Id, generation: u64) {
        if self.heard.insert(who, generation).is_some() {
            self.swapping.insert(who);
        }
    }

    /// True with this probability.
    pub(crate) fn draw(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random_bool(probability)
    }

    /// Moves time on and draws who runs next; `me` goes on more often than not, if it can.
    fn next(&mut self, me: Option<Id>) -> Id {
        self.steps += 1;
        self.now += u64::from(self.rng.next_u32() % 3);
        if self.steps > MOST_STEPS {
            let now = self.now;
            self.failed.get_or_insert_with(|| {
                format!("after {now} ms and {MOST_STEPS} steps no end is in sight")
            });
        }
        if self.failed.is_some() {
            // The director ends the run; those whom it kills get the baton from it.
            return self.doomed();
        }
        self.broker.keep_house(self.now);
        loop {
            let is_ready = |actor: &Actor| {
                actor.end.is_none() && actor.wake.max(actor.frozen_until) <= self.now
            };
            if let Some(me) = me
                && is_ready(&self.actors[me])
                && self.rng.next_u32() % 8 < 5
            {
                return self.chosen(me);
            }
            let ready: Vec<Id> = (0..self.actors.len())
                .filter(|id| is_ready(&self.actors[*id]))
                .collect();
            if !ready.is_empty() {
                let next = ready[self.rng.random_range(0..ready.len())];
                return self.chosen(next);
            }
            let alive = self.actors.iter().filter(|actor| actor.end.is_none());
            let wake = alive.map(|actor| actor.wake.max(actor.frozen_until)).min();
            self.now = wake.unwrap_or(self.now);
            self.broker.keep_house(self.now);
        }
    }

    /// Somebody who has not ended yet, the director last.
    fn doomed(&self) -> Id {
        let alive = |id: &Id| self.actors[*id].end.is_none();
        (1..self.actors.len()).find(alive).unwrap_or(DIRECTOR)
    }

    fn chosen(&mut self, next: Id) -> Id {
        let mix = (self.now << 8) ^ next as u64;
        self.digest = (self.digest.rotate_left(5) ^ mix).wrapping_mul(0x517c_c1b7_2722_0a95);
        next
    }
}
