//! Commands on the whole catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ClusterState;
use super::apply::Entering;
use super::draft::{Counts, Draft};
use super::entity::Entity as _;
use crate::catalog::Catalog;
use crate::cluster::command::{Founder, Precondition};
use crate::cluster::history::{ChangeKind, Event, Former};
use crate::cluster::nodes::Nodes;
use crate::cluster::outcome::{ObjectRef, Outcome};
use crate::cluster::rejection::Rejection;
use crate::id::ClusterId;
use crate::object::{Backend, Frontend, Key};

// === ClusterState ===

impl ClusterState {
    pub(super) fn seed(
        &self,
        entering: Entering<'_>,
        cluster_id: &ClusterId,
        founders: &[Founder],
        frontends: &[Frontend],
        backends: &[Backend],
    ) -> Result<(Self, Outcome), Rejection> {
        let mut nodes = Nodes::default();
        for founder in founders {
            Self::admit(&mut nodes, founder.id, &founder.address, founder.incarnation, entering.envelope.at)?;
        }
        let mut draft = Draft::new(self, entering.envelope.at);
        Self::replace_all(&mut draft, frontends, backends, None)?;
        let what = format!(
            "seeded cluster {cluster_id} with {} and {}",
            counted(frontends.len(), "frontend"),
            counted(backends.len(), "backend")
        );
        let event = Event { action: ChangeKind::Seed, object: ObjectRef::catalog(), what };
        let mut next = self.with_catalog(entering, draft.finish()?, event);
        next.cluster_id = Some(cluster_id.clone());
        next.nodes = Arc::new(nodes);
        Ok((next, Outcome::Seeded))
    }

    pub(super) fn replace_catalog(
        &self,
        entering: Entering<'_>,
        (frontends, backends, keys): (&[Frontend], &[Backend], Option<&[Key]>),
        expect: Precondition,
    ) -> Result<(Self, Outcome), Rejection> {
        self.check_catalog(expect)?;
        let mut draft = Draft::new(self, entering.envelope.at);
        let Counts { created, updated, deleted } = Self::replace_all(&mut draft, frontends, backends, keys)?;
        if draft.changed() == 0 {
            return Ok((self.clone(), Outcome::Unchanged));
        }
        let what = format!("replaced the catalog: {created} created, {updated} changed, {deleted} deleted");
        let event = Event { action: ChangeKind::Replace, object: ObjectRef::catalog(), what };
        let next = self.with_catalog(entering, draft.finish()?, event);
        Ok((next, Outcome::Replaced { created, updated, deleted }))
    }

    pub(super) fn rollback(
        &self,
        entering: Entering<'_>,
        to_revision: u64,
        expect: Precondition,
    ) -> Result<(Self, Outcome), Rejection> {
        self.check_catalog(expect)?;
        let known = self.restorable();
        if !known.contains(&to_revision) {
            let (oldest, newest) = known.into_inner();
            return Err(Rejection::UnknownRevision { revision: to_revision, oldest, newest });
        }
        // Collecting keeps the last of several entries for one object: the oldest.
        let (mut frontends, mut backends, mut keys) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for former in self.history.back_to(to_revision) {
            match former {
                Former::Frontend { id, object } => drop(frontends.insert(id, object.as_deref())),
                Former::Backend { id, object } => drop(backends.insert(id, object.as_deref())),
                Former::Key { id, object } => drop(keys.insert(id, object.as_deref())),
            }
        }
        let mut draft = Draft::new(self, entering.envelope.at);
        for (id, former) in frontends {
            draft.restore::<Frontend>(id, former);
        }
        for (id, former) in backends {
            draft.restore::<Backend>(id, former);
        }
        for (id, former) in keys {
            draft.restore::<Key>(id, former);
        }
        let restored = draft.changed();
        if restored == 0 {
            return Ok((self.clone(), Outcome::Unchanged));
        }
        let what = format!("rolled back to revision {to_revision}: {} restored", counted(restored, "object"));
        let event = Event { action: ChangeKind::Rollback, object: ObjectRef::catalog(), what };
        Ok((self.with_catalog(entering, draft.finish()?, event), Outcome::RolledBack { restored }))
    }

    /// Holds for a revision if nothing in the catalog has changed after it.
    fn check_catalog(&self, expect: Precondition) -> Result<(), Rejection> {
        let holds = match expect {
            Precondition::Any => true,
            Precondition::Absent => *self.catalog == Catalog::default(),
            Precondition::Revision(revision) => (self.catalog_revision..=self.revision).contains(&revision),
        };
        if holds {
            return Ok(());
        }
        let current = Some(self.catalog_revision);
        Err(Rejection::PreconditionFailed { object: ObjectRef::catalog(), current })
    }

    /// Makes these the only objects of the draft.
    fn replace_all(
        draft: &mut Draft,
        frontends: &[Frontend],
        backends: &[Backend],
        keys: Option<&[Key]>,
    ) -> Result<Counts, Rejection> {
        // Whether the objects fit together is the catalog's own rule.
        let together = Catalog::from_objects(frontends.to_vec(), backends.to_vec());
        if let Some(violation) = together.err().and_then(|all| all.into_iter().next()) {
            return Err(violation.into());
        }
        let mut names = BTreeSet::new();
        if let Some(key) = keys.unwrap_or_default().iter().find(|key| !names.insert(&key.identifier)) {
            return Err(Rejection::Exists { object: Key::reference(&key.identifier) });
        }
        let mut counts = Counts::default();
        draft.put_only(backends, &mut counts)?;
        draft.put_only(frontends, &mut counts)?;
        if let Some(keys) = keys {
            draft.put_only(keys, &mut counts)?;
        }
        Ok(counts)
    }
}

// === sentences ===

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
