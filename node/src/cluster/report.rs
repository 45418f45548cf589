//! What a node tells about the cluster.

use std::sync::Arc;

use openraft::ServerState;

use super::consensus::Consensus;
use super::node::{Node, Standing};
use super::status::{MemberStatus, Role, Status};

/// The cluster as this node sees it.
pub(super) fn report(node: &Arc<Node>) -> Status {
    let standing = node.standing();
    let state = node.state();
    let mut status = Status {
        cluster_id: node.place.load().cluster.clone(),
        node_id: node.place.load().node,
        address: node.link.as_ref().map(|link| link.advertise.clone()),
        role: Role::Forming,
        problem: unfit(node),
        leader: None,
        term: 0,
        revision: state.revision(),
        catalog_revision: state.catalog_revision(),
        catalog_hash: node.catalog_hash(&state),
        last_log_index: 0,
        applied_index: 0,
        snapshot_index: 0,
        has_quorum: false,
        quorum_ack_millis: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        members: Vec::new(),
    };
    if let Some(consensus) = node.consensus() {
        fill(&mut status, consensus);
    }
    if status.problem.is_none() && !status.has_quorum {
        status.problem = Some("no quorum: writes are refused, reads and proxying go on".to_owned());
    }
    match standing {
        Standing::Forming(_) => status.role = Role::Forming,
        Standing::Removed(_) => {
            // What it knew of the others is not its affair any more.
            status = Status {
                role: Role::Removed,
                leader: None,
                has_quorum: false,
                quorum_ack_millis: None,
                members: Vec::new(),
                ..status
            };
        }
        Standing::Failed(_) => status.role = Role::Failed,
        Standing::Member => {}
    }
    status
}

fn fill(status: &mut Status, consensus: &Consensus) {
    let metrics = consensus.metrics();
    let applied = consensus.state.current();
    status.role = match metrics.state {
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Follower => Role::Follower,
        ServerState::Learner | ServerState::Shutdown => Role::Learner,
    };
    status.leader = metrics.current_leader;
    status.term = metrics.current_term;
    status.last_log_index = metrics.last_log_index.unwrap_or_default();
    status.applied_index = applied.index;
    status.snapshot_index = applied.snapshot_index;
    status.has_quorum = consensus.has_quorum();
    status.quorum_ack_millis = metrics.millis_since_quorum_ack;
    let membership = metrics.membership_config.membership();
    // While the voters change, the earlier ones are needed still, and the later ones are not enough.
    let voters = applied.members.membership().get_joint_config().first();
    let matched = |id| metrics.replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
    status.members = membership
        .nodes()
        .map(|(&id, member)| MemberStatus {
            node_id: id,
            address: member.address.clone(),
            is_voter: voters.is_some_and(|voters| voters.contains(&id)),
            is_leader: metrics.current_leader == Some(id),
            is_self: id == consensus.id,
            lag: matched(id).map(|matched| status.last_log_index.saturating_sub(matched.index)),
        })
        .collect();
}

/// Why this node cannot do its part, in a sentence; none if it can.
pub(super) fn unfit(node: &Node) -> Option<String> {
    match node.member() {
        Err(e) => Some(e.to_string()),
        Ok(consensus) if consensus.state.current().state.cluster_id().is_none() => {
            Some("the node waits for the first objects of its cluster".to_owned())
        }
        Ok(_) => node.stranger(),
    }
}
