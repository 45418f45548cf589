//! Commands on work that is claimed. They are no part of the catalog: no revision, no hash, no history.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ClusterState;
use super::apply::Entering;
use crate::catalog::Catalog;
use crate::cluster::outcome::{ObjectKind, ObjectRef, Outcome};
use crate::cluster::rejection::Rejection;
use crate::cluster::work::{Hold, MAX_WORKS, Sighting, Work, WorkEnd, WorkKey};
use crate::id::BackendId;

/// Work by what is done where.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Works(BTreeMap<WorkKey, Arc<Work>>);

// === ClusterState ===

impl ClusterState {
    /// The work that is held or has failed.
    pub fn works(&self) -> impl Iterator<Item = &Work> {
        self.works.0.values().map(AsRef::as_ref)
    }

    /// One of them.
    pub fn work(&self, key: &WorkKey) -> Option<&Work> {
        self.works.0.get(key).map(AsRef::as_ref)
    }

    /// Whether somebody has claimed it.
    pub fn is_held(&self, key: &WorkKey) -> bool {
        self.work(key).is_some_and(|work| work.hold.is_some())
    }

    pub(super) fn claim_work(
        &self,
        entering: Entering<'_>,
        key: &WorkKey,
        name: &str,
        token: u128,
        over: Option<Sighting>,
    ) -> Result<(Self, Outcome), Rejection> {
        if let Some(fault) = key.fault(name) {
            let object = ObjectRef::new(ObjectKind::Work, &key.model.chars().take(80).collect::<String>());
            return Err(Rejection::Invalid { object, message: fault.to_owned() });
        }
        let known = self.work(key);
        let is_held = known.is_some_and(|work| work.hold.is_some());
        // What is held at a backend that is gone may be taken over, or nobody could end it.
        if !is_held && !self.catalog.backends.contains_key(&key.backend) {
            return Err(Rejection::NotFound { object: ObjectRef::new(ObjectKind::Backend, &key.backend) });
        }
        if let Some(hold) = known.and_then(|work| work.hold.as_ref()) {
            // A second copy of the claim that was made.
            if hold.token == token {
                return Ok((self.clone(), Outcome::WorkClaimed));
            }
            if over != Some(hold.sighting()) {
                let WorkKey { backend, model, .. } = key.clone();
                return Err(Rejection::WorkClaimed { backend, model, node: hold.node });
            }
        }
        let hold = Hold {
            node: entering.envelope.node,
            token,
            renewals: 0,
            since_utc: entering.envelope.at,
            percent: None,
        };
        let work = Work {
            key: key.clone(),
            name: name.to_owned(),
            hold: Some(hold),
            failure: known.and_then(|work| work.failure.clone()),
        };
        let mut works = Works::clone(&self.works);
        works.make_room(key)?;
        Ok((self.with_work(works, work), Outcome::WorkClaimed))
    }

    pub(super) fn renew_work(
        &self,
        key: &WorkKey,
        token: u128,
        percent: Option<u8>,
    ) -> Result<(Self, Outcome), Rejection> {
        let (work, hold) = self.held(key, token)?;
        let hold = Hold {
            renewals: hold.renewals.saturating_add(1),
            percent: percent.map(|percent| percent.min(100)),
            ..hold.clone()
        };
        let work = Work { hold: Some(hold), ..work.clone() };
        Ok((self.with_work(Works::clone(&self.works), work), Outcome::WorkRenewed))
    }

    pub(super) fn release_work(
        &self,
        key: &WorkKey,
        token: u128,
        end: &WorkEnd,
    ) -> Result<(Self, Outcome), Rejection> {
        let (work, _) = self.held(key, token)?;
        let exists = self.catalog.backends.contains_key(&key.backend);
        let failure = match end {
            WorkEnd::Done => None,
            WorkEnd::Failed(failure) => exists.then(|| failure.bounded()),
            WorkEnd::Abandoned => work.failure.clone().filter(|_| exists),
        };
        let mut works = Works::clone(&self.works);
        if failure.is_none() {
            works.0.remove(key);
            return Ok((Self { works: Arc::new(works), ..self.clone() }, Outcome::WorkReleased));
        }
        Ok((self.with_work(works, Work { hold: None, failure, ..work.clone() }), Outcome::WorkReleased))
    }

    /// Forgets failures: those at one backend, or all.
    pub(super) fn retry_works(&self, backend: Option<&BackendId>) -> (Self, Outcome) {
        let concerns = |work: &Work| {
            work.failure.is_some() && backend.is_none_or(|backend| *backend == work.key.backend)
        };
        if !self.works().any(concerns) {
            return (self.clone(), Outcome::Unchanged);
        }
        let forgiven = |work: &Arc<Work>| match &work.hold {
            Some(_) if concerns(work) => Some(Arc::new(Work { failure: None, ..Work::clone(work) })),
            None if concerns(work) => None,
            _ => Some(Arc::clone(work)),
        };
        let works = self.works.0.iter().filter_map(|(key, work)| Some((key.clone(), forgiven(work)?)));
        (Self { works: Arc::new(Works(works.collect())), ..self.clone() }, Outcome::Updated)
    }

    pub(super) fn held(&self, key: &WorkKey, token: u128) -> Result<(&Work, &Hold), Rejection> {
        let held = self.work(key).and_then(|work| Some((work, work.hold.as_ref()?)));
        held.filter(|(_, hold)| hold.token == token).ok_or_else(|| Rejection::WorkLost {
            backend: key.backend.clone(),
            model: key.model.chars().take(80).collect(),
        })
    }

    fn with_work(&self, mut works: Works, work: Work) -> Self {
        works.0.insert(work.key.clone(), Arc::new(work));
        Self { works: Arc::new(works), ..self.clone() }
    }
}

// === Works ===

impl Works {
    /// Forgets the failures at backends that are no more. What is held there stays: it runs.
    pub(super) fn without_strangers(self: &Arc<Self>, catalog: &Catalog) -> Arc<Self> {
        let stays =
            |key: &WorkKey, work: &Work| work.hold.is_some() || catalog.backends.contains_key(&key.backend);
        if self.0.iter().all(|(key, work)| stays(key, work)) {
            return Arc::clone(self);
        }
        let mut works = Self::clone(self);
        works.0.retain(|key, work| stays(key, work));
        Arc::new(works)
    }

    pub(super) fn list(&self) -> Vec<Arc<Work>> {
        self.0.values().cloned().collect()
    }

    /// None if they cannot be.
    pub(super) fn from_list(works: Vec<Arc<Work>>) -> Option<Self> {
        let count = works.len();
        let works: BTreeMap<_, _> = works.into_iter().map(|work| (work.key.clone(), work)).collect();
        let is_any = |work: &Arc<Work>| work.hold.is_some() || work.failure.is_some();
        (works.len() == count && count <= MAX_WORKS && works.values().all(is_any)).then_some(Self(works))
    }

    fn make_room(&mut self, key: &WorkKey) -> Result<(), Rejection> {
        if self.0.len() < MAX_WORKS || self.0.contains_key(key) {
            return Ok(());
        }
        let failed = self.0.values().filter(|work| work.hold.is_none());
        let until = |work: &&Arc<Work>| work.failure.as_ref().map(|failure| failure.until_utc);
        let Some(first) = failed.min_by_key(until).map(|work| work.key.clone()) else {
            return Err(Rejection::TooMany { kind: ObjectKind::Work, limit: MAX_WORKS as u64 });
        };
        self.0.remove(&first);
        Ok(())
    }
}
