//! The settings of a node: what can be set, its defaults and bounds, and the one place that reads it.
//!
//! In: a file, environment variables and flags ([`Sources`]). Out: a checked [`Loaded`] value, or every problem with
//! its place. Knows nothing about the parts that use the settings, and logs nothing: what there is to say is
//! returned.

mod admin;
mod cluster;
mod environment;
mod file;
mod inert;
mod layers;
mod load;
mod logging;
mod outcome;
mod sources;
mod traffic;
mod webserver;

use ollamaflow_protocol::object::validate::non_empty;
use ollamaflow_protocol::object::{Backend, Frontend, Secret};
use serde::{Deserialize, Serialize};

pub use self::admin::Admin;
pub use self::cluster::{
    ClusterAddress, ClusterAddressError, ClusterPlan, ClusterSettings, ClusterStart, ClusterTiming,
    ClusterTls, ClusterTlsSettings, DEFAULT_CLUSTER_PORT,
};
pub use self::layers::{Origin, Origins};
pub use self::load::{load, load_for_client};
pub use self::logging::{Logging, SyslogServer};
pub use self::outcome::{FirstRun, Loaded, Problem, SettingsError};
pub use self::sources::{
    ClusterFlags, DEFAULT_FILE, Flags, ListenAddress, ListenAddressError, MissingFile, Sources,
};
pub use self::traffic::{HealthCheck, Upstream};
pub use self::webserver::{
    AccessControl, AccessMode, Headers, Io, ListenHost, ListenTarget, Ssl, Webserver, WebserverDebug,
};

/// Everything that can be set. Property names in the file are the field names in `PascalCase`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Settings {
    /// What is logged and where to.
    pub logging: Logging,
    /// The listener and its limits.
    pub webserver: Webserver,
    /// The admin API.
    pub admin: Admin,
    /// How backends are probed.
    pub health_check: HealthCheck,
    /// How connections to backends are made and kept.
    pub upstream: Upstream,
    /// The other nodes.
    pub cluster: ClusterSettings,
    /// Directory of everything the node stores.
    #[serde(deserialize_with = "non_empty")]
    pub data_directory: String,
    /// Database of the original.
    #[serde(deserialize_with = "non_empty")]
    pub database_filename: String,
    /// Tokens that admin calls must carry; without any, no admin call succeeds.
    #[serde(deserialize_with = "webserver::tokens")]
    pub admin_bearer_tokens: Vec<Secret>,
    /// Request headers that name a session; the first one present counts.
    #[serde(deserialize_with = "webserver::header_names")]
    pub sticky_headers: Vec<String>,
    /// Virtual servers.
    pub frontends: Vec<Frontend>,
    /// Upstream servers.
    pub backends: Vec<Backend>,
}

// === Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            logging: Logging::default(),
            webserver: Webserver::default(),
            admin: Admin::default(),
            health_check: HealthCheck::default(),
            upstream: Upstream::default(),
            cluster: ClusterSettings::default(),
            data_directory: "./data".to_owned(),
            database_filename: "./ollamaflow.db".to_owned(),
            admin_bearer_tokens: Vec::new(),
            sticky_headers: vec!["x-conversation-id".to_owned(), "x-thread-id".to_owned()],
            frontends: Vec::new(),
            backends: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
