//! Snapshots from another node, in the order in which openraft has them installed: the log is purged first.

use std::time::Duration;

use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _, Snapshot};
use openraft::{RaftLogReader as _, RaftSnapshotBuilder as _};

use super::{history, log_id, open};
use crate::cluster::types::TypeConfig;

/// Less than any test takes, and enough for a wrong answer to arrive.
const A_MOMENT: Duration = Duration::from_millis(100);

/// The snapshot of a node that has entries up to 100.
async fn foreign_snapshot() -> Snapshot<TypeConfig> {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    parts.commit(history(1..=100)).await;
    parts.machine.get_snapshot_builder().await.build_snapshot().await.unwrap()
}

#[tokio::test]
async fn an_installed_snapshot_lasts() {
    let snapshot = foreign_snapshot().await;
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    parts.commit(history(1..=30)).await;
    parts.log.purge(log_id(100)).await.unwrap();
    parts.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    let current = parts.state.current();
    assert_eq!((current.index, current.snapshot_index, current.state.revision()), (100, 100, 100));
    parts.log.blocking_append(history(101..=105)).await.unwrap();
    drop(parts);
    let mut parts = open(directory.path());
    assert_eq!(parts.state().revision(), 100);
    let log = parts.log.get_log_state().await.unwrap();
    assert_eq!((log.last_purged_log_id, log.last_log_id), (Some(log_id(100)), Some(log_id(105))));
    assert_eq!(parts.log.try_get_log_entries(..).await.unwrap(), history(101..=105));
}

#[tokio::test]
async fn a_crash_before_the_snapshot_is_durable_leaves_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    parts.commit(history(1..=30)).await;
    parts.log.purge(log_id(100)).await.unwrap();
    assert_eq!(parts.log.try_get_log_entries(..).await.unwrap(), vec![], "gone for readers");
    let log = parts.log.get_log_state().await.unwrap();
    assert_eq!((log.last_purged_log_id, log.last_log_id), (Some(log_id(100)), Some(log_id(100))));
    drop(parts);
    let mut parts = open(directory.path());
    assert_eq!(parts.state().revision(), 30);
    assert_eq!(parts.log.try_get_log_entries(..).await.unwrap(), history(1..=30));
}

#[tokio::test]
async fn entries_after_a_snapshot_wait_until_it_is_durable() {
    for has_log in [true, false] {
        let snapshot = foreign_snapshot().await;
        let directory = tempfile::tempdir().unwrap();
        let mut parts = open(directory.path());
        if has_log {
            parts.commit(history(1..=30)).await;
        }
        parts.log.purge(log_id(100)).await.unwrap();
        let mut append = Box::pin(parts.log.blocking_append(history(101..=101)));
        tokio::time::timeout(A_MOMENT, &mut append).await.unwrap_err();
        parts.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
        append.await.unwrap();
        drop(parts);
        let mut parts = open(directory.path());
        assert_eq!(parts.state().revision(), 100);
        assert_eq!(parts.log.try_get_log_entries(..).await.unwrap(), history(101..=101));
    }
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_is_a_failure_and_nobody_waits_for_it() {
    let snapshot = foreign_snapshot().await;
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    parts.log.purge(log_id(100)).await.unwrap();
    let mut append = Box::pin(parts.log.blocking_append(history(101..=101)));
    tokio::time::timeout(A_MOMENT, &mut append).await.unwrap_err();
    let newer = Box::new(br#"{"Format":99}"#.to_vec());
    let error = parts.machine.install_snapshot(&snapshot.meta, newer).await.unwrap_err();
    assert!(error.to_string().contains("update this node"), "{error}");
    append.await.unwrap_err();
}

#[tokio::test]
async fn an_older_snapshot_that_is_finished_late_changes_nothing() {
    let snapshot = foreign_snapshot().await;
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    parts.commit(history(1..=30)).await;
    let mut builder = parts.machine.get_snapshot_builder().await;
    parts.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    let late = builder.build_snapshot().await.unwrap();
    drop(builder);
    assert_eq!(late.meta.last_log_id, Some(log_id(30)));
    assert_eq!(parts.state.current().snapshot_index, 100);
    let current = parts.machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta, snapshot.meta);
    drop(parts);
    assert_eq!(open(directory.path()).state().revision(), 100);
}
