//! What all parts of a node's membership share.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ollamaflow_protocol::cluster::{ClusterState, NodeId};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

use super::Snapshot;
use super::consensus::Consensus;
use super::errand::Candidate;
use super::error::ClusterError;
use super::inbox::Inbox;
use super::network::{PeerClient, Rejections, SharedPlace};
use super::note::Received;
use super::question::Asked;
use super::settings::{Seed, Start, Timing};

/// What all parts of a node's membership share.
pub(super) struct Node {
    pub(super) settings: NodeSettings,
    pub(super) place: SharedPlace,
    /// None for a node that is alone for good.
    pub(super) link: Option<PeerLink>,
    /// Random number made with the empty store.
    pub(super) incarnation: u128,
    /// Set once, when the node has its place.
    consensus: OnceLock<Arc<Consensus>>,
    standing: watch::Sender<Standing>,
    /// What subscribers see. [`Node::state`] is ahead of it by the hop of a task.
    pub(super) applied: watch::Sender<Snapshot>,
    /// Held on the leader while the membership changes: one change at a time.
    pub(super) changing_membership: tokio::sync::Mutex<()>,
    /// Read while a proposal is on its way into the log, written while the leadership is handed over: a successor must
    /// have the whole log, and what comes meanwhile waits for it.
    pub(super) proposals: tokio::sync::RwLock<()>,
    /// Since when this node leads; none if it does not.
    pub(super) leading_since: Mutex<Option<Instant>>,
    /// The address of the member that wants this node.
    pub(super) invitation: watch::Sender<Option<String>>,
    /// Where the notes of other members come in.
    pub(super) inbox: Inbox<Received>,
    /// Where their questions come in.
    pub(super) desk: Inbox<Asked>,
    /// See [`Node::stranger`].
    stranger: Mutex<Option<String>>,
    /// The hash of the state at a revision.
    hash: Mutex<Option<(u64, String)>>,
    /// The runtime of the consensus and its tasks; none once it was stopped.
    runtime: Mutex<Option<Runtime>>,
    handle: Handle,
}

/// What stays of the settings once the node runs.
pub(super) struct NodeSettings {
    pub(super) start: Start,
    pub(super) timing: Timing,
    pub(super) seed: Seed,
}

/// How a node reaches its peers, and they it.
pub(super) struct PeerLink {
    pub(super) client: PeerClient,
    pub(super) advertise: String,
    pub(super) rejections: Rejections,
}

/// Whether a node can do its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has no cluster yet, for this reason.
    Forming(String),
    /// It is a member.
    Member,
    /// It was removed from its cluster.
    Removed(NodeId),
    /// Its storage or its consensus failed.
    Failed(String),
}

// === Node ===

impl Node {
    pub(super) fn new(
        settings: NodeSettings,
        place: SharedPlace,
        link: Option<PeerLink>,
        incarnation: u128,
        runtime: Runtime,
    ) -> Self {
        let handle = runtime.handle().clone();
        Self {
            settings,
            place,
            link,
            incarnation,
            consensus: OnceLock::new(),
            standing: watch::Sender::new(Standing::Forming("it is starting".to_owned())),
            applied: watch::Sender::new(Snapshot::default()),
            changing_membership: tokio::sync::Mutex::new(()),
            proposals: tokio::sync::RwLock::new(()),
            leading_since: Mutex::new(None),
            invitation: watch::Sender::new(None),
            inbox: Inbox::new(),
            desk: Inbox::new(),
            stranger: Mutex::new(None),
            hash: Mutex::new(None),
            runtime: Mutex::new(Some(runtime)),
            handle,
        }
    }

