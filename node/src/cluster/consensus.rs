//! The running consensus of a member: openraft over the store and the peers' transport, with every wait bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ollamaflow_protocol::cluster::{Applied, NodeId, Rejection};
use ollamaflow_protocol::id::ClusterId;
use openraft::error::{ChangeMembershipError, CheckIsLeaderError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, Config, Raft, RaftMetrics, SnapshotPolicy};

use super::error::ClusterError;
use super::network::Network;
use super::settings::Timing;
use super::store::{Marks, RaftParts, StateReader};
use super::types::{Member, Proposal, TypeConfig};

/// Longest wait for a quorum to confirm a write. Flushes of a busy disk take tenths of a second.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for the proof that this node leads.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait for one step of a change of the membership.
const MEMBERSHIP_TIMEOUT: Duration = Duration::from_secs(8);

/// Pause before a change is tried again that found another one under way.
const MEMBERSHIP_RETRY: Duration = Duration::from_millis(50);

/// Longest wait for a snapshot to be on the disk.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(15);

/// A snapshot is made each time that many entries were applied; so many entries at most are replayed at a start.
const ENTRIES_PER_SNAPSHOT: u64 = 1_000;

/// Longest that the commands after a snapshot may be in sum. openraft counts entries only, and one of them may be a
/// catalog of 4 MiB; usual changes stay below this for more than [`ENTRIES_PER_SNAPSHOT`] of them.
const MAX_LOG_BYTES: u64 = 12 * 1024 * 1024;

/// Entries that are kept behind a snapshot for members that lag a little.
const ENTRIES_KEPT: u64 = 200;

/// Most entries of one append call. Entries of whole catalogs have some megabytes; see also [`Network`].
const ENTRIES_PER_CALL: u64 = 64;

/// The running consensus of a member.
pub(super) struct Consensus {
    pub(super) cluster: ClusterId,
    pub(super) id: NodeId,
    pub(super) state: StateReader,
    pub(super) marks: Marks,
    raft: Raft<TypeConfig>,
    /// After so long without a quorum's answer a leader stops taking writes.
    quorum_patience: Duration,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leadership {
    /// This node.
    Here,
    /// Another member.
    At { node: NodeId, address: String },
    /// Nobody whom this node knows.
    Nowhere,
}

// === Consensus ===

impl Consensus {
    /// Starts the consensus on the runtime that this is called in.
    pub(super) async fn start(
        cluster: ClusterId,
        id: NodeId,
        parts: RaftParts,
        network: Network,
        timing: Timing,
    ) -> Result<Self, ClusterError> {
        let config = config(&cluster, timing).map_err(|e| failed(&e))?;
        let RaftParts { log, machine, state, marks, .. } = parts;
        marks.belong_to(id);
        let raft = Raft::new(id, Arc::new(config), network, log, machine).await.map_err(|e| failed(&e))?;
        Ok(Self { cluster, id, state, marks, raft, quorum_patience: 2 * timing.election_max })
    }

    /// The engine itself, for calls of the peers.
    pub(super) const fn raft(&self) -> &Raft<TypeConfig> {
        &self.raft
    }

    /// What the consensus tells of itself. Copied at once: a borrowed value would hold it up.
    pub(super) fn metrics(&self) -> RaftMetrics<NodeId, Member> {
        self.raft.metrics().borrow().clone()
    }

    /// Who leads, as far as this node knows.
    pub(super) fn leadership(&self) -> Leadership {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        match metrics.current_leader {
            Some(id) if id == self.id && metrics.state.is_leader() => Leadership::Here,
            Some(id) if id != self.id => match metrics.membership_config.membership().get_node(&id) {
                Some(member) => Leadership::At { node: id, address: member.address.clone() },
                None => Leadership::Nowhere,
            },
            _ => Leadership::Nowhere,
        }
    }

    /// Waits until the leadership is other than `known`, or for `longest`.
    pub(super) async fn leadership_after(&self, known: &Leadership, longest: Duration) -> Leadership {
        self.leadership_that(|leadership| leadership != known, longest).await
    }

    /// Waits until another node leads, or for `longest`; answers who leads then.
    pub(super) async fn leader_elsewhere(&self, longest: Duration) -> Leadership {
        self.leadership_that(|leadership| matches!(leadership, Leadership::At { .. }), longest).await
    }

