//! What a leader does, for itself and for the others: the only place where the membership is changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ollamaflow_protocol::cluster::{Command, Envelope, NodeId, Outcome, Rejection};
use openraft::ChangeMembers;

use super::codec;
use super::consensus::{Consensus, Leadership, failed};
use super::errand::{Admission, Candidate, Done, Ended, Errand};
use super::error::ClusterError;
use super::forming::{greet, silent_among};
use super::network::{Call, Target};
use super::node::Node;
use super::types::Member;
use crate::clock::now;

/// Who asks, in the history, when the cluster itself does.
const BY_ITSELF: &str = "cluster";

/// Most voters: each write waits for most of them, and more only make it slower. Further members follow.
const MAX_VOTERS: usize = 7;

/// Longest wait for a new member to catch up. It asks again, so this only bounds one call.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a member that loses its place may take to learn that it votes no more.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a removal waits for another change of the membership to end.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// So few entries may be missing when a learner gets its vote: the rest comes with the next call.
const FEW: u64 = 16;

/// Longest wait for the writes that are on their way before the leadership is handed over.
const QUIET_TIMEOUT: Duration = Duration::from_secs(1);

/// Among so many voters the votes of the leader and of its successor are a quorum. Among more, others must vote too,
/// which they do only when they have missed this leader's heartbeats for the longest election time-out.
const VOTERS_OF_TWO: usize = 3;

/// How often a successor is asked to stand for election.
const TRANSFER_TRIES: u32 = 3;

/// Longest wait for the outcome of one election.
const TRANSFER_RETRY: Duration = Duration::from_millis(800);

/// Longest wait of the successor for the last entries, and for its answer.
const ELECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Does an errand, if this node leads.
pub(super) async fn lead(node: &Arc<Node>, consensus: &Consensus, errand: Errand) -> Ended {
    if consensus.leadership() != Leadership::Here {
        return Err(ClusterError::NotLeader);
    }
    match errand {
        Errand::Propose(text) => {
            let _on_its_way = node.proposals.read().await;
            if consensus.leadership() != Leadership::Here {
                return Err(ClusterError::NotLeader);
            }
            let (index, outcome) = consensus.write(text).await?;
            Ok(Done::Proposed { index, applied: outcome? })
        }
        Errand::ReadIndex => consensus.read_index().await.map(Done::ReadIndex),
        Errand::Admit(candidate) => admit(node, consensus, candidate).await.map(Done::Admitted),
        Errand::Remove(id) => remove(node, consensus, id).await.map(|()| Done::Removed),
        Errand::Transfer(to) => transfer(node, consensus, to).await.map(Done::Transferred),
    }
}

// === members that come ===

/// Gives a node its id; once it takes entries, sends it all there are and gives it its vote. Doing it again does
/// what is left to do.
pub(super) async fn admit(
    node: &Node,
    consensus: &Consensus,
    candidate: Candidate,
) -> Result<Admission, ClusterError> {
    let Candidate { address, incarnation, is_ready } = candidate;
    let known = consensus.state.current().state.nodes().values().find_map(|record| {
        (record.incarnation == incarnation && record.address == address).then_some(record.id)
    });
    let id = match known {
        Some(id) => id,
        None => allocate(consensus, &address, incarnation).await?,
    };
    let mut is_voter = consensus.voters().contains(&id);
    if is_ready {
        let Ok(_change) = node.changing_membership.try_lock() else {
            return Err(ClusterError::MembershipBusy);
        };
        is_voter = enrol(node, consensus, id, &address).await?;
    }
    Ok(Admission { cluster: consensus.cluster.clone(), node: id, is_voter })
}

async fn allocate(consensus: &Consensus, address: &str, incarnation: u128) -> Result<NodeId, ClusterError> {
    let command = Command::AllocateNode { address: address.to_owned(), incarnation };
    match write(consensus, command).await {
        Ok(Outcome::NodeAllocated { id }) => Ok(id),
        Ok(other) => Err(failed(&format!("a node was given {other:?} for an id"))),
        Err(ClusterError::Rejected(Rejection::NodeRetired { id })) => Err(ClusterError::Removed { id }),
        Err(e) => Err(e),
    }
}

