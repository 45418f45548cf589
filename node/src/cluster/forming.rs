//! How a node with an empty directory gets its place: it founds a cluster or joins one, once, and writes that down.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ollamaflow_protocol::cluster::NodeId;

use super::codec;
use super::consensus::Consensus;
use super::errand::{Admission, Done, Ended, Errand};
use super::error::ClusterError;
use super::greeting::{Greeting, Step, next_step};
use super::network::{Call, CallError, PeerClient, Refusal, Target};
use super::node::{Node, Standing};
use super::settings::Start;
use super::start::{begin, founding_claim, on_disk};
use super::store::{Claim, Store};
use super::types::Member;

/// Time between two tries. Three nodes that start together are one cluster after two or three of them.
const RETRY: Duration = Duration::from_millis(200);

/// Longest wait for a peer's answer: a hello needs no disk and no quorum.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest wait for a place: the leader writes it to its log.
const JOIN_TIMEOUT: Duration = Duration::from_secs(12);

/// Looks for a place until the node has one. A failure is told by the node's standing.
pub(super) async fn until_settled(node: Arc<Node>, store: Store) {
    let claim = loop {
        if let Some(claim) = one_try(&node).await {
            break claim;
        }
        tokio::time::sleep(RETRY).await;
    };
    if let Err(why) = settle(&node, store, claim).await {
        node.step_aside(&Standing::Failed(why));
    }
}

/// The place is on the disk before anything is done in it.
async fn settle(node: &Arc<Node>, mut store: Store, claim: Claim) -> Result<(), String> {
    let durable = claim.clone();
    let claimed = on_disk(move || store.claim(durable).map(|()| store)).await;
    let store = claimed.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    begin(node, store, claim).await.map_err(|e| e.to_string())
}

async fn one_try(node: &Node) -> Option<Claim> {
    let link = node.link.as_ref()?;
    let invitation = node.invitation.borrow().clone();
    let step = match (&node.settings.start, invitation) {
        (_, Some(inviter)) => Step::Join(inviter),
        (Start::Join(address), None) => Step::Join(address.clone()),
        (Start::Peers(peers), None) => {
            let answers = greet_all(node, &link.client, peers).await;
            next_step(&link.advertise, peers, &answers)
        }
        (Start::Invited | Start::Alone, None) => {
            Step::Wait("a member is to add it, by `ollamaflow cluster add`".to_owned())
        }
    };
    match step {
        Step::Wait(why) => {
            node.waits_for(why);
            None
        }
        Step::Found => {
            tracing::info!("all peers are there and none has a cluster: this node founds it");
            founding_claim().inspect_err(|e| node.waits_for(format!("no random numbers: {e}"))).ok()
        }
        Step::Join(address) => match ask_for_place(node, &link.client, &address).await {
            Ok(Admission { cluster, node: id, .. }) => Some(Claim { cluster, node: id }),
            Err(why) => {
                node.waits_for(format!("{address} gave no place yet: {why}"));
                None
            }
        },
    }
}

async fn greet_all(
    node: &Node,
    client: &PeerClient,
    peers: &BTreeSet<String>,
) -> Vec<(String, Option<Greeting>)> {
    let others = peers.iter().filter(|peer| *peer != node.advertise());
    join_all(others.map(|peer| async move { (peer.clone(), greet(client, peer).await) })).await
}

/// What the node at `address` tells of itself; none if it does not answer as one that knows the secret.
pub(super) async fn greet(client: &PeerClient, address: &str) -> Option<Greeting> {
    let target = Target { address: address.to_owned(), node: None };
    let answer = client.call(&target, Call::Hello, Vec::new(), HELLO_TIMEOUT).await;
    let answer = answer.inspect_err(|e| tracing::debug!(address, error = %e, "no greeting")).ok()?;
    codec::decode(&answer).ok()
}

/// Those of these voters, this node left out, that do not answer now: all of them to a node without a link.
pub(super) async fn silent_among(
    node: &Node,
    consensus: &Consensus,
    voters: &BTreeSet<NodeId>,
) -> Vec<(NodeId, Member)> {
    let members = consensus.members().into_iter();
    let others = members.filter(|(id, _)| voters.contains(id) && *id != consensus.id);
    let Some(link) = &node.link else { return others.collect() };
    let answers = others.map(|(id, member)| async move {
        greet(&link.client, &member.address).await.is_none().then_some((id, member))
    });
    join_all(answers).await.into_iter().flatten().collect()
}

/// This node's own greeting.
pub(super) fn greeting(node: &Node) -> Greeting {
    let place = node.place.load();
    let peers = match &node.settings.start {
        Start::Peers(peers) => peers.clone(),
        Start::Alone | Start::Join(_) | Start::Invited => BTreeSet::new(),
    };
    Greeting {
        membership: place.cluster.clone().zip(place.node),
        peers,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Asks the node at `address`, which passes it on to its leader, for this node's place.
pub(super) async fn ask_for_place(
    node: &Node,
    client: &PeerClient,
    address: &str,
) -> Result<Admission, PlaceError> {
    let body =
        Errand::Admit(node.as_candidate()).encode().map_err(|e| PlaceError::Nonsense(e.to_string()))?;
    let target = Target { address: address.to_owned(), node: None };
    let answer = match client.call(&target, Call::Join, body, JOIN_TIMEOUT).await {
        Ok(answer) => answer,
        Err(CallError::Refused(Refusal::Removed)) => {
            let id = node.place.load().node.unwrap_or_default();
            return Err(PlaceError::Refused(ClusterError::Removed { id }));
        }
        Err(e) => return Err(PlaceError::Call(e)),
    };
    let ended: Ended = codec::decode(&answer).map_err(|e| PlaceError::Nonsense(e.to_string()))?;
    match ended.map_err(PlaceError::Refused)? {
        Done::Admitted(admission) => Ok(admission),
        other => Err(PlaceError::Nonsense(format!("it answered {other:?}"))),
    }
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// The node could not be asked.
    #[error("{0}")]
    Call(#[source] CallError),
    /// The cluster said no.
    #[error("{0}")]
    Refused(#[source] ClusterError),
    /// The answer makes no sense.
    #[error("{0}")]
    Nonsense(String),
}
