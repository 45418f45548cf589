//! The formats of streams: how a value becomes a frame, and what errors look like within one.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::simulated::answer::{ErrorStyle, Refusal, error_value};

/// The format of a stream's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameStyle {
    /// One JSON object on each line.
    Ndjson,
    /// `data:` events of chat completions.
    Chat(ErrorStyle),
    /// `data:` events of completions.
    Completion(ErrorStyle),
    /// Events with a type: `/v1/responses`, `/v1/messages`.
    Typed(ErrorStyle),
}

impl FrameStyle {
    /// A value as a frame. Typed events are named after their own `type`.
    pub(crate) fn frame(self, value: &Value) -> Bytes {
        self.text_frame(&value.to_string(), value.get("type").and_then(Value::as_str).unwrap_or("error"))
    }

    fn text_frame(self, text: &str, event: &str) -> Bytes {
        Bytes::from(match self {
            Self::Ndjson => format!("{text}\n"),
            Self::Chat(_) | Self::Completion(_) => format!("data: {text}\n\n"),
            Self::Typed(_) => format!("event: {event}\ndata: {text}\n\n"),
        })
    }

    /// An error as a frame.
    pub(super) fn error(self, message: &str) -> Bytes {
        let style = match self {
            Self::Ndjson => ErrorStyle::Native,
            Self::Chat(style) | Self::Completion(style) | Self::Typed(style) => style,
        };
        self.frame(&error_value(style, &Refusal::new(500, message)))
    }

    /// What is left of an error in Ollama's compatibility layer: a chunk which says nothing, or nothing at all.
    pub(super) fn lost_error(self) -> Option<Bytes> {
        let (object, choice) = match self {
            Self::Ndjson => return Some(self.error("model runner has unexpectedly stopped")),
            Self::Chat(_) => ("chat.completion.chunk", json!({ "index": 0, "delta": { "content": "" } })),
            Self::Completion(_) => ("text_completion", json!({ "index": 0, "text": "" })),
            Self::Typed(_) => return None,
        };
        let mut choice = choice;
        choice["finish_reason"] = Value::Null;
        let chunk = json!({
            "id": "chatcmpl-0",
            "object": object,
            "created": 0,
            "model": "",
            "system_fingerprint": "fp_ollama",
            "choices": [choice],
        });
        Some(self.frame(&chunk))
    }

    /// A frame that is no JSON.
    pub(super) fn malformed(self, text: Option<&str>) -> Bytes {
        self.text_frame(
            text.unwrap_or(r#"{"model":"m","choices":[{"delta":{"content":"cut sho"#),
            "malformed",
        )
    }
}
