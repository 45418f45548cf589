//! What a cluster is started with.

use serde_json::Value;

use super::{Cluster, turns};
use crate::node::{Node, NodeBuilder};
use crate::objects::{Backend, Frontend};

/// Connects the nodes of every test's cluster, unless a test says otherwise.
const SECRET: &str = "a-secret-for-the-tests-of-the-cluster";

/// A cluster to be configured: three nodes with one secret and no objects.
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    pub(super) count: usize,
    pub(super) template: NodeBuilder,
    pub(super) secret: String,
    pub(super) is_direct: bool,
}

impl Default for ClusterBuilder {
    fn default() -> Self {
        let template = Node::builder().settings(&serde_json::json!({ "Webserver": { "Workers": 1 } }));
        Self { count: 3, template, secret: SECRET.to_owned(), is_direct: false }
    }
}

impl ClusterBuilder {
    /// How many nodes name each other as peers. One alone has no peers.
    #[must_use]
    pub fn nodes(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// The secret of all nodes.
    #[must_use]
    pub fn secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.secret);
        self
    }

    /// A frontend in the settings file of every node, for the birth of the cluster.
    #[must_use]
    pub fn frontend(mut self, frontend: Frontend) -> Self {
        self.template = self.template.frontend(frontend);
        self
    }

    /// A backend in the settings file of every node.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.template = self.template.backend(backend);
        self
    }

    /// Settings of every node, merged over those of the tests.
    #[must_use]
    pub fn settings(mut self, overrides: &Value) -> Self {
        self.template = self.template.settings(overrides);
        self
    }

    /// Nodes reach each other without forwarders between them: for measurements. They cannot be cut off.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.is_direct = true;
        self
    }

    /// The nodes, not started. Waits while too many other tests have clusters.
    pub fn prepare(self) -> Cluster {
        turns::wait();
        Cluster::prepare(self)
    }

    /// Starts all nodes at the same time and waits until all of them vote and follow one leader.
    pub async fn start(self) -> Cluster {
        let mut cluster = self.prepare();
        let all: Vec<_> = (0..cluster.len()).collect();
        cluster.start_together(&all).await;
        cluster.formed(all.len()).await;
        cluster
    }
}
