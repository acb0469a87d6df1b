//! What the messages of a control topic come to: which component each step has, and what has become of each deploy. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Deploy, Message, PluginRef, Strategy};
use crate::registry::Signature;

/// The most deploys of which it is known what has become of them. Somebody may deploy every few seconds for years, and every process
/// of the pipeline remembers; what there was before is in the topic.
const MOST: usize = 250;

/// What has become of a deploy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// It never took effect, and why.
    Refused(String),
    /// Its component has some of the partitions.
    Canary,
    /// Its component runs beside the other.
    Shadow,
    /// Its component is in place, and watched.
    OnTrial,
    /// Its component is in place, or was until another deploy.
    Done,
    /// It was taken back, and why; whether a host did so by itself.
    TakenBack(String, bool),
}

/// A deploy.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its number: one more than its offset in the topic.
    pub(super) id: u64,
    pub(super) deploy: Deploy,
    pub(super) state: State,
    /// The generation of the version before it.
    before: u64,
    /// What the step could go back to before it.
    previous: Option<PluginRef>,
}

/// The component that was deployed into a step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct InPlace {
    /// The component that the pipeline's file had then.
    pub(super) base: String,
    pub(super) now: PluginRef,
    pub(super) previous: Option<PluginRef>,
}

/// Where the pieces of a component stand.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Pieces {
    of: u32,
    /// By number: the offset of the piece.
    at: BTreeMap<u32, i64>,
}

/// All that has been said.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    components: BTreeMap<String, Pieces>,
    /// By digest: what has been said to sign the component.
    signatures: BTreeMap<String, Vec<Signature>>,
    /// The last ones, in order, and any before them that is not over.
    deploys: Vec<Entry>,
    /// By step: the digests of all that was ever to be put there.
    ever: BTreeMap<String, BTreeSet<String>>,
    steps: BTreeMap<String, InPlace>,
    /// The generation of what runs where no canary does.
    generation: u64,
}

/// What is to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Wanted {
    /// The generation, and the component of each step into which something was deployed.
    pub(super) generation: u64,
    pub(super) steps: BTreeMap<String, InPlace>,
    /// The deploy that is under way or on trial.
    pub(super) active: Option<u64>,
}

impl History {
    /// A piece of a component stands at an offset.
    pub(super) fn piece(&mut self, offset: i64, digest: &str, number: u32, of: u32) {
        let pieces = self.components.entry(digest.to_owned()).or_default();
        pieces.of = of;
        pieces.at.insert(number, offset);
    }

    /// Where the pieces of a component stand, in order; `None` if not all do.
    pub(super) fn pieces(&self, digest: &str) -> Option<Vec<i64>> {
        let pieces = self.components.get(digest)?;
        let all: Vec<i64> = (0..pieces.of)
            .map_while(|number| pieces.at.get(&number).copied())
            .collect();
        (pieces.of > 0 && u32::try_from(all.len()) == Ok(pieces.of)).then_some(all)
    }

    /// What has been said to sign a component, right or not.
    pub(super) fn signatures(&self, digest: &str) -> &[Signature] {
        self.signatures.get(digest).map_or(&[], Vec::as_slice)
    }

    /// A message stands at an offset.
    pub(super) fn apply(&mut self, offset: i64, message: Message) {
        let number = offset.unsigned_abs() + 1;
        match message {
            Message::Deploy(deploy) => self.deploy(number, *deploy),
            Message::Promote { deploy } => self.promote(number, deploy),
            Message::Abort {
                deploy,
                reason,
                automatic,
            } => self.abort(number, deploy, reason, automatic),
            Message::Settle { deploy } => {
                if let Some(entry) = self.entry(deploy, &[State::OnTrial]) {
                    entry.state = State::Done;
                }
            }
        }
    }

