//! Stands in for the consensus until it is there: one node, in memory.

use std::sync::Arc;

use ollamaflow_protocol::cluster::{Applied, ClusterState, Command, Envelope, NodeId};
use tokio::sync::watch;

use super::error::ClusterError;
use super::status::{MemberStatus, Role, Status};
use crate::clock::now;

/// A node's part in the cluster. Clones share it.
#[derive(Clone)]
pub struct Cluster(Arc<watch::Sender<Snapshot>>);

/// The applied state and its place in the log.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Index of the last applied entry.
    pub index: u64,
    /// The state after it.
    pub state: ClusterState,
}

/// A change that is made, and applied on this node.
#[derive(Debug, Clone)]
pub struct Committed {
    /// What it did.
    pub applied: Applied,
    /// The state of this node, which has it.
    pub state: ClusterState,
}

impl Cluster {
    /// A cluster of one, in memory, that holds what `seed` puts into it.
    pub fn in_memory(seed: Command) -> Result<Self, ClusterError> {
        let cluster = Self(Arc::new(watch::Sender::new(Snapshot::default())));
        cluster.apply("seed", seed)?;
        Ok(cluster)
    }

    /// The state that this node has applied.
    pub fn state(&self) -> ClusterState {
        self.0.borrow().state.clone()
    }

    /// Tells when another state was applied.
    pub fn subscribe(&self) -> watch::Receiver<Snapshot> {
        self.0.subscribe()
    }

    /// Makes a change: on this node if it leads, otherwise through the leader. Answers when a quorum has it on disk
    /// and this node has applied it. `by` is the name of the admin token that asked.
    pub async fn propose(&self, by: &str, command: Command) -> Result<Committed, ClusterError> {
        self.apply(by, command)
    }

    /// The state of this node, once it has everything that was confirmed before this call.
    pub async fn linearizable(&self) -> Result<ClusterState, ClusterError> {
        Ok(self.state())
    }

    /// The id of this node; none while it has none.
    pub fn node_id(&self) -> Option<NodeId> {
        Some(1)
    }

    /// The leader that this node follows, or itself.
    pub fn leader(&self) -> Option<NodeId> {
        Some(1)
    }

    /// The cluster as this node sees it.
    pub fn status(&self) -> Status {
        let snapshot = self.0.borrow().clone();
        Status {
            cluster_id: snapshot.state.cluster_id().cloned(),
            node_id: Some(1),
            address: None,
            role: Role::Leader,
            problem: None,
            leader: Some(1),
            term: 1,
            revision: snapshot.state.revision(),
            catalog_revision: snapshot.state.catalog_revision(),
            catalog_hash: snapshot.state.catalog_hash_hex(),
            last_log_index: snapshot.index,
            applied_index: snapshot.index,
            snapshot_index: 0,
            has_quorum: true,
            quorum_ack_millis: Some(0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            members: vec![MemberStatus {
                node_id: 1,
                address: String::new(),
                is_voter: true,
                is_leader: true,
                is_self: true,
                lag: Some(0),
            }],
        }
    }

    /// Why this node cannot do its part, in a sentence; none if it can. A node without a leader can: it proxies.
    pub fn unfit(&self) -> Option<String> {
        None
    }

    /// Invites the fresh node that listens at `address`; answers when it votes.
    pub async fn add(&self, _by: &str, _address: &str) -> Result<NodeId, ClusterError> {
        Err(ClusterError::Membership("a node without a cluster listener has no members".to_owned()))
    }

    /// Takes a member's vote, then the member, then its id.
    pub async fn remove(&self, _by: &str, id: NodeId) -> Result<(), ClusterError> {
        Err(ClusterError::Membership(format!("node {id} is the only one")))
    }

    /// Hands the leadership to that voter, or to the one that has most of the log.
    pub async fn transfer_leader(&self, _to: Option<NodeId>) -> Result<NodeId, ClusterError> {
        Err(ClusterError::Membership("there is no other voter".to_owned()))
    }

    /// Writes a snapshot of this node's state now; answers the index of its last entry.
    pub async fn snapshot(&self) -> Result<u64, ClusterError> {
        Ok(self.0.borrow().index)
    }

    fn apply(&self, by: &str, command: Command) -> Result<Committed, ClusterError> {
        let mut answer = None;
        self.0.send_modify(|snapshot| {
            let index = snapshot.index + 1;
            let envelope = Envelope::new(0, now(), by, 1, command);
            let (state, outcome) = snapshot.state.apply(index, &envelope);
            *snapshot = Snapshot { index, state: state.clone() };
            answer = Some(outcome.map(|applied| Committed { applied, state }));
        });
        let answer = answer.ok_or(ClusterError::NotLeader)?;
        Ok(answer?)
    }
}
