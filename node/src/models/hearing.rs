//! Which nodes have been silent for how long, as the leader knows it: it is the only one that hears from all.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ollamaflow_protocol::cluster::NodeId;

use crate::cluster::{Role, Status};

/// Silence after which a node is not waited for: it is dead, or so far away that nobody can know what it does.
const SILENCE: Duration = Duration::from_secs(10);

/// What was heard of the nodes. Nodes that take every entry of the log are heard; one that has not taken an entry for a while
/// is silent since.
#[derive(Debug, Default)]
pub(super) struct Hearing(Mutex<BTreeMap<NodeId, Heard>>);

#[derive(Clone, Copy, Debug)]
struct Heard {
    /// The last entry that it is known to have.
    reached: Option<u64>,
    at: Instant,
}

// === impl Hearing ===

impl Hearing {
    /// Looks at what the consensus knows. Who does not lead hears nothing, and forgets what it knew.
    pub(super) fn observe(&self, status: &Status, now: Instant) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if status.role != Role::Leader {
            return heard.clear();
        }
        let seen = status.members.iter().map(|member| {
            let lag = if member.is_self { Some(0) } else { member.lag };
            let reached = lag.map(|lag| status.last_log_index.saturating_sub(lag));
            let before =
                heard.get(&member.node_id).filter(|before| lag != Some(0) && before.reached == reached);
            (member.node_id, Heard { reached, at: before.map_or(now, |before| before.at) })
        });
        *heard = seen.collect();
    }

    /// Whether the node has been silent for so long that it is not waited for.
    pub(super) fn is_silent(&self, node: NodeId, now: Instant) -> bool {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&node).is_some_and(|heard| now.saturating_duration_since(heard.at) >= SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(role: &str, last: u64, lags: &[Option<u64>]) -> Status {
        let members: Vec<_> = (1..)
            .zip(lags)
            .map(|(id, lag)| {
                json!({
                    "NodeId": id, "Address": "h:1", "IsVoter": true, "IsLeader": id == 1, "IsSelf": id == 1, "Lag": lag,
                })
            })
            .collect();
        serde_json::from_value(json!({
            "ClusterId": null, "NodeId": 1, "Address": null, "Role": role, "Problem": null, "Leader": 1, "Term": 1,
            "Revision": 1, "CatalogRevision": 1, "CatalogHash": "", "LastLogIndex": last, "AppliedIndex": last,
            "SnapshotIndex": 0, "HasQuorum": true, "QuorumAckMillis": 1, "Version": "", "Members": members,
        }))
        .unwrap()
    }

    #[test]
    fn a_node_that_takes_no_entries_is_silent_after_a_while_and_one_that_is_slow_is_not() {
        let hearing = Hearing::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        // The second is dead; the third lags behind, but comes on; nobody has heard of the fourth.
        for second in 0..=10 {
            let lags = [Some(0), Some(3 + second), Some(5), None];
            hearing.observe(&status("Leader", 100 + second, &lags), at(second));
        }
        let silent: Vec<_> = (1..=5).filter(|node| hearing.is_silent(*node, at(10))).collect();
        assert_eq!(silent, [2, 4]);
        assert!(!hearing.is_silent(2, at(9)));
        hearing.observe(&status("Leader", 111, &[Some(0), Some(0), Some(0), None]), at(11));
        assert!(!hearing.is_silent(2, at(12)), "it is back");
        hearing.observe(&status("Follower", 111, &[None, None, None, None]), at(40));
        assert!(!hearing.is_silent(4, at(60)), "only the leader hears");
    }

    #[test]
    fn nobody_is_silent_while_there_is_nothing_to_take() {
        let hearing = Hearing::default();
        let start = Instant::now();
        for second in 0..60 {
            hearing.observe(&status("Leader", 7, &[None, Some(0)]), start + Duration::from_secs(second));
        }
        assert!(!hearing.is_silent(2, start + Duration::from_secs(60)));
    }
}
