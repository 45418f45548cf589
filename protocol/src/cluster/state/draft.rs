//! The next catalog in the making: every change of an object passes here, and leaves what undoes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::entity::{Entity, Stamps};
use super::{ClusterState, MAX_CATALOG_BYTES, MAX_OBJECT_BYTES};
use crate::catalog::Catalog;
use crate::cluster::history::Former;
use crate::cluster::outcome::{ObjectKind, ObjectRef};
use crate::cluster::rejection::Rejection;
use crate::object::key::MAX_KEYS;
use crate::object::{Exposed, Key};
use crate::time::Timestamp;

/// A changed copy of a catalog.
pub(super) struct Draft {
    catalog: Catalog,
    bytes: usize,
    bytes_before: usize,
    /// What this change stamps on objects.
    at: Timestamp,
    revision: u64,
    former: Vec<Former>,
    former_bytes: usize,
}

/// What a finished draft is made of.
pub(super) struct Drafted {
    pub(super) catalog: Catalog,
    pub(super) catalog_bytes: usize,
    /// The objects before; empty if nothing has changed.
    pub(super) former: Vec<Former>,
    pub(super) former_bytes: usize,
}

/// What putting an object did.
pub(super) enum Write {
    Created,
    /// The properties that differ.
    Updated(Vec<String>),
    Unchanged,
}

/// How many objects a replacement touched.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) created: usize,
    pub(super) updated: usize,
    pub(super) deleted: usize,
}

// === Draft ===

impl Draft {
    /// A draft that changes nothing yet.
    pub(super) fn new(state: &ClusterState, at: Timestamp) -> Self {
        Self {
            catalog: Catalog::clone(&state.catalog),
            bytes: state.catalog_bytes,
            bytes_before: state.catalog_bytes,
            at,
            revision: state.next_revision(),
            former: Vec::new(),
            former_bytes: 0,
        }
    }

    /// Makes `objects` the only ones of their kind, after checking each; references are the caller's to check.
    pub(super) fn put_only<E: Entity>(
        &mut self,
        objects: &[E],
        counts: &mut Counts,
    ) -> Result<(), Rejection> {
        let kept: BTreeSet<&E::Id> = objects.iter().map(E::id).collect();
        let stored = E::objects(&mut self.catalog).keys();
        let gone: Vec<E::Id> = stored.filter(|id| !kept.contains(id)).cloned().collect();
        counts.deleted += gone.len();
        for id in gone {
            self.set::<E>(id, None);
        }
        for object in objects {
            match self.put(object)? {
                Write::Created => counts.created += 1,
                Write::Updated(_) => counts.updated += 1,
                Write::Unchanged => {}
            }
        }
        Ok(())
    }

    /// Creates or replaces an object, after checking it. References are the caller's to check.
    pub(super) fn put<E: Entity>(&mut self, object: &E) -> Result<Write, Rejection> {
        let stored = E::objects(&mut self.catalog).get(object.id()).cloned();
        let mut next = object.checked(self.at).map_err(|error| E::invalid(object.id(), &error))?;
        next.resolve_secrets(stored.as_deref()).map_err(|error| E::invalid(object.id(), &error))?;
        let write = match &stored {
            None => Write::Created,
            Some(stored) if next.same_content(stored) => return Ok(Write::Unchanged),
            Some(stored) => Write::Updated(differences(stored.as_ref(), &next)),
        };
        let created = stored.as_ref().map_or(next.stamps().created, |stored| stored.stamps().created);
        next.set_stamps(Stamps { created, updated: self.at, revision: self.revision });
        let bytes = next.stored_len();
        if bytes > MAX_OBJECT_BYTES {
            return Err(too_large(E::reference(next.id()), bytes, MAX_OBJECT_BYTES));
        }
        self.set(next.id().clone(), Some((next, bytes)));
        Ok(write)
    }

    /// Removes an object that may exist.
    pub(super) fn remove<E: Entity>(&mut self, id: &E::Id) {
        self.set::<E>(id.clone(), None);
    }

