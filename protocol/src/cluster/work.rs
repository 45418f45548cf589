//! Work on models that is claimed, so that it is never done twice at once, and what has failed of it.
//!
//! ```text
//! ClaimWork --held--> RenewWork, again and again --held--> ReleaseWork --> gone, or failed
//!     ^                          | no more renewals: the holder died
//!     +------ over a sighting <--+
//! ```
//!
//! A claim ends when its holder releases it or when another one takes it over. Whoever takes over tells what it has
//! seen: *this* claim after *so many* renewals, unchanged for [`LEASE_SECONDS`] by its own steady clock. One renewal
//! more, and the take-over is refused. The holder gives up its work before that time has passed since it *sent* the last
//! renewal that was confirmed. So no clock of one node is ever compared with that of another: it is enough that both
//! run at about the same speed.

use serde::{Deserialize, Serialize};

use super::hex128;
use super::nodes::NodeId;
use crate::id::BackendId;
use crate::models::desired::{ActionKind, Failure};
use crate::models::inventory::MAX_NAME;
use crate::time::Timestamp;

/// Most works that are kept, those that have failed included. Beyond that the failed one that is to be tried again
/// first is forgotten.
pub const MAX_WORKS: usize = 10_000;

/// Longest reason of a failure that is kept, in characters.
pub const MAX_WORK_MESSAGE: usize = 500;

/// Most models that are named as driven out of memory by one load.
pub const MAX_CROWDED_OUT: usize = 64;

/// How long a claim must have been seen without a renewal before it may be taken over, in seconds.
pub const LEASE_SECONDS: u64 = 30;

/// What is done where: at most one holder has it at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct WorkKey {
    /// Where.
    pub backend: BackendId,
    /// What.
    pub kind: ActionKind,
    /// The canonical name of the model ([`crate::model::canonical`]).
    pub model: String,
}

/// Work that is held, has failed, or both: it is being tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Work {
    /// What is done where.
    pub key: WorkKey,
    /// The model as it is named to the backend.
    pub name: String,
    /// Who does it; none if nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// How it failed the last time; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<WorkFailure>,
}

/// Who does some work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Hold {
    /// The node.
    pub node: NodeId,
    /// Random number of this claim.
    #[serde(with = "hex128")]
    pub token: u128,
    /// How often it was renewed.
    pub renewals: u64,
    /// When it was claimed, by the clock of that node: for people only.
    pub since_utc: Timestamp,
    /// How much is done, as of the last renewal.
    pub percent: Option<u8>,
}

/// How some work failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct WorkFailure {
    /// Whether it is tried again.
    pub why: Failure,
    /// In the backend's words, at most [`MAX_WORK_MESSAGE`] characters.
    pub message: String,
    /// How often it has failed in a row.
    pub attempts: u32,
    /// When it is tried again, if it is transient.
    pub until_utc: Timestamp,
    /// The revision of the catalog then.
    pub revision: u64,
    /// A hash of what was on the backend's disk then.
    pub disk: u64,
    /// Set if it is a load that was done, but at the cost of other models in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crowd: Option<Crowd>,
}

/// What a load has driven out of a backend's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Crowd {
    /// Canonical names of the models that left, at most [`MAX_CROWDED_OUT`].
    pub out: Vec<String>,
    /// How many models were in memory after it, itself included.
    pub count: usize,
}

/// A claim as another node has seen it, for long enough to take it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Sighting {
    /// The claim.
    #[serde(with = "hex128")]
    pub token: u128,
    /// After so many renewals.
    pub renewals: u64,
}

/// How some work ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkEnd {
    /// It is done: also former failures are forgotten.
    Done,
    /// It failed.
    Failed(WorkFailure),
    /// It was given up without a result and may be begun anew at once.
    Abandoned,
}

// === impl Hold ===

impl Hold {
    /// The claim as it is now.
    pub fn sighting(&self) -> Sighting {
        Sighting { token: self.token, renewals: self.renewals }
    }
}

// === impl WorkFailure ===

impl WorkFailure {
    /// The same, not longer than is kept.
    pub(super) fn bounded(&self) -> Self {
        let message = self.message.chars().take(MAX_WORK_MESSAGE).collect();
        let crowd = self.crowd.as_ref().map(|crowd| {
            let names = crowd.out.iter().filter(|name| name.len() <= MAX_NAME);
            Crowd { out: names.take(MAX_CROWDED_OUT).cloned().collect(), count: crowd.count }
        });
        Self { message, crowd, ..self.clone() }
    }
}

// === impl WorkKey ===

impl WorkKey {
    /// What is wrong with it and the name that goes with it; none if nothing is.
    pub(super) fn fault(&self, name: &str) -> Option<&'static str> {
        let is_bad = |name: &str| {
            name.trim().is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control)
        };
        (is_bad(&self.model) || is_bad(name)).then_some("must name a model, in at most 1024 bytes")
    }
}