/// First a learner, then a voter. A member at the same address has lost its disk, for here is another one in its
/// place: its vote goes in the same change, and so it is never counted beside the new one.
async fn enrol(node: &Node, consensus: &Consensus, id: NodeId, address: &str) -> Result<bool, ClusterError> {
    let member = Member { address: address.to_owned() };
    match consensus.members().get(&id) {
        None => consensus.change_membership(ChangeMembers::AddNodes([(id, member)].into())).await?,
        Some(known) if *known != member => {
            // The node proved who it is by its incarnation, which a copy of its directory has too.
            must_have_left(node, consensus, id, known).await?;
            tracing::info!(node = id, from = %known, to = address, "a member has moved");
            consensus.change_membership(ChangeMembers::SetNodes([(id, member)].into())).await?;
        }
        Some(_) => {}
    }
    let mut voters = consensus.voters();
    let is_voter = voters.contains(&id);
    // A member that only moves is no successor: two nodes may be about to swap their addresses.
    let predecessors: Vec<NodeId> = consensus
        .members()
        .iter()
        .filter(|(other, member)| **other != id && member.address == address)
        .map(|(other, _)| *other)
        .filter(|other| !is_voter || !voters.contains(other))
        .collect();
    if is_voter && predecessors.is_empty() {
        return Ok(true);
    }
    if id != consensus.id && !consensus.catches_up(id, FEW, CATCH_UP_TIMEOUT).await {
        return Ok(false);
    }
    voters.retain(|voter| !predecessors.contains(voter));
    if voters.len() >= MAX_VOTERS && !is_voter {
        tracing::debug!(node = id, "there are as many voters as are of use: the node follows");
        return Ok(false);
    }
    voters.insert(id);
    must_decide(node, consensus, &voters).await?;
    consensus.change_membership(ChangeMembers::ReplaceAllVoters(voters)).await?;
    tracing::info!(node = id, address, "a node has its vote");
    for predecessor in predecessors {
        tracing::info!(
            node = predecessor,
            successor = id,
            "a member was replaced by another one at its address"
        );
        strike_off(consensus, predecessor).await?;
    }
    Ok(true)
}

// === members that go ===

/// Takes a member's vote, then the member, then its id. In one step a member would keep a vote that it does not
/// know to be void, and stand for election for ever.
async fn remove(node: &Arc<Node>, consensus: &Consensus, id: NodeId) -> Result<(), ClusterError> {
    let members = consensus.members();
    let Some(member) = members.get(&id).cloned() else {
        let known = consensus.state.current().state.nodes().contains_key(&id);
        // It got an id and never came: only the id is to be struck off.
        return if known { strike_off(consensus, id).await } else { Err(no_such_node(id)) };
    };
    let voters = consensus.voters();
    if voters.len() == 1 && voters.contains(&id) {
        return Err(ClusterError::Membership(format!(
            "node {id} is the only one that votes: add another one before removing it"
        )));
    }
    if id == consensus.id {
        transfer(node, consensus, None).await?;
        return Err(ClusterError::NotLeader);
    }
    let change = tokio::time::timeout(BUSY_TIMEOUT, node.changing_membership.lock()).await;
    let Ok(_change) = change else { return Err(ClusterError::MembershipBusy) };
    let mut voters = consensus.voters();
    if voters.remove(&id) {
        must_decide(node, consensus, &voters).await?;
        consensus.change_membership(ChangeMembers::ReplaceAllVoters(voters)).await?;
        consensus.catches_up(id, FEW, FAREWELL_TIMEOUT).await;
    }
    strike_off(consensus, id).await?;
    tracing::info!(node = id, address = %member, "a member was removed");
    Ok(())
}

async fn strike_off(consensus: &Consensus, id: NodeId) -> Result<(), ClusterError> {
    if consensus.members().contains_key(&id) {
        consensus.change_membership(ChangeMembers::RemoveNodes([id].into())).await?;
    }
    match write(consensus, Command::RetireNode { id }).await {
        Ok(_) | Err(ClusterError::Rejected(Rejection::NotFound { .. })) => Ok(()),
        Err(e) => Err(e),
    }
}

// === leadership ===

