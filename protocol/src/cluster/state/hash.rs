//! A fingerprint of the state, to see at a glance whether nodes agree.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::ClusterState;
use super::snapshot::StateRecord;

/// Grows when the same state is hashed differently: nodes of different versions then differ for a while.
const HASH_FORMAT: u16 = 1;

#[derive(Serialize)]
struct Hashed<'a> {
    format: u16,
    content: &'a StateRecord,
}

// === ClusterState ===

impl ClusterState {
    /// SHA-256 of the content: cluster, revision, frontends, backends, tokens and nodes, secrets included, but
    /// neither the history nor the memory of requests. Equal on all nodes that have applied the same entries of
    /// the log, however they came by them. Takes time in proportion to the size of the catalog.
    #[expect(clippy::expect_used, reason = "JSON fails for keys that are no text only, and there are none")]
    pub fn catalog_hash(&self) -> [u8; 32] {
        let hashed = Hashed { format: HASH_FORMAT, content: &StateRecord::without_past(self) };
        let text = serde_json::to_vec(&hashed).expect("the state can be written as JSON");
        Sha256::digest(text).into()
    }

    /// [`ClusterState::catalog_hash`] as 64 hexadecimal digits.
    pub fn catalog_hash_hex(&self) -> String {
        hex::encode(self.catalog_hash())
    }
}
