//! The last writes and what became of each, so that a retry changes nothing and hears the same answer.
//!
//! Refusals are kept as well: a copy of a refused write that arrives late must not succeed after its sender was
//! told that it failed.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::hex128;
use super::outcome::Applied;
use super::rejection::Rejection;

/// Writes that are remembered. A client gives up retrying within seconds; so many writes take longer.
pub const MAX_RECENT_REQUESTS: usize = 1024;

/// Outcomes by request id, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Recent(VecDeque<Remembered>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Remembered {
    #[serde(with = "hex128")]
    request: u128,
    outcome: Arc<Result<Applied, Rejection>>,
}

// === Recent ===

impl Recent {
    /// What became of that request; none if it is new, too old or has no id.
    pub(super) fn outcome(&self, request: u128) -> Option<&Result<Applied, Rejection>> {
        // Retries follow soon: search from the newest.
        self.0.iter().rev().find(|known| known.request == request).map(|known| known.outcome.as_ref())
    }

    /// The same with one more; requests without an id are not remembered.
    pub(super) fn remembering(&self, request: u128, outcome: &Result<Applied, Rejection>) -> Self {
        let mut next = self.clone();
        if request != 0 {
            if next.0.len() >= MAX_RECENT_REQUESTS {
                next.0.pop_front();
            }
            next.0.push_back(Remembered { request, outcome: Arc::new(outcome.clone()) });
        }
        next
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
