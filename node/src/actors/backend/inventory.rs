//! What a backend has on its disk, with the look-ups that every request makes.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;
use ollamaflow_protocol::model::{canonical, same_model};
use ollamaflow_protocol::models::inventory::{Disk, DiskModel};

/// The models on the disk of a backend.
#[derive(Debug)]
pub(super) struct Inventory {
    disk: Arc<Disk>,
    /// Each request asks each backend for a model: by its hash, that costs the same however many there are.
    canonical: HashSet<Box<str>, RandomState>,
}

// === impl Inventory ===

impl Inventory {
    pub(super) fn new(disk: Arc<Disk>) -> Self {
        let canonical = disk.models().iter().map(|model| model.canonical.as_str().into()).collect();
        Self { disk, canonical }
    }

    pub(super) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// Whether there is a model of this canonical name.
    pub(super) fn has(&self, model: &str) -> bool {
        self.canonical.contains(model)
    }

    /// How the backend spells the model that a client names so; `None` if the client spells it so, too, or there is no
    /// such model.
    pub(super) fn spelling(&self, model: &str) -> Option<&str> {
        let mut names = self.names();
        if names.any(|name| name == model) || !self.has(&canonical(model)) {
            return None;
        }
        self.names().find(|name| same_model(name, model))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.disk.models().iter().map(|DiskModel { name, .. }| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ollamaflow_protocol::object::ApiFormat;

    use super::*;

    #[test]
    fn models_are_found_by_canonical_name_and_spelt_as_the_backend_does() {
        let body = Bytes::from_static(br#"{"data":[{"id":"Qwen/Qwen2.5-3B"},{"id":"b:7b"}]}"#);
        let inventory = Inventory::new(Arc::new(Disk::read(ApiFormat::OpenAI, &body).unwrap()));
        assert!(inventory.has("qwen/qwen2.5-3b:latest") && !inventory.has("Qwen/Qwen2.5-3B"));
        assert_eq!(inventory.spelling("qwen/qwen2.5-3b:latest"), Some("Qwen/Qwen2.5-3B"));
        assert_eq!(inventory.spelling("Qwen/Qwen2.5-3B"), None);
        assert_eq!(inventory.spelling("c"), None);
    }
}
