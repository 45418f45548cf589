//! What only the leader can do: errands, which a follower passes on, and what comes of them.
//!
//! They travel between nodes: plain data, externally tagged.

use ollamaflow_protocol::cluster::{Applied, NodeId};
use ollamaflow_protocol::id::ClusterId;
use serde::{Deserialize, Serialize};

use super::codec::{self, CodecError};
use super::error::ClusterError;
use super::network::Call;

/// What only the leader can do.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Errand {
    /// Puts the text of an envelope into the log. Its request id makes sending it twice harmless.
    Propose(String),
    /// Proves that it leads.
    ReadIndex,
    /// Gives a node its id, and its vote once it has caught up.
    Admit(Candidate),
    /// Takes a member's vote, then the member, then its id.
    Remove(NodeId),
    /// Hands the leadership to that voter, or to the one with most of the log.
    Transfer(Option<NodeId>),
}

/// A node that wants to be a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Candidate {
    /// Host and port under which the others reach it.
    pub(super) address: String,
    /// Random number made with its empty store.
    pub(super) incarnation: u128,
    /// Whether it takes entries: it knows its id and its cluster, and its consensus runs.
    pub(super) is_ready: bool,
}

/// What came of an errand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Done {
    /// The command is in the log at `index`, and this is what it did.
    Proposed { index: u64, applied: Applied },
    /// Everything confirmed so far is at or below this index.
    ReadIndex(u64),
    /// The node's place.
    Admitted(Admission),
    /// The member is gone.
    Removed,
    /// This node leads now.
    Transferred(NodeId),
}

/// A node's place in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Admission {
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
    pub(super) is_voter: bool,
}

/// How an errand ends, as it travels back.
pub(super) type Ended = Result<Done, ClusterError>;

// === Errand ===

impl Errand {
    /// The call that carries it.
    pub(super) const fn call(&self) -> Call {
        match self {
            Self::Propose(_) => Call::Propose,
            Self::ReadIndex => Call::ReadIndex,
            Self::Admit(_) => Call::Join,
            Self::Remove(_) | Self::Transfer(_) => Call::Membership,
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }
}
