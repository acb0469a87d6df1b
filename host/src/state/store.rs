//! What a local store of state promises.
//!
//! The store is a cache of the changelog. It may lag it, be lost, or be an old copy, and is caught up or built again; it
//! must never lead it, nor mix what belongs to different commits. So a task's entries and the position in the changelog
//! that they stand for are written together or not at all, and need not be on disk when [`Store::apply`] returns.

use std::ops::ControlFlow;

use super::error::StoreError;
use super::task::{Position, TaskId};

/// A change of one entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change<'a> {
    /// The entry's key; see [`StateKey`](super::StateKey).
    pub key: &'a [u8],
    /// Its value from now on; `None` if there is none any more.
    pub value: Option<&'a [u8]>,
}

/// What one commit changes of a task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Slice<'a> {
    /// The task.
    pub task: TaskId,
    /// The changes, in the order in which they are made.
    pub changes: Vec<Change<'a>>,
    /// Where the entries stand after them.
    pub position: &'a Position,
}

/// Is shown an entry's key and value, and says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Local entries of tasks. Used by one worker, from its thread.
///
/// # What every implementation promises
/// - **Atomic.** Of one call of [`Store::apply`], all slices are there or none, also after a crash of the process. After
///   one of the machine, the last calls may be missing, positions and all.
/// - **Visible.** What was applied is read from the moment that the call returns.
/// - **Apart.** Tasks share no keys. A task has a position if, and only if, it has been applied to since it was last
///   cleared; one that has none has no entries.
///
/// After an error the store is of no more use: it is dropped and opened anew, a damaged one after its removal.
pub trait Store {
    /// How far a task's entries have come; `None` if it has none.
    ///
    /// # Errors
    /// If it can't be read.
    fn position(&self, task: TaskId) -> Result<Option<Position>, StoreError>;

    /// Applies changes of several tasks, all or none. Called once after each commit of the log, and by a restore. May wait for
    /// the disk where more comes than it takes.
    ///
    /// # Errors
    /// If it can't be written.
    fn apply(&mut self, slices: &[Slice<'_>]) -> Result<(), StoreError>;

    /// The value of an entry.
    ///
    /// # Errors
    /// If it can't be read.
    fn get(&self, task: TaskId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits a task's entries from the key `from` on, up to and without `to`, in ascending order, until told to stop.
    ///
    /// # Errors
    /// If they can't be read.
    fn scan(
        &self,
        task: TaskId,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError>;

    /// Forgets a task's entries and its position, and gives their space back in the end.
    ///
    /// # Errors
    /// If it can't be written.
    fn clear(&mut self, task: TaskId) -> Result<(), StoreError>;

    /// The tasks that have a position, sorted.
    ///
    /// # Errors
    /// If they can't be read.
    fn tasks(&self) -> Result<Vec<TaskId>, StoreError>;
}
