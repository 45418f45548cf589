//! The merged lists that were made last. A list whose inputs are the same is given again: it costs neither merging nor
//! writing. Clients that ask for a new one at once wait for the first of them to make it.

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::header::HeaderValue;
use bytes::Bytes;
use lru::LruCache;
use ollamaflow_protocol::id::{FrontendId, KeyId};
use ollamaflow_protocol::models::merge::{self, Merged, Visible};
use tokio::sync::OnceCell;

use super::Listing;
use super::inputs::Inputs;
use crate::actors::Query;
use crate::gateway::keyed;
use crate::gateway::refusal::Refusal;
use crate::keys::KeyHandle;

/// Most lists that are kept. Labels come from clients, so that their number is without bound.
const MOST_LISTS: usize = 32;

/// From so many entries on, merging takes longer than other requests of a worker should wait.
const MANY_ENTRIES: usize = 1000;

/// The lists of all frontends, shared by all workers.
#[derive(Debug)]
pub struct Lists {
    slots: Mutex<LruCache<Key, Arc<Slot>>>,
}

/// Whose list it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    frontend: FrontendId,
    listing: Listing,
    labels: Vec<Box<[u8]>>,
    /// The virtual key for whose models it is, and its revision; none for all models.
    by: Option<(KeyId, u64)>,
}

/// A list, or the place where it will be.
#[derive(Debug)]
struct Slot {
    inputs: Inputs,
    made: OnceCell<Made>,
}

/// A body and its tag, both ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) body: Bytes,
    pub(super) etag: HeaderValue,
}

// === impl Lists ===

impl Default for Lists {
    fn default() -> Self {
        // `LruCache::new` reserves its whole table.
        Self { slots: Mutex::new(LruCache::unbounded()) }
    }
}

impl Lists {
    /// The list that follows from `inputs`.
    ///
    /// # Errors
    /// Making it failed.
    pub(super) async fn get(
        &self,
        frontend: &FrontendId,
        listing: Listing,
        query: &Query,
        inputs: Inputs,
        by: Option<&Arc<KeyHandle>>,
    ) -> Result<Made, Refusal> {
        let by = by.filter(|by| by.scope().is_some());
        let whose = by.map(|by| (by.id().clone(), by.revision()));
        let key = Key { frontend: frontend.clone(), listing, labels: query.labels.to_vec(), by: whose };
        let slot = self.slot(key, inputs);
        slot.made.get_or_try_init(|| make(listing, &slot.inputs, by)).await.cloned()
    }

    fn slot(&self, key: Key, inputs: Inputs) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key).filter(|slot| slot.inputs.is_same(&inputs)) {
            return slot.clone();
        }
        let slot = Arc::new(Slot { inputs, made: OnceCell::new() });
        let replaced = slots.put(key, slot.clone());
        let superfluous = if slots.len() > MOST_LISTS { slots.pop_lru() } else { None };
        drop(slots);
        // Freeing lists may take longer than the lock should be held.
        drop((replaced, superfluous));
        slot
    }
}

async fn make(listing: Listing, inputs: &Inputs, by: Option<&Arc<KeyHandle>>) -> Result<Made, Refusal> {
    let inputs = inputs.clone().without_gone();
    if inputs.entries() < MANY_ENTRIES {
        return Ok(merged(listing, &inputs, by).into());
    }
    let by = by.cloned();
    let merging = actix_web::rt::task::spawn_blocking(move || merged(listing, &inputs, by.as_ref()));
    Ok(merging.await.map_err(|_| Refusal::Stopping)?.into())
}

fn merged(listing: Listing, inputs: &Inputs, by: Option<&Arc<KeyHandle>>) -> Merged {
    let merge = match listing {
        Listing::Tags => merge::tags,
        Listing::Ps => merge::ps,
        Listing::Models => merge::models,
    };
    let scope = by.and_then(|by| by.scope());
    let is_visible = |name: &str| scope.is_none_or(|scope| keyed::allows(scope, inputs.aliases(), name));
    let visible: Visible<'_> = if scope.is_some() { Some(&is_visible) } else { None };
    let merged = merge(&inputs.sources(), inputs.aliases(), visible);
    for conflict in &merged.conflicts {
        tracing::debug!(model = conflict.model, digests = ?conflict.digests, "backends differ about a model");
    }
    merged
}

// === impl Made ===

impl From<Merged> for Made {
    fn from(merged: Merged) -> Self {
        let etag = HeaderValue::from_str(&merged.etag).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        Self { body: merged.body.into(), etag }
    }
}

