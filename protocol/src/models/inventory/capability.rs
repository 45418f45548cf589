//! What models can do, by the digest of their manifest: what has one digest can do the same wherever it is.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Disk, InventoryError};

/// Most capabilities of one model; Ollama knows eight.
const MAX_CAPABILITIES: usize = 32;
/// Longest name of a capability, in bytes.
const MAX_CAPABILITY: usize = 64;
/// Most digests that are remembered.
const MAX_DIGESTS: usize = 10_000;

/// What a model can do: `completion`, `tools`, `insert`, `vision`, `embedding`, `thinking` and whatever comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities(Arc<[String]>);

/// What is known of models by their digests.
#[derive(Clone, Debug, Default)]
pub struct CapabilityCache {
    /// `None`: the backend was asked, and its release does not tell.
    known: HashMap<String, Option<Capabilities>>,
}

// === impl Capabilities ===

impl Capabilities {
    /// Keeps what is plausible.
    pub fn new(mut names: Vec<String>) -> Self {
        names.retain(|name| !name.is_empty() && name.len() <= MAX_CAPABILITY);
        names.truncate(MAX_CAPABILITIES);
        Self(names.into())
    }

    /// Reads the body of `/api/show`; `None` if the backend's release does not tell.
    pub fn of_show(body: &[u8]) -> Result<Option<Self>, InventoryError> {
        #[derive(Deserialize)]
        struct Shown {
            capabilities: Option<Vec<String>>,
        }
        let shown: Shown =
            serde_json::from_slice(body).map_err(|e| InventoryError::Unreadable(e.to_string()))?;
        Ok(shown.capabilities.map(Self::new))
    }

    /// Whether `capability` is among them.
    pub fn has(&self, capability: &str) -> bool {
        self.0.iter().any(|name| name == capability)
    }

    /// The names, in the backend's order.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

// === impl CapabilityCache ===

impl CapabilityCache {
    /// What the model of a digest can do, as far as that is known.
    pub fn get(&self, digest: &str) -> Option<&Capabilities> {
        self.known.get(digest)?.as_ref()
    }

    /// Remembers an answer. A full cache takes none: it is made smaller by [`CapabilityCache::retain`].
    pub fn insert(&mut self, digest: &str, capabilities: Option<Capabilities>) {
        if self.known.len() < MAX_DIGESTS || self.known.contains_key(digest) {
            self.known.insert(digest.to_owned(), capabilities);
        }
    }

    /// The models whose `/api/show` is to be asked, as (name, digest): neither their list nor an earlier answer tells.
    pub fn missing<'a>(&'a self, disk: &'a Disk) -> impl Iterator<Item = (&'a str, &'a str)> {
        disk.models().iter().filter_map(|model| {
            let digest = model.digest.as_deref()?;
            let is_known = model.capabilities.is_some() || self.known.contains_key(digest);
            (!is_known).then_some((model.name.as_str(), digest))
        })
    }

    /// Forgets the digests that no backend has any more.
    pub fn retain<'a>(&mut self, disks: impl IntoIterator<Item = &'a Disk>) {
        let mut left = HashMap::with_capacity(self.known.len());
        for model in disks.into_iter().flat_map(Disk::models) {
            let known = model.digest.as_ref().and_then(|digest| self.known.remove_entry(digest));
            left.extend(known);
        }
        self.known = left;
    }
}
