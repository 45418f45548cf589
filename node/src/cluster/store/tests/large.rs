//! Entries and snapshots of megabytes: whole after reopening, and never in sled's blob files, which it does not sync.

use openraft::RaftLogReader as _;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};

use super::{blobs, bytes_on_disk, history, log_id, named, normal, open, seed};
use crate::cluster::types::TypeConfig;
use ollamaflow_protocol::cluster::{Command, Precondition};
use ollamaflow_protocol::object::Backend;

const MEGABYTE: usize = 1024 * 1024;

/// A whole catalog of about three megabytes.
fn whole_catalog(index: u64) -> openraft::Entry<TypeConfig> {
    let backend = |number: u64| {
        let name = char::from(b'a' + u8::try_from(index % 26).unwrap()).to_string().repeat(60 * 1024);
        Backend { name, ..Backend::new(format!("b{number}").parse().unwrap()) }
    };
    let backends = (0..51).map(backend).collect();
    normal(
        index,
        Command::ReplaceCatalog { frontends: vec![], backends, keys: None, expect: Precondition::Any },
    )
}

#[tokio::test]
async fn long_entries_and_snapshots_are_cut_and_put_together_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    parts.commit(vec![seed(1)]).await;
    for index in 2..=4 {
        let outcome = parts.commit(vec![whole_catalog(index)]).await.remove(0).outcome.unwrap();
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    assert_eq!(parts.snapshot().await, log_id(4));
    let snapshot = parts.machine.get_current_snapshot().await.unwrap().unwrap();
    assert!(snapshot.snapshot.len() > 3 * MEGABYTE);
    parts.commit(vec![whole_catalog(5)]).await;
    assert_eq!(blobs(directory.path()), 0);
    let state = parts.state();
    drop(parts);

    let mut parts = open(directory.path());
    assert_eq!(parts.state(), state);
    assert_eq!(parts.log.try_get_log_entries(5..).await.unwrap(), vec![whole_catalog(5)]);
    // One message to another node stays short, but always takes something along.
    assert_eq!(parts.log.limited_get_log_entries(1, 6).await.unwrap().len(), 1);
    assert_eq!(parts.log.limited_get_log_entries(2, 6).await.unwrap().len(), 1);
    // Deleted with all their parts, from either end.
    parts.log.truncate(log_id(5)).await.unwrap();
    parts.log.purge(log_id(4)).await.unwrap();
    assert!(parts.log.reader().database().log_parts.is_empty());
    assert_eq!(blobs(directory.path()), 0);
}

#[tokio::test]
async fn values_of_every_length_around_a_part_survive() {
    let directory = tempfile::tempdir().unwrap();
    let lengths = [0, 1, 32_000, 32_600, 32_767, 32_768, 32_769, 40_000, 60_000];
    let entries: Vec<_> =
        (1..).zip(lengths).map(|(index, length)| named(index, index, "x".repeat(length))).collect();
    let mut parts = open(directory.path());
    parts.log.blocking_append(entries.clone()).await.unwrap();
    drop(parts);
    let mut parts = open(directory.path());
    assert_eq!(parts.log.try_get_log_entries(..).await.unwrap(), entries);
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn the_space_of_replaced_snapshots_is_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = open(directory.path());
    parts.commit(history(1..=1)).await;
    for index in 2..=40 {
        parts.commit(vec![whole_catalog(index)]).await;
        let last = parts.snapshot().await;
        parts.log.purge(last).await.unwrap();
    }
    assert_eq!(blobs(directory.path()), 0);
    let bytes = bytes_on_disk(directory.path());
    // 39 catalogs of 3 MB in the log, and as many snapshots of up to 11 MB with what undoes the last changes.
    println!("{} MB after 39 whole catalogs and snapshots", bytes / 1_000_000);
    assert!(bytes < 100_000_000, "{bytes}");
}
