//! What one backend has: models on its disk, in its memory, and what they can do.
//!
//! In: the bodies of `/api/tags`, `/v1/models`, `/api/ps` and `/api/show`. Out: models with both their names, and each
//! entry as it stands in the list, so that a merged list loses nothing, whatever the backend's release tells. Entries in
//! the form of the *other* API are made here too, once for each list that is read and not once for each client.
//!
//! Reading is lenient: a null list is empty, unknown members are kept, entries without a name are passed over. A body
//! without a list is an error, since a backend that is known to have no models gets no requests. An entry with a name and
//! members of other types than the API's counts as a model that is there, but is not to be shown to clients: theirs give up
//! the whole list for it.

mod capability;
mod entry;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

pub use self::capability::{Capabilities, CapabilityCache};

use self::entry::{Fields, in_form, in_memory_form, is_readable};
use crate::model::canonical;
use crate::object::ApiFormat;
use crate::time::Timestamp;

/// Most models that one list may have.
pub const MAX_MODELS: usize = 10_000;
/// Longest entry of a list, in bytes; Ollama's have about 400.
pub const MAX_ENTRY: usize = 64 * 1024;
/// Longest name of a model, in bytes: Ollama's own bounds come to 350 for the host and 80 for each other part.
pub const MAX_NAME: usize = 1024;

/// Why a body gives no inventory.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InventoryError {
    /// The body is not the answer that it should be.
    #[error("the list of models cannot be read: {0}")]
    Unreadable(String),
    /// The list is too long to be kept.
    #[error("the list has {0} models, and at most {MAX_MODELS} are read")]
    TooMany(usize),
}

/// A model that a backend can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskModel {
    /// Its name, as the backend lists it.
    pub name: String,
    /// Its name for comparisons.
    pub canonical: String,
    /// The digest of its manifest; `None` if the backend does not tell: those of OpenAI's API have none.
    pub digest: Option<String>,
    /// Bytes on the disk; 0 if unknown.
    pub size: u64,
    /// When it came to the backend; the epoch if unknown.
    pub modified_at: Timestamp,
    /// What it can do, if the list tells.
    pub capabilities: Option<Capabilities>,
    /// Its entry in `/api/tags`.
    pub(super) tag: Bytes,
    /// Its entry in `/v1/models`.
    pub(super) listed: Bytes,
    /// Whether clients can read its entries.
    pub(super) is_readable: bool,
}

/// What a backend has on its disk, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// In the order of the backend's list.
    models: Vec<DiskModel>,
    /// Positions in `models`, by canonical name.
    by_name: Vec<u32>,
    /// Entries that clients cannot read.
    left_out: usize,
}

/// A model in a backend's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedModel {
    /// Its name, as the backend lists it.
    pub name: String,
    /// Its name for comparisons.
    pub canonical: String,
    /// The digest of its manifest, if the backend tells it.
    pub digest: Option<String>,
    /// Bytes in memory of any kind; 0 if unknown.
    pub size: u64,
    /// Bytes in the memory of GPUs; 0 if unknown.
    pub size_vram: u64,
    /// When it leaves memory; `None` if unknown.
    pub expires_at: Option<Timestamp>,
    /// Length of its context, in tokens; 0 if unknown.
    pub context_length: u64,
    /// Its entry in `/api/ps`.
    pub(super) process: Bytes,
    /// Whether clients can read its entry.
    pub(super) is_readable: bool,
}

/// What a backend has in memory, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    models: Vec<LoadedModel>,
}

#[derive(Deserialize)]
struct Tags<'b> {
    #[serde(borrow, deserialize_with = "Deserialize::deserialize")]
    models: Option<Vec<&'b RawValue>>,
}

#[derive(Deserialize)]
struct List<'b> {
    #[serde(borrow, deserialize_with = "Deserialize::deserialize")]
    data: Option<Vec<&'b RawValue>>,
}

// === impl Disk ===

impl Disk {
    /// Reads the list of a backend: `/v1/models` of one of OpenAI's API, `/api/tags` of any other. The entries share the
    /// memory of `body`.
    pub fn read(format: ApiFormat, body: &Bytes) -> Result<Self, InventoryError> {
        let entries = entries(format, body)?;
        let listed = entries.len();
        let models: Vec<_> =
            entries.into_iter().filter_map(|raw| DiskModel::read(format, body, raw)).collect();
        let left_out = listed - models.iter().filter(|model| model.is_readable).count();
        let mut by_name: Vec<u32> = (0u32..).take(models.len()).collect();
        by_name.sort_by(|a, b| name_at(&models, *a).cmp(name_at(&models, *b)));
        Ok(Self { models, by_name, left_out })
    }

    /// The models, in the order of the backend's list.
    pub fn models(&self) -> &[DiskModel] {
        &self.models
    }

    /// How many entries of the list are not in the lists of clients, because those could not read them.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The model of this canonical name.
    pub fn find(&self, canonical: &str) -> Option<&DiskModel> {
        let found = self.by_name.binary_search_by(|at| name_at(&self.models, *at).cmp(canonical)).ok()?;
        self.models.get(*self.by_name.get(found)? as usize)
    }

