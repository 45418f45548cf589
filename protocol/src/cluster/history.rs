//! The last changes: who did what and when, and what is needed to undo them.
//!
//! A [`Change`] is for the admin API. The objects as they were before it are kept apart, secrets included, and
//! appear in snapshots only.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::nodes::NodeId;
use super::outcome::{ObjectKind, ObjectRef};
use crate::id::{BackendId, FrontendId, KeyId};
use crate::object::{Backend, Frontend, Key, record};
use crate::time::Timestamp;

/// Most changes that are kept.
pub const MAX_HISTORY: usize = 100;

/// Most bytes of former objects that are kept. Many replacements of a large catalog fill it before there are
/// [`MAX_HISTORY`] of them; the oldest changes then go early. The newest one is always kept.
pub const MAX_HISTORY_BYTES: usize = 8 * 1024 * 1024;

/// Longest name of a token that is written down.
const MAX_AUTHOR_CHARS: usize = 128;

/// One change of the replicated state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Change {
    /// The revision it made.
    pub revision: u64,
    /// Its place in the log.
    pub index: u64,
    /// When it was accepted.
    pub at_utc: Timestamp,
    /// The name of the admin token that asked for it.
    pub by: String,
    /// The node that accepted it.
    pub node: NodeId,
    /// What happened, as one sentence without an end mark.
    pub what: String,
    /// What was done.
    pub action: ChangeKind,
    /// What it was done to.
    pub kind: ObjectKind,
    /// The name of that; empty for the catalog.
    pub identifier: String,
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum ChangeKind {
    /// The birth of the cluster.
    Seed,
    /// An object is new.
    Create,
    /// An object has changed.
    Update,
    /// An object is gone.
    Delete,
    /// The whole catalog was replaced.
    Replace,
    /// The whole catalog was taken back to an earlier revision.
    Rollback,
}

/// What happened to what, before it has a place in the history.
pub(super) struct Event {
    pub(super) action: ChangeKind,
    pub(super) object: ObjectRef,
    pub(super) what: String,
}

/// An object before a change; none if it did not exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all_fields = "PascalCase")]
pub(super) enum Former {
    Frontend {
        id: FrontendId,
        #[serde(with = "record")]
        object: Option<Arc<Frontend>>,
    },
    Backend {
        id: BackendId,
        #[serde(with = "record")]
        object: Option<Arc<Backend>>,
    },
    Key {
        id: KeyId,
        #[serde(with = "record")]
        object: Option<Arc<Key>>,
    },
}

/// The last changes, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct History(VecDeque<Arc<Entry>>);

/// A change with what undoes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    pub(super) change: Change,
    pub(super) former: Vec<Former>,
    /// Size of the former objects.
    pub(super) former_bytes: usize,
}

// === Change ===

impl Change {
    pub(super) fn author(by: &str) -> String {
        by.chars().take(MAX_AUTHOR_CHARS).collect()
    }
}

// === History ===

impl History {
    /// The changes, oldest first.
    pub(super) fn changes(&self) -> impl DoubleEndedIterator<Item = &Change> + ExactSizeIterator {
        self.0.iter().map(|entry| &entry.change)
    }

    /// Whether a virtual key is among the former objects.
    pub(super) fn has_keys(&self) -> bool {
        self.0.iter().any(|entry| entry.former.iter().any(|former| matches!(former, Former::Key { .. })))
    }

    /// Adds the newest change and lets the oldest go that are beyond the bounds.
    pub(super) fn push(&mut self, entry: Entry) {
        self.0.push_back(Arc::new(entry));
        let mut bytes: usize = self.0.iter().map(|entry| entry.former_bytes).sum();
        while self.0.len() > MAX_HISTORY || (bytes > MAX_HISTORY_BYTES && self.0.len() > 1) {
            bytes -= self.0.pop_front().map_or(0, |oldest| oldest.former_bytes);
        }
    }

    /// The oldest revision whose catalog is still known.
    pub(super) fn oldest_known(&self) -> u64 {
        // Before revision 1, the birth of the cluster, there was no catalog.
        self.0.front().map_or(0, |oldest| oldest.change.revision.saturating_sub(1)).max(1)
    }

    /// What undoes everything after `revision`, newest first: of several entries for an object the last counts.
    pub(super) fn back_to(&self, revision: u64) -> impl Iterator<Item = &Former> {
        self.0
            .iter()
            .rev()
            .take_while(move |entry| entry.change.revision > revision)
            .flat_map(|entry| entry.former.iter().rev())
    }

    /// Why this cannot be the history of a state at `revision`; none if it can.
    pub(super) fn fault(&self, revision: u64) -> Option<&'static str> {
        let revisions = self.0.iter().map(|entry| entry.change.revision);
        let consecutive =
            revisions.rev().zip((0..=revision).rev()).all(|(found, expected)| found == expected);
        if consecutive && self.0.len() <= MAX_HISTORY {
            None
        } else {
            Some("the history does not lead to the present revision")
        }
    }
}
