//! Claims: leave to work on a model at a backend, which at most one task of the whole cluster has at a time.
//!
//! ```text
//! let claim = claims.claim(&backend, ActionKind::Pull, "llama3.2").await?;   // or ClaimError::Held: somebody pulls it
//! let holding = claim.holding();                                             // to tell how far it is
//! match claim.during(pull(&backend, holding)).await {                        // renews; drops the future if it loses the claim
//!     Ok(outcome) => claim.release(end_of(outcome)).await,                   // Done, Failed or Abandoned
//!     Err(LeaseLost) => ...                                                  // somebody else may work on it now
//! }
//! ```
//!
//! A [`Claim`] that is dropped releases itself as abandoned, in the background. What keeps two holders apart is told in
//! `protocol::cluster`'s `work`: a holder stops [`MARGIN`] before the time is over after which others may take over.

mod sightings;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ollamaflow_protocol::cluster::{
    Command, LEASE_SECONDS, NodeId, Rejection, Sighting, Work, WorkEnd, WorkKey,
};
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::model::canonical;
use ollamaflow_protocol::models::desired::ActionKind;
use thiserror::Error;
use tokio::sync::mpsc;

use self::sightings::Sightings;
use crate::cluster::{Cluster, ClusterError};
use crate::random;

/// How long a claim must be seen without a renewal before another node takes it over.
pub const LEASE: Duration = Duration::from_secs(LEASE_SECONDS);

/// Time between two renewals.
const RENEWAL: Duration = Duration::from_secs(10);

/// Pause after a renewal that failed.
const RENEWAL_RETRY: Duration = Duration::from_secs(1);

/// So much before the end of the lease the holder stops: its connection to the backend has to be closed by then, and
/// the backend to have noticed.
const MARGIN: Duration = Duration::from_secs(5);

/// Most claims that wait to be released in the background. What does not fit is taken over when its lease has ended.
const MAX_RELEASES: usize = 1024;

/// How often the release of a dropped claim is tried.
const RELEASE_TRIES: u32 = 5;

/// Who asks, in the log, when the cluster itself does.
pub(super) const BY_ITSELF: &str = "cluster";

/// Stands for "not known" where a percentage is.
const UNKNOWN: u8 = u8::MAX;

/// Claims of this process, whoever made them. A claim of this node that is none of them was left by an earlier process or
/// a dropped task, so nobody works under it.
static LIVE: Mutex<BTreeSet<u128>> = Mutex::new(BTreeSet::new());

/// Makes claims. One per node; clones share it.
#[derive(Clone)]
pub struct Claims(Arc<Shared>);

struct Shared {
    cluster: Cluster,
    sightings: Mutex<Sightings>,
    releases: mpsc::Sender<Release>,
}

/// A claim on its way to be released in the background.
struct Release {
    key: WorkKey,
    token: u128,
}

/// Leave to work on one model at one backend, until it is dropped or released.
pub struct Claim {
    shared: Arc<Shared>,
    key: WorkKey,
    token: u128,
    holding: Holding,
    /// When the last confirmed claim or renewal was sent.
    renewed: Mutex<Instant>,
    is_released: bool,
}

/// How far the work under a claim is; told to the other nodes with the next renewal. Clones share it.
#[derive(Clone, Debug)]
pub struct Holding(Arc<AtomicU8>);

/// Why there is no claim.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// Somebody works on it: see [`Claims::until_free`].
    #[error("node {node} works on the model {model} at backend {backend} already")]
    Held {
        /// Who.
        node: NodeId,
        /// Where.
        backend: BackendId,
        /// The canonical name of the model.
        model: String,
    },
    /// The cluster did not agree to it: it has no leader, the backend does not exist, ...
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The operating system gives no random numbers.
    #[error("no random number: {0}")]
    Random(#[from] std::io::Error),
}

/// The claim could not be renewed in time, so the work under it was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the cluster did not confirm in time that this node may go on: the work was given up")]
pub struct LeaseLost;

// === impl Claims ===

impl Claims {
    /// Begins to watch the claims of all nodes. Must be called inside an actix system: two tasks run on its thread until
    /// the last clone is dropped.
    pub fn start(cluster: Cluster) -> Self {
        let (releases, to_release) = mpsc::channel(MAX_RELEASES);
        let shared = Arc::new(Shared { cluster: cluster.clone(), sightings: Mutex::default(), releases });
        actix_web::rt::spawn(sightings::watch(cluster.clone(), Arc::downgrade(&shared)));
        actix_web::rt::spawn(release_dropped(cluster, to_release));
        Self(shared)
    }

