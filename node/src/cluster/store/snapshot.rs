//! Snapshots: the whole applied state as bytes, and where they are on the disk.

use std::sync::Arc;

use ollamaflow_protocol::cluster::NodeId;
use openraft::{LogId, SnapshotMeta};
use serde::{Deserialize, Serialize};

use super::database::Database;
use super::error::StoreError;
use super::keys::single;
use super::value::Parts;
use crate::cluster::types::Member;

/// Times that a snapshot is read again because a newer one took its place meanwhile. Snapshots are minutes apart.
const MAX_READS: usize = 3;

/// A snapshot on the disk, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SnapshotRecord {
    /// Counts the snapshots of this store; the number of its parts.
    pub(super) generation: u64,
    /// What openraft wants to know of it.
    pub(super) meta: SnapshotMeta<NodeId, Member>,
    /// Its content.
    pub(super) parts: Parts,
}

/// A snapshot that is to be kept.
pub(super) struct NewSnapshot {
    pub(super) meta: SnapshotMeta<NodeId, Member>,
    pub(super) content: Arc<Vec<u8>>,
}

// === SnapshotRecord ===

impl SnapshotRecord {
    /// The record of the newest snapshot.
    pub(super) fn read(database: &Database) -> Result<Option<Self>, StoreError> {
        database.single(single::SNAPSHOT)
    }

    /// The newest snapshot and its content.
    pub(super) fn read_whole(database: &Database) -> Result<Option<(Self, Vec<u8>)>, StoreError> {
        for _ in 0..MAX_READS {
            let Some(record) = Self::read(database)? else { return Ok(None) };
            if let Some(content) = database.join(&database.snapshot_parts, record.generation, record.parts)? {
                return Ok(Some((record, content)));
            }
            if Self::read(database)?.as_ref() == Some(&record) {
                break;
            }
        }
        Err(database.damaged("the snapshot is not what was written"))
    }

    pub(super) fn last_log_id(&self) -> Option<LogId<NodeId>> {
        self.meta.last_log_id
    }
}

/// An id for a snapshot of this node: no two of one node have the same.
pub(super) fn snapshot_id(last: Option<LogId<NodeId>>) -> String {
    let number = fastrand::u64(..);
    last.map_or_else(|| format!("empty-{number:016x}"), |last| format!("{last}-{number:016x}"))
}
