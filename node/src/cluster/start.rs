//! From the disk to a running member: what a start finds, and what it does about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::id::ClusterId;
use thiserror::Error;

use super::consensus::Consensus;
use super::handler::Handler;
use super::network::{self, Network, PeerClient, Place, Rejections, SharedPlace};
use super::node::{Node, NodeSettings, PeerLink, Standing};
use super::settings::{ClusterSettings, Link, Start, Timing};
use super::store::{Claim, Health, Store, StoreError};
use super::types::Member;
use super::{Cluster, Snapshot, error::ClusterError, forming, strangers, upkeep};
use crate::random;

/// The id of the node that founds a cluster. All others get theirs from the log.
pub(super) const FOUNDER: NodeId = 1;

/// Threads of the consensus: one applies a large catalog while the other sends heartbeats.
const CONSENSUS_THREADS: usize = 2;

/// Longest wait of a cluster of one for its first objects at its birth.
const BIRTH_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a node cannot take its part in a cluster.
#[derive(Debug, Error)]
pub enum StartError {
    /// The directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The consensus.
    #[error("the consensus does not start: {0}")]
    Consensus(#[source] ClusterError),
    /// The peers' listener or client.
    #[error("the connection to the other nodes cannot be set up: {0}")]
    Link(#[source] io::Error),
    /// Threads or random numbers.
    #[error("the operating system refused a thread or random numbers: {0}")]
    System(#[source] io::Error),
}

// === start ===

impl Cluster {
    /// Opens the directory and takes the place that is written there, or gets one as the settings say.
    ///
    /// A node that has its place returns as soon as its state is read from the disk, whoever else is there. A new
    /// cluster of one returns with its first objects in place; other new nodes return at once and go on looking
    /// for their cluster. Must be called inside an actix system.
    pub async fn start(settings: ClusterSettings) -> Result<Self, StartError> {
        let ClusterSettings { directory, link, start, timing, seed } = settings;
        let timing = if link.is_some() { timing } else { Timing::ALONE };
        let store = on_disk(move || Store::open(&directory)).await??;
        let opened = store.opened();
        let place = SharedPlace::new(arc_swap::ArcSwap::from_pointee(Place { cluster: None, node: None }));
        let rejections = Rejections::default();
        let (peers, listening) = match link {
            None => (None, None),
            Some(Link { listener, advertise, secret, tls }) => {
                let client =
                    PeerClient::start(place.clone(), secret.clone(), tls.clone(), rejections.clone())
                        .map_err(StartError::Link)?;
                let link = PeerLink { client, advertise, rejections: rejections.clone() };
                (Some(link), Some((listener, secret, tls)))
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONSENSUS_THREADS)
            .thread_name("consensus")
            .enable_all()
            .build()
            .map_err(StartError::System)?;
        let node_settings = NodeSettings { start, timing, seed };
        let incarnation = store.identity().incarnation;
        let node = Arc::new(Node::new(node_settings, place.clone(), peers, incarnation, runtime));
        let server = match listening {
            None => None,
            Some((listener, secret, tls)) => {
                let service = Arc::new(Handler::new(node.clone()));
                let server = network::serve(listener, service, place, secret, tls, rejections)
                    .map_err(StartError::Link)?;
                let handle = server.handle();
                actix_web::rt::spawn(server);
                Some(handle)
            }
        };
        settle(node.clone(), store).await?;
        Ok(Self::new(node, server.map(Server), opened))
    }
}

/// The peers' listener.
pub(super) struct Server(pub(super) ServerHandle);

/// Takes the place that the store tells of, or sees to it that there will be one.
async fn settle(node: Arc<Node>, mut store: Store) -> Result<(), StartError> {
    if let Some(claim) = store.identity().claim.clone() {
        return begin(&node, store, claim).await;
    }
    if node.settings.start == Start::Alone {
        let claim = founding_claim().map_err(StartError::System)?;
        let store = {
            let claim = claim.clone();
            on_disk(move || store.claim(claim).map(|()| store)).await??
        };
        begin(&node, store, claim).await?;
        born(&node).await;
        return Ok(());
    }
    let runtime = node.runtime().clone();
    runtime.spawn(forming::until_settled(node, store));
    Ok(())
}

/// Starts the consensus of a node whose place is on the disk.
pub(super) async fn begin(node: &Arc<Node>, store: Store, claim: Claim) -> Result<(), StartError> {
    let Claim { cluster, node: id } = claim;
    let parts = on_disk(move || store.into_raft()).await??;
    let mut health = parts.health.clone();
    node.place.store(Arc::new(Place { cluster: Some(cluster.clone()), node: Some(id) }));
    publish(node, &parts.state.current());
    let timing = node.settings.timing;
    let network = Network::new(node.link.as_ref().map(|link| link.client.clone()), timing.heartbeat);
    let starting = Consensus::start(cluster, id, parts, network, timing);
    let consensus = match node.runtime().spawn(starting).await {
        Ok(started) => Arc::new(started.map_err(StartError::Consensus)?),
        Err(e) => return Err(StartError::System(io::Error::other(e))),
    };
    node.take_part(consensus.clone());
    tracing::info!(cluster = %consensus.cluster, node = id, "took its place in the cluster");

    let (publishing, mut applied) = (Arc::downgrade(node), consensus.state.subscribe());
    node.runtime().spawn(async move {
        while applied.changed().await.is_ok() {
            let Some(node) = publishing.upgrade() else { return };
            let state = applied.borrow_and_update().clone();
            publish(&node, &state);
        }
    });
    let watching = Arc::downgrade(node);
    node.runtime().spawn(async move {
        let failed = health.wait_for(|health| matches!(health, Health::Failed { .. })).await;
        let reason = failed.ok().and_then(|health| match &*health {
            Health::Failed { reason } => Some(reason.to_string()),
            Health::Good => None,
        });
        if let (Some(reason), Some(node)) = (reason, watching.upgrade()) {
            node.step_aside(&Standing::Failed(reason));
        }
    });
    node.runtime().spawn(upkeep::tell_leaders(Arc::downgrade(node), consensus.clone()));
    node.runtime().spawn(strangers::look_for_strangers(Arc::downgrade(node), consensus.clone()));
    node.runtime().spawn(upkeep::keep_up(Arc::downgrade(node), consensus));
    Ok(())
}

fn publish(node: &Node, state: &super::store::AppliedState) {
    node.applied.send_replace(Snapshot { index: state.index, state: state.state.clone() });
}

/// Waits for the first objects of a new cluster of one, which upkeep brings.
async fn born(node: &Node) {
    let mut applied = node.applied.subscribe();
    let seeded = applied.wait_for(|snapshot| snapshot.state.cluster_id().is_some());
    if tokio::time::timeout(BIRTH_TIMEOUT, seeded).await.is_err() {
        tracing::error!("the cluster of this node has no objects yet; see the lines above");
    }
}

/// The claim of the first node of a new cluster.
pub(super) fn founding_claim() -> io::Result<Claim> {
    let name = format!("{:032x}", random::number()?);
    let cluster = ClusterId::try_from(name.as_str()).map_err(io::Error::other)?;
    Ok(Claim { cluster, node: FOUNDER })
}

/// This node as a member of its own cluster.
pub(super) fn as_member(node: &Node) -> Member {
    Member { address: node.advertise().to_owned() }
}

/// Runs what waits for the disk on a thread that may.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StartError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| StartError::System(io::Error::other(e)))
}
