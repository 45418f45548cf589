//! Pinned properties in the API in which a backend is finally addressed.
//!
//! Pins are written once, in Ollama's form or in OpenAI's, and have to hold for every client at every backend. What a
//! pinned member becomes, by what it asks for (in Ollama's names):
//!
//! | asks for | also read from | Ollama | chat | completion | responses | messages |
//! |---|---|---|---|---|---|---|
//! | `num_predict` | `max_tokens`, `max_completion_tokens`, `max_output_tokens` | `options.` | `max_tokens` | `max_tokens` | `max_output_tokens` | `max_tokens` |
//! | `temperature`, `top_p` | | `options.` | same | same | same | same |
//! | `stop` | | `options.` | same | same | lost | `stop_sequences` |
//! | `seed`, `frequency_penalty`, `presence_penalty` | | `options.` | same | same | lost | lost |
//! | `top_k` | | `options.` | lost | lost | lost | same |
//! | `format` | `response_format` | same | `response_format` | lost | `text.format` | lost |
//! | `think` | `reasoning.effort`, `reasoning_effort` | same | `reasoning_effort` | lost | `reasoning.effort` | `thinking.type`, `output_config.effort` |
//! | `keep_alive`, `truncate`, `shift` | | same | lost | lost | lost | lost |
//! | other options | | `options.` | lost | lost | lost | lost |
//!
//! - Options count below `options` and at the top level. Those that are none of OpenAI's own pass at the top level as they
//!   are to a backend that is no Ollama, since engines take them there (vLLM `top_k`, `min_p`).
//! - Embeddings requests of OpenAI's API have a word for none of it.
//! - Ollama's own `/v1` passes over what its code does not name, and over `think` in any form of ours, as what a client
//!   writes in `reasoning` would win over it. There all that is lost is to be had by a request in Ollama's own API.
//! - Members that no API is known to have for any of this pass as they are, such as `model` or vLLM's `guided_json`.
//! - What is pinned in the form of the API itself wins over all that is mapped to it.
//! - That no other word of the client for the same wins over a pin is seen to when they are merged into its body
//!   ([`merge_pins`](crate::json::merge_pins)).
//! - A pinned null stays a null: it takes out what the client says.

mod value;

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::to_backend::OPTIONS;
use crate::object::ApiFormat;
use crate::route::Operation;

/// Pins as a backend understands them.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped<'a> {
    /// To be merged into the body.
    pub pins: Cow<'a, Map<String, Value>>,
    /// What the backend's API has no word for, as it was written: `options.num_ctx`, `keep_alive`.
    pub lost: Vec<String>,
}

/// The pins for a request. `operation` is what a backend of `format` is asked, which need not be what the client asked.
///
/// Pins that are in the form of its API already are given as they are.
pub fn for_operation(pins: &Map<String, Value>, operation: Operation, format: ApiFormat) -> Mapped<'_> {
    match Form::of(operation, format) {
        Some(form) if !pins.keys().all(|name| form.takes(name)) => form.map(pins),
        _ => Mapped { pins: Cow::Borrowed(pins), lost: Vec::new() },
    }
}

/// Options that both APIs have, by the same name.
const SHARED: [&str; 6] = ["temperature", "top_p", "seed", "stop", "frequency_penalty", "presence_penalty"];

/// Members of Ollama's requests that the other APIs have not, or not by this name.
const NATIVE: [&str; 6] = ["options", "format", "think", "keep_alive", "truncate", "shift"];

/// Members that give way to another one for the same (`openai/openai.go`; what upstream ignores comes last).
const SECOND: [&str; 2] = ["max_completion_tokens", "reasoning_effort"];

/// The form of a request at a backend.
#[derive(Clone, Copy, Debug)]
struct Form {
    api: Api,
    /// It is Ollama's layer for an API that is not its own.
    is_layer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Native,
    Chat,
    Completion,
    Embeddings,
    Responses,
    Messages,
}

/// Where a value goes.
#[derive(Clone, Copy, Debug)]
enum Place<'n> {
    Top(&'n str),
    In(&'static str, &'n str),
}

/// What a member asks for, in Ollama's name; `None` for what is of no concern here.
fn property(name: &str) -> Option<&str> {
    match name {
        "max_tokens" | "max_completion_tokens" | "max_output_tokens" => Some("num_predict"),
        "response_format" => Some("format"),
        "reasoning" | "reasoning_effort" => Some("think"),
        name if NATIVE.contains(&name) || OPTIONS.contains(&name) => Some(name),
        _ => None,
    }
}

// === impl Form ===

impl Form {
    fn of(operation: Operation, format: ApiFormat) -> Option<Self> {
        let api = match operation {
            Operation::OllamaChat
            | Operation::OllamaGenerate
            | Operation::OllamaEmbed
            | Operation::OllamaEmbeddings => Api::Native,
            Operation::OpenAiChat => Api::Chat,
            Operation::OpenAiCompletion => Api::Completion,
            Operation::OpenAiEmbeddings => Api::Embeddings,
            Operation::OpenAiResponses => Api::Responses,
            Operation::AnthropicMessages => Api::Messages,
            _ => return None,
        };
        Some(Self { api, is_layer: format == ApiFormat::Ollama && api != Api::Native })
    }

