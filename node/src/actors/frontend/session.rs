//! Which backend each client of a frontend is bound to, for as long as the client comes back in time.
//!
//! In: a client's key, and the moment. Out: its backend, or nothing; the caller then falls back to a hash of the key,
//! by which all nodes agree. The table is bounded: when it is full, the client that has been away for longest goes.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::clock;

/// Sessions of one frontend on one node: some 2 MB when full.
const MOST_SESSIONS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Longest text by which a client is shown, in characters.
const SHOWN_CHARACTERS: usize = 128;

/// Seed of the hash of a key: the same on all nodes and in all versions, since they are to agree on a client's backend.
const SEED: u64 = 0;

/// Who a client is, as far as sessions are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientKey {
    hash: u64,
    shown: Box<str>,
}

/// The present, by both clocks: one that only goes forward, for what expires, and one for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For deadlines.
    pub steady: Instant,
    /// For display.
    pub utc: Timestamp,
}

/// One live session, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The client's key, shortened.
    pub client: String,
    /// Where its requests go.
    pub backend: BackendId,
    /// When it was bound to this backend.
    pub created_utc: Timestamp,
    /// When its last request came.
    pub last_used_utc: Timestamp,
    /// When it ends unless another request comes.
    pub expires_utc: Timestamp,
}

/// The sticky table of one frontend. Its lock is held for a moment, by requests of sticky frontends only.
#[derive(Debug)]
pub struct Sessions {
    table: Mutex<LruCache<u64, Session>>,
}

#[derive(Debug)]
struct Session {
    shown: Box<str>,
    backend: BackendId,
    created: Timestamp,
    last_used: Moment,
    expiry: Duration,
}

// === impl ClientKey ===

impl ClientKey {
    /// The key of a client that `identity` tells from others; it is also what is shown of it.
    pub fn new(identity: &[u8]) -> Self {
        let start = &identity[..identity.len().min(SHOWN_CHARACTERS * 4)];
        Self::shown_as(identity, &String::from_utf8_lossy(start))
    }

    /// The same for an identity that nobody else should see, as a credential.
    pub fn hidden(identity: &[u8]) -> Self {
        let hash = xxh3_64_with_seed(identity, SEED);
        Self { hash, shown: format!("(hidden) {hash:016x}").into() }
    }

    fn shown_as(identity: &[u8], text: &str) -> Self {
        let shown = text.chars().take(SHOWN_CHARACTERS).collect::<String>().into_boxed_str();
        Self { hash: xxh3_64_with_seed(identity, SEED), shown }
    }

    /// The same on every node: what a rendezvous hash starts from.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The client as people see it, at most 128 characters.
    pub fn text(&self) -> &str {
        &self.shown
    }
}

// === impl Moment ===

impl Moment {
    /// The present.
    pub fn now() -> Self {
        Self { steady: Instant::now(), utc: clock::now() }
    }
}

// === impl Sessions ===

impl Sessions {
    /// The backend of the client's session, which thereby lasts for another `expiry`.
    pub fn find(&self, client: &ClientKey, expiry: Duration, now: Moment) -> Option<BackendId> {
        let mut table = self.table();
        let session = table.get_mut(&client.hash)?;
        if session.is_over(now) {
            table.pop(&client.hash);
            return None;
        }
        session.use_until(expiry, now);
        Some(session.backend.clone())
    }

    /// The backend of the client's session; nothing changes.
    pub fn peek(&self, client: &ClientKey, now: Moment) -> Option<BackendId> {
        let table = self.table();
        table
            .peek(&client.hash)
            .filter(|session| !session.is_over(now))
            .map(|session| session.backend.clone())
    }

    /// Notes that `backend` has answered the client, whose next requests are to go there.
    pub fn bind(&self, client: &ClientKey, backend: &BackendId, expiry: Duration, now: Moment) {
        let mut table = self.table();
        if let Some(session) = table.get_mut(&client.hash)
            && session.backend == *backend
            && !session.is_over(now)
        {
            session.use_until(expiry, now);
            return;
        }
        let (shown, backend) = (client.shown.clone(), backend.clone());
        table.put(client.hash, Session { shown, backend, created: now.utc, last_used: now, expiry });
    }

    /// Ends the sessions of every backend that `keep` denies.
    pub fn end_of(&self, keep: impl Fn(&BackendId) -> bool) {
        let mut table = self.table();
        let ended: Vec<u64> =
            table.iter().filter(|(_, session)| !keep(&session.backend)).map(|(hash, _)| *hash).collect();
        for hash in ended {
            table.pop(&hash);
        }
    }

    /// The live sessions, last used first.
    pub fn list(&self, now: Moment) -> Vec<SessionView> {
        let table = self.table();
        table.iter().filter(|(_, session)| !session.is_over(now)).map(|(_, session)| session.view()).collect()
    }

    /// The backends that live sessions are bound to.
    pub fn backends(&self, now: Moment) -> BTreeSet<BackendId> {
        let table = self.table();
        let live = table.iter().filter(|(_, session)| !session.is_over(now));
        live.map(|(_, session)| session.backend.clone()).collect()
    }

    /// Ends all sessions.
    pub fn clear(&self) {
        self.table().clear();
    }

    fn table(&self) -> MutexGuard<'_, LruCache<u64, Session>> {
        // Nothing in here panics between two changes that belong together.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Sessions {
    fn default() -> Self {
        // `LruCache::new` reserves its whole table, which most frontends never need.
        let mut table = LruCache::unbounded();
        table.resize(MOST_SESSIONS);
        Self { table: Mutex::new(table) }
    }
}

// === impl Session ===

impl Session {
    fn is_over(&self, now: Moment) -> bool {
        now.steady.saturating_duration_since(self.last_used.steady) >= self.expiry
    }

    fn use_until(&mut self, expiry: Duration, now: Moment) {
        self.last_used = now;
        self.expiry = expiry;
    }

    fn view(&self) -> SessionView {
        let micros = i64::try_from(self.expiry.as_micros()).unwrap_or(i64::MAX);
        SessionView {
            client: self.shown.to_string(),
            backend: self.backend.clone(),
            created_utc: self.created,
            last_used_utc: self.last_used.utc,
            expires_utc: Timestamp::from_micros(self.last_used.utc.as_micros().saturating_add(micros)),
        }
    }
}

#[cfg(test)]
mod tests;
