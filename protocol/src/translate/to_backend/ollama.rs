//! What Ollama's chats and completions have in common.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::translate::Refused;
use crate::translate::chat::{Format, Media, Think};

/// The members that `POST /api/chat` and `POST /api/generate` share.
#[derive(Debug, Serialize)]
pub(super) struct Common<'c> {
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<Form<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keep_alive: Option<&'c Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) options: &'c Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) think: Option<Thinking<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) truncate: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shift: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_logprobs: Option<u64>,
}

/// The form of the answer: the word `json`, or a schema as the client wrote it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Form<'c> {
    Json(&'static str),
    Schema(&'c RawValue),
}

/// Whether to think, or how hard.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Thinking<'c> {
    Flag(bool),
    Level(&'c str),
}

// === impl Form ===

impl<'c> Form<'c> {
    pub(super) fn of(format: &'c Format) -> Option<Self> {
        match format {
            Format::Text => None,
            Format::Json => Some(Self::Json("json")),
            Format::Schema(named) => Some(Self::Schema(&named.text)),
        }
    }
}

// === impl Thinking ===

impl<'c> Thinking<'c> {
    pub(super) fn of(think: &'c Think) -> Self {
        match think {
            Think::Off => Self::Flag(false),
            Think::On => Self::Flag(true),
            Think::Level(level) => Self::Level(level),
        }
    }
}

/// Images and sounds, which both ride in `images`. What is still only named by a URL is refused.
pub(super) fn images(media: &[Media]) -> Result<Vec<&str>, Refused> {
    media.iter().map(image).collect()
}

fn image(media: &Media) -> Result<&str, Refused> {
    match media {
        Media::Inline { base64, .. } => Ok(base64),
        Media::Remote { field, refusal, .. } => Err(Refused::verbatim(field.as_str(), *refusal)),
    }
}
