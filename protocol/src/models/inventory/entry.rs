//! One entry of a list of models: its fields, each read for itself, and its form in the other API.

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::capability::Capabilities;
use super::{MAX_ENTRY, MAX_NAME};
use crate::object::ApiFormat;
use crate::route::Operation;
use crate::time::Timestamp;
use crate::translate::{Occasion, Request};

/// Longest digest that is kept: `sha256:` and 64 digits have 71.
const MAX_DIGEST: usize = 256;

/// The fields of an entry in Ollama's form that anybody compares. A field of the wrong type counts as absent.
#[derive(Deserialize)]
pub(super) struct Fields<'b> {
    #[serde(borrow)]
    name: Option<&'b RawValue>,
    #[serde(borrow)]
    model: Option<&'b RawValue>,
    #[serde(borrow)]
    digest: Option<&'b RawValue>,
    #[serde(borrow)]
    size: Option<&'b RawValue>,
    #[serde(borrow)]
    size_vram: Option<&'b RawValue>,
    #[serde(borrow)]
    modified_at: Option<&'b RawValue>,
    #[serde(borrow)]
    expires_at: Option<&'b RawValue>,
    #[serde(borrow)]
    context_length: Option<&'b RawValue>,
    #[serde(borrow)]
    capabilities: Option<&'b RawValue>,
    #[serde(borrow)]
    details: Option<&'b RawValue>,
}

/// The fields of an entry in OpenAI's form that clients read.
#[derive(Deserialize)]
struct ListedFields<'b> {
    #[serde(borrow)]
    id: Option<&'b RawValue>,
    #[serde(borrow)]
    object: Option<&'b RawValue>,
    #[serde(borrow)]
    created: Option<&'b RawValue>,
    #[serde(borrow)]
    owned_by: Option<&'b RawValue>,
}

/// What Ollama's clients read of an entry's details.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only their types matter")]
struct Details {
    parent_model: Option<String>,
    format: Option<String>,
    family: Option<String>,
    families: Option<Vec<String>>,
    parameter_size: Option<String>,
    quantization_level: Option<String>,
}

/// Whether clients can read an entry of `/v1/models`.
pub(super) fn is_readable(raw: &RawValue) -> bool {
    let Ok(fields) = serde_json::from_str::<ListedFields<'_>>(raw.get()) else { return false };
    is_a::<String>(fields.id)
        && is_a::<String>(fields.object)
        && is_a::<serde_json::Number>(fields.created)
        && is_a::<String>(fields.owned_by)
}

/// A translation of an entry.
struct Form {
    /// What the client of the other API asks.
    question: Operation,
    /// The API of the backend.
    backend: ApiFormat,
    /// What makes a list of the one entry.
    opening: &'static str,
}

/// The answers that translation makes, with their one entry.
#[derive(Deserialize)]
struct Answered<'b> {
    #[serde(borrow, alias = "data")]
    models: Vec<&'b RawValue>,
}

const TAGS: Form =
    Form { question: Operation::OllamaTags, backend: ApiFormat::OpenAI, opening: "{\"data\":[" };
const PS: Form = Form { question: Operation::OllamaPs, backend: ApiFormat::OpenAI, opening: "{\"data\":[" };
const MODELS: Form =
    Form { question: Operation::OpenAiModels, backend: ApiFormat::Ollama, opening: "{\"models\":[" };

/// An entry of the one API's list of models, as the other API's list has it.
pub(super) fn in_form(format: ApiFormat, raw: &RawValue) -> Option<Bytes> {
    let form = if format == ApiFormat::Ollama { &TAGS } else { &MODELS };
    form.translated(raw, Timestamp::EPOCH)
}

/// An entry of `/v1/models`, as `/api/ps` has it.
pub(super) fn in_memory_form(raw: &RawValue, now: Timestamp) -> Option<Bytes> {
    PS.translated(raw, now)
}

// === impl Form ===

impl Form {
    /// By the translation of whole lists, so that merged lists and lists of one backend show the same.
    fn translated(&self, raw: &RawValue, now: Timestamp) -> Option<Bytes> {
        if raw.get().len() > MAX_ENTRY {
            return None;
        }
        let body = [self.opening, raw.get(), "]}"].concat();
        let occasion = Occasion { now, nonce: 0 };
        let mut asked = Request::read(self.question, None, b"").ok()?.write(self.backend, occasion).ok()?;
        let answer = asked.answer.whole("application/json", body.as_bytes(), now).ok()?;
        let answered: Answered<'_> = serde_json::from_slice(&answer).ok()?;
        let entry = answered.models.first()?;
        Some(Bytes::copy_from_slice(entry.get().as_bytes()))
    }
}

// === impl Fields ===

impl Fields<'_> {
    /// The first that is not empty, as everywhere.
    pub(super) fn name(&self) -> Option<String> {
        let names = [self.model, self.name].into_iter().filter_map(value::<String>);
        names.into_iter().find(|name| {
            !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
        })
    }

    /// Whether clients can read the entry: those of Ollama give up the whole list for one field of another type.
    pub(super) fn are_readable(&self) -> bool {
        let is_name = |raw: Option<&RawValue>| {
            value::<String>(raw).is_none_or(|name| !name.chars().any(char::is_control))
        };
        let texts = [self.model, self.name, self.digest];
        texts.into_iter().all(is_a::<String>)
            && [self.model, self.name].into_iter().all(is_name)
            && [self.size, self.size_vram, self.context_length].into_iter().all(is_size)
            && [self.modified_at, self.expires_at].into_iter().all(is_date)
            && is_a::<Vec<String>>(self.capabilities)
            && is_a::<Details>(self.details)
    }

    pub(super) fn digest(&self) -> Option<String> {
        value::<String>(self.digest).filter(|digest| !digest.is_empty() && digest.len() <= MAX_DIGEST)
    }

    pub(super) fn size(&self) -> u64 {
        value(self.size).unwrap_or_default()
    }

    pub(super) fn size_vram(&self) -> u64 {
        value(self.size_vram).unwrap_or_default()
    }

    pub(super) fn context_length(&self) -> u64 {
        value(self.context_length).unwrap_or_default()
    }

    pub(super) fn modified_at(&self) -> Option<Timestamp> {
        value(self.modified_at)
    }

    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        value(self.expires_at)
    }

    pub(super) fn capabilities(&self) -> Option<Capabilities> {
        value::<Vec<String>>(self.capabilities).map(Capabilities::new)
    }
}

/// Whether it is of this type, null or absent.
fn is_a<T: DeserializeOwned>(raw: Option<&RawValue>) -> bool {
    raw.is_none_or(|raw| serde_json::from_str::<Option<T>>(raw.get()).is_ok())
}

/// Whether it is a number of bytes or tokens, as Ollama's own client takes it, null or absent.
fn is_size(raw: Option<&RawValue>) -> bool {
    is_a::<i64>(raw) && value::<i64>(raw).is_none_or(|size| size >= 0)
}

/// Whether it is a date with a time, null or absent.
fn is_date(raw: Option<&RawValue>) -> bool {
    is_a::<Timestamp>(raw) && value::<String>(raw).is_none_or(|text| text.contains(['T', 't']))
}

fn value<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}
