//! Settings of the traffic to backends: probes and connections.

use std::time::Duration;

use ollamaflow_protocol::object::validate::{INT_MAX, between};
use serde::{Deserialize, Serialize};

/// How backends are probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// Time between two probes of a backend, in milliseconds.
    #[serde(deserialize_with = "between::<100, INT_MAX, _, _>")]
    pub interval_ms: u32,
    /// Longest wait for the answer to a probe, in milliseconds.
    #[serde(deserialize_with = "between::<10, INT_MAX, _, _>")]
    pub timeout_ms: u32,
    /// Time between two probes until the health of a new backend is known, in milliseconds; a tenth of it after a good one.
    #[serde(deserialize_with = "between::<10, INT_MAX, _, _>")]
    pub startup_interval_ms: u32,
    /// By how much an interval varies at random, in percent up and down, so that probes spread out.
    #[serde(deserialize_with = "between::<0, 50, _, _>")]
    pub jitter_percent: u8,
}

/// How connections to backends are made and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Upstream {
    /// Longest wait for a connection, in milliseconds.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    pub connect_timeout_ms: u32,
    /// How long an unused connection is kept, in milliseconds. Keep it below the backends' own limit: a server
    /// that closes first may do so while a request is on its way.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    pub idle_timeout_ms: u32,
    /// Unused connections kept per backend and worker.
    #[serde(deserialize_with = "between::<0, 65536, _, _>")]
    pub max_idle_connections: u32,
}

// === HealthCheck ===

impl HealthCheck {
    /// Time between two probes.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.into())
    }

    /// Longest wait for the answer to a probe.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }

    /// Time between two probes until the health of a new backend is known.
    pub fn startup_interval(&self) -> Duration {
        Duration::from_millis(self.startup_interval_ms.into())
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { interval_ms: 5_000, timeout_ms: 2_500, startup_interval_ms: 250, jitter_percent: 10 }
    }
}

// === Upstream ===

impl Upstream {
    /// Longest wait for a connection.
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.into())
    }

    /// How long an unused connection is kept.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms.into())
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self { connect_timeout_ms: 2_000, idle_timeout_ms: 4_000, max_idle_connections: 256 }
    }
}
