//! The supervisor: makes the running actors equal to the catalog, and replaces those that died.
//!
//! Its only memory is the [`Directory`]: a supervisor that starts after a crash adopts what runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::prelude::*;
use ollamaflow_protocol::catalog::Catalog;
use ollamaflow_protocol::host::HostIndex;
use ollamaflow_protocol::object::Frontend;

use super::WATCHDOG_INTERVAL;
use super::backend::{BackendActor, BackendHandle, ProbeSettings};
use super::directory::{ActorKind, Directory, Entries};
use super::frontend::{FrontendActor, FrontendHandle};
use crate::catalog::CatalogReader;

/// How often what nobody needs any more is forgotten.
const TIDYING_INTERVAL: Duration = Duration::from_secs(600);

/// Supervises every other actor of the node.
pub(super) struct Supervisor {
    directory: Arc<Directory>,
    catalog: CatalogReader,
    probes: ProbeSettings,
}

/// Answered when everything sent before it is done.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Sync;

#[derive(Message)]
#[rtype(result = "()")]
struct Apply(Arc<Catalog>);

// === impl Supervisor ===

impl Supervisor {
    pub(super) fn new(directory: Arc<Directory>, catalog: CatalogReader, probes: ProbeSettings) -> Self {
        Self { directory, catalog, probes }
    }

    /// Makes actors and directory equal to `catalog`. Requests in flight keep the handles that they hold.
    fn reconcile(&self, catalog: &Catalog) {
        let running = self.directory.entries();
        let mut backends = BTreeMap::new();
        for (id, backend) in &catalog.backends {
            let handle = if let Some(handle) = running.backends.get(id) {
                handle.configure(backend.clone());
                handle.clone()
            } else {
                tracing::info!(backend = %id, "backend added");
                let handle = BackendHandle::new(backend.clone(), self.directory.capabilities().clone());
                BackendActor::start(&handle, self.probes.clone());
                handle
            };
            backends.insert(id.clone(), handle);
        }
        let mut frontends = BTreeMap::new();
        for (id, frontend) in &catalog.frontends {
            let members = frontend.backends.iter().filter_map(|id| backends.get(id).cloned()).collect();
            let handle = if let Some(handle) = running.frontends.get(id) {
                handle.configure(frontend.clone(), members);
                handle.clone()
            } else {
                tracing::info!(frontend = %id, hostname = %frontend.hostname, "frontend added");
                let handle = FrontendHandle::new(frontend, &members);
                FrontendActor::start(&handle, frontend.clone(), members);
                handle
            };
            frontends.insert(id.clone(), handle);
        }
        for (id, handle) in running.backends.iter().filter(|(id, _)| !backends.contains_key(*id)) {
            tracing::info!(backend = %id, "backend removed; requests in flight are finished");
            handle.retire();
        }
        for (id, handle) in running.frontends.iter().filter(|(id, _)| !frontends.contains_key(*id)) {
            tracing::info!(frontend = %id, "frontend removed");
            handle.retire();
        }
        let hosts = HostIndex::build(by_age(catalog).into_iter().filter_map(|frontend| {
            Some((frontend.hostname.as_str(), frontends.get(&frontend.identifier)?.clone()))
        }));
        drop(running);
        self.directory.publish(Entries { hosts, frontends, backends });
    }

    /// Replaces actors that died; their handles, and with them all published state and counters, live on.
    fn revive(&self) {
        let catalog = self.catalog.current();
        let running = self.directory.entries();
        for (id, handle) in &running.backends {
            if !handle.is_alive() {
                tracing::error!(backend = %id, "backend actor died; restarting it");
                self.directory.restarted(ActorKind::Backend);
                BackendActor::start(handle, self.probes.clone());
                // A change may have been lost with the dead actor.
                if let Some(backend) = catalog.backends.get(id) {
                    handle.configure(backend.clone());
                }
            }
        }
        for (id, handle) in &running.frontends {
            if let Some(frontend) = catalog.frontends.get(id)
                && !handle.is_alive()
            {
                tracing::error!(frontend = %id, "frontend actor died; restarting it");
                self.directory.restarted(ActorKind::Frontend);
                let members =
                    frontend.backends.iter().filter_map(|id| running.backends.get(id).cloned()).collect();
                FrontendActor::start(handle, frontend.clone(), members);
            }
        }
    }
}

impl Supervisor {
    /// Forgets what models can do that no backend has any more.
    fn tidy(&self) {
        let running = self.directory.entries();
        let disks: Vec<_> =
            running.backends.values().filter_map(|handle| handle.view().disk().cloned()).collect();
        self.directory.capabilities().retain(disks.iter().map(AsRef::as_ref));
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.reconcile(&self.catalog.current());
        ctx.run_interval(WATCHDOG_INTERVAL, |supervisor, _| supervisor.revive());
        ctx.run_interval(TIDYING_INTERVAL, |supervisor, _| supervisor.tidy());
        let mut catalog = self.catalog.clone();
        let own = ctx.address().downgrade();
        ctx.spawn(wrap_future(async move {
            while let Some(newest) = catalog.changed().await {
                // A failed send means that this supervisor is gone, and its successor has its own loop.
                let Some(own) = own.upgrade() else { return };
                if own.send(Apply(newest)).await.is_err() {
                    return;
                }
            }
        }));
    }
}

impl Handler<Apply> for Supervisor {
    type Result = ();

    fn handle(&mut self, Apply(catalog): Apply, _: &mut Context<Self>) {
        self.reconcile(&catalog);
    }
}

impl Handler<Sync> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Sync, _: &mut Context<Self>) {}
}

/// Active frontends, newest first: of two with the same hostname the newer one is meant, as in the original.
fn by_age(catalog: &Catalog) -> Vec<&Arc<Frontend>> {
    let mut frontends: Vec<_> = catalog.frontends.values().filter(|frontend| frontend.active).collect();
    frontends.sort_by_key(|frontend| std::cmp::Reverse(frontend.created_utc));
    frontends
}
