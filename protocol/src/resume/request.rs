//! Which requests can be continued, and the request that continues one.

use serde_json::Value;

use super::object::{Object, elements, is_off, quoted, unquoted};
use super::seam::Seam;
use crate::object::ApiFormat;
use crate::route::Operation;

/// The largest request that is continued, in bytes: what the gateway keeps for another attempt.
const MAX_REQUEST: usize = 1024 * 1024;

/// Properties that ask for more state than the text so far: a grammar cannot start in the middle, and
/// probabilities, ids of tokens or sound of the first part would be missing or doubled.
const STATEFUL: [&str; 4] = ["format", "logprobs", "echo", "_debug_render_only"];

/// The same for generate. `raw`, `suffix` and `template` make prompts that a chat cannot express; a `context` is
/// the state of an engine.
const STATEFUL_GENERATE: [&str; 4] = ["raw", "suffix", "template", "context"];

/// The same for the properties of vLLM and llama-server.
const STATEFUL_CHUNKS: [&str; 12] = [
    "audio",
    "grammar",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "json_schema",
    "prompt_logprobs",
    "return_token_ids",
    "structured_outputs",
    "top_logprobs",
    "use_beam_search",
];

/// A request that makes another backend continue an answer.
#[derive(Clone, Debug)]
pub struct Continuation {
    /// What is asked: [`Operation::OllamaChat`] (also for a generate, which has no way to continue a text) or
    /// [`Operation::OpenAiChat`]. The pins of completions apply.
    pub operation: Operation,
    /// Where to: `/api/chat` or `/v1/chat/completions`.
    pub operation_path: &'static str,
    /// The request's JSON body, without the pins of the backend.
    pub body: Vec<u8>,
    pub(super) seam: Seam,
}

/// A client's request whose answer can be continued.
#[derive(Debug)]
pub(super) struct Request {
    operation: Operation,
    object: Object,
    messages: Vec<String>,
    /// The client's own beginning of the answer: a trailing message of the assistant.
    prefill: Option<Prefill>,
}

#[derive(Debug)]
struct Prefill {
    message: Object,
    text: String,
    /// The parts before the one that holds `text`, where the content is a list of parts.
    parts: Option<Vec<String>>,
}

// === impl Request ===

impl Request {
    /// `None` where an answer to the request cannot be continued.
    pub(super) fn read(operation: Operation, body: &[u8]) -> Option<Self> {
        if body.len() > MAX_REQUEST {
            return None;
        }
        let mut object = Object::parse(std::str::from_utf8(body).ok()?)?;
        if STATEFUL.into_iter().any(|name| object.asks(name)) {
            return None;
        }
        let messages = match operation {
            Operation::OllamaChat if streams_by_default(&object) => elements(object.get("messages")?)?,
            Operation::OllamaGenerate if streams_by_default(&object) => as_chat(&mut object)?,
            Operation::OpenAiChat if is_one_plain_answer(&object) => elements(object.get("messages")?)?,
            _ => return None,
        };
        let mut request = Self { operation, object, messages, prefill: None };
        request.find_prefill()?;
        Some(request)
    }

    /// The request for a backend of `target`, which continues `text`, sent in `frames` frames; `None` where the
    /// backend does not speak the protocol.
    pub(super) fn continuation(self, target: ApiFormat, text: &str, frames: u64) -> Option<Continuation> {
        let operation = match (self.operation, target) {
            (Operation::OllamaChat | Operation::OllamaGenerate, ApiFormat::Ollama) => Operation::OllamaChat,
            (Operation::OpenAiChat, ApiFormat::Ollama | ApiFormat::OpenAI) => Operation::OpenAiChat,
            _ => return None,
        };
        let Self { mut object, mut messages, prefill, .. } = self;
        let told = text.trim_end();
        let mut given = prefill.as_ref().map(|prefill| prefill.text.clone()).unwrap_or_default();
        if !told.is_empty() {
            given.push_str(told);
            let message = match prefill {
                Some(prefill) => {
                    messages.pop();
                    prefill.extended(&given)
                }
                None => format!("{{\"role\":\"assistant\",\"content\":{}}}", quoted(&given)),
            };
            messages.push(message);
            if target == ApiFormat::OpenAI {
                object.set("continue_final_message", "true".to_owned());
                object.set("add_generation_prompt", "false".to_owned());
            }
        }
        object.set("messages", format!("[{}]", messages.join(",")));
        if operation == Operation::OpenAiChat {
            for name in ["max_tokens", "max_completion_tokens", "n_predict"] {
                reduce(&mut object, name, frames, 1);
            }
            // vLLM refuses a least number above the greatest.
            reduce(&mut object, "min_tokens", frames, 0);
        } else if let Some(mut options) = object.get("options").and_then(Object::parse) {
            reduce(&mut options, "num_predict", frames, 1);
            object.set("options", options.to_string());
        }
        Some(Continuation {
            operation,
            operation_path: operation.upstream_path()?,
            body: object.to_string().into_bytes(),
            seam: Seam::new(&given, &text[told.len()..]),
        })
    }

