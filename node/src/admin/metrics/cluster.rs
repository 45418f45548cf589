//! Metrics of the cluster as this node sees it.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::family::Family;
use super::names::{self, Metric};
use crate::cluster::{Marks, Reason, Rejections, Role, Status};

/// What was true of the cluster at one moment.
#[derive(Debug)]
pub(super) struct ClusterMetrics {
    pub(super) status: Status,
    /// None while the node has no place in a cluster.
    pub(super) marks: Option<Marks>,
    /// None without a cluster listener.
    pub(super) rejections: Option<Rejections>,
}

impl Collector for ClusterMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (status, encoder) = (&self.status, &mut encoder);
        let voters = status.members.iter().filter(|member| member.is_voter).count();
        let gauges: [(&Metric, u64); 12] = [
            (&names::RAFT_TERM, status.term),
            (&names::RAFT_IS_LEADER, u64::from(status.role == Role::Leader)),
            (&names::RAFT_LEADER_ID, status.leader.unwrap_or_default()),
            (&names::RAFT_HAS_QUORUM, u64::from(status.has_quorum)),
            (&names::RAFT_LAST_LOG_INDEX, status.last_log_index),
            (&names::RAFT_COMMIT_INDEX, self.commit_index()),
            (&names::RAFT_APPLIED_INDEX, status.applied_index),
            (&names::RAFT_SNAPSHOT_INDEX, status.snapshot_index),
            (&names::RAFT_MEMBERS, status.members.len() as u64),
            (&names::RAFT_VOTERS, voters as u64),
            (&names::CLUSTER_REVISION, status.revision),
            (&names::CATALOG_REVISION, status.catalog_revision),
        ];
        for (metric, value) in gauges {
            Family::begin(encoder, metric)?.one_gauge(value)?;
        }
        Family::begin(encoder, &names::CATALOG)?.info(&[("hash", status.catalog_hash.as_str())])?;
        let marks = self.marks.clone().unwrap_or_default();
        Family::begin(encoder, &names::RAFT_ELECTIONS)?.one_count(marks.elections())?;
        Family::begin(encoder, &names::RAFT_LEADER_CHANGES)?.one_count(marks.leader_changes())?;
        self.as_leader(encoder)?;
        if let Some(rejections) = &self.rejections {
            let mut family = Family::begin(encoder, &names::PEER_REJECTED)?;
            for reason in Reason::ALL {
                family.count(&[("reason", reason.label())], rejections.count(reason))?;
            }
        }
        Ok(())
    }
}

// === impl ClusterMetrics ===

impl ClusterMetrics {
    /// What is applied is agreed on: after a start nothing else is known for a moment.
    fn commit_index(&self) -> u64 {
        self.marks.as_ref().map_or(0, Marks::committed).max(self.status.applied_index)
    }

    /// What only a leader knows.
    fn as_leader(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::begin(encoder, &names::RAFT_FOLLOWER_LAG)?;
        for member in self.status.members.iter().filter(|member| !member.is_self) {
            if let Some(lag) = member.lag {
                family.gauge(&[("node", &member.node_id.to_string())], lag)?;
            }
        }
        let family = Family::begin(encoder, &names::RAFT_QUORUM_ACK_AGE)?;
        if let Some(millis) = self.status.quorum_ack_millis {
            family.one_gauge_of_seconds(std::time::Duration::from_millis(millis).as_secs_f64())?;
        }
        Ok(())
    }
}
