//! More than the engine keeps in memory, and what becomes of its files.

use super::*;

const LARGE: usize = 1 << 20;

/// The value that a batch writes: no two alike, and not to be compressed.
pub(super) fn value(batch: u64) -> Vec<u8> {
    let mut state = batch.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = batch.to_be_bytes().to_vec();
    while bytes.len() < LARGE {
        // Xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes
}

/// Batches go round so many keys, which is fewer than the batches that the engine gathers before it writes a file.
pub(super) const KEYS: u64 = 3;

/// Applies batches until the engine has written a file of entries, and one more. Returns how many.
pub(super) fn fill(store: &mut DiskStore, folder: &Path, task: TaskId) -> u64 {
    let is_table = |path: &std::path::PathBuf| path.parent().is_some_and(|p| p.ends_with("tables"));
    let tables = || {
        let tables = files(folder).into_iter().filter(is_table);
        tables
            .filter_map(|path| path.metadata().ok())
            .any(|file| file.len() > LARGE as u64)
    };
    let mut batch = 0;
    let mut is_written = false;
    while !is_written {
        assert!(batch < 500, "the engine writes nothing");
        is_written = tables();
        batch += 1;
        let next = i64::try_from(batch).unwrap();
        let key = (batch % KEYS).to_be_bytes();
        put(store, task, &key, Some(&value(batch)), next);
    }
    batch
}

fn size(folder: &Path) -> u64 {
    let sizes = files(folder)
        .into_iter()
        .map(|path| path.metadata().unwrap().len());
    sizes.sum()
}

#[test]
fn what_no_longer_fits_in_memory_is_found_again() {
    let mut place = Disk::default();
    let folder = place.0.path().to_owned();
    let mut store = place.open();
    let batches = fill(&mut store, &folder, source(0));
    for _ in 0..2 {
        assert_eq!(
            store.position(source(0)),
            Ok(Some(position(i64::try_from(batches).unwrap())))
        );
        for batch in batches - KEYS + 1..=batches {
            let key = (batch % KEYS).to_be_bytes();
            assert_eq!(store.get(source(0), &key), Ok(Some(value(batch))));
        }
        place.leave(store);
        store = place.open();
    }
}

#[test]
fn the_space_of_a_cleared_task_is_given_back() {
    let mut place = Disk::default();
    let folder = place.0.path().to_owned();
    let mut store = place.open();
    let keyspaces = folder.join("keyspaces");
    fill(&mut store, &folder, source(0));
    put(&mut store, source(1), b"k", Some(b"v"), 1);
    let before = size(&keyspaces);
    store.clear(source(0)).unwrap();
    place.leave(store);
    let store = place.open();
    assert!(
        size(&keyspaces) < before / 10,
        "{} of {before} bytes",
        size(&keyspaces)
    );
    assert_eq!(store.tasks(), Ok(vec![source(1)]));
}

#[test]
fn a_folder_that_is_removed_is_made_again() {
    let mut place = Disk::default();
    let folder = place.0.path().to_owned();
    let mut store = place.open();
    put(&mut store, source(0), b"k", Some(b"v"), 1);
    place.leave(store);
    DiskStore::remove(&folder).unwrap();
    DiskStore::remove(&folder).unwrap();
    assert_eq!(place.open().tasks(), Ok(vec![]));
}
