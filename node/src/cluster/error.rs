//! Why the cluster did not do what it was asked.

use std::time::Duration;

use ollamaflow_protocol::cluster::{EnvelopeTooLarge, NodeId, Rejection};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why the cluster did not do what it was asked. Travels between nodes: externally tagged, plain data.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum ClusterError {
    /// The state machine refused the command; it changed nothing.
    #[error(transparent)]
    Rejected(Rejection),
    /// The command is too long.
    #[error(
        "the change takes {bytes} bytes, which is more than the cluster takes at once: send it in smaller parts"
    )]
    TooLarge {
        /// Length of its text.
        bytes: u64,
    },
    /// No leader is known. Nothing was changed.
    #[error("no leader: {}; reads and proxying go on", missing(*reachable, *voters, *quorum))]
    NoLeader {
        /// Voters that answer this node, itself included.
        reachable: u64,
        /// All voters.
        voters: u64,
        /// How many a decision takes.
        quorum: u64,
    },
    /// The leader did not hear from a quorum in time. Whether the change is made is not known.
    #[error(
        "the write was not confirmed by a quorum within {}: it may still be made; read before repeating it",
        seconds(*waited_ms)
    )]
    Unconfirmed {
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The leader, to which this node passed the call, did not answer. Whether the change is made is not known.
    #[error("the leader, node {leader}, did not answer: the change may be made; read before repeating it")]
    LeaderSilent {
        /// Its id.
        leader: NodeId,
    },
    /// The node to which the call was passed does not lead any more. Nothing was changed.
    #[error("the leadership is moving to another node: try again in a moment")]
    NotLeader,
    /// The node has no cluster yet.
    #[error("this node is not part of a cluster yet: {waiting_for}")]
    Forming {
        /// What it waits for.
        waiting_for: String,
    },
    /// The node was removed.
    #[error(
        "node {id} was removed from this cluster: stop it, wipe its data directory and let it join again as a new node"
    )]
    Removed {
        /// The id it had.
        id: NodeId,
    },
    /// The disk failed, or the consensus did: this node takes no part any more.
    #[error("this node stepped aside: {reason}")]
    Failed {
        /// What happened.
        reason: String,
    },
    /// Another change of the membership is under way.
    #[error("another change of the membership is under way: try again when it is done")]
    MembershipBusy,
    /// The membership cannot be changed like that. Nothing was changed.
    #[error("{0}")]
    Membership(String),
}

// === ClusterError ===

impl ClusterError {
    /// When to try again; none if trying again is of no use.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoLeader { .. }
            | Self::Unconfirmed { .. }
            | Self::LeaderSilent { .. }
            | Self::NotLeader
            | Self::Forming { .. }
            | Self::MembershipBusy
            | Self::Rejected(Rejection::NotSeeded) => Some(Duration::from_secs(1)),
            Self::Rejected(_)
            | Self::TooLarge { .. }
            | Self::Removed { .. }
            | Self::Failed { .. }
            | Self::Membership(_) => None,
        }
    }
}

impl From<Rejection> for ClusterError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<EnvelopeTooLarge> for ClusterError {
    fn from(error: EnvelopeTooLarge) -> Self {
        Self::TooLarge { bytes: error.bytes as u64 }
    }
}

fn missing(reachable: u64, voters: u64, quorum: u64) -> String {
    if reachable < quorum {
        format!("this node sees {reachable} of {voters} voting nodes and a write needs {quorum}")
    } else {
        format!("{reachable} of {voters} voting nodes are there and have not agreed on one yet")
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}
