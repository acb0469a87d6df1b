//! What the workers of one process tell each other: how the source partitions that they read stand and, in a run that has an end,
//! where that is and who has come to it. What other processes read is not seen here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ending::Ends;
use crate::log::{Log, LogError};
use crate::window::Standing;

/// See the opening of this file.
#[derive(Debug)]
pub(super) struct Board {
    workers: usize,
    posts: Mutex<BTreeMap<String, Post>>,
    ending: Option<Ending>,
}

/// What a worker has told last.
#[derive(Debug)]
struct Post {
    standings: Vec<Standing>,
    is_done: bool,
}

/// Of a run that has an end.
#[derive(Debug, Default)]
struct Ending {
    ends: Mutex<Option<Arc<Ends>>>,
    is_over: AtomicBool,
}

impl Board {
    /// For so many workers, whose run has an end if `until_end`.
    pub(super) fn new(workers: usize, until_end: bool) -> Self {
        Self {
            workers,
            posts: Mutex::default(),
            ending: until_end.then(Ending::default),
        }
    }

    /// Where the run ends; `None` if it goes on until it is told to stop. The log is asked once, by whoever comes first.
    ///
    /// # Errors
    /// If the log can't be reached.
    pub(super) fn ends<L: Log>(
        &self,
        log: &L,
        topics: &[String],
    ) -> Result<Option<Arc<Ends>>, LogError> {
        let Some(ending) = &self.ending else {
            return Ok(None);
        };
        let mut ends = lock(&ending.ends);
        if let Some(ends) = &*ends {
            return Ok(Some(Arc::clone(ends)));
        }
        let taken = Arc::new(Ends::take(log, topics)?);
        *ends = Some(Arc::clone(&taken));
        Ok(Some(taken))
    }

    /// A worker tells how its partitions stand, and whether it has nothing more to do.
    pub(super) fn post(&self, member: &str, standings: Vec<Standing>, is_done: bool) {
        let post = Post { standings, is_done };
        let mut posts = lock(&self.posts);
        match posts.get_mut(member) {
            Some(before) => *before = post,
            None => drop(posts.insert(member.to_owned(), post)),
        }
    }

    /// A worker has let go of all that it had.
    pub(super) fn leave(&self, member: &str) {
        lock(&self.posts).remove(member);
    }

    /// How all partitions of the process stand.
    pub(super) fn standings(&self) -> Vec<Standing> {
        let posts = lock(&self.posts);
        let standings = posts.values().flat_map(|post| &post.standings);
        standings.copied().collect()
    }

    /// Whether every worker has said that it has nothing more to do.
    pub(super) fn are_done(&self) -> bool {
        let posts = lock(&self.posts);
        posts.len() == self.workers && posts.values().all(|post| post.is_done)
    }

    /// The run has come to its end: all workers may leave. Before that, one that left would set partitions in motion.
    pub(super) fn finish(&self) {
        if let Some(ending) = &self.ending {
            ending.is_over.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the run has come to its end.
    pub(super) fn is_over(&self) -> bool {
        let over = |ending: &Ending| ending.is_over.load(Ordering::Relaxed);
        self.ending.as_ref().is_some_and(over)
    }
}

/// What is under a lock is changed in single steps, so a thread that panicked has left it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use crate::window::Reading;

    fn standing(watermark: i64) -> Standing {
        Standing {
            watermark: Timestamp(watermark),
            highest: Timestamp(watermark),
            reading: Reading::Active,
        }
    }

    #[test]
    fn all_are_done_only_when_every_worker_is_there_and_says_so() {
        let board = Board::new(2, true);
        board.post("a", vec![standing(1)], true);
        assert!(!board.are_done(), "one has not come yet");
        board.post("b", vec![standing(2)], false);
        assert!(!board.are_done());
        board.post("b", vec![standing(3)], true);
        assert!(board.are_done());
        assert_eq!(board.standings(), [standing(1), standing(3)]);
        board.leave("a");
        assert!(!board.are_done());
        assert_eq!(board.standings(), [standing(3)]);
    }

    #[test]
    fn a_run_without_an_end_is_never_over() {
        let board = Board::new(1, false);
        board.finish();
        assert!(!board.is_over());
        let board = Board::new(1, true);
        assert!(!board.is_over());
        board.finish();
        assert!(board.is_over());
    }
}
