//! What was answered is there after the store was closed and opened again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};
use openraft::{Entry, EntryPayload, Membership, RaftLogReader as _, Vote};

use super::{bytes_on_disk, history, log_id, open, put, seed};
use crate::cluster::store::{Health, Store};
use crate::cluster::types::Member;

#[tokio::test]
async fn log_vote_members_and_state_survive() {
    let directory = tempfile::tempdir().unwrap();
    let nodes =
        BTreeMap::from([(1, Member { address: "n1:1".into() }), (2, Member { address: "n2:1".into() })]);
    let members = Membership::new(vec![[1, 2].into()], nodes);
    let mut entries = history(1..=20);
    entries.insert(0, Entry { log_id: log_id(0), payload: EntryPayload::Membership(members) });
    let state = {
        let mut parts = open(directory.path());
        parts.log.save_vote(&Vote::new(7, 2)).await.unwrap();
        parts.commit(entries).await;
        // Not agreed on yet.
        parts.log.blocking_append(history(21..=25)).await.unwrap();
        parts.state.current()
    };
    let mut parts = open(directory.path());
    let current = parts.state.current();
    assert_eq!((current.index, current.snapshot_index), (20, 0));
    assert_eq!(current.state, state.state, "readable before the consensus runs");
    assert_eq!(current.members, state.members);
    assert_eq!(current.members.nodes().count(), 2);
    assert_eq!(parts.log.read_vote().await.unwrap(), Some(Vote::new(7, 2)));
    assert_eq!(parts.log.read_committed().await.unwrap(), Some(log_id(20)));
    let log = parts.log.get_log_state().await.unwrap();
    assert_eq!((log.last_purged_log_id, log.last_log_id), (None, Some(log_id(25))));
    assert_eq!(parts.log.try_get_log_entries(21..).await.unwrap(), history(21..=25));
    assert_eq!(parts.machine.applied_state().await.unwrap().0, Some(log_id(20)));
    assert_eq!(*parts.health.borrow(), Health::Good);
    assert!(bytes_on_disk(directory.path()) > 0);
}

#[tokio::test]
async fn a_snapshot_and_the_entries_after_it_make_the_state() {
    let directory = tempfile::tempdir().unwrap();
    let state = {
        let mut parts = open(directory.path());
        parts.commit(history(1..=30)).await;
        assert_eq!(parts.snapshot().await, log_id(30));
        assert_eq!(parts.state.current().snapshot_index, 30);
        parts.log.purge(log_id(28)).await.unwrap();
        parts.commit(history(31..=40)).await;
        parts.state()
    };
    let mut parts = open(directory.path());
    assert_eq!(parts.state(), state);
    let current = parts.state.current();
    assert_eq!((current.index, current.snapshot_index), (40, 30));
    let snapshot = parts.machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(snapshot.meta.last_log_id, Some(log_id(30)));
    let log = parts.log.get_log_state().await.unwrap();
    assert_eq!((log.last_purged_log_id, log.last_log_id), (Some(log_id(28)), Some(log_id(40))));
    assert_eq!(parts.log.try_get_log_entries(..).await.unwrap().len(), 12);
    // A second snapshot takes the first one's place.
    assert_eq!(parts.snapshot().await, log_id(40));
    drop(parts);
    let parts = open(directory.path());
    assert_eq!((parts.state(), parts.state.current().snapshot_index), (state, 40));
}

#[tokio::test]
async fn truncated_entries_stay_away_and_others_take_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    parts.log.blocking_append(history(1..=10)).await.unwrap();
    parts.log.truncate(log_id(6)).await.unwrap();
    drop(parts);
    let mut parts = open(directory.path());
    assert_eq!(parts.log.get_log_state().await.unwrap().last_log_id, Some(log_id(5)));
    parts.log.blocking_append(vec![put(6, 99)]).await.unwrap();
    drop(parts);
    let mut parts = open(directory.path());
    assert_eq!(parts.log.try_get_log_entries(6..).await.unwrap(), vec![put(6, 99)]);
    // All of it.
    parts.log.truncate(log_id(0)).await.unwrap();
    parts.log.blocking_append(history(1..=2)).await.unwrap();
    drop(parts);
    let mut parts = open(directory.path());
    assert_eq!(parts.log.try_get_log_entries(..).await.unwrap(), history(1..=2));
}

#[tokio::test]
async fn an_entry_that_leaves_a_gap_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    parts.log.blocking_append(history(1..=3)).await.unwrap();
    let error = parts.log.blocking_append(history(5..=5)).await.unwrap_err();
    assert!(error.to_string().contains("entry 5 does not follow"), "{error}");
}

#[tokio::test]
async fn how_far_the_log_is_agreed_on_becomes_durable_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    let database = std::sync::Arc::clone(parts.log.reader().database());
    let before = database.faults.syncs();
    parts.commit(history(1..=3)).await;
    tokio::time::timeout(Duration::from_secs(10), async {
        while database.faults.syncs() < before + 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the idle thread syncs");
}

#[tokio::test]
async fn waiting_for_an_index_ends_when_it_is_applied() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    let reader = parts.state.clone();
    let waiting = tokio::spawn(async move { reader.wait_for(5).await.index });
    parts.commit(history(1..=3)).await;
    parts.commit(history(4..=6)).await;
    assert!(waiting.await.unwrap() >= 5);
    assert_eq!(parts.state.wait_for(6).await.index, 6);
}

#[tokio::test]
#[ignore = "prints a time"]
async fn a_thousand_objects_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    for first in (1..=3000).step_by(100) {
        let entries =
            (first..first + 100).map(|index| if index == 1 { seed(1) } else { put(index, index % 1000) });
        parts.commit(entries.collect()).await;
        if first == 1901 {
            parts.snapshot().await;
        }
    }
    drop(parts);
    // Waits for the io thread to let go.
    drop(Store::open(directory.path()).unwrap());
    let start = Instant::now();
    let parts = open(directory.path());
    println!("a snapshot of 1,000 objects and 1,000 entries after it read in {:?}", start.elapsed());
    assert_eq!(parts.state().catalog().backends.len(), 1000);
}
