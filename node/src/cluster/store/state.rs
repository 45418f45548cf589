//! The applied state, for whoever reads it: always whole, never waited for.

use std::sync::Arc;

use ollamaflow_protocol::cluster::{ClusterState, NodeId};
use openraft::StoredMembership;
use tokio::sync::watch;

use crate::cluster::types::Member;

/// The state after an entry of the log.
#[derive(Debug, Clone, Default)]
pub struct AppliedState {
    /// Index of the last applied entry; 0 for none.
    pub index: u64,
    /// Index of the last entry in the newest snapshot; 0 without one.
    pub snapshot_index: u64,
    /// Length of the commands after the newest snapshot, in bytes: what a start reads again.
    pub bytes_since_snapshot: u64,
    /// What the entries led to.
    pub state: ClusterState,
    /// The members, as of the last applied entry that changed them.
    pub members: StoredMembership<NodeId, Member>,
}

/// Reads the applied state. Clones read the same one.
#[derive(Clone)]
pub struct StateReader(Arc<watch::Sender<Arc<AppliedState>>>);

// === StateReader ===

impl StateReader {
    pub(super) fn new(state: AppliedState) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(state))))
    }

    /// The state that this node has applied.
    pub fn current(&self) -> Arc<AppliedState> {
        Arc::clone(&self.0.borrow())
    }

    /// Tells when another state was applied or a snapshot was made.
    pub fn subscribe(&self) -> watch::Receiver<Arc<AppliedState>> {
        self.0.subscribe()
    }

    /// The first state that has the entry at `index`. Waits for as long as it takes: the caller sets the bound.
    pub async fn wait_for(&self, index: u64) -> Arc<AppliedState> {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(|state| state.index >= index).await {
            Ok(state) => Arc::clone(&state),
            // The sender is `self`'s.
            Err(_) => self.current(),
        }
    }

    pub(super) fn publish(&self, change: impl FnOnce(&mut AppliedState)) {
        self.0.send_modify(|state| change(Arc::make_mut(state)));
    }
}