    /// Claims work on the model `name`, as it is named to the backend.
    ///
    /// A claim that nobody works under any more is taken over: at once if it is an earlier one of this node, otherwise
    /// when it has been seen without a renewal for [`LEASE`].
    ///
    /// # Errors
    /// Somebody else has it, or the cluster does not agree on anything at the moment.
    pub async fn claim(
        &self,
        backend: &BackendId,
        kind: ActionKind,
        name: &str,
    ) -> Result<Claim, ClaimError> {
        let key = key(backend, kind, name);
        let over = match self.held(&key) {
            None => None,
            Some(Held::Lapsed(sighting)) => Some(sighting),
            Some(Held::By(node)) => return Err(held(node, &key)),
        };
        let token = random::number()?;
        // From now on, so that a claim that is confirmed late is not taken for a forgotten one.
        live().insert(token);
        let claim = Claim {
            shared: Arc::clone(&self.0),
            key: key.clone(),
            token,
            holding: Holding(Arc::new(AtomicU8::new(UNKNOWN))),
            renewed: Mutex::new(Instant::now()),
            is_released: false,
        };
        let command = Command::ClaimWork { key, name: name.trim().to_owned(), token, over };
        match self.0.cluster.propose(BY_ITSELF, command).await {
            Ok(_) => Ok(claim),
            Err(ClusterError::Rejected(rejection)) => Err(claim.refused(rejection)),
            // It may still be made: dropping the claim releases it.
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until nobody works on it (or nobody does any more) and answers how the work had failed, if it had. Until
    /// then it calls `progress` whenever the holder has told how far it is, in percent.
    pub async fn until_free(
        &self,
        backend: &BackendId,
        kind: ActionKind,
        name: &str,
        mut progress: impl FnMut(u8),
    ) -> Option<Work> {
        let key = key(backend, kind, name);
        let mut states = self.0.cluster.subscribe();
        let mut told = None;
        loop {
            let work = states.borrow_and_update().state.work(&key).cloned();
            if !matches!(self.held(&key), Some(Held::By(_))) {
                return work;
            }
            let percent = work.and_then(|work| work.hold?.percent);
            if let Some(percent) = percent.filter(|percent| told != Some(*percent)) {
                told = Some(percent);
                progress(percent);
            }
            // Time alone ends leases.
            let changed = tokio::time::timeout(RENEWAL_RETRY, states.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return None;
            }
        }
    }

    /// Whether somebody works on it now, as far as this node knows.
    pub fn is_held(&self, key: &WorkKey) -> bool {
        matches!(self.held(key), Some(Held::By(_)))
    }

    /// Ends claims that nobody works under any more, as when a node has died: work that nobody wants begun anew would
    /// otherwise be shown as running for ever. For the leader.
    pub async fn clear_lapsed(&self) {
        let works: Vec<Work> =
            self.0.cluster.state().works().filter(|work| work.hold.is_some()).cloned().collect();
        for work in works {
            if !self.is_held(&work.key) {
                match self.claim(&work.key.backend, work.key.kind, &work.name).await {
                    Ok(claim) => claim.release(WorkEnd::Abandoned).await,
                    Err(error) => tracing::debug!(%error, "a claim that has lapsed could not be ended"),
                }
            }
        }
    }

    fn held(&self, key: &WorkKey) -> Option<Held> {
        let state = self.0.cluster.state();
        let hold = state.work(key)?.hold.as_ref()?;
        let is_live = live().contains(&hold.token);
        let is_own = self.0.cluster.node_id() == Some(hold.node);
        let has_lapsed = match (is_live, is_own) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => {
                let sightings = self.0.sightings.lock().unwrap_or_else(PoisonError::into_inner);
                sightings.silence(key, hold.sighting()).is_some_and(|silence| silence >= LEASE)
            }
        };
        Some(if has_lapsed { Held::Lapsed(hold.sighting()) } else { Held::By(hold.node) })
    }
}

/// Whether a claim that is there keeps others out.
enum Held {
    By(NodeId),
    Lapsed(Sighting),
}

// === impl Claim ===

impl Claim {
    /// What is done where.
    pub fn key(&self) -> &WorkKey {
        &self.key
    }

