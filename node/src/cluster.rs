//! The cluster: the configuration, agreed on by all nodes and kept on their disks.
//!
//! In: commands from the admin API. Out: the [`ClusterState`] that this node has applied, and who the members are.
//! Raft (openraft) orders the commands, `store` keeps them (sled), `network` carries them between nodes. What
//! a command means is `protocol`'s to say. A node alone is a cluster of one.
//!
//! ```text
//! admin -> Cluster -> proposing -(here or by one call)-> leading -> consensus -> store
//!                                                           ^            |
//! peers -> network -> handler ------------------------------+            v
//!                                                          subscribers <- applied state
//! ```
//!
//! `start` finds the node's place on the disk or has `forming` get one; `upkeep` sees to what a member needs
//! afterwards.

mod codec;
mod consensus;
mod contention;
mod errand;
mod error;
mod forming;
mod greeting;
mod handler;
mod inbox;
mod leading;
mod network;
mod node;
mod note;
mod proposing;
mod question;
mod remains;
mod report;
mod round;
mod settings;
mod start;
mod status;
mod store;
mod strangers;
mod types;
mod upkeep;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ollamaflow_protocol::cluster::{Applied, ClusterState, Command, NodeId, Rejection};
use tokio::sync::{mpsc, watch};

pub use self::contention::Contention;
pub use self::error::ClusterError;
pub use self::network::{PeerSecret, PeerTls, PeerTlsError, Reason, Rejections, SecretError};
pub use self::note::{Note, Received};
pub use self::question::{Asked, Question, Reply};
pub use self::remains::Remains;
pub use self::settings::{ClusterSettings, Link, Seed, Start, Timing};
pub use self::start::StartError;
pub use self::status::{MemberStatus, Role, Status};
pub use self::store::{Marks, StoreError};

use self::consensus::Leadership;
use self::errand::{Done, Errand};
use self::network::{Call, CallError, Target};
use self::node::Node;
use self::start::Server;
use self::store::Opened;

/// Longest wait for an invited node to have its vote.
const INVITATION_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest wait for the consensus to end: it waits for its disk.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A node's part in the cluster. Clones share it.
#[derive(Clone)]
pub struct Cluster(Arc<Parts>);

struct Parts {
    node: Arc<Node>,
    server: Option<Server>,
    store: Opened,
}

/// The applied state and its place in the log.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Index of the last applied entry.
    pub index: u64,
    /// The state after it.
    pub state: ClusterState,
}

/// A change that is made, and applied on this node.
#[derive(Debug, Clone)]
pub struct Committed {
    /// What it did.
    pub applied: Applied,
    /// The state of this node, which has it.
    pub state: ClusterState,
}

// === Cluster ===

impl Cluster {
    fn new(node: Arc<Node>, server: Option<Server>, store: Opened) -> Self {
        Self(Arc::new(Parts { node, server, store }))
    }

    /// The state that this node has applied.
    pub fn state(&self) -> ClusterState {
        self.0.node.state()
    }

    /// The state that this node has applied, or why there is none yet: before a cluster is born, its catalog is not empty
    /// but unknown.
    pub fn known_state(&self) -> Result<ClusterState, ClusterError> {
        let state = self.state();
        if state.cluster_id().is_none() {
            self.0.node.member()?;
            return Err(Rejection::NotSeeded.into());
        }
        Ok(state)
    }

    /// Tells when another state was applied.
    pub fn subscribe(&self) -> watch::Receiver<Snapshot> {
        self.0.node.applied.subscribe()
    }

    /// Makes a change: on this node if it leads, otherwise through the leader. Answers when a quorum has it on disk
    /// and this node has applied it. `by` is the name of the admin token that asked.
    pub async fn propose(&self, by: &str, command: Command) -> Result<Committed, ClusterError> {
        proposing::propose(&self.0.node, by, command).await
    }

    /// The state of this node, once it has everything that was confirmed before this call.
    pub async fn linearizable(&self) -> Result<ClusterState, ClusterError> {
        proposing::linearizable(&self.0.node).await
    }

    /// The id of this node; none while it has none.
    pub fn node_id(&self) -> Option<NodeId> {
        self.0.node.place.load().node
    }

    /// The leader that this node follows, or itself.
    pub fn leader(&self) -> Option<NodeId> {
        match self.0.node.consensus()?.leadership() {
            Leadership::Here => self.node_id(),
            Leadership::At { node, .. } => Some(node),
            Leadership::Nowhere => None,
        }
    }

    /// Whether this node leads, and a quorum answered it lately.
    pub fn leads(&self) -> bool {
        let consensus = self.0.node.consensus();
        consensus.is_some_and(|it| it.leadership() == Leadership::Here && it.has_quorum())
    }

    /// The cluster as this node sees it.
    pub fn status(&self) -> Status {
        report::report(&self.0.node)
    }

    /// How far this node's log is agreed on, and how elections went here since the start; none while it has no place.
    pub fn marks(&self) -> Option<&Marks> {
        self.0.node.consensus().map(|consensus| &consensus.marks)
    }

