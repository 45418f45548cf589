//! All keys, by the hashes of their secrets, as the newest catalog has them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use ollamaflow_protocol::catalog::Catalog;
use ollamaflow_protocol::cluster::ClusterState;
use ollamaflow_protocol::end::End;
use ollamaflow_protocol::id::KeyId;
use ollamaflow_protocol::token_hash::TokenHash;
use ring::digest::{SHA256, digest};

use super::handle::{Counters, KeyHandle, Noted};
use crate::cluster::Cluster;

/// All keys. Requests read a snapshot; whoever knows a newer catalog publishes it.
#[derive(Debug, Default)]
pub struct Keys {
    newest: ArcSwap<Table>,
    /// Whether there are any: most nodes have none, and their requests look at nothing else.
    has_any: AtomicBool,
    publishing: Mutex<Published>,
}

#[derive(Debug, Default)]
struct Table(HashMap<[u8; 32], Arc<KeyHandle>>);

/// What was published last.
#[derive(Debug, Default)]
struct Published {
    catalog: Arc<Catalog>,
    revision: u64,
    /// Those of keys that are gone stay until they are in the books and nobody holds them.
    counters: BTreeMap<KeyId, Arc<Counters>>,
}

/// What a key has counted since the node has started.
#[derive(Debug)]
pub(crate) struct KeyCounts {
    pub(crate) id: KeyId,
    /// Requests, by how they ended.
    pub(crate) ends: [(End, u64); End::ALL.len()],
    /// Tokens of prompts and of answers.
    pub(crate) tokens: (u64, u64),
}

/// Where a request has shown a key: it goes no further from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// In `Authorization`.
    pub(crate) authorization: bool,
    /// In `x-api-key`.
    pub(crate) api_key: bool,
}

/// What secrets begin with, so that people and programs that look for lost ones know them.
pub(crate) const PREFIX: &str = "sk-of-";

/// Whether a header's value is a secret by its looks: one that was a key yesterday, or has a letter too many.
pub(crate) fn resembles_a_key(value: &[u8]) -> bool {
    bearer(value).unwrap_or(value.trim_ascii()).starts_with(PREFIX.as_bytes())
}

/// SHA-256 of a secret.
pub(crate) fn hash(secret: &[u8]) -> TokenHash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret).as_ref());
    TokenHash::new(bytes)
}

// === impl Keys ===

impl Keys {
    /// Publishes every catalog that this node applies, until the cluster is gone.
    pub async fn follow(self: Arc<Self>, cluster: Cluster) {
        let mut states = cluster.subscribe();
        drop(cluster);
        loop {
            let state = states.borrow_and_update().state.clone();
            self.publish(&state);
            if states.changed().await.is_err() {
                return;
            }
        }
    }

    /// Makes the keys of this state the present ones, unless newer ones are.
    pub fn publish(&self, state: &ClusterState) {
        let catalog = state.catalog();
        let mut published = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = Arc::ptr_eq(catalog, &published.catalog);
        if is_known || state.catalog_revision() < published.revision {
            return;
        }
        published.revision = state.catalog_revision();
        let old = std::mem::replace(&mut published.catalog, catalog.clone());
        if old.keys == catalog.keys {
            return;
        }
        let mut table = HashMap::with_capacity(catalog.keys.len());
        for key in catalog.keys.values() {
            let Some(hash) = &key.hash else { continue };
            let id = &key.identifier;
            let counters = published.counters.entry(id.clone());
            let counters = counters.or_insert_with(|| Arc::new(Counters::new(id.clone()))).clone();
            table.insert(*hash.as_bytes(), Arc::new(KeyHandle::new(key.clone(), counters)));
        }
        self.has_any.store(!table.is_empty(), Ordering::Release);
        self.newest.store(Arc::new(Table(table)));
    }

    /// Whether there are any keys.
    pub(crate) fn has_any(&self) -> bool {
        self.has_any.load(Ordering::Acquire)
    }

    /// The key that a request shows, and where: `authorization` and `api_key` are the values of these headers.
    pub(crate) fn shown<'a>(
        &self,
        authorization: impl Iterator<Item = &'a [u8]>,
        api_key: impl Iterator<Item = &'a [u8]>,
    ) -> (Option<Arc<KeyHandle>>, Shown) {
        let table = self.newest.load();
        let (mut found, mut shown) = (None, Shown::default());
        for secret in authorization.filter_map(bearer) {
            if let Some(handle) = table.find(secret) {
                shown.authorization = true;
                found.get_or_insert_with(|| handle.clone());
            }
        }
        for secret in api_key {
            if let Some(handle) = table.find(secret.trim_ascii()) {
                shown.api_key = true;
                found.get_or_insert_with(|| handle.clone());
            }
        }
        (found, shown)
    }

    /// What every present key has counted: requests by how they ended, tokens of prompts and of answers.
    pub(crate) fn counts(&self) -> Vec<KeyCounts> {
        let table = self.newest.load();
        let counts = table.0.values().map(|handle| {
            let counters = handle.counters();
            let ends = End::ALL.map(|end| (end, counters.ended(end)));
            KeyCounts { id: handle.id().clone(), ends, tokens: counters.tokens() }
        });
        let mut counts: Vec<_> = counts.collect();
        counts.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        counts
    }

    /// Takes what is not in the books yet.
    pub(super) fn drain(&self) -> Vec<(KeyId, Noted)> {
        let mut published = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let Published { catalog, counters, .. } = &mut *published;
        let drained = counters.values().map(|counters| (counters.id.clone(), counters.drain()));
        let drained: Vec<_> = drained.filter(|(_, noted)| !noted.is_empty()).collect();
        // Whoever holds the counters of a key that is gone may still note something, or just has.
        counters.retain(|id, counters| {
            catalog.keys.contains_key(id) || Arc::strong_count(counters) > 1 || counters.has_pending()
        });
        drained
    }
}