    /// Whether a member stays as it is.
    fn takes(self, name: &str) -> bool {
        property(name).is_none() || self.has(name)
    }

    /// Whether a member that asks for something known is a word of this form.
    fn has(self, name: &str) -> bool {
        let is_extension = OPTIONS.contains(&name) && !SHARED.contains(&name) && name != "num_predict";
        let is_named = match self.api {
            Api::Native => return NATIVE.contains(&name),
            Api::Chat => match name {
                "max_tokens" | "response_format" | "reasoning" | "reasoning_effort" => true,
                "max_completion_tokens" => !self.is_layer,
                _ => SHARED.contains(&name),
            },
            Api::Completion => match name {
                "max_tokens" => true,
                // Engines have it, though OpenAI has not.
                "response_format" => !self.is_layer,
                _ => SHARED.contains(&name),
            },
            Api::Embeddings => false,
            Api::Responses => matches!(name, "max_output_tokens" | "temperature" | "top_p" | "reasoning"),
            Api::Messages => matches!(name, "max_tokens" | "temperature" | "top_p" | "top_k"),
        };
        is_named || (is_extension && !self.is_layer)
    }

    fn map(self, pins: &Map<String, Value>) -> Mapped<'_> {
        let own = pins.iter().filter(|(name, _)| self.takes(name));
        let mut mapped: Map<String, Value> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut lost = Vec::new();
        let foreign = pins.iter().filter(|(name, _)| !self.takes(name));
        let (second, first): (Vec<_>, Vec<_>) =
            foreign.partition(|(name, _)| SECOND.contains(&name.as_str()));
        for (name, value) in first.into_iter().chain(second) {
            match value {
                Value::Object(options) if name == "options" => {
                    for (option, value) in options {
                        self.put(option, value, &mut mapped)
                            .unwrap_or_else(|| lost.push(format!("options.{option}")));
                    }
                }
                value => self.put(name, value, &mut mapped).unwrap_or_else(|| lost.push(name.clone())),
            }
        }
        Mapped { pins: Cow::Owned(mapped), lost }
    }

    /// Puts what `name` asks for in its place, unless something has that already; `None` if there is no place, though
    /// something is asked for.
    fn put(self, name: &str, value: &Value, mapped: &mut Map<String, Value>) -> Option<()> {
        let asked = property(name).and_then(|property| Some((property, value::neutral(name, value)?)));
        let placed = asked.and_then(|(property, value)| self.place(property, value));
        let Some((place, said)) = placed else { return value.is_null().then_some(()) };
        let is_pinned = |own: &String| property(own).is_some() && property(own) == property(name);
        match place {
            Place::In(outer, inner) => {
                let outer = mapped.entry(outer).or_insert_with(|| Map::new().into()).as_object_mut()?;
                outer.entry(inner).or_insert(said);
            }
            Place::Top(_) if mapped.keys().any(is_pinned) => {}
            Place::Top(word) => {
                mapped.entry(word).or_insert(said);
            }
        }
        Some(())
    }

    /// Where something goes that is no word of this form, and as what.
    fn place(self, property: &str, value: Value) -> Option<(Place<'_>, Value)> {
        use Place::{In, Top};
        if self.is_layer && property == "think" {
            return None;
        }
        Some(match (self.api, property) {
            (Api::Native, "format" | "think") => (Top(property), value),
            (Api::Native, option) => (In("options", option), value),
            (Api::Chat | Api::Completion, "num_predict") => (Top("max_tokens"), value::limit(value)?),
            (Api::Chat | Api::Completion, "seed") => (Top("seed"), value::seed(value)),
            (Api::Chat | Api::Completion, option) if SHARED.contains(&option) => (Top(option), value),
            (Api::Chat, "format") => (Top("response_format"), value::response_format(value)?),
            (Api::Chat, "think") => (Top("reasoning_effort"), value::effort(value)?),
            (Api::Responses, "num_predict") => (Top("max_output_tokens"), value::limit(value)?),
            (Api::Responses | Api::Messages, option @ ("temperature" | "top_p")) => (Top(option), value),
            (Api::Responses, "format") if self.is_layer && value == "json" => return None,
            (Api::Responses, "format") => (In("text", "format"), value::text_format(value)?),
            (Api::Responses, "think") => (In("reasoning", "effort"), value::effort(value)?),
            (Api::Messages, "num_predict") => {
                // This API has no answers without a limit.
                (Top("max_tokens"), value::limit(value).filter(|limit| !limit.is_null())?)
            }
            (Api::Messages, "top_k") => (Top("top_k"), value),
            (Api::Messages, "stop") => (Top("stop_sequences"), value),
            (Api::Messages, "think") => match value {
                Value::Bool(think) => {
                    (In("thinking", "type"), if think { "enabled" } else { "disabled" }.into())
                }
                Value::String(level) => (In("output_config", "effort"), level.into()),
                _ => return None,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
