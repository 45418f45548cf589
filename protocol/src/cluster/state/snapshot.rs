//! The whole state as bytes, for snapshots and for the disk.
//!
//! JSON with a format number in front. Secrets are in it. It carries no checksum: who keeps the bytes guards them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ClusterState;
use super::entity::Entity;
use super::rolls::{Rolls, are_possible};
use super::works::Works;
use crate::catalog::{Catalog, Violation};
use crate::cluster::history::History;
use crate::cluster::nodes::Nodes;
use crate::cluster::recent::{MAX_RECENT_REQUESTS, Recent};
use crate::cluster::token::{MAX_TOKENS, StoredToken};
use crate::cluster::work::Work;
use crate::id::ClusterId;
use crate::object::key::MAX_KEYS;
use crate::object::{Backend, Frontend, Key, record};

/// The newest format that is read: 2 has virtual keys. A state without any is written in format 1, which versions before
/// them read; they must not take a state with keys for one without.
pub const SNAPSHOT_FORMAT: u16 = 2;

/// The format of states without virtual keys.
const FORMAT_WITHOUT_KEYS: u16 = 1;

/// Why bytes are not a state.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// A newer version wrote them.
    #[error(
        "the snapshot has format {found}, but this version reads formats up to {SNAPSHOT_FORMAT}: update this node"
    )]
    Newer {
        /// Their format.
        found: u16,
    },
    /// They are not the JSON that they should be. The text at fault is left out: it may be a secret.
    #[error(
        "the snapshot is damaged at line {line}, column {column}: restore it from another node or a backup"
    )]
    Malformed {
        /// Where, counted from 1.
        line: usize,
        /// Where, counted from 1.
        column: usize,
    },
    /// They break a rule that every state keeps.
    #[error("the snapshot contradicts itself ({0}): restore it from another node or a backup")]
    Inconsistent(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Header {
    format: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Snapshot {
    format: u16,
    state: StateRecord,
}

/// The state as plain lists; what can be derived is left out.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StateRecord {
    cluster_id: Option<ClusterId>,
    revision: u64,
    catalog_revision: u64,
    #[serde(with = "record")]
    frontends: Vec<Arc<Frontend>>,
    #[serde(with = "record")]
    backends: Vec<Arc<Backend>>,
    tokens: Vec<StoredToken>,
    nodes: Arc<Nodes>,
    history: Arc<History>,
    recent: Arc<Recent>,
    /// Left out if there is none: versions before claims neither write nor miss it, and hashes stay as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    works: Vec<Arc<Work>>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rolls: Rolls,
    /// Likewise.
    #[serde(default, with = "record", skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Arc<Key>>,
}

// === ClusterState ===

impl ClusterState {
    /// The whole state as bytes. **They hold secrets in clear.**
    #[expect(clippy::expect_used, reason = "JSON fails for keys that are no text only, and there are none")]
    pub fn encode(&self) -> Vec<u8> {
        let state = StateRecord {
            history: Arc::clone(&self.history),
            recent: Arc::clone(&self.recent),
            works: self.works.list(),
            rolls: Rolls::clone(&self.rolls),
            ..StateRecord::without_past(self)
        };
        let has_keys = !self.catalog.keys.is_empty() || self.history.has_keys();
        let format = if has_keys { SNAPSHOT_FORMAT } else { FORMAT_WITHOUT_KEYS };
        let snapshot = Snapshot { format, state };
        serde_json::to_vec(&snapshot).expect("the state can be written as JSON")
    }

    /// Reads what [`ClusterState::encode`] wrote, in this version or an older one.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let Header { format } = serde_json::from_slice(bytes).map_err(malformed)?;
        if format > SNAPSHOT_FORMAT {
            return Err(SnapshotError::Newer { found: format });
        }
        let Snapshot { state, .. } = serde_json::from_slice(bytes).map_err(malformed)?;
        state.into_state()
    }
}

// === StateRecord ===

impl StateRecord {
    /// The present content: no history, no memory of requests, no work that is claimed.
    pub(super) fn without_past(state: &ClusterState) -> Self {
        Self {
            cluster_id: state.cluster_id.clone(),
            revision: state.revision,
            catalog_revision: state.catalog_revision,
            frontends: state.catalog.frontends.values().cloned().collect(),
            backends: state.catalog.backends.values().cloned().collect(),
            tokens: state.tokens.values().cloned().map(StoredToken).collect(),
            nodes: Arc::clone(&state.nodes),
            history: Arc::default(),
            recent: Arc::default(),
            works: Vec::new(),
            rolls: Rolls::new(),
            keys: state.catalog.keys.values().cloned().collect(),
        }
    }

    fn into_state(self) -> Result<ClusterState, SnapshotError> {
        if let Some(fault) = self.fault() {
            return Err(SnapshotError::Inconsistent(fault));
        }
        let sizes = self.frontends.iter().map(|object| object.stored_len());
        let sizes = sizes.chain(self.backends.iter().map(|object| object.stored_len()));
        let catalog_bytes = sizes.chain(self.keys.iter().map(|object| object.stored_len())).sum();
        let frontends = self.frontends.into_iter().map(|object| (object.identifier.clone(), object));
        let backends = self.backends.into_iter().map(|object| (object.identifier.clone(), object));
        let keys = self.keys.into_iter().map(|object| (object.identifier.clone(), object));
        let catalog =
            Catalog { frontends: frontends.collect(), backends: backends.collect(), keys: keys.collect() };
        let tokens = self.tokens.into_iter().map(|StoredToken(token)| (token.name.clone(), token));
        let works = Works::from_list(self.works)
            .ok_or_else(|| SnapshotError::Inconsistent("works that cannot be".to_owned()))?;
        Ok(ClusterState {
            cluster_id: self.cluster_id,
            revision: self.revision,
            catalog_revision: self.catalog_revision,
            catalog: Arc::new(catalog),
            catalog_bytes,
            tokens: Arc::new(tokens.collect()),
            nodes: self.nodes,
            history: self.history,
            recent: self.recent,
            works: Arc::new(works),
            rolls: Arc::new(self.rolls),
        })
    }

    /// The first rule that is broken; none if all are kept.
    fn fault(&self) -> Option<String> {
        let frontends = self.frontends.iter().map(|object| Frontend::clone(object)).collect();
        let backends = self.backends.iter().map(|object| Backend::clone(object)).collect();
        if let Some(violation) = Catalog::from_objects(frontends, backends).err().and_then(first) {
            return Some(format!("{} {violation}", violation.path()));
        }
        let newest = self.frontends.iter().map(|object| object.revision);
        let newest = newest.chain(self.backends.iter().map(|object| object.revision));
        let newest = newest.chain(self.keys.iter().map(|object| object.revision)).max().unwrap_or(0);
        if newest > self.catalog_revision || self.catalog_revision > self.revision {
            return Some("an object is newer than the state".to_owned());
        }
        let (tokens, keys) = (self.tokens.len(), self.keys.len());
        if tokens > MAX_TOKENS || keys > MAX_KEYS || self.recent.len() > MAX_RECENT_REQUESTS {
            return Some("a list is longer than it can be".to_owned());
        }
        if !are_possible(&self.rolls) {
            return Some("there are rolls that cannot be".to_owned());
        }
        self.nodes.fault().or_else(|| self.history.fault(self.revision)).map(str::to_owned)
    }
}

// === helpers ===

fn first(violations: Vec<Violation>) -> Option<Violation> {
    violations.into_iter().next()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that `map_err` calls")]
fn malformed(error: serde_json::Error) -> SnapshotError {
    SnapshotError::Malformed { line: error.line(), column: error.column() }
}
