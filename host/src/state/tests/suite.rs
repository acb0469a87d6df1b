//! What every store promises. Each test is given a place for a store, and runs for the one in memory and the one on disk.

use std::ops::ControlFlow;

use super::*;

macro_rules! for_every_store {
    ($($promise:ident),* $(,)?) => {
        mod in_memory {
            $(#[test] fn $promise() { super::$promise(super::Memory::default()); })*
        }
        mod on_disk {
            $(#[test] fn $promise() { super::$promise(super::Disk::default()); })*
        }
    };
}

for_every_store![
    a_new_store_has_nothing,
    what_was_applied_is_read,
    later_changes_win_also_within_a_slice,
    slices_of_several_tasks_are_applied_together,
    a_position_alone_is_kept,
    tasks_share_no_keys,
    a_scan_visits_a_range_in_order_until_it_is_stopped,
    a_task_that_was_cleared_begins_again,
    what_was_left_is_found_again,
    keys_and_values_may_be_any_bytes,
];

fn a_new_store_has_nothing(mut place: impl Place) {
    let mut store = place.open();
    assert_eq!(store.tasks(), Ok(vec![]));
    assert_eq!(store.position(source(0)), Ok(None));
    assert_eq!(store.get(source(0), b"k"), Ok(None));
    assert_eq!(entries(&store, source(0)), Ok(vec![]));
    assert_eq!(store.clear(source(0)), Ok(()));
    assert_eq!(store.apply(&[]), Ok(()));
    assert_eq!(store.tasks(), Ok(vec![]));
}

fn what_was_applied_is_read(mut place: impl Place) {
    let mut store = place.open();
    put(&mut store, source(2), b"k", Some(b"v"), 5);
    assert_eq!(store.get(source(2), b"k"), Ok(Some(b"v".to_vec())));
    assert_eq!(store.position(source(2)), Ok(Some(position(5))));
    assert_eq!(store.tasks(), Ok(vec![source(2)]));
    put(&mut store, source(2), b"k", None, 6);
    assert_eq!(store.get(source(2), b"k"), Ok(None));
    assert_eq!(store.position(source(2)), Ok(Some(position(6))));
}

fn later_changes_win_also_within_a_slice(mut place: impl Place) {
    let mut store = place.open();
    let change = |key, value| Change { key, value };
    let changes = vec![
        change(&b"a"[..], Some(&b"1"[..])),
        change(b"a", Some(b"2")),
        change(b"b", Some(b"1")),
        change(b"b", None),
        change(b"c", None),
        change(b"c", Some(b"3")),
    ];
    let slice = Slice {
        task: source(0),
        changes,
        position: &position(1),
    };
    store.apply(&[slice]).unwrap();
    let expected = [
        (b"a".to_vec(), b"2".to_vec()),
        (b"c".to_vec(), b"3".to_vec()),
    ];
    assert_eq!(entries(&store, source(0)), Ok(expected.to_vec()));
}

fn slices_of_several_tasks_are_applied_together(mut place: impl Place) {
    let mut store = place.open();
    let last = TaskId {
        stage: Stage::Final,
        partition: 1,
    };
    let (first, second) = (position(1), position(2));
    let slice = |task, value, position| Slice {
        task,
        changes: vec![Change {
            key: b"k",
            value: Some(value),
        }],
        position,
    };
    let slices = [slice(last, b"f", &first), slice(source(1), b"s", &second)];
    store.apply(&slices).unwrap();
    assert_eq!(store.get(last, b"k"), Ok(Some(b"f".to_vec())));
    assert_eq!(store.get(source(1), b"k"), Ok(Some(b"s".to_vec())));
    assert_eq!(store.position(last), Ok(Some(first)));
    assert_eq!(store.position(source(1)), Ok(Some(second)));
    assert_eq!(store.tasks(), Ok(vec![source(1), last]));
}

fn a_position_alone_is_kept(mut place: impl Place) {
    let mut store = place.open();
    let slice = Slice {
        task: source(0),
        changes: vec![],
        position: &position(9),
    };
    store.apply(&[slice]).unwrap();
    assert_eq!(store.position(source(0)), Ok(Some(position(9))));
    assert_eq!(store.tasks(), Ok(vec![source(0)]));
}

fn tasks_share_no_keys(mut place: impl Place) {
    let mut store = place.open();
    // Numbers that begin with each other.
    for partition in [1, 10, 0] {
        put(
            &mut store,
            source(partition),
            b"k",
            Some(b"v"),
            partition.into(),
        );
    }
    put(&mut store, source(1), b"k", None, 2);
    assert_eq!(entries(&store, source(1)), Ok(vec![]));
    for partition in [10, 0] {
        assert_eq!(store.get(source(partition), b"k"), Ok(Some(b"v".to_vec())));
    }
    assert_eq!(store.tasks(), Ok(vec![source(0), source(1), source(10)]));
}

fn a_scan_visits_a_range_in_order_until_it_is_stopped(mut place: impl Place) {
    let mut store = place.open();
    for key in [&b"b"[..], b"a", b"", b"c", b"ab", b"\xff"] {
        put(&mut store, source(0), key, Some(key), 1);
    }
    let scan = |from: &[u8], to: &[u8], most: usize| {
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            assert_eq!(key, value);
            found.push(key.to_vec());
            match found.len() < most {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        store.scan(source(0), from, to, &mut visit).unwrap();
        found
    };
    assert_eq!(scan(b"a", b"c", 9), [&b"a"[..], b"ab", b"b"]);
    assert_eq!(scan(b"", b"ab", 9), [&b""[..], b"a"]);
    assert_eq!(scan(b"a", b"c", 2), [&b"a"[..], b"ab"]);
    let none: Vec<Vec<u8>> = vec![];
    assert_eq!(scan(b"a", b"a", 9), none);
    assert_eq!(scan(b"c", b"a", 9), none);
}

fn a_task_that_was_cleared_begins_again(mut place: impl Place) {
    let mut store = place.open();
    put(&mut store, source(0), b"old", Some(b"v"), 1);
    put(&mut store, source(1), b"other", Some(b"v"), 2);
    store.clear(source(0)).unwrap();
    assert_eq!(store.position(source(0)), Ok(None));
    assert_eq!(store.get(source(0), b"old"), Ok(None));
    assert_eq!(store.tasks(), Ok(vec![source(1)]));
    put(&mut store, source(0), b"new", Some(b"v"), 3);
    place.leave(store);
    let store = place.open();
    let new = vec![(b"new".to_vec(), b"v".to_vec())];
    assert_eq!(entries(&store, source(0)), Ok(new));
    assert_eq!(store.position(source(0)), Ok(Some(position(3))));
    assert_eq!(store.position(source(1)), Ok(Some(position(2))));
}

fn what_was_left_is_found_again(mut place: impl Place) {
    for round in 0..3 {
        let mut store = place.open();
        if round > 0 {
            assert_eq!(store.get(source(0), b"k"), Ok(Some(vec![round])));
            assert_eq!(store.position(source(0)), Ok(Some(position(round.into()))));
        }
        put(
            &mut store,
            source(0),
            b"k",
            Some(&[round + 1]),
            i64::from(round) + 1,
        );
        place.leave(store);
    }
}

fn keys_and_values_may_be_any_bytes(mut place: impl Place) {
    let mut store = place.open();
    let large = vec![7; 3 << 20];
    put(&mut store, source(0), b"", Some(b""), 1);
    put(&mut store, source(0), b"\x00", Some(&large), 2);
    place.leave(store);
    let store = place.open();
    assert_eq!(store.get(source(0), b""), Ok(Some(vec![])));
    assert_eq!(store.get(source(0), b"\x00"), Ok(Some(large)));
}

#[test]
fn a_folder_that_is_open_is_not_opened_twice() {
    let mut place = Disk::default();
    let store = place.open();
    let Err(error) = DiskStore::open(place.0.path()) else {
        panic!("opened twice");
    };
    assert!(matches!(error, StoreError::Busy(_)), "{error}");
    place.leave(store);
    place.open();
}

#[test]
fn a_copy_of_the_store_in_memory_does_not_change_with_it() {
    let mut store = MemoryStore::new();
    put(&mut store, source(0), b"k", Some(b"old"), 1);
    let copy = store.clone();
    put(&mut store, source(0), b"k", Some(b"new"), 2);
    assert_eq!(copy.get(source(0), b"k"), Ok(Some(b"old".to_vec())));
    assert_eq!(copy.position(source(0)), Ok(Some(position(1))));
}