    fn deploy(&mut self, id: u64, deploy: Deploy) {
        if let Some(signature) = deploy.signature.as_deref().and_then(Signature::from_text) {
            let known = self.signatures.entry(deploy.to.sha256.clone()).or_default();
            if !known.contains(&signature) {
                known.push(signature);
            }
        }
        let refusal = self.refusal(&deploy);
        if refusal.is_none()
            && let Some(active) = self.deploys.iter_mut().find(|entry| entry.is_active())
        {
            // It was on trial: with another in its place there is nothing left to judge.
            active.state = State::Done;
        }
        let before = self.generation;
        let previous = self
            .steps
            .get(&deploy.step)
            .and_then(|step| step.previous.clone());
        let state = match (refusal, &deploy.strategy) {
            (Some(why), _) => State::Refused(why),
            (None, Strategy::Canary { .. }) => State::Canary,
            (None, Strategy::Shadow { .. }) => State::Shadow,
            (None, Strategy::Immediate) => self.put_in_place(id, &deploy),
        };
        let digests = self.ever.entry(deploy.step.clone()).or_default();
        digests.insert(deploy.to.sha256.clone());
        self.deploys.push(Entry {
            id,
            deploy,
            state,
            before,
            previous,
        });
        if self.deploys.len() > MOST
            && let Some(first) = self.deploys.iter().position(|entry| !entry.is_active())
        {
            self.deploys.remove(first);
        }
    }

    /// Whether a component was ever to be put into a step.
    pub(super) fn was_deployed(&self, step: &str, digest: &str) -> bool {
        let digests = self.ever.get(step);
        digests.is_some_and(|digests| digests.contains(digest))
    }

    fn refusal(&self, deploy: &Deploy) -> Option<String> {
        let busy = self
            .deploys
            .iter()
            .find(|entry| matches!(entry.state, State::Canary | State::Shadow));
        if let Some(busy) = busy {
            return Some(format!(
                "deploy {} is under way: promote or abort it first",
                busy.id
            ));
        }
        if self.pieces(&deploy.to.sha256).is_none() {
            return Some("its component did not come whole: deploy it again".to_owned());
        }
        let now = self.now(&deploy.step, &deploy.base);
        (now != deploy.from.sha256).then(|| {
            format!("another component is in place meanwhile (sha256 {now}): look at it, and deploy again")
        })
    }

    /// The digest of a step's component, where the pipeline's file has `base`.
    fn now<'a>(&'a self, step: &str, base: &'a str) -> &'a str {
        let deployed = self.steps.get(step).filter(|step| step.base == base);
        deployed.map_or(base, |step| &step.now.sha256)
    }

    fn put_in_place(&mut self, generation: u64, deploy: &Deploy) -> State {
        self.generation = generation;
        self.steps.insert(
            deploy.step.clone(),
            InPlace {
                base: deploy.base.clone(),
                now: deploy.to.clone(),
                previous: Some(deploy.from.clone()),
            },
        );
        match deploy.trial {
            Some(_) => State::OnTrial,
            None => State::Done,
        }
    }

    fn promote(&mut self, number: u64, id: u64) {
        let Some(entry) = self.entry(id, &[State::Canary, State::Shadow]) else {
            return;
        };
        let deploy = entry.deploy.clone();
        let state = self.put_in_place(number, &deploy);
        if let Some(entry) = self.entry(id, &[State::Canary, State::Shadow]) {
            entry.state = state;
        }
    }

    fn abort(&mut self, number: u64, id: u64, reason: String, automatic: bool) {
        let under_way = [State::Canary, State::Shadow, State::OnTrial];
        let Some(entry) = self.entry(id, &under_way) else {
            return;
        };
        let was = std::mem::replace(&mut entry.state, State::TakenBack(reason, automatic));
        let (deploy, previous) = (entry.deploy.clone(), entry.previous.clone());
        match was {
            // Nothing was in its hands.
            State::Shadow => {}
            // Its partitions have its generation, which the one after must exceed.
            State::Canary => self.generation = number,
            _ => {
                self.generation = number;
                self.steps.insert(
                    deploy.step,
                    InPlace {
                        base: deploy.base,
                        now: deploy.from,
                        previous,
                    },
                );
            }
        }
    }

    fn entry(&mut self, id: u64, states: &[State]) -> Option<&mut Entry> {
        let entry = self.deploys.iter_mut().find(|entry| entry.id == id)?;
        states.contains(&entry.state).then_some(entry)
    }

    /// The last deploys, in order.
    pub(super) fn deploys(&self) -> &[Entry] {
        &self.deploys
    }

    /// The deploy that is under way or on trial.
    pub(super) fn active(&self) -> Option<&Entry> {
        self.deploys.iter().find(|entry| entry.is_active())
    }

