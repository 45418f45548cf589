//! An answer in neutral form: the parts in which every backend's answer is read and every client's is written.

use serde_json::Value;

use super::chat::ToolCall;
use crate::time::Timestamp;
use crate::wire::Usage;

/// The next part of an answer: what one object of Ollama's chat stream can say. A whole answer is one piece with `done`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Piece {
    /// When the backend made it; `None` if it does not say.
    pub(super) created: Option<Timestamp>,
    pub(super) content: String,
    pub(super) thinking: String,
    /// Whole calls: a reader that gets them in fragments holds them back until they are complete.
    pub(super) tool_calls: Vec<ToolCall>,
    /// Ollama's form: `{token, logprob, bytes?, top_logprobs?}` each.
    pub(super) logprobs: Vec<Value>,
    /// Of the last piece, and of no other.
    pub(super) done: Option<Done>,
}

/// The end of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Done {
    /// `stop`, `length`, `content_filter`, `load`, `unload`; `None` if the backend does not say.
    pub(super) reason: Option<String>,
    pub(super) usage: Usage,
    pub(super) timings: Timings,
}

/// How long it took, in nanoseconds, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timings {
    pub(super) total: Option<u64>,
    pub(super) load: Option<u64>,
    pub(super) prompt: Option<u64>,
    pub(super) completion: Option<u64>,
}

// === impl Piece ===

impl Piece {
    /// Whether it says nothing but, perhaps, that this is the end.
    pub(super) fn is_silent(&self) -> bool {
        self.content.is_empty()
            && self.thinking.is_empty()
            && self.tool_calls.is_empty()
            && self.logprobs.is_empty()
    }

    /// Puts `next` behind this piece: the fold of a stream is the whole answer.
    pub(super) fn append(&mut self, next: Self) {
        self.created = self.created.or(next.created);
        self.content.push_str(&next.content);
        self.thinking.push_str(&next.thinking);
        self.tool_calls.extend(next.tool_calls);
        self.logprobs.extend(next.logprobs);
        self.done = next.done.or(self.done.take());
    }
}
