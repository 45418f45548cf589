//! What openraft is told about our cluster: entries, answers, members.
//!
//! These types go through bincode, onto the disk and between nodes: plain structs and externally tagged enums only,
//! and no field is ever added. Whatever may grow travels as the JSON text of an
//! [`Envelope`](ollamaflow_protocol::cluster::Envelope).

use std::fmt;

use ollamaflow_protocol::cluster::{Applied, NodeId, Rejection};
use serde::{Deserialize, Serialize};

openraft::declare_raft_types!(
    /// The types of our cluster.
    pub TypeConfig:
        D = Proposal,
        R = Response,
        NodeId = NodeId,
        Node = Member,
        SnapshotData = Vec<u8>,
);

/// An entry of the log: the text of an envelope. `Debug` shows its length only, for secrets are in the text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// What [`Envelope::encode`](ollamaflow_protocol::cluster::Envelope::encode) wrote.
    pub text: String,
}

/// What became of an entry; none for entries of the consensus itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The answer of the state machine.
    pub outcome: Option<Result<Applied, Rejection>>,
}

/// Where a node is found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Member {
    /// Host and port under which the other nodes reach it; the host is resolved anew for every connection.
    pub address: String,
}

// === Proposal ===

impl fmt::Debug for Proposal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proposal({} bytes)", self.text.len())
    }
}

// === Member ===

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address)
    }
}
