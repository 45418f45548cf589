//! The store against openraft's suite, reopening, large values, damage, failing disks and `kill -9`.

mod disk;
mod faults;
mod identity;
mod install;
mod kill;
mod large;
mod reopen;
mod repair;
mod suite;

use std::path::Path;

use ollamaflow_protocol::cluster::{ClusterState, Command, Envelope, NodeId, Precondition};
use ollamaflow_protocol::object::Backend;
use ollamaflow_protocol::time::Timestamp;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};
use openraft::{CommittedLeaderId, Entry, EntryPayload, LogId, RaftSnapshotBuilder as _};

pub(super) use self::faults::Faults;
use super::{RaftParts, Store};
use crate::cluster::types::{Proposal, Response, TypeConfig};

// === a store in use ===

fn open(directory: &Path) -> RaftParts {
    Store::open(directory).unwrap().into_raft().unwrap()
}

impl RaftParts {
    /// Appends entries and applies them, as a cluster of one does.
    async fn commit(&mut self, entries: Vec<Entry<TypeConfig>>) -> Vec<Response> {
        let last = entries.last().unwrap().log_id;
        self.log.blocking_append(entries.clone()).await.unwrap();
        self.log.save_committed(Some(last)).await.unwrap();
        self.machine.apply(entries).await.unwrap()
    }

    async fn snapshot(&mut self) -> LogId<NodeId> {
        let built = self.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        built.meta.last_log_id.unwrap()
    }

    fn state(&self) -> ClusterState {
        self.state.current().state.clone()
    }
}

// === entries ===

fn log_id(index: u64) -> LogId<NodeId> {
    LogId::new(CommittedLeaderId::new(1, 1), index)
}

fn normal(index: u64, command: Command) -> Entry<TypeConfig> {
    let at = Timestamp::from_micros(1_759_944_278_000_000);
    let text = Envelope::new(u128::from(index) + 1, at, "ops", 1, command).encode().unwrap();
    Entry { log_id: log_id(index), payload: EntryPayload::Normal(Proposal { text }) }
}

fn seed(index: u64) -> Entry<TypeConfig> {
    let cluster_id = "c1".parse().unwrap();
    normal(index, Command::Seed { cluster_id, founders: vec![], frontends: vec![], backends: vec![] })
}

/// Puts a backend whose name says at which index.
fn put(index: u64, id: u64) -> Entry<TypeConfig> {
    named(index, id, index.to_string())
}

fn named(index: u64, id: u64, name: String) -> Entry<TypeConfig> {
    let backend = Box::new(Backend { name, ..Backend::new(format!("b{id}").parse().unwrap()) });
    normal(index, Command::PutBackend { backend, expect: Precondition::Any, sets_state: false })
}

/// The seed at 1 and puts of ten backends after it.
fn history(indexes: std::ops::RangeInclusive<u64>) -> Vec<Entry<TypeConfig>> {
    indexes.map(|index| if index == 1 { seed(1) } else { put(index, index % 10) }).collect()
}

// === the disk ===

fn bytes_on_disk(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let sizes = entries.map(|entry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            bytes_on_disk(&entry.path())
        } else {
            metadata.len().max(metadata.blocks() * 512)
        }
    });
    sizes.sum()
}

fn blobs(directory: &Path) -> usize {
    let blobs = std::fs::read_dir(directory.join("blobs")).unwrap();
    let sizes: Vec<u64> = blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.is_empty(), "{sizes:?}");
    sizes.len()
}