    /// The number of this claim, for commands that only its holder may give.
    pub(super) fn token(&self) -> u128 {
        self.token
    }

    /// Where to tell how far the work is.
    pub fn holding(&self) -> Holding {
        self.holding.clone()
    }

    /// Runs `work` and keeps the claim meanwhile.
    ///
    /// # Errors
    /// The claim was lost or could not be renewed in time. `work` was dropped then, before anybody else may begin.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T, LeaseLost> {
        tokio::select! {
            // Whoever wakes up too late, as from a suspended machine, must not do one step more.
            biased;
            LeaseLost = self.keep() => Err(LeaseLost),
            done = work => Ok(done),
        }
    }

    /// Ends the claim. If nobody can be told, others find out when its lease has ended.
    pub async fn release(mut self, end: WorkEnd) {
        self.is_released = true;
        let command = Command::ReleaseWork { key: self.key.clone(), token: self.token, end };
        for _ in 0..RELEASE_TRIES {
            match self.shared.cluster.propose(BY_ITSELF, command.clone()).await {
                // A rejection means that an earlier try came through, or that it was taken over.
                Ok(_) | Err(ClusterError::Rejected(_)) => return,
                Err(error) if error.retry_after().is_some() => {
                    tokio::time::sleep(RENEWAL_RETRY).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "a claim could not be released");
                    return;
                }
            }
        }
    }

    /// Renews the claim until that fails for too long.
    async fn keep(&self) -> LeaseLost {
        let mut pause = RENEWAL;
        loop {
            let ends = self.renewed().checked_add(LEASE.saturating_sub(MARGIN)).unwrap_or_else(Instant::now);
            let left = ends.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return LeaseLost;
            }
            tokio::time::sleep(pause.min(left)).await;
            let left = ends.saturating_duration_since(Instant::now());
            let sent = Instant::now();
            let command = Command::RenewWork {
                key: self.key.clone(),
                token: self.token,
                percent: self.holding.percent(),
            };
            let renewal = self.shared.cluster.propose(BY_ITSELF, command);
            pause = match tokio::time::timeout(left, renewal).await {
                Ok(Ok(_)) => {
                    *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = sent;
                    RENEWAL
                }
                Ok(Err(ClusterError::Rejected(Rejection::WorkLost { .. }))) | Err(_) => return LeaseLost,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a claim was not renewed yet");
                    RENEWAL_RETRY
                }
            };
        }
    }

    fn renewed(&self) -> Instant {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster did not give the claim.
    fn refused(mut self, rejection: Rejection) -> ClaimError {
        self.is_released = true;
        match rejection {
            Rejection::WorkClaimed { node, .. } => held(node, &self.key),
            other => ClusterError::Rejected(other).into(),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        live().remove(&self.token);
        if !self.is_released {
            let release = Release { key: self.key.clone(), token: self.token };
            // If it does not fit, it is taken over when its lease has ended.
            let _ = self.shared.releases.try_send(release);
        }
    }
}

// === impl Holding ===

impl Holding {
    /// So much is done, in percent.
    pub fn progressed(&self, percent: u8) {
        self.0.store(percent.min(100), Ordering::Relaxed);
    }

    /// How much is done, if that is known.
    pub fn percent(&self) -> Option<u8> {
        Some(self.0.load(Ordering::Relaxed)).filter(|percent| *percent != UNKNOWN)
    }
}

// === helpers ===

fn live() -> MutexGuard<'static, BTreeSet<u128>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(backend: &BackendId, kind: ActionKind, name: &str) -> WorkKey {
    WorkKey { backend: backend.clone(), kind, model: canonical(name) }
}

fn held(node: NodeId, key: &WorkKey) -> ClaimError {
    ClaimError::Held { node, backend: key.backend.clone(), model: key.model.clone() }
}

/// Releases the claims that were dropped.
async fn release_dropped(cluster: Cluster, mut dropped: mpsc::Receiver<Release>) {
    while let Some(Release { key, token }) = dropped.recv().await {
        for _ in 0..RELEASE_TRIES {
            let command = Command::ReleaseWork { key: key.clone(), token, end: WorkEnd::Abandoned };
            match cluster.propose(BY_ITSELF, command).await {
                Err(error) if error.retry_after().is_some() => tokio::time::sleep(RENEWAL_RETRY).await,
                Ok(_) | Err(_) => break,
            }
        }
    }
}
