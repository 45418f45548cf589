//! Damage: mended where nothing is lost by it, otherwise said, and never taken for an empty store.

use std::fs;
use std::path::{Path, PathBuf};

use openraft::RaftLogReader as _;
use openraft::storage::RaftLogStorage as _;

use super::{history, log_id, open};
use crate::cluster::store::keys::{self, single};
use crate::cluster::store::{Store, StoreError};

/// A store with a snapshot at 20 and a log from 11 to 30.
async fn used(directory: &Path) {
    let mut parts = open(directory);
    parts.commit(history(1..=20)).await;
    parts.snapshot().await;
    parts.log.purge(log_id(10)).await.unwrap();
    parts.commit(history(21..=30)).await;
    drop(parts);
    // Waits for the io thread to let go.
    drop(Store::open(directory).unwrap());
}

async fn is_whole(directory: &Path) {
    let mut parts = open(directory);
    assert_eq!(parts.state.current().index, 30);
    assert_eq!(parts.state().revision(), 30);
    assert_eq!(parts.log.try_get_log_entries(..).await.unwrap(), history(11..=30));
}

fn summaries(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).collect()
}

fn damage_of(directory: &Path) -> String {
    let error = Store::open(directory).and_then(Store::into_raft).err().unwrap();
    assert!(matches!(&error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("join again as a new one"), "{error}");
    error.to_string()
}

#[tokio::test]
async fn an_unfinished_summary_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    used(directory.path()).await;
    let unfinished = directory.path().join("snap.FFFFFFFFFFFFFFFF.generating");
    fs::write(&unfinished, "half").unwrap();
    is_whole(directory.path()).await;
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_damaged_summary_is_moved_away_and_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    used(directory.path()).await;
    let summary = summaries(directory.path()).remove(0);
    for content in [&b""[..], b"garbage that is longer than any checksum"] {
        fs::write(&summary, content).unwrap();
        is_whole(directory.path()).await;
        let name = summary.file_name().unwrap().to_string_lossy();
        assert!(directory.path().join(format!("damaged-{name}")).exists());
        fs::copy(summaries(directory.path()).remove(0), &summary).unwrap();
        for other in summaries(directory.path()) {
            if other != summary {
                fs::remove_file(other).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_lost_or_empty_database_is_never_taken_for_a_new_one() {
    for keep_summary in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        used(directory.path()).await;
        if !keep_summary {
            for path in summaries(directory.path()) {
                fs::remove_file(path).unwrap();
            }
        }
        let file = directory.path().join("db");
        let content = fs::read(&file).unwrap();
        fs::write(&file, "").unwrap();
        damage_of(directory.path());
        fs::remove_file(&file).unwrap();
        assert!(damage_of(directory.path()).contains("the file of the database is gone"));
        assert!(!file.exists());
        fs::write(&file, vec![0x5a; content.len()]).unwrap();
        damage_of(directory.path());
    }
}

#[tokio::test]
async fn a_hole_or_a_changed_entry_or_snapshot_is_noticed() {
    type Damage = fn(&Store);
    let cases: [(&str, Damage); 6] = [
        ("hole before entry 16", |store| {
            store.database.log.remove(keys::entry(15)).unwrap();
        }),
        ("entry 12 of the log is not", |store| {
            store.database.log.insert(keys::entry(12), b"something else").unwrap();
        }),
        ("agreed entries from 21 on are missing", |store| {
            for index in 21..=30 {
                store.database.log.remove(keys::entry(index)).unwrap();
            }
        }),
        ("the snapshot is not what was written", |store| {
            store.database.snapshot_parts.insert(keys::part(1, 0), b"something else").unwrap();
        }),
        ("no snapshot covers", |store| {
            store.database.singles.remove(single::SNAPSHOT).unwrap();
        }),
        ("checksum of committed", |store| {
            store.database.singles.insert(single::COMMITTED, b"something else").unwrap();
        }),
    ];
    for (expected, damage) in cases {
        let directory = tempfile::tempdir().unwrap();
        used(directory.path()).await;
        damage(&Store::open(directory.path()).unwrap());
        let sentence = damage_of(directory.path());
        assert!(sentence.contains(expected), "{sentence} must say: {expected}");
    }
}

#[tokio::test]
async fn the_files_of_two_nodes_are_told_apart() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    used(one.path()).await;
    drop(Store::open(two.path()).unwrap());
    fs::copy(two.path().join("format"), one.path().join("format")).unwrap();
    assert!(damage_of(one.path()).contains("two different nodes"));
    fs::write(one.path().join("format"), "nonsense").unwrap();
    assert!(damage_of(one.path()).contains("the file format"));
}

#[tokio::test]
async fn a_store_whose_making_was_interrupted_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    let incarnation = Store::open(directory.path()).unwrap().identity().incarnation;
    fs::remove_file(directory.path().join("format")).unwrap();
    assert_eq!(Store::open(directory.path()).unwrap().identity().incarnation, incarnation);
    assert!(directory.path().join("format").exists());

    let directory = tempfile::tempdir().unwrap();
    drop(sled::Config::new().path(directory.path()).segment_size(keys::SEGMENT_BYTES).open().unwrap());
    Store::open(directory.path()).unwrap();
}

#[tokio::test]
async fn what_an_interrupted_deletion_left_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    used(directory.path()).await;
    let store = Store::open(directory.path()).unwrap();
    let database = &store.database;
    let head = database.log.get(keys::entry(11)).unwrap().unwrap();
    database.log.insert(keys::entry(10), head).unwrap();
    for part in [keys::part(10, 0), keys::part(31, 0)] {
        database.log_parts.insert(part, b"left").unwrap();
    }
    for part in [keys::part(0, 7), keys::part(2, 0)] {
        database.snapshot_parts.insert(part, b"left").unwrap();
    }
    drop(store);
    is_whole(directory.path()).await;
    let store = Store::open(directory.path()).unwrap();
    assert!(store.database.log_parts.is_empty());
    assert_eq!(store.database.snapshot_parts.range(keys::part(2, 0)..).count(), 0);
    assert_eq!(store.database.snapshot_parts.range(..keys::part(1, 0)).count(), 0);
}