    /// Calls of peers that were rejected since the start; none for a node without a cluster listener.
    pub fn rejections(&self) -> Option<&Rejections> {
        self.0.node.link.as_ref().map(|link| &link.rejections)
    }

    /// Lets the other members know, and waits until they have dealt with it: for a second or two, where one is silent. A
    /// note may be lost.
    pub async fn tell(&self, note: &Note) {
        note::tell(&self.0.node, note).await;
    }

    /// What other members let this node know. There is one reader: later calls get none.
    pub fn notes(&self) -> Option<mpsc::Receiver<Received>> {
        self.0.node.inbox.open()
    }

    /// Asks the other members, and waits for their answers: for some seconds, where one is silent.
    pub async fn ask(&self, question: &Question) -> Vec<Reply> {
        question::ask(&self.0.node, question).await
    }

    /// What other members ask this node. There is one reader: later calls get none.
    pub fn questions(&self) -> Option<mpsc::Receiver<Asked>> {
        self.0.node.desk.open()
    }

    /// Why this node cannot do its part, in a sentence; none if it can. A node without a leader can: it proxies.
    pub fn unfit(&self) -> Option<String> {
        report::unfit(&self.0.node)
    }

    /// Invites the node without a cluster that listens at `address`; answers when it votes.
    pub async fn add(&self, address: &str) -> Result<NodeId, ClusterError> {
        let node = &self.0.node;
        let link = node.link.as_ref().ok_or_else(|| {
            ClusterError::Membership(
                "this node has no cluster listener: start it with --cluster-listen".to_owned(),
            )
        })?;
        let members = node.member()?.members();
        if let Some((id, _)) = members.iter().find(|(_, member)| member.address == address) {
            let why = format!("node {id} at {address} is a member already: see `ollamaflow cluster members`");
            return Err(ClusterError::Membership(why));
        }
        let target = Target { address: address.to_owned(), node: None };
        let body = codec::encode(&link.advertise).map_err(|e| consensus::failed(&e))?;
        let answer = link.client.call(&target, Call::Invite, body, Duration::from_secs(2)).await;
        let answer = answer.map_err(|e: CallError| {
            ClusterError::Membership(format!("the node at {address} cannot be invited: {e}"))
        })?;
        codec::decode::<Result<(), ClusterError>>(&answer).map_err(|e| consensus::failed(&e))??;
        let deadline = Instant::now() + INVITATION_TIMEOUT;
        let mut applied = self.subscribe();
        loop {
            let consensus = node.member()?;
            let members = consensus.members();
            let voters = consensus.voters();
            let added = members.iter().find(|(id, member)| member.address == address && voters.contains(id));
            if let Some((id, _)) = added {
                return Ok(*id);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClusterError::Membership(format!(
                    "the node at {address} was invited and has no vote yet: see the members in a moment"
                )));
            }
            // Changes of the membership alone do not change the state: look again soon in any case.
            let _ = tokio::time::timeout(left.min(Duration::from_millis(100)), applied.changed()).await;
        }
    }

    /// Takes a member's vote, then the member, then its id.
    pub async fn remove(&self, id: NodeId) -> Result<(), ClusterError> {
        match proposing::at_leader(&self.0.node, Errand::Remove(id)).await? {
            Done::Removed => Ok(()),
            other => Err(proposing::unexpected(&other)),
        }
    }

    /// Hands the leadership to that voter, or to the one that has most of the log; answers who leads.
    pub async fn transfer_leader(&self, to: Option<NodeId>) -> Result<NodeId, ClusterError> {
        match proposing::at_leader(&self.0.node, Errand::Transfer(to)).await? {
            Done::Transferred(leader) => Ok(leader),
            other => Err(proposing::unexpected(&other)),
        }
    }

    /// Writes a snapshot of this node's state now; answers the index of its last entry.
    pub async fn snapshot(&self) -> Result<u64, ClusterError> {
        let consensus = self.0.node.member()?;
        consensus.snapshot().await
    }

    /// Hands the leadership over, if this node has it and another one can take it. To be done before the node
    /// stops serving, so that writes go on elsewhere.
    pub async fn hand_over(&self) {
        let node = &self.0.node;
        let Ok(consensus) = node.member() else { return };
        if consensus.leadership() == Leadership::Here
            && consensus.voters().len() > 1
            && let Err(e) = leading::transfer(node, consensus, None).await
        {
            tracing::warn!(error = %e, "the leadership could not be handed over; the others will elect a leader");
        }
    }

    /// What may be left after a stop, for a while.
    pub fn remains(&self) -> Remains {
        Remains::new(&self.0, self.0.store.clone())
    }

    /// Ends the consensus. The store is closed when nothing is left that holds it: see [`Cluster::remains`].
    pub async fn stop(&self) {
        if let Some(Server(server)) = &self.0.server {
            server.stop(false).await;
        }
        if let Some(consensus) = self.0.node.consensus() {
            let ended = tokio::time::timeout(SHUTDOWN_TIMEOUT, consensus.raft().shutdown()).await;
            if ended.is_err() {
                tracing::warn!("the consensus did not end in time");
            }
        }
        self.0.node.end_runtime();
    }
}