/// Hands the leadership over: the other node is asked to stand for election, for which this one votes.
pub(super) async fn transfer(
    node: &Node,
    consensus: &Consensus,
    to: Option<NodeId>,
) -> Result<NodeId, ClusterError> {
    let link = node.link.as_ref().ok_or_else(nobody_else)?;
    let metrics = consensus.metrics();
    let matched = |id: &NodeId| {
        metrics.replication.as_ref().and_then(|all| all.get(id).copied().flatten()).map_or(0, |id| id.index)
    };
    let voters = consensus.voters();
    let best = || voters.iter().copied().filter(|id| *id != consensus.id).max_by_key(matched);
    let successor = to.or_else(best).ok_or_else(nobody_else)?;
    if successor == consensus.id {
        return Ok(successor);
    }
    if !voters.contains(&successor) {
        return Err(ClusterError::Membership(format!("node {successor} has no vote, so it cannot lead")));
    }
    let members = consensus.members();
    let address = members.get(&successor).ok_or_else(|| no_such_node(successor))?.address.clone();
    let target = Target { address, node: Some(successor) };
    tokio::time::sleep(node.bound_to_lead()).await;
    let quiet = tokio::time::timeout(QUIET_TIMEOUT, node.proposals.write()).await;
    let Ok(_quiet) = quiet else {
        return Err(ClusterError::Membership("writes take long at the moment: try again later".to_owned()));
    };
    for _ in 0..TRANSFER_TRIES {
        // Without the last entry nobody would vote for it, and its attempt would only depose this leader.
        consensus.catches_up(successor, 0, QUIET_TIMEOUT).await;
        let _silence =
            if voters.len() > VOTERS_OF_TWO { Some(Silence::fall(node, consensus).await) } else { None };
        let last = consensus.metrics().last_log_index.unwrap_or_default();
        let body = codec::encode(&last).map_err(|e| failed(&e))?;
        if let Err(e) = link.client.call(&target, Call::Elect, body, ELECT_TIMEOUT).await {
            tracing::debug!(successor, error = %e, "the successor was not reached");
        }
        let mut leadership = consensus.leader_elsewhere(TRANSFER_RETRY).await;
        if leadership == Leadership::Nowhere {
            // Nobody won, and the next election is under way.
            leadership = consensus.leadership_after(&leadership, TRANSFER_RETRY * 2).await;
        }
        match leadership {
            Leadership::At { node, .. } if node == successor || to.is_none() => {
                tracing::info!(successor = node, "handed the leadership over");
                return Ok(node);
            }
            Leadership::At { .. } => break,
            Leadership::Here | Leadership::Nowhere => {}
        }
    }
    Err(ClusterError::Membership(format!(
        "node {successor} did not take the leadership: try again in a moment"
    )))
}

/// A leader without heartbeats, while it lives: so the others stop holding to it and are free to vote.
struct Silence<'a>(&'a Consensus);

impl<'a> Silence<'a> {
    /// Returns when the others are free.
    async fn fall(node: &Node, consensus: &'a Consensus) -> Self {
        consensus.raft().runtime_config().heartbeat(false);
        let silence = Self(consensus);
        tokio::time::sleep(node.settings.timing.election_max + node.settings.timing.heartbeat / 2).await;
        silence
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.0.raft().runtime_config().heartbeat(true);
    }
}

// === rules ===

/// A set of voters must have a quorum that answers, or the change to it would never end and stop all writes.
async fn must_decide(
    node: &Node,
    consensus: &Consensus,
    voters: &BTreeSet<NodeId>,
) -> Result<(), ClusterError> {
    if node.link.is_none() {
        return Ok(());
    }
    let silent = silent_among(node, consensus, voters).await;
    let silent: Vec<String> = silent.iter().map(|(id, member)| format!("node {id} at {member}")).collect();
    let (present, quorum) = (voters.len() - silent.len(), voters.len() / 2 + 1);
    if present >= quorum {
        return Ok(());
    }
    Err(ClusterError::Membership(format!(
        "nothing was changed: of the {} voters that there would be {quorum} must be there, but {} does not answer: \
         bring it back, or remove it first",
        voters.len(),
        silent.join(" and ")
    )))
}

/// A member that moves is not at its former address any more; one that is there is another process with a copy of
/// its directory, and the two would be counted as one.
async fn must_have_left(
    node: &Node,
    consensus: &Consensus,
    id: NodeId,
    former: &Member,
) -> Result<(), ClusterError> {
    let Some(link) = &node.link else { return Ok(()) };
    let is_there = id != consensus.id
        && greet(&link.client, &former.address)
            .await
            .is_some_and(|greeting| greeting.membership.is_some_and(|(_, present)| present == id));
    if is_there {
        let why = format!(
            "node {id} still runs at {former}: the one that asks has a copy of its data directory, stop one of them \
             and wipe the copy"
        );
        tracing::error!("{why}");
        return Err(ClusterError::Membership(why));
    }
    Ok(())
}

// === helpers ===

/// A write of the cluster itself.
async fn write(consensus: &Consensus, command: Command) -> Result<Outcome, ClusterError> {
    // No request id: these commands change nothing when they come twice.
    let envelope = Envelope::new(0, now(), BY_ITSELF, consensus.id, command);
    let (_, outcome) = consensus.write(envelope.encode()?).await?;
    Ok(outcome?.outcome)
}

fn no_such_node(id: NodeId) -> ClusterError {
    use ollamaflow_protocol::cluster::{ObjectKind, ObjectRef};
    ClusterError::Rejected(Rejection::NotFound { object: ObjectRef::new(ObjectKind::Node, &id) })
}

fn nobody_else() -> ClusterError {
    ClusterError::Membership("there is no other voter that could lead".to_owned())
}
