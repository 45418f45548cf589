//! The node's part in the cluster: how it begins, and how what was agreed on reaches the rest of the node.

use ollamaflow_protocol::cluster::Command;
use ollamaflow_protocol::id::ClusterId;

use super::AppError;
use crate::catalog::CatalogPublisher;
use crate::cluster::{Cluster, ClusterError};
use crate::settings::Settings;

/// A node's part in the cluster.
pub(super) struct Clustering {
    /// The cluster.
    pub(super) cluster: Cluster,
    /// Whether other nodes can reach this one. If so, somebody may watch its readiness and send clients elsewhere.
    pub(super) has_peers: bool,
}

/// Takes part in the cluster. The objects of the settings are the first ones of a new cluster.
pub(super) fn start(settings: &Settings) -> Result<Clustering, AppError> {
    let seed = Command::Seed {
        cluster_id: random_id()?,
        founders: Vec::new(),
        frontends: settings.frontends.clone(),
        backends: settings.backends.clone(),
    };
    Ok(Clustering { cluster: Cluster::in_memory(seed)?, has_peers: false })
}

/// Hands on the catalog of every state that this node applies, until the cluster is gone.
pub(super) async fn publish(cluster: Cluster, publisher: CatalogPublisher) {
    let mut states = cluster.subscribe();
    drop(cluster);
    loop {
        let catalog = states.borrow_and_update().state.catalog().clone();
        publisher.publish(catalog);
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// The name of a new cluster: 128 random bits, so that no two clusters are taken for each other.
fn random_id() -> Result<ClusterId, ClusterError> {
    let failed = |reason: String| ClusterError::Failed { reason };
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| failed(e.to_string()))?;
    format!("{:032x}", u128::from_be_bytes(bytes)).parse().map_err(|_| failed("a name is no name".to_owned()))
}