    /// What is to run where no canary does.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            generation: self.generation,
            steps: self.steps.clone(),
            active: self.active().map(|entry| entry.id),
        }
    }

    /// The component in place of a step, and the one before it, where the pipeline's file has `base`.
    pub(super) fn step(&self, step: &str, base: &str) -> Option<&InPlace> {
        self.steps.get(step).filter(|step| step.base == base)
    }
}

impl Wanted {
    /// The components of the steps with that of a deploy among them, which is not in place.
    pub(super) fn with(&self, entry: &Entry) -> BTreeMap<String, InPlace> {
        let mut steps = self.steps.clone();
        let place = InPlace {
            base: entry.deploy.base.clone(),
            now: entry.deploy.to.clone(),
            previous: None,
        };
        steps.insert(entry.deploy.step.clone(), place);
        steps
    }
}

impl Entry {
    fn is_active(&self) -> bool {
        matches!(self.state, State::Canary | State::Shadow | State::OnTrial)
    }

    /// The generation of the version that it is compared with.
    pub(super) fn before(&self) -> u64 {
        self.before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy as Drawn, prop, prop_assert, prop_oneof, proptest};

    use super::super::message::TrialSpec;
    use super::*;

    fn plugin(name: &str) -> PluginRef {
        PluginRef {
            plugin: format!("{name}@1"),
            sha256: name.to_owned(),
        }
    }

    fn deploy(from: &str, to: &str, strategy: Strategy) -> Message {
        Message::Deploy(Box::new(Deploy {
            token: String::new(),
            step: "s".to_owned(),
            base: "file".to_owned(),
            from: plugin(from),
            to: plugin(to),
            strategy,
            trial: Some(TrialSpec::default()),
            is_rollback: false,
            by: "me".to_owned(),
            at: 0,
            host: String::new(),
            signature: None,
        }))
    }

    fn abort(deploy: u64) -> Message {
        Message::Abort {
            deploy,
            reason: "bad".to_owned(),
            automatic: true,
        }
    }

    const CANARY: Strategy = Strategy::Canary {
        percent: 25,
        seconds: None,
        rows: None,
    };
    const SHADOW: Strategy = Strategy::Shadow { windows: None };

    /// With the components a, b and c at offsets 0 to 2; messages from offset 3 on.
    fn told(messages: impl IntoIterator<Item = Message>) -> History {
        let mut history = History::default();
        for (offset, digest) in [(0, "a"), (1, "b"), (2, "c")] {
            history.piece(offset, digest, 0, 1);
        }
        for (offset, message) in (3..).zip(messages) {
            history.apply(offset, message);
        }
        history
    }

    fn now(history: &History) -> (&str, u64) {
        (history.now("s", "file"), history.generation)
    }

    fn states(history: &History) -> Vec<&State> {
        history.deploys().iter().map(|entry| &entry.state).collect()
    }

    #[test]
    fn a_deploy_puts_a_component_in_place_and_an_abort_the_one_before() {
        let immediate = |from, to| deploy(from, to, Strategy::Immediate);
        let history = told([immediate("file", "a")]);
        assert_eq!(
            (now(&history), history.active().map(|e| e.id)),
            (("a", 4), Some(4))
        );
        let history = told([
            immediate("file", "a"),
            Message::Settle { deploy: 4 },
            abort(4),
        ]);
        assert_eq!(now(&history), ("a", 4), "it has passed its trial");
        let history = told([immediate("file", "a"), immediate("a", "b"), abort(5)]);
        assert_eq!(now(&history), ("a", 6));
        let step = history.step("s", "file");
        assert_eq!(step.and_then(|s| s.previous.clone()), Some(plugin("file")));
        assert_eq!(history.step("s", "another file"), None, "the file counts");
    }

    #[test]
    fn a_canary_or_shadow_takes_the_place_when_it_is_promoted() {
        for strategy in [CANARY, SHADOW] {
            let promote = Message::Promote { deploy: 4 };
            let history = told([
                deploy("file", "a", strategy.clone()),
                promote.clone(),
                promote,
            ]);
            assert_eq!(now(&history), ("a", 5));
            assert_eq!(states(&history), [&State::OnTrial]);
        }
        let history = told([deploy("file", "a", CANARY), abort(4)]);
        assert_eq!(now(&history), ("file", 5), "more than the canary had");
        let history = told([deploy("file", "a", SHADOW), abort(4)]);
        assert_eq!(now(&history), ("file", 0));
    }