    async fn leadership_that(&self, wanted: impl Fn(&Leadership) -> bool, longest: Duration) -> Leadership {
        let mut metrics = self.raft.metrics();
        let found = async {
            while !wanted(&self.leadership()) {
                if metrics.changed().await.is_err() {
                    // The engine has ended: nothing changes any more.
                    std::future::pending::<()>().await;
                }
            }
        };
        let _ = tokio::time::timeout(longest, found).await;
        self.leadership()
    }

    /// Makes this node the only member of a new cluster. Harmless if it is one already.
    pub(super) async fn found(&self, member: Member) -> Result<(), ClusterError> {
        if self.raft.is_initialized().await.map_err(|e| failed(&e))? {
            return Ok(());
        }
        self.raft.initialize(BTreeMap::from([(self.id, member)])).await.map_err(|e| failed(&e))
    }

    /// On the leader: puts a text into the log, and gives its index and what it did once a quorum has it on disk.
    pub(super) async fn write(
        &self,
        text: String,
    ) -> Result<(u64, Result<Applied, Rejection>), ClusterError> {
        self.must_have_quorum()?;
        let write = self.raft.client_write(Proposal { text });
        let response = match tokio::time::timeout(WRITE_TIMEOUT, write).await {
            Ok(Ok(response)) => response,
            // Also what becomes of entries in the log of a leader that steps down: the next one may have them.
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                return Err(ClusterError::LeaderSilent { leader: self.id });
            }
            Ok(Err(e)) => return Err(failed(&e)),
            Err(_) => return Err(ClusterError::Unconfirmed { waited_ms: millis(WRITE_TIMEOUT) }),
        };
        match response.data.outcome {
            Some(outcome) => Ok((response.log_id.index, outcome)),
            None => Err(failed(&"an entry of the log was lost")),
        }
    }

    /// On the leader: the index of the last entry that may have been confirmed to anyone before this call.
    pub(super) async fn read_index(&self) -> Result<u64, ClusterError> {
        self.must_have_quorum()?;
        match tokio::time::timeout(READ_TIMEOUT, self.raft.get_read_log_id()).await {
            Ok(Ok((index, _))) => Ok(index.map_or(0, |id| id.index)),
            // Without a quorum's answer too: one that is slow may answer the next time.
            Ok(Err(RaftError::APIError(
                CheckIsLeaderError::ForwardToLeader(_) | CheckIsLeaderError::QuorumNotEnough(_),
            )))
            | Err(_) => Err(ClusterError::NotLeader),
            Ok(Err(e)) => Err(failed(&e)),
        }
    }

    /// Why the engine does nothing any more; none if it answers, or is busy. Its metrics do not tell of a panic.
    pub(super) async fn death(&self) -> Option<String> {
        match tokio::time::timeout(READ_TIMEOUT, self.raft.is_initialized()).await {
            Ok(Err(e)) => Some(format!("its consensus ended: {e}")),
            Ok(Ok(_)) | Err(_) => None,
        }
    }

    /// Writes a snapshot of what this node has applied; answers the index of its last entry.
    pub(super) async fn snapshot(&self) -> Result<u64, ClusterError> {
        let wanted = self.state.current().index;
        self.raft.trigger().snapshot().await.map_err(|e| failed(&e))?;
        let mut states = self.state.subscribe();
        let written = states.wait_for(|state| state.snapshot_index >= wanted);
        match tokio::time::timeout(SNAPSHOT_TIMEOUT, written).await {
            Ok(Ok(state)) => Ok(state.snapshot_index),
            Ok(Err(_)) => Err(failed(&"the store is closed")),
            Err(_) => Err(ClusterError::Unconfirmed { waited_ms: millis(SNAPSHOT_TIMEOUT) }),
        }
    }

    /// Makes a snapshot and lets go of the entries in it, if their commands take more than the log may.
    pub(super) async fn bound_log(&self) -> Result<(), ClusterError> {
        if self.state.current().bytes_since_snapshot <= MAX_LOG_BYTES {
            return Ok(());
        }
        let index = self.snapshot().await?;
        self.raft.trigger().purge_log(index).await.map_err(|e| failed(&e))
    }

