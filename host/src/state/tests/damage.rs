//! Files of a store that are gone, cut short or overwritten: it is told, or the store stands where it once stood. What
//! must never be is a position with entries that do not belong to it.

use std::fs;
use std::path::PathBuf;

use super::space::{KEYS, fill, value};
use super::*;

#[derive(Clone, Copy, Debug)]
enum Harm {
    Remove,
    Empty,
    /// Cut off at so many hundredths.
    Cut(u64),
    /// Overwritten with other bytes at so many hundredths.
    Overwrite(u64),
}

const HARMS: [Harm; 9] = [
    Harm::Remove,
    Harm::Empty,
    Harm::Cut(50),
    Harm::Cut(99),
    Harm::Overwrite(0),
    Harm::Overwrite(25),
    Harm::Overwrite(60),
    Harm::Overwrite(90),
    Harm::Overwrite(99),
];

impl Harm {
    fn inflict(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        let place = |hundredths: u64| {
            let length = u64::try_from(bytes.len()).unwrap();
            usize::try_from(length * hundredths / 100).unwrap()
        };
        match self {
            Harm::Remove => return fs::remove_file(path).unwrap(),
            Harm::Empty => bytes.clear(),
            Harm::Cut(hundredths) => bytes.truncate(place(hundredths)),
            Harm::Overwrite(hundredths) => {
                let from = place(hundredths);
                for byte in bytes.iter_mut().skip(from).take(64) {
                    *byte ^= 0x5a;
                }
            }
        }
        fs::write(path, bytes).unwrap();
    }
}

/// A folder with a store of two tasks: one whose entries are partly in files, one whose entries are in the journal only.
fn folder() -> (tempfile::TempDir, u64) {
    let mut place = Disk::default();
    let mut store = place.open();
    put(&mut store, source(1), b"k", Some(b"v"), 1);
    let path = place.0.path().to_owned();
    let batches = fill(&mut store, &path, source(0));
    place.leave(store);
    (place.0, batches)
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
}

/// Whether what is in the folder makes sense.
fn check(folder: &Path, batches: u64) -> Result<(), StoreError> {
    let store = DiskStore::open(folder)?;
    let (first, second) = (store.position(source(0))?, store.position(source(1))?);
    let found = entries(&store, source(0))?;
    let next = first.map_or(0, |position| u64::try_from(position.next.0).unwrap());
    assert!(next <= batches);
    let mut expected: Vec<_> = (1..=next)
        .rev()
        .take(usize::try_from(KEYS).unwrap())
        .map(|batch| ((batch % KEYS).to_be_bytes().to_vec(), value(batch)))
        .collect();
    expected.sort();
    assert!(
        found == expected,
        "entries that do not belong to position {next}"
    );
    let found = entries(&store, source(1))?;
    assert_eq!(found.len(), usize::from(second.is_some()));
    Ok(())
}

#[test]
fn a_damaged_folder_is_told_or_stands_where_it_once_stood() {
    let (whole, batches) = folder();
    check(whole.path(), batches).unwrap();
    let names: Vec<PathBuf> = files(whole.path())
        .into_iter()
        .map(|path| path.strip_prefix(whole.path()).unwrap().to_owned())
        .collect();
    let mut told = 0;
    for name in names {
        for harm in HARMS {
            let harmed = tempfile::tempdir().unwrap();
            copy(whole.path(), harmed.path());
            harm.inflict(&harmed.path().join(&name));
            match check(harmed.path(), batches) {
                Ok(()) => {}
                Err(StoreError::Damaged(_)) => told += 1,
                Err(error) => panic!("{harm:?} of {}: {error}", name.display()),
            }
        }
    }
    assert!(told > 0);
}

#[test]
fn a_folder_that_was_half_made_is_told_or_made() {
    let (whole, _) = folder();
    for name in ["version", "0.jnl", "lock"] {
        let half = tempfile::tempdir().unwrap();
        let path = whole.path().join(name);
        if path.exists() {
            fs::copy(path, half.path().join(name)).unwrap();
        }
        match DiskStore::open(half.path()) {
            Ok(store) => assert_eq!(store.tasks(), Ok(vec![])),
            Err(error) => assert!(matches!(error, StoreError::Damaged(_)), "{name}: {error}"),
        }
    }
}

#[test]
fn a_place_where_no_folder_can_be_is_the_disks_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let Err(error) = DiskStore::open(&file.join("store")) else {
        panic!("opened below a file");
    };
    assert!(matches!(error, StoreError::Disk(_)), "{error}");
}