    #[test]
    fn what_was_overtaken_or_has_no_component_is_refused_by_everybody() {
        let refused = |message: Message, last: Message| {
            let history = told([message, last]);
            match &history.deploys()[1].state {
                State::Refused(why) => why.clone(),
                other => panic!("{other:?}"),
            }
        };
        let a = || deploy("file", "a", Strategy::Immediate);
        let why = refused(a(), deploy("file", "b", Strategy::Immediate));
        assert!(why.contains("sha256 a"), "{why}");
        let why = refused(a(), deploy("a", "d", Strategy::Immediate));
        assert!(why.contains("whole"), "{why}");
        let why = refused(deploy("file", "a", CANARY), deploy("file", "b", CANARY));
        assert!(why.contains("deploy 4 is under way"), "{why}");
    }

    #[test]
    fn of_many_deploys_the_last_are_remembered_with_what_is_not_over() {
        let turns = ["a", "b"].into_iter().cycle();
        let from = ["file"].into_iter().chain(turns.clone());
        let many = from.zip(turns).take(2 * MOST);
        let many = many.map(|(from, to)| deploy(from, to, Strategy::Immediate));
        let mut history = told(
            [deploy("file", "c", SHADOW), abort(4)]
                .into_iter()
                .chain(many),
        );
        let ids = |history: &History| {
            let ids = history.deploys().iter().map(|entry| entry.id);
            ids.collect::<Vec<_>>()
        };
        let last = u64::try_from(5 + 2 * MOST).expect("it is small");
        let first = last + 1 - u64::try_from(MOST).expect("it is small");
        assert_eq!(ids(&history), Vec::from_iter(first..=last));
        assert_eq!(history.active().map(|entry| entry.id), Some(last));
        assert_eq!(now(&history), ("b", last));
        assert!(history.was_deployed("s", "c") && !history.was_deployed("t", "c"));
        // A shadow that goes on for long: what is deployed meanwhile is refused, and it is not forgotten.
        let begun = last + 1;
        let offset = |id: u64| i64::try_from(id).expect("it is small") - 1;
        history.apply(offset(begun), deploy("b", "c", SHADOW));
        for id in begun + 1..begun + 1 + last {
            history.apply(offset(id), deploy("b", "a", Strategy::Immediate));
        }
        assert_eq!(history.active().map(|entry| entry.id), Some(begun));
        assert_eq!(history.deploys().len(), MOST);
    }

    #[test]
    fn pieces_of_a_component_make_a_whole_in_any_order() {
        let mut history = History::default();
        history.piece(7, "x", 1, 2);
        assert_eq!(history.pieces("x"), None);
        history.piece(9, "x", 0, 2);
        assert_eq!(history.pieces("x"), Some(vec![9, 7]));
    }

    fn message() -> impl Drawn<Value = Message> {
        let name = || prop::sample::select(vec!["file", "a", "b", "c", "d"]);
        let strategy = prop::sample::select(vec![Strategy::Immediate, CANARY, SHADOW]);
        prop_oneof![
            (name(), name(), strategy).prop_map(|(from, to, how)| deploy(from, to, how)),
            (0_u64..30).prop_map(|deploy| Message::Promote { deploy }),
            (0_u64..30).prop_map(abort),
            (0_u64..30).prop_map(|deploy| Message::Settle { deploy }),
        ]
    }

    proptest! {
        /// Whatever is said: generations never go back, one deploy is under way at most, and what is in place has come whole.
        #[test]
        fn generations_only_rise(messages in prop::collection::vec(message(), 0..30)) {
            let mut history = told([]);
            for (offset, message) in (3..).zip(messages) {
                let before = (history.generation, history.now("s", "file").to_owned());
                history.apply(offset, message);
                let after = (history.generation, history.now("s", "file").to_owned());
                prop_assert!(after.0 >= before.0);
                prop_assert!(after.1 == before.1 || after.0 > before.0);
                prop_assert!(history.deploys.iter().filter(|entry| entry.is_active()).count() <= 1);
                prop_assert!(after.1 == "file" || history.pieces(&after.1).is_some());
            }
        }
    }
}
