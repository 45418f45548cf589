//! One call to each of the other members, all at the same time.

use std::time::Duration;

use futures_util::future::join_all;
use ollamaflow_protocol::cluster::NodeId;
use serde::Serialize;

use super::codec;
use super::network::{Call, CallError, Target};
use super::node::Node;

/// What each of the others has answered, or why it has not within `limit`. There are no others for a node without a
/// cluster, or before it has its place in one.
pub(super) async fn call_others(
    own: &Node,
    call: Call,
    message: &impl Serialize,
    limit: Duration,
) -> Vec<(NodeId, Result<Vec<u8>, CallError>)> {
    let (Some(link), Some(consensus)) = (&own.link, own.consensus()) else { return Vec::new() };
    let body = match codec::encode(message) {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(?call, %error, "a message to the other nodes cannot be encoded");
            return Vec::new();
        }
    };
    let others = consensus.members().into_iter().filter(|(id, _)| *id != consensus.id);
    let calls = others.map(|(id, member)| {
        let (target, body) = (Target { address: member.address, node: Some(id) }, body.clone());
        async move { (id, link.client.call(&target, call, body, limit).await) }
    });
    join_all(calls).await
}
