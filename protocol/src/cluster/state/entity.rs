//! What frontends, backends and virtual keys have in common when they are changed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::cluster::history::Former;
use crate::cluster::outcome::{ObjectKind, ObjectRef};
use crate::cluster::rejection::Rejection;
use crate::id::{BackendId, FrontendId, KeyId};
use crate::object::record::Record;
use crate::object::{Backend, Exposed, Frontend, Key, ObjectError};
use crate::time::Timestamp;

/// An object of the catalog.
pub(super) trait Entity: Record + Clone + PartialEq {
    type Id: Ord + Clone + Display;

    const KIND: ObjectKind;

    fn id(&self) -> &Self::Id;

    fn stamps(&self) -> Stamps;

    fn set_stamps(&mut self, stamps: Stamps);

    /// The object as the rules for input make it; absent times become `now`.
    fn checked(&self, now: Timestamp) -> Result<Self, ObjectError>;

    /// Puts the secrets of `stored` where the object has redaction marks.
    fn resolve_secrets(&mut self, stored: Option<&Self>) -> Result<(), ObjectError>;

    /// All objects of the kind.
    fn objects(catalog: &mut Catalog) -> &mut BTreeMap<Self::Id, Arc<Self>>;

    fn former(id: Self::Id, object: Option<Arc<Self>>) -> Former;

    fn reference(id: &Self::Id) -> ObjectRef {
        ObjectRef::new(Self::KIND, id)
    }

    /// The same content under other stamps.
    fn stamped(&self, stamps: Stamps) -> Self {
        let mut stamped = self.clone();
        stamped.set_stamps(stamps);
        stamped
    }

    /// Whether nothing but the stamps differs.
    fn same_content(&self, other: &Self) -> bool {
        self.stamped(other.stamps()) == *other
    }

    /// Size of the stored form, in bytes.
    fn stored_len(&self) -> usize {
        // JSON fails for keys that are no text only, and there are none.
        serde_json::to_vec(&Exposed(self)).map_or(usize::MAX, |text| text.len())
    }

    fn invalid(id: &Self::Id, error: &ObjectError) -> Rejection {
        Rejection::Invalid { object: Self::reference(id), message: error.to_string() }
    }
}

/// What the server writes on an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stamps {
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) revision: u64,
}

// === Frontend ===

impl Entity for Frontend {
    type Id = FrontendId;

    const KIND: ObjectKind = ObjectKind::Frontend;

    fn id(&self) -> &FrontendId {
        &self.identifier
    }

    fn stamps(&self) -> Stamps {
        Stamps { created: self.created_utc, updated: self.last_update_utc, revision: self.revision }
    }

    fn set_stamps(&mut self, stamps: Stamps) {
        let Stamps { created, updated, revision } = stamps;
        (self.created_utc, self.last_update_utc, self.revision) = (created, updated, revision);
    }

    fn checked(&self, now: Timestamp) -> Result<Self, ObjectError> {
        let value = serde_json::to_value(Exposed(self)).map_err(|error| ObjectError::syntax(&error))?;
        Ok(Self::from_value(&value, now)?.value)
    }

    fn resolve_secrets(&mut self, _stored: Option<&Self>) -> Result<(), ObjectError> {
        Ok(())
    }

    fn objects(catalog: &mut Catalog) -> &mut BTreeMap<FrontendId, Arc<Self>> {
        &mut catalog.frontends
    }

    fn former(id: FrontendId, object: Option<Arc<Self>>) -> Former {
        Former::Frontend { id, object }
    }
}

// === Backend ===

impl Entity for Backend {
    type Id = BackendId;

    const KIND: ObjectKind = ObjectKind::Backend;

    fn id(&self) -> &BackendId {
        &self.identifier
    }

    fn stamps(&self) -> Stamps {
        Stamps { created: self.created_utc, updated: self.last_update_utc, revision: self.revision }
    }

    fn set_stamps(&mut self, stamps: Stamps) {
        let Stamps { created, updated, revision } = stamps;
        (self.created_utc, self.last_update_utc, self.revision) = (created, updated, revision);
    }

    fn checked(&self, now: Timestamp) -> Result<Self, ObjectError> {
        let value = serde_json::to_value(Exposed(self)).map_err(|error| ObjectError::syntax(&error))?;
        Ok(Self::from_value(&value, now)?.value)
    }

    fn resolve_secrets(&mut self, stored: Option<&Self>) -> Result<(), ObjectError> {
        Self::resolve_secrets(self, stored)
    }

    fn objects(catalog: &mut Catalog) -> &mut BTreeMap<BackendId, Arc<Self>> {
        &mut catalog.backends
    }

    fn former(id: BackendId, object: Option<Arc<Self>>) -> Former {
        Former::Backend { id, object }
    }
}

// === Key ===

impl Entity for Key {
    type Id = KeyId;

    const KIND: ObjectKind = ObjectKind::Key;

    fn id(&self) -> &KeyId {
        &self.identifier
    }

    fn stamps(&self) -> Stamps {
        Stamps { created: self.created_utc, updated: self.last_update_utc, revision: self.revision }
    }

    fn set_stamps(&mut self, stamps: Stamps) {
        let Stamps { created, updated, revision } = stamps;
        (self.created_utc, self.last_update_utc, self.revision) = (created, updated, revision);
    }

    fn checked(&self, now: Timestamp) -> Result<Self, ObjectError> {
        let value = serde_json::to_value(Exposed(self)).map_err(|error| ObjectError::syntax(&error))?;
        Ok(Self::from_value(&value, now)?.value)
    }

    fn resolve_secrets(&mut self, stored: Option<&Self>) -> Result<(), ObjectError> {
        self.resolve_hash(stored)
    }

    fn objects(catalog: &mut Catalog) -> &mut BTreeMap<KeyId, Arc<Self>> {
        &mut catalog.keys
    }

    fn former(id: KeyId, object: Option<Arc<Self>>) -> Former {
        Former::Key { id, object }
    }
}
