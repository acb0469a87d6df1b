//! A store in memory: the twin of the one on disk, for tests and simulations. A clone is a copy, as of a folder.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::error::StoreError;
use super::store::{Slice, Store, Visit};
use super::task::{Position, TaskId};

#[derive(Clone, Debug)]
struct Entries {
    position: Position,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A store in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tasks: BTreeMap<TaskId, Entries>,
}

impl MemoryStore {
    /// A store with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn position(&self, task: TaskId) -> Result<Option<Position>, StoreError> {
        Ok(self.tasks.get(&task).map(|task| task.position.clone()))
    }

    fn apply(&mut self, slices: &[Slice<'_>]) -> Result<(), StoreError> {
        for slice in slices {
            let task = self.tasks.entry(slice.task).or_insert_with(|| Entries {
                position: slice.position.clone(),
                entries: BTreeMap::new(),
            });
            task.position = slice.position.clone();
            for change in &slice.changes {
                match change.value {
                    Some(value) => task.entries.insert(change.key.to_vec(), value.to_vec()),
                    None => task.entries.remove(change.key),
                };
            }
        }
        Ok(())
    }

    fn get(&self, task: TaskId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let task = self.tasks.get(&task);
        Ok(task.and_then(|task| task.entries.get(key).cloned()))
    }

    fn scan(
        &self,
        task: TaskId,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(task) = self.tasks.get(&task).filter(|_| from < to) else {
            return Ok(());
        };
        let range = (Bound::Included(from), Bound::Excluded(to));
        for (key, value) in task.entries.range::<[u8], _>(range) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn clear(&mut self, task: TaskId) -> Result<(), StoreError> {
        self.tasks.remove(&task);
        Ok(())
    }

    fn tasks(&self) -> Result<Vec<TaskId>, StoreError> {
        Ok(self.tasks.keys().copied().collect())
    }
}
