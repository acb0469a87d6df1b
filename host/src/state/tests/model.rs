//! Both stores against the plain version of them, driven by the same random steps.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;

type Key = Vec<u8>;

/// A task and what becomes of its keys.
type Changes = (TaskId, Vec<(Key, Option<Vec<u8>>)>);

#[derive(Clone, Debug)]
enum Step {
    /// Changes of some tasks, in one batch.
    Apply(Vec<Changes>),
    Clear(TaskId),
    Scan(TaskId, Key, Key, usize),
    Reopen,
}

fn task() -> impl Strategy<Value = TaskId> {
    let stage = prop::sample::select(vec![Stage::Source, Stage::Final]);
    (stage, 0..2).prop_map(|(stage, partition)| TaskId { stage, partition })
}

/// Few keys, so that steps meet.
fn key() -> impl Strategy<Value = Key> {
    prop::collection::vec(prop::sample::select(vec![0, 1, 255]), 0..3)
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..4));
    let changes = prop::collection::vec((key(), value), 0..6);
    let slices = prop::collection::vec((task(), changes), 0..4);
    prop_oneof![
        6 => slices.prop_map(Step::Apply),
        1 => task().prop_map(Step::Clear),
        2 => (task(), key(), key(), 1_usize..4).prop_map(|(task, from, to, most)| Step::Scan(task, from, to, most)),
        1 => Just(Step::Reopen),
    ]
}

/// The plain version.
#[derive(Default)]
struct Model {
    entries: BTreeMap<(TaskId, Key), Vec<u8>>,
    positions: BTreeMap<TaskId, Position>,
}

impl Model {
    fn of(&self, task: TaskId) -> impl Iterator<Item = (Key, Vec<u8>)> {
        let own = self.entries.iter().filter(move |((of, _), _)| *of == task);
        own.map(|((_, key), value)| (key.clone(), value.clone()))
    }
}

fn run(mut place: impl Place, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let mut store = place.open();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Apply(slices) => {
                let position = position(i64::try_from(number).unwrap());
                let slice = |(task, changes): &Changes| {
                    for (key, value) in changes {
                        let key = (*task, key.clone());
                        match value {
                            Some(value) => model.entries.insert(key, value.clone()),
                            None => model.entries.remove(&key),
                        };
                    }
                    model.positions.insert(*task, position.clone());
                };
                slices.iter().for_each(slice);
                let slices: Vec<Slice<'_>> = slices
                    .iter()
                    .map(|(task, changes)| Slice {
                        task: *task,
                        changes: changes
                            .iter()
                            .map(|(key, value)| Change {
                                key,
                                value: value.as_deref(),
                            })
                            .collect(),
                        position: &position,
                    })
                    .collect();
                store.apply(&slices)?;
            }
            Step::Clear(task) => {
                store.clear(task)?;
                model.entries.retain(|(of, _), _| *of != task);
                model.positions.remove(&task);
            }
            Step::Scan(task, from, to, most) => {
                let mut found = Vec::new();
                store.scan(task, &from, &to, &mut |key, value| {
                    found.push((key.to_vec(), value.to_vec()));
                    match found.len() < most {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }
                })?;
                let range = model.of(task).filter(|(key, _)| from <= *key && *key < to);
                prop_assert_eq!(found, range.take(most).collect::<Vec<_>>());
            }
            Step::Reopen => {
                place.leave(store);
                store = place.open();
            }
        }
        let tasks: Vec<TaskId> = model.positions.keys().copied().collect();
        prop_assert_eq!(store.tasks()?, tasks.clone());
        for task in tasks {
            prop_assert_eq!(store.position(task)?, model.positions.get(&task).cloned());
            let expected: Vec<_> = model.of(task).collect();
            for (key, value) in &expected {
                prop_assert_eq!(store.get(task, key)?, Some(value.clone()));
            }
            prop_assert_eq!(entries(&store, task)?, expected);
        }
    }
    place.leave(store);
    Ok(())
}

proptest! {
    #[test]
    fn the_store_in_memory_does_what_the_plain_version_does(steps in prop::collection::vec(step(), 1..30)) {
        run(Memory::default(), steps)?;
    }
}

proptest! {
    // Each makes a folder and syncs it.
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn the_store_on_disk_does_what_the_plain_version_does(steps in prop::collection::vec(step(), 1..30)) {
        run(Disk::default(), steps)?;
    }
}
