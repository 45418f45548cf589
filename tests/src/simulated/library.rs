//! The disk of a simulated backend: models, which are manifests of layers, and the blobs these layers are. Blobs are stored
//! once, whoever needs them: models share them, and the last model that goes takes them along.

mod manifest;
mod name;
mod spec;
mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;

use self::store::BlobStore;

pub use self::name::sha256;
pub use self::spec::ModelSpec;

pub(super) use self::manifest::{Layer, Manifest, WEIGHTS};
pub(super) use self::name::{canonical, digest_text, fingerprint, fingerprint_on, hex_of, tagged};
pub(super) use self::store::{DiskFull, Pace, Standing};

/// A model with what the disk adds.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    pub spec: ModelSpec,
    pub manifest: Manifest,
    /// Of the manifest: 64 hex digits, the same for the same version of a model on each backend.
    pub digest: String,
    pub modified_at: Timestamp,
}

/// A whole blob on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// Installed models which have it as a layer; an uploaded one has none at first.
    pub references: usize,
}

/// The disk. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Library {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By canonical name.
    models: BTreeMap<String, Installed>,
    blobs: BlobStore,
}

/// A client's part in the download of a blob, given up by dropping it.
#[derive(Debug)]
pub(super) struct Download {
    library: Library,
    digest: String,
}

impl Library {
    pub(super) fn new(models: &[ModelSpec]) -> Self {
        let library = Self::default();
        library.replace(models);
        library
    }

    /// Makes these the only models and forgets all other blobs.
    pub(super) fn replace(&self, models: &[ModelSpec]) {
        *self.locked() = Inner::default();
        for model in models {
            self.install(model.clone());
        }
    }

    /// Puts a published model on disk, with all its blobs, whatever room there is.
    pub(super) fn install(&self, spec: ModelSpec) {
        let manifest = Manifest::published(&spec);
        self.link(spec, manifest);
    }

    /// Gives a model its name, and removes the blobs that only its predecessor needed; whether there were any.
    pub(super) fn link(&self, mut spec: ModelSpec, manifest: Manifest) -> bool {
        spec.name = tagged(&spec.name);
        spec.size = manifest.size();
        let (key, digest) = (canonical(&spec.name), manifest.digest());
        let mut inner = self.locked();
        for layer in manifest.blobs() {
            // Without a capacity this is refused by the limit of blobs only, and then nothing depends on it.
            inner.blobs.put(&layer.digest, layer.size, 0).unwrap_or_default();
        }
        let installed = Installed { spec, manifest, digest, modified_at: Timestamp::now() };
        let predecessor = inner.models.insert(key, installed);
        predecessor.is_some_and(|model| inner.release(&model.manifest) > 0)
    }

    pub(super) fn find(&self, name: &str) -> Option<Installed> {
        self.locked().models.get(&canonical(name)).cloned()
    }

    /// Removes a model, and the blobs no other one needs.
    pub(super) fn remove(&self, name: &str) -> Option<Installed> {
        let mut inner = self.locked();
        let removed = inner.models.remove(&canonical(name))?;
        inner.release(&removed.manifest);
        Some(removed)
    }

    /// Newest first, as Ollama lists them.
    pub(super) fn list(&self) -> Vec<Installed> {
        let mut models: Vec<_> = self.locked().models.values().cloned().collect();
        models.sort_by_key(|model| std::cmp::Reverse(model.modified_at));
        models
    }

    /// Stores an uploaded blob; whether it is new. No room beyond `capacity` bytes, 0 for no limit.
    pub(super) fn put_blob(&self, digest: &str, size: u64, capacity: u64) -> Result<bool, DiskFull> {
        self.locked().blobs.put(&colon_form(digest), size, capacity)
    }

    /// The size of a whole blob.
    pub(super) fn blob_size(&self, digest: &str) -> Option<u64> {
        self.locked().blobs.size(&colon_form(digest))
    }

