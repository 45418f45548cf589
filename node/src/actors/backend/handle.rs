//! What others hold of a backend: its published view, its counters, and a way to tell its actor something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use actix::Addr;
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::object::Backend;

use super::health::HealthView;
use super::{BackendActor, Configure, ConnectionFailed, Retire};
use crate::clock::now;
use crate::upstream::{Target, TargetError, TlsError, tls_config};

/// One backend, shared by every part that deals with it. It outlives its actor and its configuration.
#[derive(Debug)]
pub struct BackendHandle {
    id: BackendId,
    view: ArcSwap<BackendView>,
    actor: ArcSwapOption<Addr<BackendActor>>,
    in_flight: AtomicU32,
    finished: [AtomicU64; Outcome::COUNT],
}

/// A backend at one moment.
#[derive(Clone, Debug)]
pub struct BackendView {
    /// Its configuration.
    pub config: Arc<Backend>,
    /// Whether requests may go there.
    pub health: HealthView,
    /// Whether probes have found out about its health yet.
    pub has_verdict: bool,
    /// Names of its models, as it lists them; empty until they were read.
    pub models: Arc<[String]>,
    target: Result<Arc<Target>, Arc<AddressError>>,
}

/// Why a configured address cannot be connected to.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The host or port is not usable.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The system's certificate store is not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// How a request to a backend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was relayed to its end, whatever its status.
    Complete,
    /// The backend failed: no answer, or one that was cut.
    Failed,
    /// The client went away, or the answer was not wanted any more.
    Cancelled,
}

/// Counts one request in flight; the count goes back when it is dropped, however the request ends.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<BackendHandle>,
    outcome: Outcome,
}

// === impl BackendHandle ===

impl BackendHandle {
    pub(in crate::actors) fn new(config: Arc<Backend>) -> Arc<Self> {
        let target = target(&config);
        let view = BackendView {
            target,
            health: HealthView::Unhealthy(now()),
            has_verdict: false,
            models: Arc::default(),
            config,
        };
        Arc::new(Self {
            id: view.config.identifier.clone(),
            view: ArcSwap::from_pointee(view),
            actor: ArcSwapOption::empty(),
            in_flight: AtomicU32::new(0),
            finished: Default::default(),
        })
    }

    /// The backend's identifier.
    pub fn id(&self) -> &BackendId {
        &self.id
    }

    /// The newest view.
    pub fn view(&self) -> Guard<Arc<BackendView>> {
        self.view.load()
    }

    /// Requests that this node has in flight there.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that ended so since the handle exists.
    pub fn finished(&self, outcome: Outcome) -> u64 {
        self.finished[outcome as usize].load(Ordering::Relaxed)
    }

    /// Counts a request that goes to this backend now.
    pub fn lease(self: &Arc<Self>) -> Lease {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Lease { backend: self.clone(), outcome: Outcome::Cancelled }
    }

    /// Reports that a connection to `view`'s address failed. Lost when the actor is far behind: by then it has
    /// more reports than any threshold needs.
    pub fn connection_failed(&self, view: &BackendView) {
        if let (Some(actor), Some(target)) = (&*self.actor.load(), view.target_id()) {
            let _ = actor.try_send(ConnectionFailed { target });
        }
    }

    pub(in crate::actors) fn is_alive(&self) -> bool {
        self.actor.load().as_ref().is_some_and(|actor| actor.connected())
    }

    pub(in crate::actors) fn configure(&self, config: Arc<Backend>) {
        if let Some(actor) = &*self.actor.load() {
            actor.do_send(Configure(config));
        }
    }

    pub(in crate::actors) fn retire(&self) {
        if let Some(actor) = self.actor.swap(None) {
            actor.do_send(Retire);
        }
    }

    /// Makes the actor panic, for tests of what happens then.
    #[cfg(test)]
    pub(in crate::actors) fn tell_crash(&self) {
        self.actor.load_full().unwrap().do_send(crate::actors::tests::Crash);
    }

    pub(super) fn attach(&self, actor: Addr<BackendActor>) {
        self.actor.store(Some(Arc::new(actor)));
    }

    /// Publishes a verdict of the probes.
    pub(super) fn publish_health(&self, health: HealthView) {
        self.update(|view| {
            view.health = health;
            view.has_verdict = true;
        });
    }

    pub(super) fn publish_models(&self, models: Vec<String>) {
        self.update(|view| view.models = models.into());
    }

    /// Publishes a configuration together with the health that goes with it: no request finds the one without the
    /// other.
    pub(super) fn publish_config(&self, config: &Arc<Backend>, health: HealthView, has_verdict: bool) {
        self.update(|view| {
            if is_elsewhere(&view.config, config) {
                view.target = target(config);
                view.models = Arc::default();
            }
            view.config = config.clone();
            view.health = health;
            view.has_verdict = has_verdict;
        });
    }

    /// Only the actor writes, so that read, change and store need no loop.
    fn update(&self, change: impl FnOnce(&mut BackendView)) {
        let mut view = BackendView::clone(&self.view.load());
        change(&mut view);
        self.view.store(Arc::new(view));
    }
}

// === impl BackendView ===

impl BackendView {
    /// Where to connect.
    pub fn target(&self) -> Result<&Arc<Target>, &AddressError> {
        self.target.as_ref().map_err(AsRef::as_ref)
    }

    /// `host:port` for messages.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.config.hostname, self.config.port)
    }

    pub(super) fn target_id(&self) -> Option<u64> {
        self.target.as_ref().ok().map(|target| target.id())
    }
}

// === impl Outcome ===

impl Outcome {
    /// Number of outcomes.
    pub const COUNT: usize = 3;
}

// === impl Lease ===

impl Lease {
    /// Which backend.
    pub fn backend(&self) -> &Arc<BackendHandle> {
        &self.backend
    }

    /// Says how the request ended; unless told, it was cancelled.
    pub fn finish(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.backend.finished[self.outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether two configurations mean different servers.
pub(super) fn is_elsewhere(one: &Backend, other: &Backend) -> bool {
    let address = |config: &Backend| (config.hostname.clone(), config.port, config.ssl, config.verify_tls);
    address(one) != address(other)
}

fn target(config: &Backend) -> Result<Arc<Target>, Arc<AddressError>> {
    let make = || {
        let tls = if config.ssl { Some(tls_config(config.verify_tls)?) } else { None };
        Ok::<_, AddressError>(Target::new(&config.hostname, config.port, tls)?)
    };
    make().map_err(|e| {
        tracing::error!(backend = %config.identifier, error = %e, "the backend's address cannot be used");
        Arc::new(e)
    })
}