    /// On the leader: a change of the membership, which returns when a quorum of both the old and the new one has
    /// it. Voters that are left out stay on as learners.
    pub(super) async fn change_membership(
        &self,
        change: ChangeMembers<NodeId, Member>,
    ) -> Result<(), ClusterError> {
        self.must_have_quorum()?;
        let changed = tokio::time::timeout(MEMBERSHIP_TIMEOUT, async {
            loop {
                match self.raft.change_membership(change.clone(), true).await {
                    Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
                        ChangeMembershipError::InProgress(_),
                    ))) => tokio::time::sleep(MEMBERSHIP_RETRY).await,
                    other => return other,
                }
            }
        });
        match changed.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                Err(ClusterError::NotLeader)
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(e)))) => {
                Err(ClusterError::Membership(e.to_string()))
            }
            Ok(Err(e)) => Err(failed(&e)),
            Err(_) => Err(ClusterError::Unconfirmed { waited_ms: millis(MEMBERSHIP_TIMEOUT) }),
        }
    }

    /// On the leader: whether a node has all entries but `few`, as of now or within `longest`.
    pub(super) async fn catches_up(&self, node: NodeId, few: u64, longest: Duration) -> bool {
        let mut metrics = self.raft.metrics();
        let caught_up = async {
            loop {
                {
                    let metrics = metrics.borrow_and_update();
                    let matched =
                        metrics.replication.as_ref().and_then(|all| all.get(&node).copied().flatten());
                    let last = metrics.last_log_index.unwrap_or_default();
                    if matched.is_some_and(|matched| matched.index + few >= last) {
                        return true;
                    }
                }
                if metrics.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(longest, caught_up).await.unwrap_or(false)
    }

    /// The voters of the newest membership, agreed on or not.
    pub(super) fn voters(&self) -> BTreeSet<NodeId> {
        self.raft.metrics().borrow().membership_config.voter_ids().collect()
    }

    /// All members of the newest membership.
    pub(super) fn members(&self) -> BTreeMap<NodeId, Member> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics.membership_config.nodes().map(|(id, member)| (*id, member.clone())).collect()
    }

    /// Why nothing can be decided: without counting who answers.
    pub(super) fn no_leader(&self) -> ClusterError {
        let voters = self.voters().len() as u64;
        ClusterError::NoLeader { reachable: 1, voters, quorum: voters / 2 + 1 }
    }

    /// Whether a quorum answered this leader lately.
    pub(super) fn has_quorum(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        if !metrics.state.is_leader() {
            return metrics.current_leader.is_some_and(|leader| leader != self.id);
        }
        let alone = metrics.membership_config.voter_ids().all(|voter| voter == self.id);
        // A leader that nobody has acknowledged yet was elected a moment ago, or is back from a restart.
        alone
            || metrics
                .millis_since_quorum_ack
                .is_some_and(|millis| Duration::from_millis(millis) < self.quorum_patience)
    }

    /// A leader that has lost its quorum would take a write, keep its sender waiting, and perhaps make it later.
    fn must_have_quorum(&self) -> Result<(), ClusterError> {
        let metrics = self.raft.metrics();
        let lost = {
            let metrics = metrics.borrow();
            let silence = metrics.millis_since_quorum_ack.map(Duration::from_millis);
            let alone = metrics.membership_config.voter_ids().all(|voter| voter == self.id);
            metrics.state.is_leader()
                && !alone
                && silence.is_some_and(|silence| silence > self.quorum_patience)
        };
        if lost { Err(self.no_leader()) } else { Ok(()) }
    }
}

fn config(cluster: &ClusterId, timing: Timing) -> Result<Config, Box<openraft::ConfigError>> {
    Config {
        cluster_name: cluster.to_string(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_min),
        election_timeout_max: millis(timing.election_max),
        // A snapshot is one call; openraft's 200 ms are for parts of it.
        install_snapshot_timeout: 10_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_PER_SNAPSHOT),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        purge_batch_size: 64,
        replication_lag_threshold: ENTRIES_PER_SNAPSHOT,
        max_payload_entries: ENTRIES_PER_CALL,
        ..Config::default()
    }
    .validate()
    .map_err(Box::new)
}

/// An error after which the consensus does nothing any more.
pub(super) fn failed(error: &impl std::fmt::Display) -> ClusterError {
    ClusterError::Failed { reason: error.to_string() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