    /// Bytes of a blob which was not downloaded to its end.
    pub(super) fn partial(&self, digest: &str) -> Option<u64> {
        self.locked().blobs.partial(&colon_form(digest))
    }

    pub(super) fn blobs(&self) -> Vec<StoredBlob> {
        let inner = self.locked();
        let stored = |(digest, size): (&String, u64)| StoredBlob {
            digest: digest.clone(),
            size,
            references: inner.references(digest),
        };
        inner.blobs.whole().map(stored).collect()
    }

    /// Takes part in the download of a layer, unless its blob is here.
    pub(super) fn download(&self, layer: &Layer) -> Option<Download> {
        let mut inner = self.locked();
        if inner.blobs.size(&layer.digest).is_some() {
            return None;
        }
        inner.blobs.join(&layer.digest, layer.size);
        drop(inner);
        Some(Download { library: self.clone(), digest: layer.digest.clone() })
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn references(&self, digest: &str) -> usize {
        let needs = |model: &&Installed| model.manifest.blobs().any(|layer| layer.digest == digest);
        self.models.values().filter(needs).count()
    }

    /// Removes the blobs of a manifest that no model has any more; gives their number.
    fn release(&mut self, manifest: &Manifest) -> usize {
        let unused: Vec<_> = manifest.blobs().filter(|layer| self.references(&layer.digest) == 0).collect();
        for layer in &unused {
            self.blobs.remove(&layer.digest);
        }
        unused.len()
    }
}

impl Download {
    /// Bytes that are here.
    pub(super) fn completed(&self) -> u64 {
        self.library.partial(&self.digest).unwrap_or(0)
    }

    /// Takes the steps that are due, but none beyond `limit` bytes. Gives the bytes that came, too.
    pub(super) fn step(&self, pace: Pace, limit: u64, capacity: u64) -> Result<(u64, Standing), DiskFull> {
        self.library.locked().blobs.step(&self.digest, Instant::now(), pace, limit, capacity)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.library.locked().blobs.leave(&self.digest);
    }
}

/// `sha256:`, where `sha256-` is as good.
fn colon_form(digest: &str) -> String {
    digest.replacen('-', ":", 1).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(library: &Library) -> Vec<String> {
        library.blobs().into_iter().map(|blob| blob.digest).collect()
    }

    #[test]
    fn copies_share_blobs_and_the_last_of_them_takes_the_blobs_along() {
        let library = Library::new(&[ModelSpec::named("a"), ModelSpec::named("b")]);
        let before = digests(&library);
        let model = library.find("a").unwrap();
        library.link(ModelSpec { name: "copy".to_owned(), ..model.spec }, model.manifest.clone());
        assert_eq!(digests(&library), before);
        let shared = library.blobs().into_iter().filter(|blob| blob.references == 2).count();
        assert_eq!(shared, model.manifest.blobs().count());
        library.remove("a").unwrap();
        assert_eq!(digests(&library), before);
        library.remove("copy").unwrap();
        assert_eq!(library.blobs().len(), before.len() - model.manifest.blobs().count());
        assert!(library.remove("copy").is_none());
    }

    #[test]
    fn a_new_version_of_a_model_removes_what_only_the_old_one_needed() {
        let library = Library::new(&[ModelSpec::named("a")]);
        let before = library.find("a").unwrap();
        library.install(ModelSpec::named("a").in_version(2));
        let after = library.find("a").unwrap();
        assert_ne!(before.digest, after.digest);
        let expected: std::collections::BTreeSet<_> =
            after.manifest.blobs().map(|layer| layer.digest.clone()).collect();
        assert_eq!(digests(&library), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn an_uploaded_blob_stays_without_a_model() {
        let library = Library::default();
        assert_eq!(library.put_blob(&sha256("x"), 1, 0), Ok(true));
        let stored = StoredBlob { digest: sha256("x"), size: 1, references: 0 };
        assert_eq!(library.blobs(), [stored]);
        assert_eq!(library.blob_size(&sha256("x").replace(':', "-")), Some(1));
    }
}
