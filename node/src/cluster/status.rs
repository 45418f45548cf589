//! What a node tells about the cluster, for the admin API, the probes and the metrics.

use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::id::ClusterId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The cluster as one node sees it. The JSON of `GET /v1.0/cluster`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Status {
    /// The name of the cluster; none while the node has none.
    pub cluster_id: Option<ClusterId>,
    /// The id of this node; none while it has none.
    pub node_id: Option<NodeId>,
    /// Under which the other nodes reach this one; none for a node without a cluster listener.
    pub address: Option<String>,
    /// What this node does in the cluster.
    pub role: Role,
    /// A sentence on what is wrong or missing; none if nothing is.
    pub problem: Option<String>,
    /// The leader that this node follows, or itself.
    pub leader: Option<NodeId>,
    /// The present term of the consensus.
    pub term: u64,
    /// The revision that this node has applied.
    pub revision: u64,
    /// The revision at which a frontend or backend was last changed.
    pub catalog_revision: u64,
    /// SHA-256 of the applied state: the same on all nodes at the same revision.
    pub catalog_hash: String,
    /// Last index of this node's log.
    pub last_log_index: u64,
    /// Last index that this node has applied.
    pub applied_index: u64,
    /// Last index in the newest snapshot; 0 without one.
    pub snapshot_index: u64,
    /// Whether a write would find a quorum, as far as this node knows.
    pub has_quorum: bool,
    /// On the leader: milliseconds since a quorum last confirmed that it leads.
    pub quorum_ack_millis: Option<u64>,
    /// The version of this program.
    pub version: String,
    /// The members, by id.
    pub members: Vec<MemberStatus>,
}

/// A member as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct MemberStatus {
    /// Its id.
    pub node_id: NodeId,
    /// Host and port under which the others reach it.
    pub address: String,
    /// Whether it votes, as of the last change of the voters that is complete; a learner only follows.
    pub is_voter: bool,
    /// Whether it leads.
    pub is_leader: bool,
    /// Whether it is the node that answers.
    pub is_self: bool,
    /// On the leader: entries that it has not confirmed yet. None elsewhere, or if it was never reached.
    pub lag: Option<u64>,
}

/// What a node does in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Role {
    /// It waits for a cluster.
    Forming,
    /// It leads.
    Leader,
    /// It follows and votes.
    Follower,
    /// It stands for election.
    Candidate,
    /// It follows without a vote.
    Learner,
    /// It was removed.
    Removed,
    /// Its storage or its consensus failed.
    Failed,
}
