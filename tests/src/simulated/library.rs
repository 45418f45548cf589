//! The models a simulated backend has on its disk, and the blobs it was sent. Names are compared as Ollama compares them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Blob digests remembered at most; uploads above it are accepted and forgotten.
const BLOB_LIMIT: usize = 1024;

/// An installed model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSpec {
    /// The name, as listed; `:latest` is added when there is no tag.
    pub name: String,
    /// Bytes on disk and in memory.
    pub size: u64,
    /// The family, such as `llama`.
    pub family: String,
    /// Parameters, as text.
    pub parameter_size: String,
    /// Quantisation.
    pub quantization_level: String,
    /// What it can do: `completion`, `tools`, `thinking`, `embedding`, ...
    pub capabilities: Vec<String>,
}

impl Default for ModelSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            size: 5_793_715,
            family: "llama".to_owned(),
            parameter_size: "1.45M".to_owned(),
            quantization_level: "F32".to_owned(),
            capabilities: ["completion", "tools", "embedding"].map(str::to_owned).to_vec(),
        }
    }
}

impl ModelSpec {
    /// A small model which can chat and embed.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The same with exactly these capabilities.
    #[must_use]
    pub fn with_capabilities<C: Into<String>>(mut self, capabilities: impl IntoIterator<Item = C>) -> Self {
        self.capabilities = capabilities.into_iter().map(Into::into).collect();
        self
    }

    /// Whether it can do this.
    pub(super) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|have| have == capability)
    }

    pub(super) fn details(&self) -> Value {
        json!({
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.parameter_size,
            "quantization_level": self.quantization_level,
        })
    }
}

impl From<&str> for ModelSpec {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

/// A model with what the disk adds.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    pub spec: ModelSpec,
    /// 64 hex digits, the same for the same name on each backend.
    pub digest: String,
    pub modified_at: Timestamp,
}

/// The disk.
#[derive(Debug)]
pub(super) struct Library {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By canonical name.
    models: BTreeMap<String, Installed>,
    /// Sizes by digest.
    blobs: BTreeMap<String, u64>,
}

impl Library {
    pub(super) fn new(models: &[ModelSpec]) -> Self {
        let library = Self { inner: Mutex::default() };
        library.replace(models);
        library
    }

    /// Makes these the only models and forgets all blobs.
    pub(super) fn replace(&self, models: &[ModelSpec]) {
        *self.locked() = Inner::default();
        for model in models {
            self.install(model.clone());
        }
    }

    pub(super) fn install(&self, mut spec: ModelSpec) {
        spec.name = tagged(&spec.name);
        let key = canonical(&spec.name);
        let digest = digest_of(&key);
        self.locked().models.insert(key, Installed { spec, digest, modified_at: Timestamp::now() });
    }

    pub(super) fn find(&self, name: &str) -> Option<Installed> {
        self.locked().models.get(&canonical(name)).cloned()
    }

    pub(super) fn remove(&self, name: &str) -> Option<Installed> {
        self.locked().models.remove(&canonical(name))
    }

    /// Newest first, as Ollama lists them.
    pub(super) fn list(&self) -> Vec<Installed> {
        let mut models: Vec<_> = self.locked().models.values().cloned().collect();
        models.sort_by_key(|model| std::cmp::Reverse(model.modified_at));
        models
    }

    /// Remembers a blob; whether it was there before.
    pub(super) fn put_blob(&self, digest: &str, size: u64) -> bool {
        let mut inner = self.locked();
        let known = inner.blobs.contains_key(digest);
        if known || inner.blobs.len() < BLOB_LIMIT {
            inner.blobs.insert(digest.to_owned(), size);
        }
        known
    }

    pub(super) fn has_blob(&self, digest: &str) -> bool {
        self.locked().blobs.contains_key(digest)
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name with its tag: `m` is `m:latest`.
pub(super) fn tagged(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

/// The form in which names are compared: lower case, tagged, without the default host and namespace.
pub(super) fn canonical(name: &str) -> String {
    let name = tagged(&name.trim().to_lowercase());
    let name = name.strip_prefix("registry.ollama.ai/").unwrap_or(&name);
    name.strip_prefix("library/").unwrap_or(name).to_owned()
}

/// Whether text is `sha256:` (or `sha256-`) and 64 hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha256-"));
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A stand-in for a model's digest: 64 hex digits made from its name.
pub(super) fn digest_of(name: &str) -> String {
    let mut dice = fastrand::Rng::with_seed(fingerprint(name));
    format!("{:032x}{:032x}", dice.u128(..), dice.u128(..))
}

/// FNV-1a: stable over builds and machines, unlike the standard library's hasher.
pub(super) fn fingerprint(text: &str) -> u64 {
    fingerprint_on(0xcbf2_9ce4_8422_2325, text)
}

/// The fingerprint of a text that goes on, from that of its beginning.
pub(super) fn fingerprint_on(beginning: u64, text: &str) -> u64 {
    text.bytes().fold(beginning, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_name_are_one_model() {
        for name in
            ["llama3.2", "LLAMA3.2:latest", "library/llama3.2", "registry.ollama.ai/library/llama3.2:latest"]
        {
            assert_eq!(canonical(name), "llama3.2:latest");
        }
        assert_eq!(canonical("host:5000/ns/m"), "host:5000/ns/m:latest");
        assert_ne!(canonical("m:7b"), canonical("m"));
    }
}