    /// The models that satisfy the wish for `wanted`, see [`super::satisfies`].
    pub fn satisfying<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a DiskModel> {
        self.models.iter().filter(move |model| super::satisfies(wanted, &model.name))
    }
}

// === impl DiskModel ===

impl DiskModel {
    fn read(format: ApiFormat, body: &Bytes, raw: &RawValue) -> Option<Self> {
        let is_openai = format == ApiFormat::OpenAI;
        let native = sliced(body, raw)?;
        let (tag, listed) = if is_openai {
            (in_form(ApiFormat::Ollama, raw)?, native)
        } else {
            let listed = in_form(ApiFormat::OpenAI, raw)?;
            (native, listed)
        };
        // Read from Ollama's form in both cases: what translation makes of a date is then what is shown and compared.
        let fields: Fields<'_> = serde_json::from_slice(&tag).ok()?;
        let name = fields.name()?;
        Some(Self {
            canonical: canonical(&name),
            name,
            digest: fields.digest().filter(|_| !is_openai),
            size: fields.size(),
            modified_at: fields.modified_at().unwrap_or(Timestamp::EPOCH),
            capabilities: fields.capabilities(),
            is_readable: fields.are_readable() && (!is_openai || is_readable(raw)),
            tag,
            listed,
        })
    }
}

// === impl Memory ===

impl Memory {
    /// Reads the body of `/api/ps`. The entries share the memory of `body`.
    pub fn read(body: &Bytes) -> Result<Self, InventoryError> {
        let models = entries(ApiFormat::Ollama, body)?;
        let models = models.into_iter().filter_map(|raw| {
            let fields = serde_json::from_str(raw.get()).ok()?;
            LoadedModel::read(&fields, sliced(body, raw)?)
        });
        Ok(Self { models: models.collect() })
    }

    /// What a backend of OpenAI's API has in memory: what it lists in `/v1/models`, and for ever, see
    /// `docs/translation.md`.
    pub fn of_list(body: &Bytes, now: Timestamp) -> Result<Self, InventoryError> {
        let models = entries(ApiFormat::OpenAI, body)?.into_iter().filter_map(|raw| {
            let process = in_memory_form(raw, now)?;
            let fields = serde_json::from_slice(&process).ok()?;
            let model = LoadedModel::read(&fields, process.clone())?;
            let is_readable = model.is_readable && is_readable(raw);
            Some(LoadedModel { digest: None, is_readable, ..model })
        });
        Ok(Self { models: models.collect() })
    }

    /// The models, in the order of the backend's list.
    pub fn models(&self) -> &[LoadedModel] {
        &self.models
    }

    /// How many models are not in the lists of clients, because those could not read their entries.
    pub fn left_out(&self) -> usize {
        self.models.iter().filter(|model| !model.is_readable).count()
    }

    /// The places of the models that have left memory by `now`, given that the list was read at `read_at`. What is in
    /// use stays beyond its time, and a backend's clock may be wrong: so one that had expired when it was listed has not
    /// left.
    pub fn gone(&self, read_at: Timestamp, now: Timestamp) -> impl Iterator<Item = usize> {
        let has_left = move |at: Timestamp| read_at < at && at <= now;
        self.models
            .iter()
            .enumerate()
            .filter(move |(_, model)| model.expires_at.is_some_and(has_left))
            .map(|(place, _)| place)
    }

    /// The same without the models at these places.
    #[must_use]
    pub fn without(&self, places: &[usize]) -> Self {
        let left = self.models.iter().enumerate().filter(|(place, _)| !places.contains(place));
        Self { models: left.map(|(_, model)| model.clone()).collect() }
    }

    /// The model of this canonical name. There are few: memory is small.
    pub fn find(&self, canonical: &str) -> Option<&LoadedModel> {
        self.models.iter().find(|model| model.canonical == canonical)
    }
}

// === impl LoadedModel ===

impl LoadedModel {
    fn read(fields: &Fields<'_>, process: Bytes) -> Option<Self> {
        let name = fields.name()?;
        Some(Self {
            canonical: canonical(&name),
            name,
            digest: fields.digest(),
            size: fields.size(),
            size_vram: fields.size_vram(),
            expires_at: fields.expires_at(),
            context_length: fields.context_length(),
            process,
            is_readable: fields.are_readable(),
        })
    }
}

// === helpers ===

fn entries(format: ApiFormat, body: &Bytes) -> Result<Vec<&RawValue>, InventoryError> {
    let read = if format == ApiFormat::OpenAI {
        serde_json::from_slice::<List<'_>>(body).map(|list| list.data)
    } else {
        serde_json::from_slice::<Tags<'_>>(body).map(|tags| tags.models)
    };
    let entries = read.map_err(|e| InventoryError::Unreadable(e.to_string()))?.unwrap_or_default();
    if entries.len() > MAX_MODELS { Err(InventoryError::TooMany(entries.len())) } else { Ok(entries) }
}

/// The entry as a part of the body's memory.
fn sliced(body: &Bytes, raw: &RawValue) -> Option<Bytes> {
    (raw.get().len() <= MAX_ENTRY).then(|| body.slice_ref(raw.get().as_bytes()))
}

fn name_at(models: &[DiskModel], at: u32) -> &str {
    models.get(at as usize).map_or("", |model| &model.canonical)
}

#[cfg(test)]
mod tests;
