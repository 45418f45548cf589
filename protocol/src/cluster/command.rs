//! What can be done to the replicated state.
//!
//! Commands are stored in the log, secrets included; a command in JSON must never reach an answer or a log line.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hex128;
use super::nodes::NodeId;
use super::roll::RollPhase;
use super::token::TokenHash;
use super::work::{Sighting, WorkEnd, WorkKey};
use crate::id::{BackendId, ClusterId, FrontendId, KeyId, TokenName};
use crate::object::{Backend, Frontend, Key, record};

/// One change to the replicated state. What follows from it is [`super::ClusterState::apply`]'s to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all_fields = "PascalCase")]
pub enum Command {
    /// The first command of every cluster: its name and first objects. Refused for ever after.
    Seed {
        /// The name of the cluster.
        cluster_id: ClusterId,
        /// The nodes that form it; ids given out later lie above theirs.
        #[serde(default)]
        founders: Vec<Founder>,
        /// The first frontends.
        #[serde(with = "record")]
        frontends: Vec<Frontend>,
        /// The first backends.
        #[serde(with = "record")]
        backends: Vec<Backend>,
    },
    /// Creates a frontend or replaces the one of its name.
    PutFrontend {
        /// The whole frontend.
        #[serde(with = "record")]
        frontend: Box<Frontend>,
        /// What must be true of the stored one.
        #[serde(default)]
        expect: Precondition,
    },
    /// Creates a backend or replaces the one of its name.
    PutBackend {
        /// The whole backend. A redaction mark in a secret keeps the stored secret.
        #[serde(with = "record")]
        backend: Box<Backend>,
        /// What must be true of the stored one.
        #[serde(default)]
        expect: Precondition,
        /// Whether the state was named, and is not only what it was: then it outlives a roll.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        sets_state: bool,
    },
    /// Deletes a frontend.
    DeleteFrontend {
        /// Its name.
        id: FrontendId,
        /// What must be true of it.
        #[serde(default)]
        expect: Precondition,
    },
    /// Deletes a backend.
    DeleteBackend {
        /// Its name.
        id: BackendId,
        /// What must be true of it.
        #[serde(default)]
        expect: Precondition,
        /// Whether to take it out of the frontends that list it; otherwise they stand in the way.
        #[serde(default)]
        force: bool,
    },
    /// Makes these the only frontends, backends and virtual keys, all at once or not at all. Objects that stay as they are keep
    /// their revision.
    ReplaceCatalog {
        /// All frontends.
        #[serde(with = "record")]
        frontends: Vec<Frontend>,
        /// All backends. A redaction mark in a secret keeps the secret of the stored backend of that name.
        #[serde(with = "record")]
        backends: Vec<Backend>,
        /// All virtual keys; none if they stay as they are. One without a hash keeps that of the stored key of its name.
        #[serde(default, with = "record", skip_serializing_if = "Option::is_none")]
        keys: Option<Vec<Key>>,
        /// What must be true of the catalog.
        #[serde(default)]
        expect: Precondition,
    },
    /// Restores all frontends, backends and virtual keys as they were at an earlier revision; tokens and nodes stay.
    Rollback {
        /// That revision.
        to_revision: u64,
        /// What must be true of the catalog.
        #[serde(default)]
        expect: Precondition,
    },
    /// Creates an admin token or gives the one of that name a new secret.
    PutToken {
        /// The name under which it appears in the history.
        name: TokenName,
        /// SHA-256 of the token.
        hash: TokenHash,
        /// What must be true of the stored one.
        #[serde(default)]
        expect: Precondition,
    },
    /// Revokes an admin token.
    DeleteToken {
        /// Its name.
        name: TokenName,
    },
    /// Gives a new node its id, or an admitted one its new address. Asking again with the same incarnation gives
    /// the same id.
    AllocateNode {
        /// Host and port under which the other nodes reach it.
        address: String,
        /// Random number made with the node's empty store, so that a wiped disk is a new node.
        #[serde(with = "hex128")]
        incarnation: u128,
    },
    /// Strikes a node off; its id is never given out again.
    RetireNode {
        /// Its id.
        id: NodeId,
    },
    /// Claims work on a model, so that nobody else does it meanwhile. Refused if somebody does.
    ClaimWork {
        /// What is done where.
        key: WorkKey,
        /// The model as it is named to the backend.
        name: String,
        /// Random number of this claim.
        #[serde(with = "hex128")]
        token: u128,
        /// The claim that it takes over, because its holder has been silent for too long.
        #[serde(default)]
        over: Option<Sighting>,
    },
    /// Keeps a claim, and tells how far the work is.
    RenewWork {
        /// What is done where.
        key: WorkKey,
        /// The claim.
        #[serde(with = "hex128")]
        token: u128,
        /// How much is done, if that is known.
        #[serde(default)]
        percent: Option<u8>,
    },
    /// Ends a claim.
    ReleaseWork {
        /// What was done where.
        key: WorkKey,
        /// The claim.
        #[serde(with = "hex128")]
        token: u128,
        /// How it ended.
        end: WorkEnd,
    },
    /// Forgets what has failed, so that it is tried again now.
    RetryWorks {
        /// At this backend; at all if none is given.
        #[serde(default)]
        backend: Option<BackendId>,
    },
    /// Begins to bring a newer version of a model to these backends, one after the other.
    BeginRoll {
        /// The model as it is named to the backends.
        name: String,
        /// In this order.
        backends: Vec<BackendId>,
        /// Whether also a backend drains that is the only one with the model.
        #[serde(default)]
        force: bool,
        /// Longest wait for the requests in flight at a backend, in milliseconds.
        drain_ms: u64,
    },
    /// Whoever holds the claim to pull the model at a backend tells how far its step of the roll is. The backend drains
    /// from `Draining` on, and until the step has ended.
    AdvanceRoll {
        /// The claim's work.
        key: WorkKey,
        /// The claim.
        #[serde(with = "hex128")]
        token: u128,
        /// How far it is.
        phase: RollPhase,
        /// The new digest, or why there is none.
        #[serde(default)]
        detail: Option<String>,
    },
    /// A node has no requests in flight any more at a backend that drains for a roll.
    TellDrained {
        /// The canonical name of the model.
        model: String,
        /// Where.
        backend: BackendId,
        /// Which node.
        node: NodeId,
    },
    /// Creates a virtual key or replaces the one of its name.
    PutKey {
        /// The whole key. One without a hash keeps that of the stored one.
        #[serde(with = "record")]
        key: Box<Key>,
        /// What must be true of the stored one.
        #[serde(default)]
        expect: Precondition,
    },
    /// Deletes a virtual key: from then on it lets nobody in.
    DeleteKey {
        /// Its name.
        id: KeyId,
        /// What must be true of it.
        #[serde(default)]
        expect: Precondition,
    },
    /// A command of a version that this one does not know. Always refused.
    #[serde(untagged)]
    Unknown(UnknownCommand),
}

