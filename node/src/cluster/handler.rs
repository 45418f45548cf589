//! What a node does with its peers' calls. Whoever calls has proved that it knows the secret.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use ollamaflow_protocol::cluster::NodeId;

use super::codec;
use super::consensus::Consensus;
use super::errand::{Ended, Errand};
use super::error::ClusterError;
use super::forming::greeting;
use super::leading;
use super::network::{Call, Incoming, Service, ServiceError, decode_snapshot};
use super::node::{Node, Standing};
use super::note;
use super::proposing::at_leader;
use super::question;
use super::start::FOUNDER;

/// How long a node that is to lead may take to get the last entries.
const CATCH_UP_TIMEOUT: Duration = Duration::from_millis(500);

/// Answers the peers' calls.
pub(super) struct Handler {
    node: Arc<Node>,
}

// === Handler ===

impl Handler {
    pub(super) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

impl Service for Handler {
    fn handle(&self, incoming: Incoming) -> BoxFuture<'static, Result<Vec<u8>, ServiceError>> {
        answer(self.node.clone(), incoming).boxed()
    }
}

async fn answer(node: Arc<Node>, incoming: Incoming) -> Result<Vec<u8>, ServiceError> {
    let Incoming { call, from, cluster, body } = incoming;
    match call {
        Call::Hello => encoded(&greeting(&node)),
        Call::Invite => encoded(&invited(&node, &codec::decode::<String>(&body)?)),
        Call::Join => {
            let place = node.place.load();
            if cluster.is_some() && cluster != place.cluster {
                return Err(ServiceError::NotReady("this node is of another cluster".to_owned()));
            }
            refuse_removed(&node, from)?;
            encoded(&admitted(&node, from, codec::decode(&body)?).await)
        }
        Call::Propose | Call::ReadIndex | Call::Membership => {
            let errand: Errand = codec::decode(&body)?;
            if errand.call() != call {
                return Err(ServiceError::Malformed("the errand came by another call".to_owned()));
            }
            refuse_removed(&node, from)?;
            // One hop: who is not the leader says so, and does not look for it.
            let ended: Ended = match node.member() {
                Ok(consensus) => leading::lead(&node, consensus, errand).await,
                Err(e) => Err(e),
            };
            encoded(&ended)
        }
        Call::Note => {
            refuse_removed(&node, from)?;
            note::take(&node.inbox, codec::decode(&body)?).await;
            encoded(&())
        }
        Call::Ask => {
            refuse_removed(&node, from)?;
            question::answer(&node.desk, codec::decode(&body)?).await
        }
        Call::Append | Call::Vote | Call::Snapshot | Call::Elect => {
            refuse_removed(&node, from)?;
            let consensus = node.member().map_err(|e| ServiceError::NotReady(e.to_string()))?;
            raft(consensus, call, &body).await
        }
    }
}

/// The calls of the consensus itself.
async fn raft(consensus: &Consensus, call: Call, body: &[u8]) -> Result<Vec<u8>, ServiceError> {
    let raft = consensus.raft();
    match call {
        Call::Append => encoded(&raft.append_entries(codec::decode(body)?).await),
        Call::Vote => encoded(&raft.vote(codec::decode(body)?).await),
        Call::Snapshot => {
            let (vote, snapshot) = decode_snapshot(body)?;
            encoded(&raft.install_full_snapshot(vote, snapshot).await)
        }
        _ => encoded(&stand_for_election(consensus, codec::decode(body)?).await),
    }
}

/// Stands for election, as soon as this node has the log up to `last`: without it nobody would vote for it.
async fn stand_for_election(consensus: &Consensus, last: u64) -> Result<(), ClusterError> {
    let deadline = Instant::now() + CATCH_UP_TIMEOUT;
    let mut metrics = consensus.raft().metrics();
    while metrics.borrow_and_update().last_log_index.unwrap_or_default() < last {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || tokio::time::timeout(left, metrics.changed()).await.is_err() {
            return Err(ClusterError::NotLeader);
        }
    }
    consensus.raft().trigger().elect().await.map_err(|e| super::consensus::failed(&e))
}

/// A candidate that asks any member is passed on to the leader; a member that passes one on is not.
async fn admitted(node: &Arc<Node>, from: Option<NodeId>, errand: Errand) -> Ended {
    let Errand::Admit(candidate) = &errand else {
        return Err(ClusterError::Membership("only a candidate joins".to_owned()));
    };
    let consensus = node.member()?;
    let own_node = consensus
        .state
        .current()
        .state
        .nodes()
        .values()
        .find_map(|record| (record.incarnation == candidate.incarnation).then_some(record.id));
    let is_passed_on = from.is_some() && from != own_node;
    if is_passed_on { leading::lead(node, consensus, errand).await } else { at_leader(node, errand).await }
}

/// A member wants this node. Only one without a cluster can come, or one that has its id and no more: it was cut
/// off on its way.
fn invited(node: &Node, inviter: &str) -> Result<(), ClusterError> {
    let is_on_its_way = || {
        node.consensus().is_some_and(|consensus| consensus.id != FOUNDER && consensus.members().is_empty())
    };
    if !matches!(node.standing(), Standing::Forming(_)) && !is_on_its_way() {
        let why = "that node has a cluster already: wipe its data directory and start it with --join";
        return Err(ClusterError::Membership(why.to_owned()));
    }
    tracing::info!(inviter, "invited into a cluster");
    node.invitation.send_replace(Some(inviter.to_owned()));
    Ok(())
}

/// A node that was removed while it was away does not know it: it must not be listened to, but told.
fn refuse_removed(node: &Node, from: Option<NodeId>) -> Result<(), ServiceError> {
    let removed = from.is_some_and(|from| {
        node.consensus().is_some_and(|consensus| consensus.state.current().state.was_removed(from))
    });
    if removed { Err(ServiceError::Removed) } else { Ok(()) }
}

fn encoded(value: &impl serde::Serialize) -> Result<Vec<u8>, ServiceError> {
    codec::encode(value).map_err(|e| ServiceError::Failed(e.to_string()))
}