    /// `None` where the last message is one that no text can be added to.
    fn find_prefill(&mut self) -> Option<()> {
        let message = Object::parse(self.messages.last()?)?;
        let role = unquoted(message.get("role")?)?;
        if !role.eq_ignore_ascii_case("assistant") {
            return Some(());
        }
        if message.asks("tool_calls") || message.asks("function_call") {
            return None;
        }
        let content = message.get("content").unwrap_or("null").to_owned();
        self.prefill = Some(match elements(&content) {
            Some(parts) => Prefill::of_parts(message, parts)?,
            None if is_off(&content) => Prefill { message, text: String::new(), parts: None },
            None => Prefill { message, text: unquoted(&content)?, parts: None },
        });
        Some(())
    }
}

// === impl Prefill ===

impl Prefill {
    /// The last part is the one that is continued, if it is a text.
    fn of_parts(message: Object, mut parts: Vec<String>) -> Option<Self> {
        let text = match parts.pop() {
            Some(part) => {
                let part = Object::parse(&part)?;
                if unquoted(part.get("type")?)? != "text" {
                    return None;
                }
                unquoted(part.get("text")?)?
            }
            None => String::new(),
        };
        Some(Self { message, text, parts: Some(parts) })
    }

    /// The message with `text` for its own.
    fn extended(self, text: &str) -> String {
        let Self { mut message, parts, .. } = self;
        let content = match parts {
            Some(mut parts) => {
                parts.push(format!("{{\"type\":\"text\",\"text\":{}}}", quoted(text)));
                format!("[{}]", parts.join(","))
            }
            None => quoted(text),
        };
        message.set("content", content);
        message.to_string()
    }
}

/// Ollama's own API streams unless told not to.
fn streams_by_default(object: &Object) -> bool {
    object.get("stream").is_none_or(|raw| matches!(raw, "true" | "null"))
}

/// A stream of one choice, without a grammar and without a tool that must be called.
fn is_one_plain_answer(object: &Object) -> bool {
    let single = |name| {
        let count = object.get(name).filter(|raw| *raw != "null");
        count.is_none_or(|raw| serde_json::from_str::<f64>(raw).is_ok_and(|count| count <= 1.0))
    };
    let free = |name| object.get(name).is_none_or(|raw| matches!(raw, "null" | "\"auto\"" | "\"none\""));
    let plain = object.get("response_format").is_none_or(|raw| {
        is_off(raw)
            || Object::parse(raw)
                .is_some_and(|format| format.get("type").is_some_and(|kind| kind == "\"text\""))
    });
    object.get("stream") == Some("true")
        && plain
        && single("n")
        && single("best_of")
        && free("tool_choice")
        && free("function_call")
        && !STATEFUL_CHUNKS.into_iter().any(|name| object.asks(name))
}

/// Turns the properties of a generate into those of a chat; its messages. `None` where a chat cannot say the same.
fn as_chat(object: &mut Object) -> Option<Vec<String>> {
    if STATEFUL_GENERATE.into_iter().any(|name| object.asks(name)) {
        return None;
    }
    for name in STATEFUL_GENERATE {
        object.remove(name);
    }
    // A client's `messages` would not have counted.
    object.remove("messages");
    let mut messages = Vec::new();
    if let Some(system) = object.remove("system").filter(|raw| !is_off(raw)) {
        unquoted(&system)?;
        messages.push(format!("{{\"role\":\"system\",\"content\":{system}}}"));
    }
    // Without a prompt it is no generation: the model is only loaded.
    let prompt = object.remove("prompt").filter(|raw| !is_off(raw))?;
    unquoted(&prompt)?;
    let images = match object.remove("images").filter(|raw| !is_off(raw)) {
        Some(images) => format!(",\"images\":{images}"),
        None => String::new(),
    };
    messages.push(format!("{{\"role\":\"user\",\"content\":{prompt}{images}}}"));
    Some(messages)
}

/// Takes what has been generated off a limit of tokens, down to `least`. Zero, negative and other values mean
/// something else to the engines and stay.
fn reduce(object: &mut Object, name: &str, frames: u64, least: u64) {
    let Some(limit) = object.get(name).and_then(|raw| serde_json::from_str::<Value>(raw).ok()) else {
        return;
    };
    let whole = limit.as_u64().or_else(|| {
        // Engines that take a fraction cut it off.
        let limit = limit.as_f64().filter(|limit| *limit >= 1.0)?;
        format!("{:.0}", limit.floor()).parse().ok()
    });
    if let Some(whole) = whole.filter(|whole| *whole > 0) {
        object.set(name, whole.saturating_sub(frames).max(least).to_string());
    }
}

#[cfg(test)]
mod tests;