    /// Where the tasks of the cluster run, apart from the request path.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.handle
    }

    /// The consensus, whatever has become of it; none before the node has its place.
    pub(super) fn consensus(&self) -> Option<&Arc<Consensus>> {
        self.consensus.get()
    }

    /// The consensus of a node that can do its part, or why it cannot.
    pub(super) fn member(&self) -> Result<&Arc<Consensus>, ClusterError> {
        match &*self.standing.borrow() {
            Standing::Forming(why) => Err(ClusterError::Forming { waiting_for: why.clone() }),
            Standing::Removed(id) => Err(ClusterError::Removed { id: *id }),
            Standing::Failed(reason) => Err(ClusterError::Failed { reason: reason.clone() }),
            Standing::Member => self
                .consensus()
                .ok_or_else(|| ClusterError::Forming { waiting_for: "the consensus is starting".to_owned() }),
        }
    }

    /// Puts the consensus in its place, once.
    pub(super) fn take_part(&self, consensus: Arc<Consensus>) {
        if self.consensus.set(consensus).is_ok() {
            self.standing.send_replace(Standing::Member);
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Tells what a node without a cluster waits for. Said once, however often it is found.
    pub(super) fn waits_for(&self, what: String) {
        self.standing.send_if_modified(|standing| {
            let news = matches!(standing, Standing::Forming(known) if *known != what);
            if news {
                tracing::info!("no cluster yet: {what}");
                *standing = Standing::Forming(what);
            }
            news
        });
    }

    /// Ends this node's part for good, for the first reason that is given.
    pub(super) fn step_aside(&self, standing: &Standing) {
        let changed = self.standing.send_if_modified(|present| {
            let ended = matches!(present, Standing::Removed(_) | Standing::Failed(_));
            if !ended {
                *present = standing.clone();
            }
            !ended
        });
        if !changed {
            return;
        }
        match standing {
            Standing::Failed(reason) => {
                tracing::error!(reason, "this node steps aside: its storage or its consensus failed");
            }
            Standing::Removed(id) => tracing::error!(
                node = id,
                "this node was removed from its cluster: wipe its data directory to let it join again"
            ),
            Standing::Forming(_) | Standing::Member => {}
        }
        if let Some(consensus) = self.consensus().cloned() {
            // Without its engine it neither votes nor stands for election.
            self.handle.spawn(async move { consensus.raft().shutdown().await });
        }
    }

    /// The state that this node has applied.
    pub(super) fn state(&self) -> ClusterState {
        self.consensus().map(|consensus| consensus.state.current().state.clone()).unwrap_or_default()
    }

    /// Waits until this node has applied the entry at `index`.
    pub(super) async fn applied(&self, index: u64, longest: Duration) -> Result<ClusterState, ClusterError> {
        let consensus = self.member()?;
        if tokio::time::timeout(longest, consensus.state.wait_for(index)).await.is_err() {
            let waited_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
            return Err(ClusterError::Unconfirmed { waited_ms });
        }
        Ok(consensus.state.current().state.clone())
    }

    /// The other nodes that the settings name.
    pub(super) fn configured_addresses(&self) -> BTreeSet<String> {
        let mut addresses = match &self.settings.start {
            Start::Peers(peers) => peers.clone(),
            Start::Join(address) => BTreeSet::from([address.clone()]),
            Start::Alone | Start::Invited => BTreeSet::new(),
        };
        addresses.remove(self.advertise());
        addresses
    }

    /// Where other nodes of the cluster may be found, this one left out.
    pub(super) fn other_addresses(&self) -> BTreeSet<String> {
        let mut addresses = self.configured_addresses();
        if let Some(consensus) = self.consensus() {
            addresses.extend(consensus.members().into_values().map(|member| member.address));
        }
        addresses.extend(self.invitation.borrow().clone());
        addresses.remove(self.advertise());
        addresses.remove("");
        addresses
    }

    /// This node, as it asks for its place: its consensus runs once it knows its id and its cluster.
    pub(super) fn as_candidate(&self) -> Candidate {
        Candidate {
            address: self.advertise().to_owned(),
            incarnation: self.incarnation,
            is_ready: self.consensus().is_some(),
        }
    }

    /// Under which the others reach this node; empty for a node that is alone for good.
    pub(super) fn advertise(&self) -> &str {
        self.link.as_ref().map_or("", |link| link.advertise.as_str())
    }

    /// A sentence on a node that the settings name and that is of another cluster; none if there is none.
    pub(super) fn stranger(&self) -> Option<String> {
        self.stranger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what was found out about strangers, and says it when it is news.
    pub(super) fn note_stranger(&self, found: Option<String>) {
        let mut known = self.stranger.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != found {
            if let Some(sentence) = &found {
                tracing::error!("{sentence}");
            }
            *known = found;
        }
    }

    /// SHA-256 of the applied state, made once for each revision.
    pub(super) fn catalog_hash(&self, state: &ClusterState) -> String {
        let known = || self.hash.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((revision, hash)) = &*known()
            && *revision == state.revision()
        {
            return hash.clone();
        }
        let hash = state.catalog_hash_hex();
        *known() = Some((state.revision(), hash.clone()));
        hash
    }

    /// How long this leader must still wait before it can vote for another one: until then it holds to the vote that
    /// made it leader.
    pub(super) fn bound_to_lead(&self) -> Duration {
        let since = *self.leading_since.lock().unwrap_or_else(PoisonError::into_inner);
        let led = since.map_or(Duration::ZERO, |since| since.elapsed());
        // The moment of the election is known a little late.
        self.settings.timing.election_max.saturating_sub(led) + self.settings.timing.heartbeat / 2
    }

    /// Ends the runtime; its tasks end where they wait.
    pub(super) fn end_runtime(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A runtime must not be dropped where tasks run.
        self.end_runtime();
    }
}
