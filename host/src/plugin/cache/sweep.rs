//! Which files of the cache go: pure.

use std::time::{Duration, SystemTime};

/// How long a file may be on its way: longer, and whoever wrote it is gone.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A file of the cache.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) size: u64,
    /// When it was last used.
    pub(super) used: SystemTime,
    /// Whether it is not yet in its place.
    pub(super) on_its_way: bool,
}

/// The names of what must go, so that no more than `most` bytes stay: what was abandoned, then what has not been used for longest.
pub(super) fn surplus(mut files: Vec<Kept>, most: u64, now: SystemTime) -> Vec<String> {
    let mut gone: Vec<String> = files
        .extract_if(.., |file| file.on_its_way)
        .filter(|file| {
            now.duration_since(file.used)
                .is_ok_and(|age| age > ABANDONED)
        })
        .map(|file| file.name)
        .collect();
    files.sort_by_key(|file| file.used);
    let mut total: u64 = files.iter().map(|file| file.size).sum();
    for file in files {
        if total <= most {
            break;
        }
        total -= file.size;
        gone.push(file.name);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64, used: u64, on_its_way: bool) -> Kept {
        Kept {
            name: name.to_owned(),
            size,
            used: SystemTime::UNIX_EPOCH + Duration::from_secs(used),
            on_its_way,
        }
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let files = vec![
            file("newest", 40, 9_000, false),
            file("oldest", 40, 1_000, false),
            file("middle", 40, 5_000, false),
        ];
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(9_000);
        assert!(surplus(files.clone(), 120, now).is_empty());
        assert_eq!(surplus(files.clone(), 119, now), ["oldest"]);
        assert_eq!(surplus(files, 40, now), ["oldest", "middle"]);
    }

    #[test]
    fn a_file_on_its_way_goes_only_when_it_was_abandoned() {
        let files = vec![
            file("dead", 1, 1_000, true),
            file("alive", 1_000, 8_000, true),
        ];
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(9_000);
        assert_eq!(surplus(files, 0, now), ["dead"]);
    }
}