/// A command that cannot be read: its JSON as it was. `Debug` shows its name only, for secrets may be in the rest.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnknownCommand(Value);

/// A node that is there when the cluster is born.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Founder {
    /// Its id.
    pub id: NodeId,
    /// Host and port under which the other nodes reach it.
    pub address: String,
    /// Random number made with its empty store.
    #[serde(with = "hex128")]
    pub incarnation: u128,
}

/// What must be true of the stored object, or else the command changes nothing.
///
/// Commands on the whole catalog compare with the last change of any frontend or backend: `Revision(r)` holds if
/// nothing in it changed after `r`, and `Absent` holds if it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Precondition {
    /// Nothing.
    #[default]
    Any,
    /// It does not exist.
    Absent,
    /// It exists and was last changed at this revision.
    Revision(u64),
}

// === Command ===

impl Command {
    /// The name of the command, for log lines.
    pub fn name(&self) -> &str {
        match self {
            Self::Seed { .. } => "Seed",
            Self::PutFrontend { .. } => "PutFrontend",
            Self::PutBackend { .. } => "PutBackend",
            Self::DeleteFrontend { .. } => "DeleteFrontend",
            Self::DeleteBackend { .. } => "DeleteBackend",
            Self::ReplaceCatalog { .. } => "ReplaceCatalog",
            Self::Rollback { .. } => "Rollback",
            Self::PutToken { .. } => "PutToken",
            Self::DeleteToken { .. } => "DeleteToken",
            Self::AllocateNode { .. } => "AllocateNode",
            Self::RetireNode { .. } => "RetireNode",
            Self::ClaimWork { .. } => "ClaimWork",
            Self::RenewWork { .. } => "RenewWork",
            Self::ReleaseWork { .. } => "ReleaseWork",
            Self::RetryWorks { .. } => "RetryWorks",
            Self::BeginRoll { .. } => "BeginRoll",
            Self::AdvanceRoll { .. } => "AdvanceRoll",
            Self::TellDrained { .. } => "TellDrained",
            Self::PutKey { .. } => "PutKey",
            Self::DeleteKey { .. } => "DeleteKey",
            Self::Unknown(command) => command.name(),
        }
    }

    /// Whether it is about work that is claimed. Such commands come often and may be applied twice without harm, so
    /// they are not remembered.
    pub(super) const fn is_about_work(&self) -> bool {
        matches!(
            self,
            Self::ClaimWork { .. }
                | Self::RenewWork { .. }
                | Self::ReleaseWork { .. }
                | Self::RetryWorks { .. }
                | Self::AdvanceRoll { .. }
                | Self::TellDrained { .. }
        )
    }
}

// === UnknownCommand ===

impl UnknownCommand {
    /// What its name seems to be; empty if it has none.
    pub fn name(&self) -> &str {
        match &self.0 {
            Value::String(name) => name,
            Value::Object(body) if body.len() == 1 => body.keys().next().map_or("", String::as_str),
            _ => "",
        }
    }
}

impl From<Value> for UnknownCommand {
    fn from(command: Value) -> Self {
        Self(command)
    }
}

impl fmt::Debug for UnknownCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}(..)", self.name())
    }
}
