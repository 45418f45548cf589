//! What the actors publish and the request path reads: hosts to frontends, identifiers to backends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use ollamaflow_protocol::catalog::Catalog;
use ollamaflow_protocol::host::HostIndex;
use ollamaflow_protocol::id::{BackendId, FrontendId};

use super::backend::{BackendHandle, KnownCapabilities};
use super::frontend::FrontendHandle;

/// Published state of all actors. Reading takes no lock.
#[derive(Debug, Default)]
pub struct Directory {
    current: ArcSwap<Entries>,
    restarts: [AtomicU64; ActorKind::ALL.len()],
    capabilities: Arc<KnownCapabilities>,
}

/// What an actor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// Sees to all others.
    Supervisor,
    /// Sees to a frontend's queue.
    Frontend,
    /// Probes a backend.
    Backend,
}

/// One consistent set of handles.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) hosts: HostIndex<Arc<FrontendHandle>>,
    pub(super) frontends: BTreeMap<FrontendId, Arc<FrontendHandle>>,
    pub(super) backends: BTreeMap<BackendId, Arc<BackendHandle>>,
}

// === impl ActorKind ===

impl ActorKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Supervisor, Self::Frontend, Self::Backend];

    /// The value of the metrics' label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Frontend => "frontend",
            Self::Backend => "backend",
        }
    }
}

// === impl Directory ===

impl Directory {
    /// The frontend that a `Host` header means.
    pub fn frontend_for(&self, host: Option<&str>) -> Option<Arc<FrontendHandle>> {
        self.current.load().hosts.find(host).cloned()
    }

    /// One frontend's handle.
    pub fn frontend(&self, id: &FrontendId) -> Option<Arc<FrontendHandle>> {
        self.current.load().frontends.get(id).cloned()
    }

    /// The handles of all frontends, by identifier.
    pub fn frontends(&self) -> Vec<Arc<FrontendHandle>> {
        self.current.load().frontends.values().cloned().collect()
    }

    /// The handles of all backends, by identifier.
    pub fn backends(&self) -> Vec<Arc<BackendHandle>> {
        self.current.load().backends.values().cloned().collect()
    }

    /// One backend's handle.
    pub fn backend(&self, id: &BackendId) -> Option<Arc<BackendHandle>> {
        self.current.load().backends.get(id).cloned()
    }

    /// How often actors of this kind had died and were replaced.
    pub fn restarts(&self, kind: ActorKind) -> u64 {
        self.restarts[kind as usize].load(Ordering::Relaxed)
    }

    pub(super) fn restarted(&self, kind: ActorKind) {
        self.restarts[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether all of `catalog` is in here, and the probes have found out about every backend of it that takes part.
    /// The catalog is told what ought to be here: actors take it up a moment after it was applied.
    pub fn is_probed(&self, catalog: &Catalog) -> bool {
        let entries = self.current.load();
        let probed = |id| entries.backends.get(id).is_some_and(|backend| backend.view().has_verdict);
        catalog.frontends.keys().all(|id| entries.frontends.contains_key(id))
            && catalog.backends.iter().all(|(id, backend)| !backend.active || probed(id))
    }

    /// What models can do, as all backends have told.
    pub(super) fn capabilities(&self) -> &Arc<KnownCapabilities> {
        &self.capabilities
    }

    pub(super) fn entries(&self) -> Guard<Arc<Entries>> {
        self.current.load()
    }

    pub(super) fn publish(&self, entries: Entries) {
        self.current.store(Arc::new(entries));
    }
}
