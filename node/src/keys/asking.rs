//! Usage of the whole cluster: each node asks the others, and adds up.

use std::sync::Arc;

use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::usage::{UsageFilter, UsageRows, together};
use serde::Serialize;
use utoipa::ToSchema;

use super::usage::{Usage, UsageError};
use crate::cluster::{Cluster, Question, Reply};

/// Most rows that are given of the whole cluster.
const MOST_ROWS: usize = 50_000;

/// What the nodes have counted together.
#[derive(Debug)]
pub struct ClusterUsage {
    /// The rows.
    pub rows: UsageRows,
    /// Who has told.
    pub nodes: Vec<NodeAnswer>,
}

/// Whether a node has told what it has counted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NodeAnswer {
    /// Its id; none for a node without a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Whether its counts are in the answer.
    pub answered: bool,
    /// Why they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Asks this node and, unless only it is meant, all others.
///
/// # Errors
/// This node itself cannot tell.
pub async fn ask_all(
    cluster: &Cluster,
    usage: &Usage,
    filter: UsageFilter,
    only_here: bool,
) -> Result<ClusterUsage, UsageError> {
    let others = async {
        match serde_json::to_vec(&filter) {
            Ok(text) if !only_here => cluster.ask(&Question::Usage(text)).await,
            _ => Vec::new(),
        }
    };
    let (own, others) = futures_util::future::join(usage.read(filter.clone()), others).await;
    let mut tables = vec![own?];
    let mut nodes = vec![NodeAnswer { node: cluster.node_id(), answered: true, error: None }];
    for Reply { node, answer } in others {
        let rows = answer.and_then(|text| {
            serde_json::from_slice::<UsageRows>(&text).map_err(|_| "its answer cannot be read".to_owned())
        });
        let error = match rows {
            Ok(rows) => {
                tables.push(rows);
                None
            }
            Err(error) => Some(error),
        };
        nodes.push(NodeAnswer { node: Some(node), answered: error.is_none(), error });
    }
    nodes.sort_by_key(|answer| answer.node);
    Ok(ClusterUsage { rows: together(tables, MOST_ROWS), nodes })
}

/// Tells other nodes what this one has counted, as long as there is a cluster.
pub async fn answer_peers(cluster: Cluster, usage: Arc<Usage>) {
    let Some(mut questions) = cluster.questions() else { return };
    drop(cluster);
    while let Some(asked) = questions.recv().await {
        let Question::Usage(text) = &asked.question;
        let Ok(filter) = serde_json::from_slice(text) else { continue };
        match usage.read(filter).await.map(|rows| serde_json::to_vec(&rows)) {
            Ok(Ok(rows)) => asked.answer(rows),
            Ok(Err(error)) => tracing::warn!(%error, "usage could not be told to another node"),
            Err(error) => tracing::warn!(%error, "usage could not be told to another node"),
        }
    }
}