    /// Makes an object what it was, times included, unless it is that already; only its revision is new.
    pub(super) fn restore<E: Entity>(&mut self, id: &E::Id, former: Option<&E>) {
        let present = E::objects(&mut self.catalog).get(id);
        let revised = |object: &E, revision| object.stamped(Stamps { revision, ..object.stamps() });
        let same = match (former, present) {
            (None, None) => true,
            (Some(former), Some(present)) => revised(former, present.stamps().revision) == **present,
            _ => false,
        };
        if !same {
            let restored = former.map(|former| {
                let object = revised(former, self.revision);
                let bytes = object.stored_len();
                (object, bytes)
            });
            self.set(id.clone(), restored);
        }
    }

    /// How many objects differ from what they were.
    pub(super) fn changed(&self) -> usize {
        self.former.len()
    }

    /// The result, unless it has outgrown the bound; what makes a catalog smaller is always let pass.
    pub(super) fn finish(self) -> Result<Drafted, Rejection> {
        if self.bytes > MAX_CATALOG_BYTES && self.bytes > self.bytes_before {
            return Err(too_large(ObjectRef::catalog(), self.bytes, MAX_CATALOG_BYTES));
        }
        if self.former.iter().any(|former| matches!(former, Former::Key { .. })) {
            check_keys(&self.catalog)?;
        }
        let Self { catalog, bytes, former, former_bytes, .. } = self;
        Ok(Drafted { catalog, catalog_bytes: bytes, former, former_bytes })
    }

    /// Puts an object of that size, or none, under `id`, and notes what was there.
    fn set<E: Entity>(&mut self, id: E::Id, object: Option<(E, usize)>) {
        let objects = E::objects(&mut self.catalog);
        let before = match object {
            Some((object, bytes)) => {
                self.bytes = self.bytes.saturating_add(bytes);
                objects.insert(id.clone(), Arc::new(object))
            }
            None => match objects.remove(&id) {
                None => return,
                before => before,
            },
        };
        if let Some(before) = &before {
            let bytes = before.stored_len();
            self.bytes = self.bytes.saturating_sub(bytes);
            self.former_bytes = self.former_bytes.saturating_add(bytes);
        }
        self.former.push(E::former(id, before));
    }
}

// === helpers ===

/// Whether there are not too many virtual keys, and no two of one secret: whose it is could not be told.
fn check_keys(catalog: &Catalog) -> Result<(), Rejection> {
    if catalog.keys.len() > MAX_KEYS {
        return Err(Rejection::TooMany { kind: ObjectKind::Key, limit: MAX_KEYS as u64 });
    }
    let mut known = BTreeMap::new();
    // Of two the later one is at fault: that of this change.
    let mut keys: Vec<_> = catalog.keys.values().collect();
    keys.sort_by_key(|key| key.revision);
    for key in keys {
        let Some(hash) = &key.hash else { continue };
        if let Some(first) = known.insert(*hash.as_bytes(), &key.identifier) {
            let message = format!("Hash is that of the key {first}: each key needs a secret of its own");
            return Err(Rejection::Invalid { object: Key::reference(&key.identifier), message });
        }
    }
    Ok(())
}

fn too_large(object: ObjectRef, bytes: usize, limit: usize) -> Rejection {
    Rejection::TooLarge { object, bytes: bytes as u64, limit: limit as u64 }
}

/// The names of the properties that differ, without those that the server writes.
fn differences<E: Entity>(before: &E, after: &E) -> Vec<String> {
    let after = properties(&after.stamped(before.stamps()));
    let before = properties(before);
    let changed = |name: &&String| before.get(name.as_str()) != after.get(name.as_str());
    let gone = before.keys().filter(|name| !after.contains_key(name.as_str()));
    after.keys().filter(changed).chain(gone).cloned().collect()
}

fn properties<E: Entity>(object: &E) -> Map<String, Value> {
    match serde_json::to_value(Exposed(object)) {
        Ok(Value::Object(properties)) => properties,
        _ => Map::new(),
    }
}
