//! The message and the events of a stream, in the order of members in which Ollama writes them.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::wire::Usage;

/// The whole answer, or its head at the start of a stream.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    pub(super) r#type: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) content: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_reason: Option<&'static str>,
    pub(super) usage: Tokens,
}

/// One block of the content.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Thinking { thinking: &'a str },
    Text { text: &'a str },
    ToolUse { id: String, name: &'a str, input: &'a Map<String, Value> },
}

/// An event of a stream.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: u32, content_block: Block<'a> },
    ContentBlockDelta { index: u32, delta: Delta<'a> },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: Stopped, usage: Tokens },
    MessageStop,
}

/// What is put behind a block.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub(super) enum Delta<'a> {
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: &'a str },
}

/// Why the message has ended.
#[derive(Debug, Serialize)]
pub(super) struct Stopped {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_reason: Option<&'static str>,
}

/// Counts of tokens; zero where the backend gave none, since the client's SDK has to have a number.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tokens {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

// === impl Event ===

impl Event<'_> {
    /// The name of the event, which its `type` repeats.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }
}

// === impl Tokens ===

impl Tokens {
    pub(super) fn of(usage: Usage) -> Self {
        Self {
            input_tokens: usage.prompt.unwrap_or_default(),
            output_tokens: usage.completion.unwrap_or_default(),
        }
    }
}
