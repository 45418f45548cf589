//! Anthropic's Messages API.

use ollamaflow_protocol::route::Operation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::description::Entry;

/// One turn of a conversation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Turn {
    /// `user` or `assistant`.
    pub role: String,
    /// The text, or a list of blocks.
    pub content: Value,
}

/// A conversation to be continued.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MessagesRequest {
    /// The model, or an alias of it; the frontend may have a default.
    pub model: String,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// The conversation so far.
    pub messages: Vec<Turn>,
    /// The system message: a text, or a list of blocks.
    pub system: Option<Value>,
    /// Whether to stream.
    pub stream: Option<bool>,
    /// From 0, always the likeliest token, to 1.
    pub temperature: Option<f64>,
    /// Texts that end the answer.
    pub stop_sequences: Option<Vec<String>>,
    /// Tools that the model may ask for.
    pub tools: Option<Vec<Value>>,
    /// Which of them it must use.
    pub tool_choice: Option<Value>,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MessagesResponse {
    /// Its name.
    pub id: String,
    /// `message`
    #[serde(rename = "type")]
    pub kind: String,
    /// `assistant`
    pub role: String,
    /// The model, by the name that the client used.
    pub model: String,
    /// Blocks: texts, thoughts, and calls of tools.
    pub content: Vec<Value>,
    /// Why it ended: `end_turn`, `max_tokens`, `stop_sequence` or `tool_use`.
    pub stop_reason: Option<String>,
    /// Tokens.
    pub usage: MessagesUsage,
}

/// Tokens of a request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MessagesUsage {
    /// Those of the prompt.
    pub input_tokens: u64,
    /// Those of the answer.
    pub output_tokens: u64,
}

/// An event of a stream.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MessagesEvent {
    /// What happened, such as `content_block_delta`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A conversation whose tokens are to be counted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CountTokensRequest {
    /// The model, or an alias of it.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<Turn>,
    /// The system message: a text, or a list of blocks.
    pub system: Option<Value>,
    /// Tools that the model may ask for.
    pub tools: Option<Vec<Value>>,
}

/// Tokens.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenCount {
    /// About how many the prompt has.
    pub input_tokens: u64,
}

pub(super) fn entry(operation: Operation, at: impl Fn(&str, &str) -> Entry) -> Entry {
    let turns = json!([{ "role": "user", "content": "Why is the sky blue?" }]);
    match operation {
        Operation::AnthropicCountTokens => at("anthropicCountTokens", "Count the tokens of a conversation")
            .says("An estimate of this node, which no backend is asked for; `X-OllamaFlow-Estimate` says so.")
            .takes::<CountTokensRequest>(json!({ "model": "llama3.2:1b", "messages": turns }))
            .answers::<TokenCount>(200, "The number"),
        _ => at("anthropicMessages", "Continue a conversation")
            .says("The answer is a stream of events if `stream` is true.")
            .takes::<MessagesRequest>(json!({ "model": "llama3.2:1b", "max_tokens": 64, "messages": turns }))
            .answers::<MessagesResponse>(200, "The answer")
            .streams_events::<MessagesEvent>(200),
    }
}