#[cfg(test)]
mod tests {
    use ollamaflow_protocol::models::inventory::{Disk, Memory};
    use ollamaflow_protocol::object::{ApiFormat, Backend, Frontend};
    use ollamaflow_protocol::route::Operation;
    use ollamaflow_protocol::time::Timestamp;

    use super::*;

    fn frontend() -> Arc<Frontend> {
        Arc::new(Frontend::new("f".parse().unwrap()))
    }

    fn backend(id: &str) -> Arc<Backend> {
        Arc::new(Backend::new(id.parse().unwrap()))
    }

    fn disk(model: &str) -> Arc<Disk> {
        let body = Bytes::from(format!(r#"{{"models":[{{"name":"{model}"}}]}}"#));
        Arc::new(Disk::read(ApiFormat::Ollama, &body).unwrap())
    }

    async fn get(lists: &Lists, listing: Listing, labels: &[&str], inputs: Inputs) -> Bytes {
        let mut query = Query::new(Operation::OllamaTags);
        query.labels = labels.iter().map(|label| label.as_bytes().into()).collect();
        lists.get(&"f".parse().unwrap(), listing, &query, inputs, None).await.unwrap().body
    }

    #[actix_rt::test]
    async fn a_list_is_made_once_from_the_same_inventories() {
        let lists = Lists::default();
        let (config, disk) = (frontend(), disk("a"));
        let inputs = |id| Inputs::with_disk(config.clone(), backend(id), disk.clone());
        let first = get(&lists, Listing::Tags, &[], inputs("b")).await;
        let again = get(&lists, Listing::Tags, &[], inputs("b")).await;
        assert_eq!(first.as_ptr(), again.as_ptr(), "the same memory");
        let labelled = get(&lists, Listing::Tags, &["gpu"], inputs("b")).await;
        assert_ne!(first.as_ptr(), labelled.as_ptr());
        assert_eq!(get(&lists, Listing::Tags, &[], inputs("b")).await.as_ptr(), first.as_ptr());
        assert_ne!(get(&lists, Listing::Models, &[], inputs("b")).await, first);
        assert_ne!(get(&lists, Listing::Tags, &[], inputs("c")).await.as_ptr(), first.as_ptr());
    }

    #[actix_rt::test]
    async fn another_inventory_or_other_aliases_make_another_list() {
        let lists = Lists::default();
        let (config, backend) = (frontend(), backend("b"));
        let inputs = |disk| Inputs::with_disk(config.clone(), backend.clone(), disk);
        let first = get(&lists, Listing::Tags, &[], inputs(disk("a"))).await;
        let second = get(&lists, Listing::Tags, &[], inputs(disk("c"))).await;
        assert_ne!(first, second);
        let mut other = Frontend::clone(&config);
        let renamed = serde_json::from_value(serde_json::json!({"x": "a"})).unwrap();
        other.model_aliases = renamed;
        let aliased = Inputs::with_disk(Arc::new(other), backend.clone(), disk("a"));
        let aliased = get(&lists, Listing::Tags, &[], aliased).await;
        assert!(String::from_utf8_lossy(&aliased).contains(r#""x""#));
    }

    #[actix_rt::test]
    async fn what_has_left_memory_is_not_listed() {
        let lists = Lists::default();
        let body = r#"{"models":[{"name":"a","expires_at":"2026-01-01T00:05:00Z"},{"name":"b"}]}"#;
        let memory = Arc::new(Memory::read(&Bytes::from_static(body.as_bytes())).unwrap());
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let (read, later) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:06:00Z"));
        let (config, backend) = (frontend(), backend("b"));
        let inputs = |read, now| {
            let gone = memory.gone(read, now).collect();
            Inputs::with_memory(config.clone(), backend.clone(), memory.clone(), gone)
        };
        let listed = async |read, now| {
            let body = get(&lists, Listing::Ps, &[], inputs(read, now)).await;
            String::from_utf8_lossy(&body).contains(r#""a""#)
        };
        assert!(listed(read, read).await);
        assert!(!listed(read, later).await);
        assert!(listed(later, later).await, "the backend still lists it: it is in use");
    }

    #[actix_rt::test]
    async fn no_more_lists_are_kept_than_that() {
        let lists = Lists::default();
        let (config, backend, disk) = (frontend(), backend("b"), disk("a"));
        for label in 0..2 * MOST_LISTS {
            let inputs = Inputs::with_disk(config.clone(), backend.clone(), disk.clone());
            get(&lists, Listing::Tags, &[&label.to_string()], inputs).await;
        }
        assert_eq!(lists.slots.lock().unwrap().len(), MOST_LISTS);
    }
}
