//! The one way from a state to the next.

use std::sync::Arc;

use super::ClusterState;
use super::draft::Drafted;
use super::rolls;
use crate::cluster::command::{Command, Precondition};
use crate::cluster::envelope::{Envelope, SCHEMA};
use crate::cluster::history::{Change, Entry, Event, History};
use crate::cluster::outcome::{Applied, ObjectRef, Outcome};
use crate::cluster::rejection::Rejection;

/// An envelope at its place in the log.
#[derive(Clone, Copy)]
pub(super) struct Entering<'a> {
    pub(super) index: u64,
    pub(super) envelope: &'a Envelope,
}

/// Longest name of an unknown command that is repeated to the sender.
const MAX_NAME_CHARS: usize = 64;

// === ClusterState ===

impl ClusterState {
    /// The state after the entry at `index` of the log, and what became of it.
    ///
    /// A refused command changes nothing but the memory of its request id. A request id that was seen before
    /// changes nothing at all and gets the answer of the first time. A command of a newer schema, or one that this
    /// version does not know, is refused and not remembered; nor is one on work that is claimed, see `work`.
    pub fn apply(&self, index: u64, envelope: &Envelope) -> (Self, Result<Applied, Rejection>) {
        if let Some(rejection) = unknown(envelope) {
            return (self.clone(), Err(rejection));
        }
        if let Some(outcome) = self.recent.outcome(envelope.request) {
            return (self.clone(), outcome.clone());
        }
        let (mut next, outcome) = match self.execute(Entering { index, envelope }) {
            Ok((next, outcome)) => {
                let applied = Applied { revision: next.revision, outcome };
                (next, Ok(applied))
            }
            Err(rejection) => (self.clone(), Err(rejection)),
        };
        if !envelope.command.is_about_work() {
            next.recent = Arc::new(self.recent.remembering(envelope.request, &outcome));
        }
        (next, outcome)
    }

    fn execute(&self, entering: Entering<'_>) -> Result<(Self, Outcome), Rejection> {
        let command = &entering.envelope.command;
        match (command, &self.cluster_id) {
            (Command::Seed { .. }, None) => {}
            (Command::Seed { .. }, Some(cluster)) => {
                return Err(Rejection::AlreadySeeded { cluster: cluster.clone() });
            }
            (_, None) => return Err(Rejection::NotSeeded),
            (_, Some(_)) => {}
        }
        match command {
            Command::Seed { cluster_id, founders, frontends, backends } => {
                self.seed(entering, cluster_id, founders, frontends, backends)
            }
            Command::PutFrontend { frontend, expect } => self.put_frontend(entering, frontend, *expect),
            Command::PutBackend { backend, expect, sets_state } => {
                let (next, outcome) = self.put_backend(entering, backend, *expect)?;
                let id = &backend.identifier;
                let next = if *sets_state { next.with_state_meant(id, backend.state) } else { next };
                Ok((next, outcome))
            }
            Command::DeleteFrontend { id, expect } => self.delete_frontend(entering, id, *expect),
            Command::DeleteBackend { id, expect, force } => {
                self.delete_backend(entering, id, *expect, *force)
            }
            Command::ReplaceCatalog { frontends, backends, keys, expect } => {
                self.replace_catalog(entering, (frontends, backends, keys.as_deref()), *expect)
            }
            Command::Rollback { to_revision, expect } => self.rollback(entering, *to_revision, *expect),
            Command::PutToken { name, hash, expect } => self.put_token(entering, name, *hash, *expect),
            Command::DeleteToken { name } => self.delete_token(entering, name),
            Command::AllocateNode { address, incarnation } => {
                self.allocate_node(entering, address, *incarnation)
            }
            Command::RetireNode { id } => self.retire_node(entering, *id),
            Command::ClaimWork { key, name, token, over } => {
                self.claim_work(entering, key, name, *token, *over)
            }
            Command::RenewWork { key, token, percent } => self.renew_work(key, *token, *percent),
            Command::ReleaseWork { key, token, end } => self.release_work(key, *token, end),
            Command::RetryWorks { backend } => Ok(self.retry_works(backend.as_ref())),
            Command::BeginRoll { name, backends, force, drain_ms } => {
                self.begin_roll(entering, name, backends, *force, *drain_ms)
            }
            Command::AdvanceRoll { key, token, phase, detail } => {
                self.advance_roll(entering, key, *token, *phase, detail.as_deref())
            }
            Command::TellDrained { model, backend, node } => self.tell_drained(model, backend, *node),
            Command::PutKey { key, expect } => self.put_key(entering, key, *expect),
            Command::DeleteKey { id, expect } => self.delete_key(entering, id, *expect),
            Command::Unknown(_) => Err(unknown_command(entering.envelope)),
        }
    }

    /// The revision that the next effective change makes.
    pub(super) fn next_revision(&self) -> u64 {
        self.revision.saturating_add(1)
    }

    /// The state after a change of the catalog.
    pub(super) fn with_catalog(&self, entering: Entering<'_>, drafted: Drafted, event: Event) -> Self {
        let Drafted { catalog, catalog_bytes, former, former_bytes } = drafted;
        let mut next = self.changed(entering, event, |entry| {
            entry.former = former;
            entry.former_bytes = former_bytes;
        });
        next.works = next.works.without_strangers(&catalog);
        next.rolls = rolls::without_strangers(&next.rolls, &catalog);
        next.catalog = Arc::new(catalog);
        next.catalog_bytes = catalog_bytes;
        next.catalog_revision = next.revision;
        next
    }

    /// The state after a change outside of the catalog, which the caller makes.
    pub(super) fn with_event(&self, entering: Entering<'_>, event: Event) -> Self {
        self.changed(entering, event, |_| {})
    }

    fn changed(&self, entering: Entering<'_>, event: Event, add: impl FnOnce(&mut Entry)) -> Self {
        let Entering { index, envelope } = entering;
        let Event { action, object, what } = event;
        let ObjectRef { kind, id: identifier } = object;
        let change = Change {
            revision: self.next_revision(),
            index,
            at_utc: envelope.at,
            by: Change::author(&envelope.by),
            node: envelope.node,
            what,
            action,
            kind,
            identifier,
        };
        let mut entry = Entry { change, former: Vec::new(), former_bytes: 0 };
        add(&mut entry);
        let mut history = History::clone(&self.history);
        history.push(entry);
        Self { revision: self.next_revision(), history: Arc::new(history), ..self.clone() }
    }
}

// === Precondition ===

impl Precondition {
    /// Compares with the revision of an object; none if it does not exist.
    pub(super) fn check(self, object: &ObjectRef, current: Option<u64>) -> Result<(), Rejection> {
        match (self, current) {
            (Self::Any, _) | (Self::Absent, None) => Ok(()),
            (Self::Revision(expected), Some(current)) if expected == current => Ok(()),
            (Self::Absent, Some(_)) => Err(Rejection::Exists { object: object.clone() }),
            (Self::Revision(_), current) => {
                Err(Rejection::PreconditionFailed { object: object.clone(), current })
            }
        }
    }
}

// === helpers ===

fn unknown(envelope: &Envelope) -> Option<Rejection> {
    let known = (1..=SCHEMA).contains(&envelope.schema) && !matches!(envelope.command, Command::Unknown(_));
    (!known).then(|| unknown_command(envelope))
}

fn unknown_command(envelope: &Envelope) -> Rejection {
    let name = envelope.command.name().chars().take(MAX_NAME_CHARS).collect();
    Rejection::UnknownCommand { schema: envelope.schema, name }
}
