//! What the handlers need to know of a frontend, backend or virtual key.

use std::collections::BTreeMap;
use std::sync::Arc;

use ollamaflow_protocol::catalog::Catalog;
use ollamaflow_protocol::cluster::{Command, Precondition};
use ollamaflow_protocol::id::{BackendId, FrontendId, IdError, KeyId};
use ollamaflow_protocol::object::{
    Backend, BackendRuntime, BackendStatus, Frontend, Key, ObjectError, Parsed,
};
use ollamaflow_protocol::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::actors::{Directory, check_tls};

/// A kind of object of the catalog.
pub(in crate::admin) trait Object: Clone + Sized + 'static {
    /// Its name.
    type Id: Ord + Clone + AsRef<str> + for<'a> TryFrom<&'a str, Error = IdError> + 'static;

    /// What answers show.
    type Shown<'a>: Serialize;

    /// The kind's name; with an `s`, the path of its list.
    const KIND: &'static str;

    fn all(catalog: &Catalog) -> &BTreeMap<Self::Id, Arc<Self>>;

    fn id(&self) -> &Self::Id;

    fn revision(&self) -> u64;

    fn created(&self) -> Timestamp;

    /// The object as the write at that revision and time left it.
    fn at(self, revision: u64, updated: Timestamp) -> Self;

    /// Reads the body of a create.
    fn create(body: &[u8], now: Timestamp) -> Result<Parsed<Self>, ObjectError>;

    /// Reads the body of an update.
    fn patched(&self, body: &[u8]) -> Result<Parsed<Self>, ObjectError>;

    /// What cannot work, whatever it is used for.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// `body` is what the client has sent.
    fn put(self, expect: Precondition, body: &[u8]) -> Command;

    fn delete(id: Self::Id, expect: Precondition, force: bool) -> Command;

    fn shown(&self, directory: &Directory) -> Self::Shown<'_>;
}

// === Frontend ===

impl Object for Frontend {
    type Id = FrontendId;

    type Shown<'a> = &'a Self;

    const KIND: &'static str = "frontend";

    fn all(catalog: &Catalog) -> &BTreeMap<FrontendId, Arc<Self>> {
        &catalog.frontends
    }

    fn id(&self) -> &FrontendId {
        &self.identifier
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn created(&self) -> Timestamp {
        self.created_utc
    }

    fn at(self, revision: u64, updated: Timestamp) -> Self {
        Self { revision, last_update_utc: updated, ..self }
    }

    fn create(body: &[u8], now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        Self::create(body, now)
    }

    fn patched(&self, body: &[u8]) -> Result<Parsed<Self>, ObjectError> {
        self.patched(body)
    }

    fn put(self, expect: Precondition, _: &[u8]) -> Command {
        Command::PutFrontend { frontend: Box::new(self), expect }
    }

    fn delete(id: FrontendId, expect: Precondition, _: bool) -> Command {
        Command::DeleteFrontend { id, expect }
    }

    fn shown(&self, _: &Directory) -> &Self {
        self
    }
}

// === Backend ===

impl Object for Backend {
    type Id = BackendId;

    type Shown<'a> = BackendStatus<'a>;

    const KIND: &'static str = "backend";

    fn all(catalog: &Catalog) -> &BTreeMap<BackendId, Arc<Self>> {
        &catalog.backends
    }

    fn id(&self) -> &BackendId {
        &self.identifier
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn created(&self) -> Timestamp {
        self.created_utc
    }

    fn at(self, revision: u64, updated: Timestamp) -> Self {
        Self { revision, last_update_utc: updated, ..self }
    }

    fn create(body: &[u8], now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        Self::create(body, now)
    }

    fn patched(&self, body: &[u8]) -> Result<Parsed<Self>, ObjectError> {
        self.patched(body)
    }

    fn check(&self) -> Result<(), String> {
        check_tls(self).map_err(|error| error.to_string())
    }

    fn put(self, expect: Precondition, body: &[u8]) -> Command {
        Command::PutBackend { backend: Box::new(self), expect, sets_state: names_state(body) }
    }

    fn delete(id: BackendId, expect: Precondition, force: bool) -> Command {
        Command::DeleteBackend { id, expect, force }
    }

    /// Beside the configuration only the requests in flight: health has paths of its own.
    fn shown(&self, directory: &Directory) -> BackendStatus<'_> {
        let handle = directory.backend(&self.identifier);
        let active_requests = handle.map_or(0, |handle| u64::from(handle.in_flight()));
        BackendStatus {
            backend: self,
            runtime: BackendRuntime { active_requests, ..BackendRuntime::default() },
        }
    }
}

// === Key ===

impl Object for Key {
    type Id = KeyId;

    type Shown<'a> = &'a Self;

    const KIND: &'static str = "key";

    fn all(catalog: &Catalog) -> &BTreeMap<KeyId, Arc<Self>> {
        &catalog.keys
    }

    fn id(&self) -> &KeyId {
        &self.identifier
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn created(&self) -> Timestamp {
        self.created_utc
    }

    fn at(self, revision: u64, updated: Timestamp) -> Self {
        Self { revision, last_update_utc: updated, ..self }
    }

    fn create(body: &[u8], now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        Self::create(body, now)
    }

    fn patched(&self, body: &[u8]) -> Result<Parsed<Self>, ObjectError> {
        self.patched(body)
    }

    fn put(self, expect: Precondition, _: &[u8]) -> Command {
        Command::PutKey { key: Box::new(self), expect }
    }

    fn delete(id: KeyId, expect: Precondition, _: bool) -> Command {
        Command::DeleteKey { id, expect }
    }

    fn shown(&self, _: &Directory) -> &Self {
        self
    }
}

/// Whether a body says which state the backend is to have.
fn names_state(body: &[u8]) -> bool {
    let members = serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
    members.keys().any(|name| name.eq_ignore_ascii_case("State"))
}
