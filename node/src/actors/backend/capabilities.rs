//! What models can do, as the backends of this node have told: shared by all of them, since a digest means the same
//! everywhere.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use ollamaflow_protocol::models::inventory::{Capabilities, CapabilityCache, Disk};

/// What is known, and what is being asked for.
#[derive(Debug, Default)]
pub struct KnownCapabilities {
    known: ArcSwap<CapabilityCache>,
    /// Digests that somebody asks a backend about now.
    asked: Mutex<HashSet<String>>,
}

/// Models whose capabilities are to be asked for, and by nobody else meanwhile.
pub(super) struct Claim {
    shared: Arc<KnownCapabilities>,
    /// Names at the backend, and digests.
    models: Vec<(String, String)>,
}

// === impl KnownCapabilities ===

impl KnownCapabilities {
    /// What is known now, by digest.
    pub fn known(&self) -> Arc<CapabilityCache> {
        self.known.load_full()
    }

    /// Takes on at most `most` models of a disk of which nothing is known. It begins with the one at `turn`, and goes
    /// round: if it always began at the first, models that cannot be shown would keep the others from being asked for.
    pub(super) fn claim(self: &Arc<Self>, disk: &Disk, most: usize, turn: usize) -> Claim {
        let known = self.known.load();
        let missing: Vec<_> = known.missing(disk).collect();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let start = turn.checked_rem(missing.len()).unwrap_or(0);
        let in_turn = missing.iter().skip(start).chain(missing.iter().take(start));
        let claimed = in_turn.filter(|(_, digest)| !asked.contains(*digest));
        // One digest may have many names.
        let mut models: Vec<(String, String)> = Vec::with_capacity(most.min(missing.len()));
        for (name, digest) in claimed {
            if models.len() == most {
                break;
            }
            if !models.iter().any(|(_, other)| other == digest) {
                models.push(((*name).to_owned(), (*digest).to_owned()));
            }
        }
        asked.extend(models.iter().map(|(_, digest)| digest.clone()));
        Claim { shared: self.clone(), models }
    }

    /// Forgets what is on none of these disks.
    pub(in crate::actors) fn retain<'a>(&self, disks: impl IntoIterator<Item = &'a Disk>) {
        let disks: Vec<_> = disks.into_iter().collect();
        self.known.rcu(|known| {
            let mut left = CapabilityCache::clone(known);
            left.retain(disks.iter().copied());
            left
        });
    }
}

// === impl Claim ===

impl Claim {
    /// Names at the backend, and digests.
    pub(super) fn models(&self) -> &[(String, String)] {
        &self.models
    }

    /// Remembers the answers, by digest; `None` where the backend's release does not tell.
    pub(super) fn learn(&self, answers: &[(String, Option<Capabilities>)]) {
        if answers.is_empty() {
            return;
        }
        self.shared.known.rcu(|known| {
            let mut more = CapabilityCache::clone(known);
            for (digest, capabilities) in answers {
                more.insert(digest, capabilities.clone());
            }
            more
        });
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut asked = self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, digest) in &self.models {
            asked.remove(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ollamaflow_protocol::object::ApiFormat;
    use serde_json::json;

    use super::*;

    fn disk(digests: &[&str]) -> Disk {
        let models: Vec<_> = digests
            .iter()
            .enumerate()
            .map(|(at, digest)| json!({"name": format!("m{at}"), "digest": digest}))
            .collect();
        Disk::read(ApiFormat::Ollama, &Bytes::from(json!({ "models": models }).to_string())).unwrap()
    }

    fn digests(claim: &Claim) -> Vec<&str> {
        claim.models().iter().map(|(_, digest)| &**digest).collect()
    }

    #[test]
    fn a_digest_is_asked_for_once_at_a_time_and_never_again() {
        let shared = Arc::new(KnownCapabilities::default());
        let disk = disk(&["a", "b", "a", "c"]);
        let first = shared.claim(&disk, 2, 0);
        assert_eq!(digests(&first), ["a", "b"]);
        let second = shared.claim(&disk, 2, 0);
        assert_eq!(digests(&second), ["c"]);
        first.learn(&[("a".to_owned(), Some(Capabilities::new(vec!["tools".to_owned()])))]);
        drop((first, second));
        assert!(shared.known().get("a").unwrap().has("tools"));
        assert_eq!(
            digests(&shared.claim(&disk, 9, 0)),
            ["b", "c"],
            "what was not answered is asked for again"
        );
        assert_eq!(digests(&shared.claim(&disk, 9, 1)), ["c", "b"]);
        shared.retain([]);
        assert!(shared.known().get("a").is_none());
    }
}
