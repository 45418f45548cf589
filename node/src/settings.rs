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
mod standard;
mod stopping;
mod tracing;
mod traffic;
mod webserver;

use ollamaflow_protocol::object::validate::{between, non_empty};
use ollamaflow_protocol::object::{Backend, Frontend, Secret};
use ollamaflow_protocol::proxies::TrustedProxies;
use serde::{Deserialize, Serialize};

pub use self::admin::Admin;
pub use self::cluster::{
    ClusterAddress, ClusterAddressError, ClusterPlan, ClusterSettings, ClusterStart, ClusterTiming,
    ClusterTls, ClusterTlsSettings, DEFAULT_CLUSTER_PORT,
};
pub use self::layers::{Origin, Origins};
pub use self::load::{check_given, load, load_for_client};
pub use self::logging::{LogFormat, Logging, SyslogServer};
pub use self::outcome::{FirstRun, Loaded, Problem, SettingsError};
pub use self::sources::{
    ClusterFlags, DEFAULT_FILE, Flags, ListenAddress, ListenAddressError, MissingFile, Sources,
};
pub use self::tracing::Tracing;
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
    /// Whether requests are traced, and where to.
    pub tracing: Tracing,
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
    /// Proxies in front of this node, by address or network: whose `X-Forwarded-For` tells the client.
    pub trusted_proxies: TrustedProxies,
    /// How long requests in flight may go on after the node was told to stop, in milliseconds.
    #[serde(deserialize_with = "between::<0, { stopping::LONGEST_MS }, _, _>")]
    pub shutdown_grace_ms: u32,
    /// How long the node goes on accepting after it was told to stop, in milliseconds; absent for a second with peers
    /// and no time without.
    #[serde(deserialize_with = "stopping::settle")]
    pub shutdown_settle_ms: Option<u32>,
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
            tracing: Tracing::default(),
            webserver: Webserver::default(),
            admin: Admin::default(),
            health_check: HealthCheck::default(),
            upstream: Upstream::default(),
            cluster: ClusterSettings::default(),
            data_directory: "./data".to_owned(),
            database_filename: "./ollamaflow.db".to_owned(),
            admin_bearer_tokens: Vec::new(),
            sticky_headers: vec!["x-conversation-id".to_owned(), "x-thread-id".to_owned()],
            trusted_proxies: TrustedProxies::default(),
            shutdown_grace_ms: 30_000,
            shutdown_settle_ms: None,
            frontends: Vec::new(),
            backends: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
