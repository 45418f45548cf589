//! How a change gets to the leader and its outcome back, whatever happens to the leader meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ollamaflow_protocol::cluster::{ClusterState, Command, Envelope, NodeId};

use super::codec;
use super::consensus::{Consensus, Leadership, failed};
use super::errand::{Done, Ended, Errand};
use super::error::ClusterError;
use super::forming::silent_among;
use super::leading;
use super::network::{Call, CallError, Target};
use super::node::Node;
use super::settings::Start;
use super::{Committed, start};
use crate::clock::now;
use crate::random;

/// How long a leader is looked for: some elections.
const LEADER_PATIENCE: Duration = Duration::from_secs(4);

/// Longest wait for one leader's answer: its own longest wait, and the way.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before the same leader is asked again.
const RETRY: Duration = Duration::from_millis(50);

/// Longest wait of this node for what the leader has applied.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a change, through the leader. Answers when a quorum has it on disk and this node has applied it.
pub(super) async fn propose(node: &Arc<Node>, by: &str, command: Command) -> Result<Committed, ClusterError> {
    let consensus = node.member()?;
    if !matches!(command, Command::Seed { .. }) {
        must_be_formed(node, consensus)?;
    }
    let envelope = Envelope::new(random::number().map_err(|e| failed(&e))?, now(), by, consensus.id, command);
    match at_leader(node, Errand::Propose(envelope.encode()?)).await? {
        Done::Proposed { index, applied } => {
            let state = node.applied(index, CATCH_UP_TIMEOUT).await?;
            Ok(Committed { applied, state })
        }
        other => Err(unexpected(&other)),
    }
}

/// The state of this node, once it has everything that was confirmed before this call.
pub(super) async fn linearizable(node: &Arc<Node>) -> Result<ClusterState, ClusterError> {
    match at_leader(node, Errand::ReadIndex).await? {
        Done::ReadIndex(index) => node.applied(index, CATCH_UP_TIMEOUT).await,
        other => Err(unexpected(&other)),
    }
}

/// Has the leader do an errand: here, or by one call. Tries again while there is hope: every errand may be sent
/// twice, for a proposal has an id by which it is made once, and the others do only what is left to do.
///
/// Once a leader may have taken the errand and did not say so, no failure of a later try means that nothing was
/// done.
pub(super) async fn at_leader(node: &Arc<Node>, errand: Errand) -> Ended {
    let mut silent = None;
    match until_done(node, errand, &mut silent).await {
        Err(error) => Err(match silent {
            Some(leader) if !is_final(&error) => ClusterError::LeaderSilent { leader },
            _ => error,
        }),
        done => done,
    }
}

/// Whether a failure says what became of the errand, whichever copy of it was taken.
const fn is_final(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Rejected(_) | ClusterError::Unconfirmed { .. })
}

async fn until_done(node: &Arc<Node>, errand: Errand, silent: &mut Option<NodeId>) -> Ended {
    let is_of_clients = matches!(errand, Errand::Propose(_) | Errand::ReadIndex);
    let mut failing_since = None;
    let mut body = None;
    loop {
        let consensus = node.member()?.clone();
        let leadership = consensus.leadership();
        let outcome = match &leadership {
            Leadership::Here => leading::lead(node, &consensus, errand.clone()).await,
            Leadership::At { node: leader, address } => {
                if body.is_none() {
                    body = Some(errand.encode().map_err(|e| failed(&e))?);
                }
                let target = Target { address: address.clone(), node: Some(*leader) };
                let sending = send(node, &target, errand.call(), body.clone().unwrap_or_default());
                tokio::select! {
                    ended = sending => ended,
                    // It leads no more: its answer is not worth waiting for. Other errands change who leads themselves.
                    _ = consensus.leadership_after(&leadership, ANSWER_TIMEOUT), if is_of_clients => {
                        Err(ClusterError::LeaderSilent { leader: *leader })
                    }
                }
            }
            Leadership::Nowhere => Err(ClusterError::NotLeader),
        };
        let lost_quorum = match outcome {
            Err(ClusterError::NotLeader) => false,
            Err(ClusterError::NoLeader { .. }) => true,
            Err(ClusterError::LeaderSilent { leader }) => {
                *silent = Some(leader);
                false
            }
            other => return other,
        };
        let patience_ends = *failing_since.get_or_insert_with(Instant::now) + LEADER_PATIENCE;
        if lost_quorum || Instant::now() >= patience_ends {
            return Err(count_reachable(node, &consensus).await);
        }
        consensus.leadership_after(&leadership, RETRY).await;
    }
}

async fn send(node: &Node, target: &Target, call: Call, body: Vec<u8>) -> Ended {
    let link = node.link.as_ref().ok_or(ClusterError::NotLeader)?;
    let leader = target.node.unwrap_or_default();
    match link.client.call(target, call, body, ANSWER_TIMEOUT).await {
        Ok(answer) => match codec::decode::<Ended>(&answer).map_err(|e| failed(&e))? {
            // What is wrong with that node is not wrong with this one: another may lead soon.
            Err(
                ClusterError::Forming { .. } | ClusterError::Removed { .. } | ClusterError::Failed { .. },
            ) => Err(ClusterError::NotLeader),
            ended => ended,
        },
        Err(CallError::Refused(refusal)) => {
            tracing::debug!(leader, %refusal, "the leader refused a call");
            Err(ClusterError::NotLeader)
        }
        Err(e @ (CallError::Unreachable(_) | CallError::Timeout | CallError::Malformed(_))) => {
            tracing::debug!(leader, error = %e, "the leader did not answer");
            Err(ClusterError::LeaderSilent { leader })
        }
    }
}

/// A cluster of several peers takes no change before most of them are there: until then one disk holds all.
fn must_be_formed(node: &Node, consensus: &Consensus) -> Result<(), ClusterError> {
    let Start::Peers(peers) = &node.settings.start else { return Ok(()) };
    let (voters, needed) = (consensus.voters().len(), peers.len() / 2 + 1);
    let state = &consensus.state.current().state;
    // Once a node was removed, fewer voters may be what is wanted.
    if voters >= needed || consensus.id != start::FOUNDER || state.has_removed_nodes() {
        return Ok(());
    }
    let waiting_for = node.stranger().unwrap_or_else(|| {
        format!("{voters} of {} peers have their vote, and {needed} are needed", peers.len())
    });
    Err(ClusterError::Forming { waiting_for })
}

/// Why there is no leader, having asked the other voters whether they are there.
async fn count_reachable(node: &Node, consensus: &Consensus) -> ClusterError {
    let voters = consensus.voters();
    let others = voters.iter().filter(|id| **id != consensus.id).count();
    let silent = silent_among(node, consensus, &voters).await.len();
    let reachable = 1 + others.saturating_sub(silent) as u64;
    let voters = voters.len() as u64;
    ClusterError::NoLeader { reachable, voters, quorum: voters / 2 + 1 }
}

pub(super) fn unexpected(done: &Done) -> ClusterError {
    failed(&format!("the leader answered another question: {done:?}"))
}
