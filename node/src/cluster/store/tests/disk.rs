//! How much disk a store takes, and what it does when there is none left.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};
use openraft::{RaftLogReader as _, RaftSnapshotBuilder as _, Vote};

use super::{blobs, bytes_on_disk, history, log_id, open};
use crate::cluster::store::{Health, RaftParts};

/// A node's life: writes, and a snapshot every thousand, after which two hundred entries are kept.
async fn live(directory: &Path, writes: u64, batch: usize) -> u64 {
    let mut parts = open(directory);
    let mut most = 0;
    let indexes: Vec<u64> = (1..=writes).collect();
    for indexes in indexes.chunks(batch) {
        let (first, last) = (indexes[0], indexes[indexes.len() - 1]);
        parts.commit(history(first..=last)).await;
        if first / 1000 != (last + 1) / 1000 {
            parts.snapshot().await;
            parts.log.purge(log_id(last.saturating_sub(200))).await.unwrap();
            most = most.max(bytes_on_disk(directory));
        }
    }
    assert_eq!(parts.state().revision(), writes);
    most.max(bytes_on_disk(directory))
}

#[tokio::test]
async fn writes_leave_a_bounded_log() {
    let directory = tempfile::tempdir().unwrap();
    let most = live(directory.path(), 6_000, 50).await;
    assert!(most < 50_000_000, "{most} bytes");
    assert_eq!(blobs(directory.path()), 0);
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_hundred_thousand_writes_leave_less_than_fifty_megabytes() {
    let directory = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let most = live(directory.path(), 100_000, 1).await;
    let left = bytes_on_disk(directory.path());
    println!("100,000 writes in {:?}: at most {most} bytes, {left} at the end", start.elapsed());
    assert!(most < 50_000_000, "{most} bytes");
    assert_eq!(blobs(directory.path()), 0);
    let start = Instant::now();
    let parts = open(directory.path());
    println!("reopened in {:?}", start.elapsed());
    assert_eq!(parts.state().revision(), 100_000);
}

// === failing disks ===

/// Checks that nothing is confirmed any more and that everybody is told why.
async fn refuses_everything(parts: &mut RaftParts, next: u64) {
    let Health::Failed { reason } = parts.health.borrow().clone() else { panic!("must have failed") };
    assert!(reason.contains("restart this node"), "{reason}");
    assert!(reason.contains("no storage space"), "{reason}");
    let mut errors = vec![
        parts.log.blocking_append(history(next..=next)).await.unwrap_err(),
        parts.log.save_vote(&Vote::new(9, 1)).await.unwrap_err(),
        parts.log.save_committed(Some(log_id(next))).await.unwrap_err(),
        parts.log.truncate(log_id(next)).await.unwrap_err(),
        parts.log.purge(log_id(1)).await.unwrap_err(),
    ];
    errors.push(parts.machine.get_snapshot_builder().await.build_snapshot().await.unwrap_err());
    for error in errors {
        assert!(error.to_string().contains(&*reason), "{error} must repeat: {reason}");
    }
}

#[tokio::test]
async fn an_append_is_never_confirmed_whose_flush_failed() {
    for fault in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let mut parts = open(directory.path());
        parts.commit(history(1..=5)).await;
        let database = std::sync::Arc::clone(parts.log.reader().database());
        let faults = [&database.faults.write, &database.faults.flush, &database.faults.sync];
        faults[fault].store(true, Ordering::SeqCst);
        parts.log.blocking_append(history(6..=6)).await.unwrap_err();
        // The disk works again; the store must not believe it.
        faults[fault].store(false, Ordering::SeqCst);
        refuses_everything(&mut parts, 7).await;
        assert_eq!(parts.state.current().index, 5, "reads go on");
        drop((parts, database));
        let mut parts = open(directory.path());
        assert_eq!(parts.log.try_get_log_entries(..=5).await.unwrap(), history(1..=5));
        assert_eq!(*parts.health.borrow(), Health::Good, "after a restart");
    }
}

#[tokio::test]
async fn a_vote_and_a_snapshot_are_never_confirmed_whose_flush_failed() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    parts.commit(history(1..=5)).await;
    parts.log.reader().database().faults.sync.store(true, Ordering::SeqCst);
    parts.log.save_vote(&Vote::new(2, 1)).await.unwrap_err();
    refuses_everything(&mut parts, 6).await;
    drop(parts);

    let mut parts = open(directory.path());
    parts.commit(history(6..=6)).await;
    parts.log.reader().database().faults.sync.store(true, Ordering::SeqCst);
    parts.machine.get_snapshot_builder().await.build_snapshot().await.unwrap_err();
    refuses_everything(&mut parts, 7).await;
    assert_eq!(parts.state.current().snapshot_index, 0);
}

/// Run it with a file system of some tens of megabytes:
/// `mount -t tmpfs -o size=24m none DIR; OLLAMAFLOW_SMALL_DISK=DIR cargo test -- --ignored full_disk`.
#[tokio::test]
#[ignore = "needs a small file system in OLLAMAFLOW_SMALL_DISK"]
async fn a_full_disk_makes_the_store_fail_and_loses_nothing() {
    let Some(small) = std::env::var_os("OLLAMAFLOW_SMALL_DISK").map(PathBuf::from) else { return };
    let directory = small.join("cluster");
    let mut parts = open(&directory);
    let mut confirmed = 0;
    while confirmed < 1_000_000 {
        let entries = history(confirmed + 1..=confirmed + 50);
        if parts.log.blocking_append(entries).await.is_err() {
            break;
        }
        confirmed += 50;
    }
    println!("{confirmed} entries fit; {:?}", parts.health.borrow().clone());
    refuses_everything(&mut parts, confirmed + 1).await;
    drop(parts);
    // Someone makes room.
    std::fs::remove_file(small.join("ballast")).unwrap();
    let mut parts = open(&directory);
    let entries = parts.log.try_get_log_entries(..=confirmed).await.unwrap();
    assert_eq!(entries, history(1..=confirmed));
}
