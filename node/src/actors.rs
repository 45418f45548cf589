//! The actors: one per backend (health, models), one per frontend (routing), and their supervisor.
//!
//! Catalogs flow in, published state flows out. The request path never waits for an actor: it reads the views
//! that actors publish in a [`Directory`], and claims and releases by atomics. Messages carry what is slow or
//! stateful: probes, outcomes that change health, reconfiguration. Nothing here knows HTTP listeners, relays or
//! how the configuration is stored.

mod backend;
mod bell;
mod directory;
mod frontend;
mod mailbox;
mod policy;
mod supervisor;
#[cfg(test)]
mod tests;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwapOption;

pub use self::backend::{
    BackendHandle, BackendView, Busy, HealthView, Outcome, Permit, ProbeSettings, RunnerNeed, check_tls,
    control_request,
};
pub use self::directory::{ActorKind, Directory};
pub use self::frontend::{
    CandidateReport, ClientKey, ClientLimits, Decision, Denied, Exclusion, Explanation, FrontendHandle,
    FrontendView, Moment, NoCandidate, Pick, Query, SessionView, Sessions, Tried, Wish,
};
use self::supervisor::Supervisor;
pub use self::traffic::{BackendTraffic, Distribution, Ends, FrontendTraffic, Gaps, RouteTraffic, Want};
use crate::catalog::CatalogReader;

/// How often a dead actor is looked for. A dead one costs no request: the views it published stay. Idle wake-ups cost
/// more than a second without probes.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(1);

/// The actor system of a node, on a thread of its own.
#[derive(Debug)]
pub struct Actors {
    arbiter: Arbiter,
    directory: Arc<Directory>,
    supervisor: SupervisorCell,
}

/// The supervisor of the moment.
type SupervisorCell = Arc<ArcSwapOption<Addr<Supervisor>>>;

// === impl Actors ===

impl Actors {
    /// Starts the supervisor, which starts an actor for each object of the catalog, and publishes their views
    /// before it returns. Must be called inside an actix system.
    pub async fn start(catalog: CatalogReader, probes: ProbeSettings) -> Self {
        let arbiter = Arbiter::new();
        let directory = Arc::new(Directory::default());
        let (ready, first_views) = tokio::sync::oneshot::channel();
        let supervisor = SupervisorCell::default();
        let (supervised, watched, current) = (directory.clone(), directory.clone(), supervisor.clone());
        arbiter.spawn_fn(move || {
            let start = move || Supervisor::new(supervised.clone(), catalog.clone(), probes.clone()).start();
            actix::spawn(watch_over(start, watched, current, ready));
        });
        if first_views.await.is_err() {
            tracing::error!("the actor thread died at start; see the panic above");
        }
        Self { arbiter, directory, supervisor }
    }

    /// What the request path reads.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    /// Ends all actors and their thread, as dropping this does.
    pub fn stop(self) {
        drop(self);
    }

    #[cfg(test)]
    fn crash_supervisor(&self) {
        self.supervisor.load_full().unwrap().do_send(tests::Crash);
    }
}

impl Drop for Actors {
    fn drop(&mut self) {
        self.supervisor.store(None);
        self.arbiter.stop();
    }
}

/// Keeps a supervisor alive: `actix` does not restart an actor that panicked.
async fn watch_over(
    start: impl Fn() -> Addr<Supervisor>,
    directory: Arc<Directory>,
    current: SupervisorCell,
    ready: tokio::sync::oneshot::Sender<()>,
) {
    let first = start();
    current.store(Some(Arc::new(first.clone())));
    // The answer proves that the first catalog was applied.
    let _ = first.send(supervisor::Sync).await;
    let _ = ready.send(());
    let mut ticks = tokio::time::interval(WATCHDOG_INTERVAL);
    loop {
        ticks.tick().await;
        // No supervisor at all means that the node stops.
        let Some(supervisor) = current.load_full() else { return };
        if !supervisor.connected() {
            tracing::error!("the supervisor died; starting another one over the same actors");
            directory.restarted(ActorKind::Supervisor);
            current.store(Some(Arc::new(start())));
        }
    }
}
