//! Commands on one frontend, backend or virtual key.

use super::ClusterState;
use super::apply::Entering;
use super::draft::{Draft, Write};
use super::entity::Entity;
use crate::cluster::command::Precondition;
use crate::cluster::history::{ChangeKind, Event};
use crate::cluster::outcome::{ObjectRef, Outcome};
use crate::cluster::rejection::Rejection;
use crate::id::{BackendId, FrontendId, KeyId};
use crate::object::{Backend, Frontend, Key};

/// Most names that a sentence of the history lists.
const MAX_NAMES: usize = 5;

// === ClusterState ===

impl ClusterState {
    pub(super) fn put_frontend(
        &self,
        entering: Entering<'_>,
        frontend: &Frontend,
        expect: Precondition,
    ) -> Result<(Self, Outcome), Rejection> {
        let stored = self.catalog.frontends.get(&frontend.identifier);
        expect.check(&Frontend::reference(&frontend.identifier), stored.map(|stored| stored.revision))?;
        if let Some(missing) = frontend.backends.iter().find(|id| !self.catalog.backends.contains_key(*id)) {
            return Err(Rejection::UnknownBackend {
                frontend: frontend.identifier.clone(),
                backend: missing.clone(),
            });
        }
        self.put(entering, frontend)
    }

    pub(super) fn put_backend(
        &self,
        entering: Entering<'_>,
        backend: &Backend,
        expect: Precondition,
    ) -> Result<(Self, Outcome), Rejection> {
        let stored = self.catalog.backends.get(&backend.identifier);
        expect.check(&Backend::reference(&backend.identifier), stored.map(|stored| stored.revision))?;
        self.put(entering, backend)
    }

    pub(super) fn delete_frontend(
        &self,
        entering: Entering<'_>,
        id: &FrontendId,
        expect: Precondition,
    ) -> Result<(Self, Outcome), Rejection> {
        let stored = self.catalog.frontends.get(id).map(|stored| stored.revision);
        self.delete::<Frontend>(entering, id, stored, expect)
    }

    pub(super) fn delete_backend(
        &self,
        entering: Entering<'_>,
        id: &BackendId,
        expect: Precondition,
        force: bool,
    ) -> Result<(Self, Outcome), Rejection> {
        let object = Backend::reference(id);
        let Some(stored) = self.catalog.backends.get(id) else {
            return Err(Rejection::NotFound { object });
        };
        expect.check(&object, Some(stored.revision))?;
        let users: Vec<_> = self.catalog.frontends_using(id).collect();
        if !force && !users.is_empty() {
            let by = users.iter().take(Rejection::MAX_USERS).map(|user| user.identifier.clone()).collect();
            return Err(Rejection::InUse { backend: id.clone(), by });
        }
        let mut draft = Draft::new(self, entering.envelope.at);
        for user in &users {
            let mut unlinked = Frontend::clone(user);
            unlinked.backends.retain(|listed| listed != id);
            draft.put(&unlinked)?;
        }
        draft.remove::<Backend>(id);
        let event = Event { action: ChangeKind::Delete, what: deletion(&object, &users), object };
        let outcome = Outcome::Deleted { unlinked: users.len() };
        Ok((self.with_catalog(entering, draft.finish()?, event), outcome))
    }

    /// Only names of frontends that are new have to lead somewhere: a key outlives the frontends that it is for.
    pub(super) fn put_key(
        &self,
        entering: Entering<'_>,
        key: &Key,
        expect: Precondition,
    ) -> Result<(Self, Outcome), Rejection> {
        let stored = self.catalog.keys.get(&key.identifier);
        expect.check(&Key::reference(&key.identifier), stored.map(|stored| stored.revision))?;
        let is_known = |id: &&FrontendId| {
            self.catalog.frontends.contains_key(*id)
                || stored.is_some_and(|stored| stored.frontends.contains(*id))
        };
        if let Some(missing) = key.frontends.iter().find(|id| !is_known(id)) {
            return Err(Rejection::UnknownFrontend {
                key: key.identifier.clone(),
                frontend: missing.clone(),
            });
        }
        self.put(entering, key)
    }

    pub(super) fn delete_key(
        &self,
        entering: Entering<'_>,
        id: &KeyId,
        expect: Precondition,
    ) -> Result<(Self, Outcome), Rejection> {
        let stored = self.catalog.keys.get(id).map(|stored| stored.revision);
        self.delete::<Key>(entering, id, stored, expect)
    }

    /// Deletes an object that nothing stands in the way of. `stored` is its revision, if there is one.
    fn delete<E: Entity>(
        &self,
        entering: Entering<'_>,
        id: &E::Id,
        stored: Option<u64>,
        expect: Precondition,
    ) -> Result<(Self, Outcome), Rejection> {
        let object = E::reference(id);
        let Some(revision) = stored else { return Err(Rejection::NotFound { object }) };
        expect.check(&object, Some(revision))?;
        let mut draft = Draft::new(self, entering.envelope.at);
        draft.remove::<E>(id);
        let what = format!("deleted {object}");
        let event = Event { action: ChangeKind::Delete, object, what };
        Ok((self.with_catalog(entering, draft.finish()?, event), Outcome::Deleted { unlinked: 0 }))
    }

    fn put<E: Entity>(&self, entering: Entering<'_>, object: &E) -> Result<(Self, Outcome), Rejection> {
        let mut draft = Draft::new(self, entering.envelope.at);
        let reference = E::reference(object.id());
        let (action, what, outcome) = match draft.put(object)? {
            Write::Unchanged => return Ok((self.clone(), Outcome::Unchanged)),
            Write::Created => (ChangeKind::Create, format!("created {reference}"), Outcome::Created),
            Write::Updated(properties) => {
                let what = format!("changed {} of {reference}", listed(&properties));
                (ChangeKind::Update, what, Outcome::Updated)
            }
        };
        let event = Event { action, object: reference, what };
        Ok((self.with_catalog(entering, draft.finish()?, event), outcome))
    }
}

// === sentences ===

fn deletion(backend: &ObjectRef, users: &[&std::sync::Arc<Frontend>]) -> String {
    if users.is_empty() {
        return format!("deleted {backend}");
    }
    let names: Vec<String> = users.iter().map(|user| user.identifier.to_string()).collect();
    let noun = if names.len() == 1 { "frontend" } else { "frontends" };
    format!("deleted {backend} and took it out of {noun} {}", listed(&names))
}

/// Names in a row, the later ones of many as a number.
fn listed(names: &[String]) -> String {
    match names.split_at_checked(MAX_NAMES) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => names.join(", "),
    }
}