// === impl Table ===

impl Table {
    fn find(&self, secret: &[u8]) -> Option<&Arc<KeyHandle>> {
        if secret.is_empty() { None } else { self.0.get(hash(secret).as_bytes()) }
    }
}

/// The token of a bearer value; the scheme's name is case-insensitive (RFC 9110 section 11.1).
pub(crate) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use ollamaflow_protocol::cluster::{Command, Envelope, Precondition};
    use ollamaflow_protocol::object::Key;
    use ollamaflow_protocol::time::Timestamp;

    use super::*;

    fn seeded() -> ClusterState {
        let seed = Command::Seed {
            cluster_id: "c".parse().unwrap(),
            founders: Vec::new(),
            frontends: Vec::new(),
            backends: Vec::new(),
        };
        applied(&ClusterState::new(), seed)
    }

    fn applied(state: &ClusterState, command: Command) -> ClusterState {
        let (next, outcome) = state.apply(1, &Envelope::new(0, Timestamp::from_micros(1), "t", 1, command));
        outcome.unwrap();
        next
    }

    fn with_key(state: &ClusterState, id: &str, secret: &str) -> ClusterState {
        let key = Key { hash: Some(hash(secret.as_bytes())), ..Key::new(id.parse().unwrap()) };
        applied(state, Command::PutKey { key: Box::new(key), expect: Precondition::Any })
    }

    fn found(keys: &Keys, authorization: &[&str], api_key: &[&str]) -> (Option<String>, Shown) {
        let (authorization, api_key) = (authorization.iter(), api_key.iter());
        let (handle, shown) =
            keys.shown(authorization.map(|text| text.as_bytes()), api_key.map(|text| text.as_bytes()));
        (handle.map(|handle| handle.id().to_string()), shown)
    }

    #[test]
    fn a_key_is_found_where_clients_put_it() {
        let keys = Keys::default();
        let both = Shown { authorization: true, api_key: true };
        assert_eq!(found(&keys, &["Bearer s1"], &["s1"]), (None, Shown::default()));
        keys.publish(&with_key(&with_key(&seeded(), "k1", "s1"), "k2", "s2"));
        let one = Some("k1".to_owned());
        assert_eq!(found(&keys, &["bearer  s1 "], &[]), (one.clone(), Shown { api_key: false, ..both }));
        assert_eq!(found(&keys, &[], &[" s1"]), (one.clone(), Shown { authorization: false, ..both }));
        assert_eq!(found(&keys, &["Bearer other", "Bearer s1"], &["s2"]), (one, both));
        for wrong in ["Bearer", "Bearer ", "Basic s1", "s1", "Bearer S1", "Bearer s12", ""] {
            assert_eq!(found(&keys, &[wrong], &[""]), (None, Shown::default()), "{wrong}");
        }
    }

    #[test]
    fn a_changed_key_keeps_its_counts_and_an_older_state_changes_nothing() {
        let keys = Keys::default();
        let first = with_key(&seeded(), "k1", "s1");
        let second = with_key(&first, "k1", "s2");
        keys.publish(&first);
        let (handle, _) = keys.shown(std::iter::once(&b"Bearer s1"[..]), std::iter::empty());
        let pass =
            handle.unwrap().enter(&"f".parse().unwrap(), ollamaflow_protocol::route::Operation::OllamaChat);
        keys.publish(&second);
        keys.publish(&first);
        assert_eq!(found(&keys, &["Bearer s1"], &[]).0, None);
        assert_eq!(found(&keys, &["Bearer s2"], &[]).0.as_deref(), Some("k1"));
        drop(pass.unwrap());
        assert_eq!(keys.counts()[0].ends[End::Cancelled as usize].1, 1);
        assert_eq!(keys.drain().len(), 1);
    }

    #[test]
    fn what_a_deleted_key_has_used_comes_into_the_books() {
        let keys = Keys::default();
        let with = with_key(&seeded(), "k1", "s1");
        keys.publish(&with);
        let (handle, _) = keys.shown(std::iter::once(&b"Bearer s1"[..]), std::iter::empty());
        let pass =
            handle.unwrap().enter(&"f".parse().unwrap(), ollamaflow_protocol::route::Operation::OllamaChat);
        keys.publish(&applied(
            &with,
            Command::DeleteKey { id: "k1".parse().unwrap(), expect: Precondition::Any },
        ));
        assert!(keys.counts().is_empty() && keys.drain().is_empty());
        drop(pass.unwrap());
        assert_eq!(keys.drain().len(), 1);
        assert!(keys.drain().is_empty());
        assert!(keys.publishing.lock().unwrap().counters.is_empty());
    }
}
