//! A roll: a newer version of one model at one backend after the other, each without requests meanwhile.
//!
//! A backend drains while its step is under way, and takes requests again when the step ends, however it ends: both are
//! in the same entry of the log as the phase, so no node can forget to set it back. Who works on a step holds the claim
//! to pull that model there, see `work`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::nodes::NodeId;
use super::work::WorkKey;
use crate::id::BackendId;
use crate::models::desired::ActionKind;
use crate::object::BackendState;
use crate::time::Timestamp;

/// Most rolls that are kept, those that have ended included. Beyond that the oldest of these goes.
pub const MAX_ROLLS: usize = 32;

/// The update of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Roll {
    /// The canonical name of the model.
    pub model: String,
    /// The model as it is named to the backends.
    pub name: String,
    /// Whether also a backend drains without which a frontend has no other one with the model.
    pub force: bool,
    /// Longest wait for the requests in flight at a backend, in milliseconds.
    pub drain_ms: u64,
    /// When it was asked for.
    pub begun_utc: Timestamp,
    /// One for each backend, in the order in which they are done.
    pub steps: Vec<RollStep>,
}

/// The update at one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RollStep {
    /// Where.
    pub backend: BackendId,
    /// How far it is.
    pub phase: RollPhase,
    /// What it is set back to at the end; null before it drains.
    pub former_state: Option<BackendState>,
    /// The nodes that have no requests in flight there any more.
    pub drained: BTreeSet<NodeId>,
    /// The new digest, or why there is none.
    pub detail: Option<String>,
}

/// How far the update at one backend is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum RollPhase {
    /// It waits for others.
    Waiting,
    /// Its requests in flight are awaited.
    Draining,
    /// The model is pulled.
    Pulling,
    /// It has the newest version.
    Done,
    /// It was left as it is.
    Skipped,
    /// It failed, and with it the steps that waited.
    Failed,
}

// === impl Roll ===

impl Roll {
    /// The first step that has not ended; none if all have.
    pub fn next(&self) -> Option<&RollStep> {
        self.steps.iter().find(|step| !step.phase.has_ended())
    }

    /// The work of its step at a backend.
    pub fn pull_at(&self, backend: &BackendId) -> WorkKey {
        WorkKey { backend: backend.clone(), kind: ActionKind::Pull, model: self.model.clone() }
    }

    /// The step of a backend.
    pub fn step(&self, backend: &BackendId) -> Option<&RollStep> {
        self.steps.iter().find(|step| step.backend == *backend)
    }
}

// === impl RollStep ===

impl RollStep {
    pub(super) fn new(backend: BackendId) -> Self {
        Self {
            backend,
            phase: RollPhase::Waiting,
            former_state: None,
            drained: BTreeSet::new(),
            detail: None,
        }
    }
}

// === impl RollPhase ===

impl RollPhase {
    /// Whether nothing more is done.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Skipped | Self::Failed)
    }
}
