//! Settings of the cluster: how this node finds the others, and how they trust each other.
//!
//! [`ClusterSettings`] is what the layers say; [`ClusterPlan`] is what follows from it, with every rule checked.
//! Without any of them a node is a cluster of one that no other node can reach.

mod address;
mod plan;

use ollamaflow_protocol::object::Secret;
use ollamaflow_protocol::object::validate::between;
use serde::{Deserialize, Serialize};

pub use self::address::{ClusterAddress, ClusterAddressError, DEFAULT_CLUSTER_PORT};
pub use self::plan::{ClusterPlan, ClusterStart, ClusterTiming, ClusterTls};

/// The section `Cluster`. Empty texts and lists count as absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClusterSettings {
    /// Where to listen for other nodes, `HOST:PORT`; `*` as host for every address.
    pub listen: Option<String>,
    /// Under which `HOST:PORT` the other nodes reach this one.
    pub advertise: Option<String>,
    /// All nodes of a new cluster, this one included, each as it advertises itself. The same on each of them.
    pub peers: Vec<String>,
    /// A node of the cluster to join, or `invite` to wait until a member adds this node.
    pub join: Option<String>,
    /// What all nodes of the cluster know and nobody else: at least 16 characters.
    pub secret: Option<Secret>,
    /// A file with the secret, read at start; a line break at its end does not count.
    pub secret_file: Option<String>,
    /// Time between two signs of life of the leader, in milliseconds.
    #[serde(deserialize_with = "between::<10, 10_000, _, _>")]
    pub heartbeat_ms: u32,
    /// Shortest silence of the leader after which a node stands for election, in milliseconds.
    #[serde(deserialize_with = "between::<30, 300_000, _, _>")]
    pub election_min_ms: u32,
    /// Longest such silence, in milliseconds. Each node draws its own between the two.
    #[serde(deserialize_with = "between::<30, 300_000, _, _>")]
    pub election_max_ms: u32,
    /// Mutual TLS between nodes.
    pub tls: ClusterTlsSettings,
}

/// Mutual TLS between nodes: all three files (PEM), or none for plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClusterTlsSettings {
    /// The certificate chain of this node, for both directions.
    pub certificate_file: Option<String>,
    /// Its private key.
    pub key_file: Option<String>,
    /// The authorities that may have signed the certificates of other nodes.
    pub ca_file: Option<String>,
}

// === ClusterSettings ===

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            listen: None,
            advertise: None,
            peers: Vec::new(),
            join: None,
            secret: None,
            secret_file: None,
            // Three missed signs of life before an election, and a pause of the scheduler of a busy machine besides.
            heartbeat_ms: 100,
            election_min_ms: 350,
            election_max_ms: 700,
            tls: ClusterTlsSettings::default(),
        }
    }
}

#[cfg(test)]
mod tests;
