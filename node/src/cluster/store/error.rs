//! Why the store refused, in sentences for whoever runs the node.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ollamaflow_protocol::cluster::SnapshotError;
use openraft::{AnyError, ErrorSubject, ErrorVerb, StorageError, StorageIOError};
use thiserror::Error;

use super::identity::Claim;
use super::marker::FORMAT;
use crate::cluster::codec::CodecError;
use crate::cluster::types::TypeConfig;

/// Why the store refused.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The directory cannot be made or opened.
    #[error(
        "cannot use the directory {path}: {source}; check that it can be written and that its disk has room"
    )]
    Directory {
        /// The directory, or a file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error(
        "the directory {path} is in use by another process: stop that one, or give this node a directory of its own"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "the directory {path} was written by a newer version (format {found}; this version reads formats up to {FORMAT}): update this node, or give it another directory"
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// What is there cannot be what was written. Nothing was changed.
    #[error(
        "the cluster data in {path} is damaged ({detail}): move the directory away and let this node join again as a new one, or restore a backup if it is the only node"
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The directory belongs to another node or cluster.
    #[error(
        "the directory {path} belongs to {stored}, not to {asked}: give this node its own directory, or an empty one to join as a new node"
    )]
    Claimed {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        stored: Claim,
        /// Who asked for it.
        asked: Claim,
    },
    /// The database failed to read or write.
    #[error(
        "the database in {path} failed: {source}; check the disk and its free space, then restart this node"
    )]
    Disk {
        /// The directory.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// An earlier failure stands: nothing is written any more.
    #[error("{reason}")]
    Failed {
        /// The first failure.
        reason: Arc<str>,
    },
    /// A value cannot be written.
    #[error(transparent)]
    Encoding(#[from] CodecError),
    /// A snapshot is not a state.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// An entry does not follow on the last one: a fault of this program.
    #[error("entry {found} does not follow on the log, which ends before {expected}: restart this node")]
    Gap {
        /// The index that would follow.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// The io thread has ended.
    #[error("the store is closed: restart this node")]
    Closed,
}

// === StoreError ===

impl StoreError {
    /// The same for openraft, which ends the consensus on this node when it sees it.
    pub(super) fn into_raft(
        self,
        subject: ErrorSubject<<TypeConfig as openraft::RaftTypeConfig>::NodeId>,
        verb: ErrorVerb,
    ) -> StorageError<<TypeConfig as openraft::RaftTypeConfig>::NodeId> {
        StorageIOError::new(subject, verb, AnyError::new(&self)).into()
    }
}
