//! Nodes that the settings name as peers and that are of another cluster: two clusters never become one, so that
//! somebody must be told.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ollamaflow_protocol::id::ClusterId;

use super::consensus::Consensus;
use super::forming::HELLO_TIMEOUT;
use super::network::{Call, CallError, Refusal, Target};
use super::node::{Node, Standing};

/// Time between two looks: settings change at restarts only.
const INTERVAL: Duration = Duration::from_secs(5);

/// Looks for strangers until the node steps aside or is dropped.
pub(super) async fn look_for_strangers(node: Weak<Node>, consensus: Arc<Consensus>) {
    loop {
        {
            let Some(node) = node.upgrade() else { return };
            if node.standing() != Standing::Member {
                return;
            }
            let found = stranger(&node, &consensus.cluster).await;
            node.note_stranger(found);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A sentence on the first stranger among the nodes that the settings name; none if there is none.
async fn stranger(node: &Node, own: &ClusterId) -> Option<String> {
    let link = node.link.as_ref()?;
    for address in node.configured_addresses() {
        let target = Target { address: address.clone(), node: None };
        // Who is of another cluster says so and no more.
        if let Err(CallError::Refused(Refusal::WrongCluster)) =
            link.client.call(&target, Call::Hello, Vec::new(), HELLO_TIMEOUT).await
        {
            return Some(format!(
                "the data directory of this node is of cluster {own}, but {address} is of another cluster: correct \
                 Peers or Join, or wipe the data directory of the node that is to join the other's cluster"
            ));
        }
    }
    None
}
