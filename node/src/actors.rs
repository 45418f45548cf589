//! The actors: one per backend (health, models), one per frontend (routing), and their supervisor.
//!
//! Catalogs flow in, published state flows out. The request path never waits for an actor: it reads the views
//! that actors publish in a [`Directory`], and claims and releases by atomics. Messages carry what is slow or
//! stateful: probes, outcomes that change health, reconfiguration. Nothing here knows HTTP listeners, relays or
//! how the configuration is stored.

mod backend;
mod directory;
mod frontend;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

pub use self::backend::{BackendHandle, BackendView, HealthView, Lease, Outcome, ProbeSettings};
pub use self::directory::Directory;
pub use self::frontend::{Exclusion, FrontendHandle, FrontendView, NoCandidate, Pick, Query, select};
use self::supervisor::Supervisor;
use crate::catalog::CatalogReader;

/// How often a dead actor is looked for. A dead one costs no request: the views it published stay. Idle wake-ups cost
/// more than a second without probes.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(1);

/// The actor system of a node, on a thread of its own.
#[derive(Debug)]
pub struct Actors {
    arbiter: Arbiter,
    directory: Arc<Directory>,
}

// === impl Actors ===

impl Actors {
    /// Starts the supervisor, which starts an actor for each object of the catalog, and publishes their views
    /// before it returns. Must be called inside an actix system.
    pub async fn start(catalog: CatalogReader, probes: ProbeSettings) -> Self {
        let arbiter = Arbiter::new();
        let directory = Arc::new(Directory::default());
        let (ready, first_views) = tokio::sync::oneshot::channel();
        let supervised = directory.clone();
        arbiter.spawn_fn(move || {
            actix::spawn(watch_over(supervised, catalog, probes, ready));
        });
        if first_views.await.is_err() {
            tracing::error!("the actor thread died at start; see the panic above");
        }
        Self { arbiter, directory }
    }

    /// What the request path reads.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    /// Ends all actors and their thread.
    pub fn stop(self) {
        self.arbiter.stop();
    }
}

/// Keeps a supervisor alive: `actix` does not restart an actor that panicked.
async fn watch_over(
    directory: Arc<Directory>,
    catalog: CatalogReader,
    probes: ProbeSettings,
    ready: tokio::sync::oneshot::Sender<()>,
) {
    let start = || Supervisor::new(directory.clone(), catalog.clone(), probes.clone()).start();
    let mut supervisor = start();
    // The answer proves that the first catalog was applied.
    let _ = supervisor.send(supervisor::Sync).await;
    let _ = ready.send(());
    let mut ticks = tokio::time::interval(WATCHDOG_INTERVAL);
    loop {
        ticks.tick().await;
        if !supervisor.connected() {
            tracing::error!("the supervisor died; starting another one over the same actors");
            supervisor = start();
        }
    }
}
