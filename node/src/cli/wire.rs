//! The answers of a node, as far as people are shown them.
//!
//! Whatever is absent takes its default, so that a node of another version can be asked too. JSON is printed as the node
//! gave it, and not from these.

use serde::Deserialize;

/// A backend and how it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Backend {
    pub(super) identifier: String,
    pub(super) hostname: String,
    pub(super) port: u16,
    pub(super) ssl: bool,
    pub(super) verify_tls: bool,
    pub(super) tls_ca: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) api_format: String,
    pub(super) health_check_method: String,
    pub(super) health_check_url: String,
    pub(super) state: String,
    pub(super) labels: Vec<String>,
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) max_parallel_requests: u32,
    pub(super) active_requests: u64,
    pub(super) healthy_since_utc: Option<String>,
    pub(super) uptime: Option<String>,
    pub(super) downtime: Option<String>,
}

/// A frontend.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Frontend {
    pub(super) identifier: String,
    pub(super) hostname: String,
    pub(super) load_balancing: String,
    pub(super) backends: Vec<String>,
    pub(super) default_model: Option<String>,
    pub(super) required_models: Vec<String>,
    pub(super) active: bool,
}

/// A virtual key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Key {
    pub(super) identifier: String,
    pub(super) name: String,
    pub(super) active: bool,
    pub(super) frontends: Vec<String>,
    pub(super) models: Vec<String>,
    pub(super) expires_utc: Option<String>,
    pub(super) requests_per_minute: u32,
    pub(super) tokens_per_minute: u32,
    pub(super) max_parallel_requests: u32,
}

/// What keys have used.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Usage {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) complete: bool,
    pub(super) total: UsageRow,
    pub(super) rows: Vec<UsageRow>,
    pub(super) nodes: Vec<UsageNode>,
}

/// What one key has used of one model on one day.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct UsageRow {
    pub(super) day: String,
    pub(super) key: String,
    pub(super) model: String,
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
}

/// Whether a node has told what was used there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct UsageNode {
    pub(super) node: Option<u64>,
    pub(super) answered: bool,
    pub(super) error: Option<String>,
}

/// Models by backends.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Models {
    pub(super) models: Vec<Model>,
    pub(super) rolls: Vec<Roll>,
}

/// One model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Model {
    pub(super) model: String,
    pub(super) backends: Vec<Place>,
}

/// One model at one backend.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Place {
    pub(super) backend: String,
    pub(super) present: Option<bool>,
    pub(super) digest: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) loaded: Option<bool>,
    pub(super) pulling_percent: Option<u8>,
    pub(super) required: bool,
    pub(super) preload: bool,
    pub(super) forbidden: bool,
    pub(super) drifted: bool,
    pub(super) reason: Option<String>,
}

/// An update of a model, one backend after the other.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Roll {
    pub(super) model: String,
    pub(super) steps: Vec<RollStep>,
}

/// The update at one backend.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RollStep {
    pub(super) backend: String,
    pub(super) phase: String,
    pub(super) detail: Option<String>,
}

/// What a node does about models.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Planned {
    pub(super) actions: Vec<Action>,
}

/// One work.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Action {
    pub(super) backend: String,
    pub(super) kind: String,
    pub(super) model: String,
}

/// A roll that was begun.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Rolling {
    pub(super) model: String,
    pub(super) backends: Vec<String>,
}

/// A client's session.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Session {
    pub(super) frontend: String,
    pub(super) client: String,
    pub(super) backend: String,
    pub(super) last_used_utc: String,
    pub(super) expires_utc: String,
}

/// Where a request would go.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Explained {
    pub(super) operation: String,
    pub(super) model: Option<String>,
    pub(super) alias: Option<String>,
    pub(super) policy: String,
    pub(super) chosen: Option<String>,
    pub(super) decision: Option<String>,
    pub(super) wait: bool,
    pub(super) candidates: Vec<Candidate>,
}

/// One backend of an explanation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Candidate {
    pub(super) backend: String,
    #[serde(rename = "Candidate")]
    pub(super) is_fit: bool,
    pub(super) reason: Option<String>,
    pub(super) in_flight: u32,
    pub(super) max_parallel_requests: u32,
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) loaded: Option<bool>,
    pub(super) has_model: Option<bool>,
    pub(super) breaker_state: String,
    pub(super) first_token_ms: Option<u64>,
    pub(super) translation: Option<String>,
    pub(super) refusal: Option<String>,
}

// === Backend ===

impl Backend {
    /// Where it is.
    pub(super) fn address(&self) -> String {
        let scheme = if self.ssl { "https://" } else { "" };
        if self.hostname.contains(':') {
            format!("{scheme}[{}]:{}", self.hostname, self.port)
        } else {
            format!("{scheme}{}:{}", self.hostname, self.port)
        }
    }

    /// Whether it is probed.
    pub(super) fn is_probed(&self) -> bool {
        self.state != "Disabled"
    }

    /// Whether the node that was asked finds it fit.
    pub(super) fn is_healthy(&self) -> bool {
        self.is_probed() && self.healthy_since_utc.is_some()
    }
}
