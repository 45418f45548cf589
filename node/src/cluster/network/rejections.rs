//! How many messages were rejected, and why.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a message was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A request or answer that does not prove the secret, or is not what was sealed.
    Seal,
    /// A request of another cluster.
    Cluster,
    /// A request for another node.
    Node,
    /// A request that was taken before, or is too old to tell.
    Replay,
    /// A request for an earlier run of this node: a replay, or a caller that has not noticed the restart.
    EarlierRun,
    /// A request with a longer body than it may have.
    TooLarge,
}

/// Counts of rejected messages, since the start of the process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Rejections(Arc<[AtomicU64; Reason::ALL.len()]>);

// === impl Reason ===

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 6] =
        [Self::Seal, Self::Cluster, Self::Node, Self::Replay, Self::EarlierRun, Self::TooLarge];

    /// The reason as the label of a metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Cluster => "cluster",
            Self::Node => "node",
            Self::Replay => "replay",
            Self::EarlierRun => "earlier_run",
            Self::TooLarge => "too_large",
        }
    }
}

// === impl Rejections ===

impl Rejections {
    /// How many were rejected for that reason.
    pub fn count(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, reason: Reason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}
