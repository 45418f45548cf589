//! The lines of one backend's stream, and what they say.

use serde::Deserialize;
use serde_json::Value;

/// Longest line, in bytes; Ollama's have about 150.
const MAX_LINE: usize = 64 * 1024;
/// Longest digest and status that are passed on, in bytes.
const MAX_TEXT: usize = 1024;

/// What came of a line before its end.
#[derive(Debug, Default)]
pub(super) struct Feed {
    held: Vec<u8>,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Status(String),
    Layer(Layer),
    Success,
    Error(String),
    TooLong,
    Unreadable,
}

/// The progress of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) status: String,
    pub(super) digest: String,
    pub(super) total: u64,
    pub(super) completed: u64,
}

#[derive(Deserialize)]
struct Raw {
    status: Option<String>,
    digest: Option<String>,
    #[serde(default)]
    total: Value,
    #[serde(default)]
    completed: Value,
    /// A text in Ollama's API; anything else that is not null is an error, too.
    #[serde(default)]
    error: Value,
}

// === impl Feed ===

impl Feed {
    /// The next line that is complete, taken off the front of `bytes`; what is left of them is held. Blank lines and
    /// lines that say nothing are passed over.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Line> {
        loop {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                if self.held.len() + bytes.len() > MAX_LINE {
                    return Some(Line::TooLong);
                }
                self.held.extend_from_slice(bytes);
                *bytes = &[];
                return None;
            };
            let (text, rest) = (&bytes[..end], &bytes[end + 1..]);
            *bytes = rest;
            if self.held.len() + text.len() > MAX_LINE {
                return Some(Line::TooLong);
            }
            let line = if self.held.is_empty() {
                Line::read(text)
            } else {
                self.held.extend_from_slice(text);
                let line = Line::read(&self.held);
                self.held.clear();
                line
            };
            if line.is_some() {
                return line;
            }
        }
    }

    /// What is held at the end of the stream: the last line may lack its newline.
    pub(super) fn rest(&mut self) -> Option<Line> {
        Line::read(&std::mem::take(&mut self.held))
    }
}

// === impl Line ===

impl Line {
    fn read(text: &[u8]) -> Option<Self> {
        if text.trim_ascii().is_empty() {
            return None;
        }
        let Ok(raw) = serde_json::from_slice::<Raw>(text) else { return Some(Self::Unreadable) };
        match raw.error {
            Value::Null => {}
            Value::String(message) if message.is_empty() => {}
            Value::String(message) => return Some(Self::Error(message)),
            Value::Object(error) => {
                let message = error.get("message").and_then(Value::as_str);
                return Some(Self::Error(message.unwrap_or("it tells no reason").to_owned()));
            }
            other => return Some(Self::Error(other.to_string())),
        }
        let status = raw.status.filter(|status| !status.is_empty() && status.len() <= MAX_TEXT)?;
        let digest = raw.digest.filter(|digest| !digest.is_empty() && digest.len() <= MAX_TEXT);
        Some(match (digest, number(&raw.total)) {
            (Some(digest), Some(total)) => {
                let completed = number(&raw.completed).unwrap_or_default().min(total);
                Self::Layer(Layer { status, digest, total, completed })
            }
            _ if status == "success" => Self::Success,
            _ => Self::Status(status),
        })
    }
}

/// A count of bytes. Negative ones, which Ollama's type allows, say nothing.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| *number > 0)
}
