//! What a running node knows about a backend beyond its configuration, in the shape the API shows it.
//!
//! Clients may send these properties back in a create or update; they are accepted there and ignored.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::backend::Backend;
use crate::time::{Timespan, Timestamp};

/// The live properties of a backend. Exactly one of the two since-times is set once health is tracked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct BackendRuntime {
    /// Since when the backend has been healthy; absent while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_since_utc: Option<Timestamp>,
    /// Since when the backend has been unhealthy; absent while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_since_utc: Option<Timestamp>,
    /// How long it has been healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime: Option<Timespan>,
    /// How long it has been unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Timespan>,
    /// Requests in flight at the backend.
    pub active_requests: u64,
    /// Whether a sticky session points at the backend.
    pub is_sticky: bool,
}

/// A backend with its live properties: the body of the backend and health endpoints.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BackendStatus<'a> {
    /// The configuration, first in the output.
    #[serde(flatten)]
    pub backend: &'a Backend,
    /// The live properties, after it.
    #[serde(flatten)]
    pub runtime: BackendRuntime,
}

// === BackendRuntime ===

impl BackendRuntime {
    /// A backend that has been healthy since `since`.
    pub fn healthy(since: Timestamp, now: Timestamp) -> Self {
        Self { healthy_since_utc: Some(since), uptime: Some(now.since(since)), ..Self::default() }
    }

    /// A backend that has been unhealthy since `since`.
    pub fn unhealthy(since: Timestamp, now: Timestamp) -> Self {
        Self { unhealthy_since_utc: Some(since), downtime: Some(now.since(since)), ..Self::default() }
    }
}
