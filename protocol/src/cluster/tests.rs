//! The state machine against its rules, each command through the text that the log holds.

mod envelope;
mod keys;
mod objects;
mod registry;
mod replicas;
mod rolls;
mod snapshot;
mod whole;
mod works;

use super::*;
use crate::catalog::Catalog;
use crate::object::{Backend, Exposed, Frontend};
use crate::time::Timestamp;

/// A state and the log that led to it.
struct Machine {
    state: ClusterState,
    index: u64,
}

// === Machine ===

impl Machine {
    /// A cluster with the backends b1 and b2 and the frontend f1, which uses both; revision 1.
    fn seeded() -> Self {
        let mut machine = Self { state: ClusterState::new(), index: 0 };
        machine.apply(seed(vec![frontend("f1", &["b1", "b2"])], vec![backend("b1"), backend("b2")])).unwrap();
        machine
    }

    fn apply(&mut self, command: Command) -> Result<Outcome, Rejection> {
        let request = u128::from(self.index) + 1000;
        self.send(request, command).map(|applied| applied.outcome)
    }

    fn send(&mut self, request: u128, command: Command) -> Result<Applied, Rejection> {
        let envelope = Envelope::new(request, at(self.index), "ops", 7, command);
        self.enter(&Envelope::decode(&envelope.encode().unwrap()))
    }

    fn enter(&mut self, envelope: &Envelope) -> Result<Applied, Rejection> {
        self.index += 1;
        let (next, outcome) = self.state.apply(self.index, envelope);
        self.state = next;
        outcome
    }

    /// Checks that the command is refused and changes nothing.
    fn refuse(&mut self, command: Command) -> Rejection {
        let before = self.state.clone();
        let rejection = self.apply(command).unwrap_err();
        assert_eq!(content(&self.state), content(&before));
        assert_eq!(self.state.catalog_hash(), before.catalog_hash());
        rejection
    }

    fn backend(&self, id: &str) -> &Backend {
        &self.state.catalog().backends[id]
    }

    fn frontend(&self, id: &str) -> &Frontend {
        &self.state.catalog().frontends[id]
    }

    fn newest(&self) -> &Change {
        self.state.history().next().unwrap()
    }
}

// === builders ===

/// A time for the entry after `index`.
fn at(index: u64) -> Timestamp {
    Timestamp::from_micros(1_759_944_278_000_000 + i64::try_from(index).unwrap() * 1_000_000)
}

fn backend(id: &str) -> Backend {
    Backend::new(id.parse().unwrap())
}

fn frontend(id: &str, backends: &[&str]) -> Frontend {
    let backends = backends.iter().map(|id| id.parse().unwrap()).collect();
    Frontend { backends, ..Frontend::new(id.parse().unwrap()) }
}

fn seed(frontends: Vec<Frontend>, backends: Vec<Backend>) -> Command {
    Command::Seed { cluster_id: "c1".parse().unwrap(), founders: Vec::new(), frontends, backends }
}

fn put_backend(backend: Backend) -> Command {
    Command::PutBackend { backend: Box::new(backend), expect: Precondition::Any, sets_state: false }
}

fn put_frontend(frontend: Frontend) -> Command {
    Command::PutFrontend { frontend: Box::new(frontend), expect: Precondition::Any }
}

fn delete_backend(id: &str, force: bool) -> Command {
    Command::DeleteBackend { id: id.parse().unwrap(), expect: Precondition::Any, force }
}

fn delete_frontend(id: &str) -> Command {
    Command::DeleteFrontend { id: id.parse().unwrap(), expect: Precondition::Any }
}

fn rollback(to_revision: u64) -> Command {
    Command::Rollback { to_revision, expect: Precondition::Any }
}

fn object(kind: ObjectKind, id: &str) -> ObjectRef {
    ObjectRef::new(kind, &id)
}

// === views ===

/// The catalog without the stamps that a rollback renews.
fn without_revisions(catalog: &Catalog) -> String {
    let frontends =
        catalog.frontends.values().map(|object| Frontend { revision: 0, ..Frontend::clone(object) });
    let backends = catalog.backends.values().map(|object| Backend { revision: 0, ..Backend::clone(object) });
    let frontends: Vec<_> =
        frontends.map(|object| serde_json::to_string(&Exposed(&object)).unwrap()).collect();
    let backends: Vec<_> = backends.map(|object| serde_json::to_string(&Exposed(&object)).unwrap()).collect();
    format!("{frontends:?}{backends:?}")
}

/// Everything but the memory of requests, which a refusal changes.
fn content(state: &ClusterState) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (state.cluster_id().cloned(), state.revision(), state.catalog_revision()),
        state.catalog().clone(),
        (state.tokens().clone(), state.nodes().clone()),
        state.history().cloned().collect::<Vec<_>>(),
    )
}
