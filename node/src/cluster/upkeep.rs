//! What a member does again and again: it sees to it that the cluster has its first objects, that it has its vote
//! and its address, that it learns of its removal, and that its log stays short.

use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use ollamaflow_protocol::cluster::{Command, Founder, Rejection};
use openraft::ChangeMembers;

use super::consensus::{Consensus, Leadership};
use super::error::ClusterError;
use super::forming::{PlaceError, ask_for_place};
use super::leading;
use super::node::{Node, Standing};
use super::proposing::propose;
use super::start::{FOUNDER, as_member};

/// Time between two looks while something is missing.
const SOON: Duration = Duration::from_millis(100);

/// Time between two looks while all is well.
const LATER: Duration = Duration::from_secs(1);

/// How soon a task that waits for something else sees that the node has stepped aside.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How long a member is without a leader or a quorum before it asks the others whether it still is one, and how long
/// until it asks again.
const LEADERLESS: Duration = Duration::from_secs(2);

/// Looks after the node until it steps aside or is dropped: at its pace, and at once when another one leads, for a cluster
/// that has just been founded waits for its first objects.
pub(super) async fn keep_up(node: Weak<Node>, consensus: Arc<Consensus>) {
    let mut leaderless_since = None;
    let mut asked = Instant::now();
    loop {
        let (pause, leadership) = {
            let Some(node) = node.upgrade() else { return };
            if node.standing() != Standing::Member {
                return;
            }
            if let Some(reason) = consensus.death().await {
                node.step_aside(&Standing::Failed(reason));
                return;
            }
            if let Err(e) = consensus.bound_log().await {
                tracing::warn!(error = %e, "the log could not be shortened");
            }
            let leadership = consensus.leadership();
            // A leader that is back from a restart leads, until it hears of another: it may have been removed.
            let is_led = leadership != Leadership::Nowhere && consensus.has_quorum();
            let since = *leaderless_since.get_or_insert_with(Instant::now);
            if is_led {
                leaderless_since = None;
            }
            let asks = !is_led && since.elapsed() >= LEADERLESS && asked.elapsed() >= LEADERLESS;
            if asks {
                asked = Instant::now();
            }
            (look(&node, &consensus, &leadership, asks).await, leadership)
        };
        consensus.leadership_after(&leadership, pause).await;
    }
}

/// Writes down who leads, whenever that changes.
pub(super) async fn tell_leaders(node: Weak<Node>, consensus: Arc<Consensus>) {
    let mut known = Leadership::Nowhere;
    while node.upgrade().is_some_and(|node| node.standing() == Standing::Member) {
        let leadership = consensus.leadership_after(&known, LOOK_AGAIN).await;
        if leadership == known {
            continue;
        }
        if let Some(node) = node.upgrade() {
            let leading_since = (leadership == Leadership::Here).then(Instant::now);
            *node.leading_since.lock().unwrap_or_else(PoisonError::into_inner) = leading_since;
        }
        let term = consensus.metrics().current_term;
        match &leadership {
            Leadership::Here => tracing::info!(term, "this node leads the cluster"),
            Leadership::At { node, address } => tracing::info!(term, node, address, "following the leader"),
            Leadership::Nowhere => tracing::warn!(term, "the cluster has no leader that this node knows"),
        }
        known = leadership;
    }
}

/// Does what is to be done now; answers when to look again.
async fn look(node: &Arc<Node>, consensus: &Consensus, leadership: &Leadership, asks: bool) -> Duration {
    let outcome = match leadership {
        Leadership::Here if asks => enrol(node).await,
        Leadership::Here => lead(node, consensus).await,
        Leadership::At { .. } if is_in_place(node, consensus) => return LATER,
        Leadership::At { .. } => enrol(node).await,
        Leadership::Nowhere if is_unborn(consensus) => consensus.found(as_member(node)).await,
        Leadership::Nowhere if asks || !has_vote(consensus) => enrol(node).await,
        Leadership::Nowhere => Ok(()),
    };
    match outcome {
        Ok(()) if *leadership == Leadership::Nowhere => SOON,
        Ok(()) => LATER,
        Err(ClusterError::Removed { id }) => {
            node.step_aside(&Standing::Removed(id));
            SOON
        }
        Err(ClusterError::Failed { reason }) => {
            node.step_aside(&Standing::Failed(reason));
            SOON
        }
        Err(e) => {
            tracing::debug!(error = %e, "upkeep");
            SOON
        }
    }
}

/// A founder whose consensus knows nothing yet. Only the founder has this id, and nobody can have joined before.
fn is_unborn(consensus: &Consensus) -> bool {
    consensus.id == FOUNDER && consensus.members().is_empty()
}

fn has_vote(consensus: &Consensus) -> bool {
    consensus.voters().contains(&consensus.id)
}

/// Whether the node has its vote, and the others its present address.
fn is_in_place(node: &Node, consensus: &Consensus) -> bool {
    let address_is_known =
        consensus.members().get(&consensus.id).is_some_and(|member| member.address == node.advertise());
    address_is_known && has_vote(consensus)
}

/// Tells the others that this node takes entries, and where; they give it its vote when it has caught up.
async fn enrol(node: &Node) -> Result<(), ClusterError> {
    let Some(link) = &node.link else { return Ok(()) };
    let mut outcome = Ok(());
    for address in node.other_addresses() {
        match ask_for_place(node, &link.client, &address).await {
            Ok(_) => return Ok(()),
            Err(PlaceError::Refused(e @ ClusterError::Removed { .. })) => return Err(e),
            Err(PlaceError::Refused(e)) => outcome = Err(e),
            Err(e) => tracing::debug!(address, error = %e, "not enrolled"),
        }
    }
    outcome
}

/// What a leader sees to.
async fn lead(node: &Arc<Node>, consensus: &Consensus) -> Result<(), ClusterError> {
    let state = consensus.state.current().state.clone();
    if state.cluster_id().is_none() {
        let seed = Command::Seed {
            cluster_id: consensus.cluster.clone(),
            founders: vec![Founder {
                id: consensus.id,
                // A node that is alone for good has no address, but the registry wants one.
                address: if node.advertise().is_empty() {
                    "-".to_owned()
                } else {
                    node.advertise().to_owned()
                },
                incarnation: node.incarnation,
            }],
            frontends: node.settings.seed.frontends.clone(),
            backends: node.settings.seed.backends.clone(),
        };
        return match propose(node, "seed", seed).await {
            // An earlier try may have come through unnoticed.
            Ok(_) | Err(ClusterError::Rejected(Rejection::AlreadySeeded { .. })) => Ok(()),
            Err(ClusterError::Rejected(rejection)) => {
                // The settings were checked; a rule of the cluster may be stricter.
                Err(ClusterError::Failed { reason: format!("the first objects are refused: {rejection}") })
            }
            Err(e) => Err(e),
        };
    }
    let metrics = consensus.metrics();
    let membership = metrics.membership_config.membership();
    if membership.get_joint_config().len() > 1 {
        // A leader that died in the midst of a change left it half done.
        let Ok(_change) = node.changing_membership.try_lock() else { return Ok(()) };
        let Some(last) = membership.get_joint_config().last() else { return Ok(()) };
        return consensus.change_membership(ChangeMembers::ReplaceAllVoters(last.clone())).await;
    }
    if node.link.is_some() && !is_in_place(node, consensus) {
        leading::admit(node, consensus, node.as_candidate()).await?;
    }
    Ok(())
}
