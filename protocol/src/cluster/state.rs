//! The replicated state and what can be read from it.

mod apply;
mod draft;
mod entity;
mod hash;
mod objects;
mod registry;
mod rolls;
mod snapshot;
mod whole;
mod works;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::{Change, History};
use super::nodes::{NodeId, NodeRecord, Nodes};
use super::recent::Recent;
use super::token::Token;
use crate::catalog::Catalog;
use crate::id::{ClusterId, TokenName};

use self::rolls::Rolls;
pub use self::snapshot::{SNAPSHOT_FORMAT, SnapshotError};
use self::works::Works;

/// Largest stored form of one object, in bytes. One object is one entry of the log, and the store keeps entries
/// below 96 KiB in one piece.
pub const MAX_OBJECT_BYTES: usize = 64 * 1024;

/// Largest sum of the stored forms of all objects, in bytes: some thousand objects of the usual size.
pub const MAX_CATALOG_BYTES: usize = 4 * 1024 * 1024;

/// Everything the nodes of a cluster agree on. Cloning shares the content; [`ClusterState::apply`] makes the next
/// state and leaves this one as it is, so a reader never sees half of a change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterState {
    /// None before the cluster is born.
    cluster_id: Option<ClusterId>,
    revision: u64,
    /// The revision at which a frontend, backend or virtual key last changed.
    catalog_revision: u64,
    catalog: Arc<Catalog>,
    /// Sum of the stored forms in the catalog.
    catalog_bytes: usize,
    tokens: Arc<BTreeMap<TokenName, Token>>,
    nodes: Arc<Nodes>,
    history: Arc<History>,
    recent: Arc<Recent>,
    works: Arc<Works>,
    rolls: Arc<Rolls>,
}

// === ClusterState ===

impl ClusterState {
    /// The state of a cluster that is not born yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name of the cluster; none before its seed was applied.
    pub fn cluster_id(&self) -> Option<&ClusterId> {
        self.cluster_id.as_ref()
    }

    /// How many changes there were; every effective one adds 1.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The revision at which a frontend, backend or virtual key was last changed. A precondition on the whole catalog holds for
    /// any revision from this one on.
    pub fn catalog_revision(&self) -> u64 {
        self.catalog_revision
    }

    /// All frontends, backends and virtual keys. States between which no object changed share one catalog.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The admin tokens by name.
    pub fn tokens(&self) -> &BTreeMap<TokenName, Token> {
        &self.tokens
    }

    /// The nodes that were admitted and not removed, by id.
    pub fn nodes(&self) -> &BTreeMap<NodeId, NodeRecord> {
        self.nodes.active()
    }

    /// Whether that node was admitted once and is not any more. Ids are given out in ascending order and never twice.
    pub fn was_removed(&self, node: NodeId) -> bool {
        self.nodes.was_removed(node)
    }

    /// Whether any node was ever removed.
    pub fn has_removed_nodes(&self) -> bool {
        self.nodes.has_removed()
    }

    /// The last changes, newest first.
    pub fn history(&self) -> impl ExactSizeIterator<Item = &Change> {
        self.history.changes().rev()
    }

    /// The revisions that a rollback can restore; empty before the cluster is born.
    pub fn restorable(&self) -> std::ops::RangeInclusive<u64> {
        self.history.oldest_known()..=self.revision
    }
}
