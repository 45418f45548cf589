//! What should be where, what is there, and what follows from it, as this node sees it at one moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use ollamaflow_protocol::catalog::Catalog;
use ollamaflow_protocol::cluster::ClusterState;
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::models::desired::{
    Action, ActionKind, Desired, Ledger, Limits, Plan, Situation, Standing, Verdict, Wish, plan,
};
use ollamaflow_protocol::models::inventory::{Disk, Memory};
use ollamaflow_protocol::models::matrix::{ModelMatrix, matrix};
use ollamaflow_protocol::models::satisfies;
use ollamaflow_protocol::object::{ApiFormat, Backend, BackendState};
use ollamaflow_protocol::time::Timestamp;

use crate::actors::Directory;

/// Desired state and inventory at one moment. Every node can make one: the works are replicated, and each node probes
/// all backends.
pub struct Outlook {
    desired: Desired,
    known: Vec<Known>,
    ledger: Ledger,
    revision: u64,
    now: Timestamp,
}

/// What is known of one backend.
struct Known {
    id: BackendId,
    is_healthy: bool,
    state: BackendState,
    is_manageable: bool,
    disk: Option<Arc<Disk>>,
    memory: Option<Arc<Memory>>,
}

// === impl Outlook ===

impl Outlook {
    /// From the applied state and the published views.
    pub fn new(state: &ClusterState, directory: &Directory, now: Timestamp) -> Self {
        let catalog = state.catalog();
        let known = catalog.backends.iter().map(|(id, config)| Known::of(id, config, directory)).collect();
        let ledger = Ledger::of_works(state.works());
        Self { desired: desired(catalog), known, ledger, revision: state.catalog_revision(), now }
    }

    /// The same as if nothing had failed yet.
    #[must_use]
    pub fn forgiving(mut self) -> Self {
        self.ledger.retry(None);
        self
    }

    /// The same without the inventories that are known to be old: nothing is begun there.
    pub(super) fn without(mut self, stale: &BTreeSet<BackendId>) -> Self {
        for known in self.known.iter_mut().filter(|known| stale.contains(&known.id)) {
            known.disk = None;
        }
        self
    }

    /// The same with what this node is about to claim.
    pub(super) fn with_begun<'a>(mut self, begun: impl IntoIterator<Item = &'a Action>) -> Self {
        for action in begun {
            // One that is claimed already is there.
            self.ledger.begin(action);
        }
        self
    }

    /// What is to be done now, and why the rest is not.
    pub fn plan(&self) -> Plan {
        let limits = Limits::default();
        plan(&self.desired, &self.situations(), &self.ledger, &limits, self.revision, self.now)
    }

    /// Models by backends.
    pub fn matrix(&self) -> ModelMatrix {
        matrix(&self.situations(), &self.plan().verdicts, &self.ledger)
    }

    /// The backends on whose disk the model of this canonical name is, and that can pull.
    pub fn holders(&self, model: &str) -> Vec<BackendId> {
        let has = |known: &&Known| {
            known.is_manageable && known.disk.as_ref().is_some_and(|disk| disk.find(model).is_some())
        };
        self.known.iter().filter(has).map(|known| known.id.clone()).collect()
    }

    /// Whether a backend takes requests and has the model.
    pub(super) fn has(&self, backend: &BackendId, model: &str) -> bool {
        self.lack(backend, model).is_none()
    }

    /// Why a backend has no model for requests; none if it has.
    pub(super) fn lack(&self, backend: &BackendId, model: &str) -> Option<String> {
        let Some(known) = self.known.iter().find(|known| known.id == *backend) else {
            return Some("the backend is gone".to_owned());
        };
        let has_model = known.disk.as_ref().map(|disk| disk.find(model).is_some());
        match (known.state, known.is_healthy, has_model) {
            (BackendState::Active, true, Some(true)) => None,
            (BackendState::Active, true, Some(false)) => {
                Some("the backend does not have the model".to_owned())
            }
            (BackendState::Active, true, None) => Some("it is not known yet what the backend has".to_owned()),
            (BackendState::Active, false, _) => Some("the backend is down".to_owned()),
            (state, ..) => Some(format!("the backend takes no requests: its State is {state:?}")),
        }
    }

    /// Whether every active frontend of the backend has another one that takes requests and has the model.
    pub(super) fn is_dispensable(&self, backend: &BackendId, model: &str, catalog: &Catalog) -> bool {
        let frontends = catalog.frontends.values().filter(|frontend| frontend.active);
        frontends
            .filter(|frontend| frontend.backends.contains(backend))
            .all(|frontend| frontend.backends.iter().any(|other| other != backend && self.has(other, model)))
    }

    /// How many models are not where they are required, or not in memory where they are to be.
    pub fn missing(&self) -> usize {
        let verdicts = self.plan().verdicts;
        verdicts.iter().filter(|verdict| self.is_missing(verdict)).count()
    }

    fn is_missing(&self, verdict: &Verdict) -> bool {
        match (verdict.wish, &verdict.standing) {
            (Wish::Forbidden, _) | (_, Standing::Fulfilled) => false,
            // It is there, and is to be kept there.
            (Wish::Preload, Standing::Waits { .. } | Standing::Begins(_) | Standing::Running(..)) => {
                let known = self.known.iter().find(|known| known.id == verdict.backend);
                let memory = known.and_then(|known| known.memory.as_ref());
                let mut loaded = memory.iter().flat_map(|memory| memory.models());
                !loaded.any(|model| satisfies(&verdict.model, &model.canonical))
            }
            _ => true,
        }
    }

    fn situations(&self) -> Vec<Situation<'_>> {
        self.known
            .iter()
            .map(|known| Situation {
                backend: &known.id,
                available: known.is_healthy && known.state == BackendState::Active,
                manageable: known.is_manageable,
                disk: known.disk.as_deref(),
                memory: known.memory.as_deref(),
            })
            .collect()
    }
}

// === impl Known ===

impl Known {
    fn of(id: &BackendId, config: &Backend, directory: &Directory) -> Self {
        let handle = directory.backend(id);
        let view = handle.as_ref().map(|handle| handle.view());
        let is_healthy = view.as_ref().is_some_and(|view| view.health.is_healthy());
        Self {
            id: id.clone(),
            is_healthy,
            state: config.state,
            is_manageable: config.api_format == ApiFormat::Ollama,
            disk: view.as_ref().and_then(|view| view.disk().cloned()),
            memory: view.as_ref().and_then(|view| view.memory().cloned()),
        }
    }
}

/// Whether the action still does what the frontends want.
pub(super) fn is_wanted(action: &Action, catalog: &Catalog) -> bool {
    let desired = desired(catalog);
    let Some(wanted) = desired.of(&action.backend) else { return false };
    match action.kind {
        ActionKind::Pull | ActionKind::Load => wanted.wants(&action.model),
        ActionKind::Delete => wanted.rejects(&action.model),
    }
}

/// What the active frontends want.
fn desired(catalog: &Catalog) -> Desired {
    let mut desired = Desired::default();
    for frontend in catalog.frontends.values().filter(|frontend| frontend.active) {
        let lists = [
            (Wish::Required, &frontend.required_models),
            (Wish::Preload, &frontend.preload_models),
            (Wish::Forbidden, &frontend.forbidden_models),
        ];
        for backend in &frontend.backends {
            for (wish, models) in lists {
                let models = models.iter().map(String::as_str);
                desired.add(backend, wish, models, frontend.delete_forbidden_models);
            }
        }
    }
    desired
}
