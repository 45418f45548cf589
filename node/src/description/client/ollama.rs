//! Ollama's API.

use ollamaflow_protocol::route::Operation;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{AnyJson, binary, passed_on};
use crate::description::Entry;

/// Says how a stream is asked for.
const STREAMED: &str = "The answer is a stream of lines unless `stream` is false.";

/// Says who may change models.
const MANAGED: &str = "At all backends of the frontend that have Ollama's API, if the frontend allows it \
(`AllowModelManagement`). One stream tells of all of them.";

/// One message of a conversation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    #[serde(default)]
    pub content: String,
    /// What the model thought, apart from its answer.
    pub thinking: Option<String>,
    /// Images in base64.
    pub images: Option<Vec<String>>,
    /// Calls that the model asks for.
    pub tool_calls: Option<Vec<Value>>,
    /// The tool whose result this is.
    pub tool_name: Option<String>,
}

/// A conversation to be continued.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OllamaChatRequest {
    /// The model, or an alias of it; the frontend may have a default.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Tools that the model may ask for.
    pub tools: Option<Vec<Value>>,
    /// `json`, or the JSON schema of the answer.
    pub format: Option<Value>,
    /// Runner options, such as `temperature` and `num_ctx`.
    #[schema(value_type = Option<Object>)]
    pub options: Option<Map<String, Value>>,
    /// Whether to stream; true unless it is given.
    pub stream: Option<bool>,
    /// Whether to think first, or how much.
    pub think: Option<Value>,
    /// How long the model stays in memory: seconds, or a duration such as `5m`.
    pub keep_alive: Option<Value>,
}

/// A part of an answer, or all of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OllamaChatResponse {
    /// The model, by the name that the client used.
    pub model: String,
    /// When it was made.
    pub created_at: String,
    /// What was said.
    pub message: Message,
    /// Whether this is the end.
    pub done: bool,
    /// Why it is the end: `stop`, `length`, `load` or `unload`.
    pub done_reason: Option<String>,
    /// Tokens of the prompt.
    pub prompt_eval_count: Option<u64>,
    /// Tokens of the answer.
    pub eval_count: Option<u64>,
    /// Nanoseconds for all of it.
    pub total_duration: Option<u64>,
}

/// A prompt.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GenerateRequest {
    /// The model, or an alias of it; the frontend may have a default.
    pub model: String,
    /// The prompt; without one the model is only loaded, or unloaded with `keep_alive` 0.
    pub prompt: Option<String>,
    /// Text that comes after the answer.
    pub suffix: Option<String>,
    /// The system message.
    pub system: Option<String>,
    /// Images in base64.
    pub images: Option<Vec<String>>,
    /// `json`, or the JSON schema of the answer.
    pub format: Option<Value>,
    /// Runner options, such as `temperature` and `num_ctx`.
    #[schema(value_type = Option<Object>)]
    pub options: Option<Map<String, Value>>,
    /// Whether to stream; true unless it is given.
    pub stream: Option<bool>,
    /// How long the model stays in memory: seconds, or a duration such as `5m`.
    pub keep_alive: Option<Value>,
}

/// A part of an answer, or all of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GenerateResponse {
    /// The model, by the name that the client used.
    pub model: String,
    /// When it was made.
    pub created_at: String,
    /// The text.
    pub response: String,
    /// Whether this is the end.
    pub done: bool,
    /// Why it is the end: `stop`, `length`, `load` or `unload`.
    pub done_reason: Option<String>,
    /// Tokens of the prompt.
    pub prompt_eval_count: Option<u64>,
    /// Tokens of the answer.
    pub eval_count: Option<u64>,
    /// Nanoseconds for all of it.
    pub total_duration: Option<u64>,
}

/// Texts to be made vectors of.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EmbedRequest {
    /// The model, or an alias of it.
    pub model: String,
    /// A text, or several.
    pub input: Value,
    /// Whether a text that is too long is cut off; true unless it is given.
    pub truncate: Option<bool>,
    /// Length of the vectors.
    pub dimensions: Option<u32>,
}

/// Vectors, in the order of the texts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EmbedResponse {
    /// The model, by the name that the client used.
    pub model: String,
    /// One for each text.
    pub embeddings: Vec<Vec<f64>>,
    /// Tokens of the texts.
    pub prompt_eval_count: Option<u64>,
}

/// A text to be made a vector of.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingsRequest {
    /// The model, or an alias of it.
    pub model: String,
    /// The text.
    pub prompt: String,
}

/// A vector.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EmbeddingsResponse {
    /// The vector.
    pub embedding: Vec<f64>,
}

/// All models that can be reached through the frontend.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Tags {
    /// The models.
    pub models: Vec<Tag>,
}

/// A model.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// Its name.
    pub model: String,
    /// When it was last changed.
    pub modified_at: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// What it was made of.
    pub digest: Option<String>,
}

/// A model by its name. Either property will do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelName {
    /// The name.
    pub model: Option<String>,
    /// The name, as older clients give it.
    pub name: Option<String>,
}

/// A model to be brought or sent.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TransferRequest {
    /// The name.
    pub model: Option<String>,
    /// The name, as older clients give it.
    pub name: Option<String>,
    /// Whether a registry without TLS will do.
    pub insecure: Option<bool>,
    /// Whether to stream; true unless it is given.
    pub stream: Option<bool>,
}

/// How far it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// What is done now; `success` at the end.
    pub status: Option<String>,
    /// The layer.
    pub digest: Option<String>,
    /// Bytes of the layer, at all backends together.
    pub total: Option<u64>,
    /// Bytes that are there.
    pub completed: Option<u64>,
    /// Why it failed, instead of a status.
    pub error: Option<String>,
}

/// A model to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CreateRequest {
    /// Its name.
    pub model: String,
    /// The model that it is made from.
    pub from: Option<String>,
    /// Names of files, and the digests of blobs that were sent before.
    #[schema(value_type = Option<Object>)]
    pub files: Option<Map<String, Value>>,
    /// The template of prompts.
    pub template: Option<String>,
    /// The system message.
    pub system: Option<String>,
    /// Runner options.
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Map<String, Value>>,
    /// Whether to stream; true unless it is given.
    pub stream: Option<bool>,
}

/// A model that gets a second name.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CopyRequest {
    /// Its name.
    pub source: String,
    /// The second name.
    pub destination: String,
}

/// The version that all backends have at least.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The version.
    pub version: String,
}

pub(super) fn entry(
    method: &str,
    path: &str,
    operation: Operation,
    at: impl Fn(&str, &str) -> Entry,
) -> Entry {
    match operation {
        Operation::OllamaChat => {
            let entry = if path.ends_with("/generate") {
                at("ollamaChatAlias", "Continue a conversation (the original's other name)")
            } else {
                at("ollamaChat", "Continue a conversation")
            };
            let example = json!({
                "model": "llama3.2:1b",
                "messages": [{ "role": "user", "content": "Why is the sky blue?" }],
                "stream": false
            });
            entry
                .says(STREAMED)
                .takes::<OllamaChatRequest>(example)
                .answers::<OllamaChatResponse>(200, "The answer")
                .streams_lines::<OllamaChatResponse>(200)
        }
        Operation::OllamaEmbed => at("ollamaEmbed", "Make vectors of texts")
            .takes::<EmbedRequest>(json!({ "model": "all-minilm", "input": ["one", "two"] }))
            .answers::<EmbedResponse>(200, "The vectors"),
        Operation::OllamaEmbeddings => at("ollamaEmbeddings", "Make a vector of a text (older form)")
            .takes::<EmbeddingsRequest>(json!({ "model": "all-minilm", "prompt": "one" }))
            .answers::<EmbeddingsResponse>(200, "The vector"),
        Operation::OllamaTags => at("ollamaTags", "List the models on the disks")
            .says("Of all backends of the frontend, each name once.")
            .answers::<Tags>(200, "The models"),
        Operation::OllamaPs => at("ollamaPs", "List the models in memory")
            .says("Of all backends of the frontend.")
            .answers::<Tags>(200, "The models"),
        Operation::OllamaShow => at("ollamaShow", "Show a model")
            .takes::<ModelName>(json!({ "model": "llama3.2:1b" }))
            .answers::<AnyJson>(200, "What the backend knows of it"),
        Operation::OllamaPull => transfer(at("ollamaPull", "Bring a model from a registry"), "llama3.2:1b"),
        Operation::OllamaPush => transfer(at("ollamaPush", "Send a model to a registry"), "me/mine"),
        Operation::OllamaCreate => at("ollamaCreate", "Make a model of another one, or of files")
            .says(MANAGED)
            .takes::<CreateRequest>(json!({ "model": "pirate", "from": "llama3.2:1b", "system": "Arr." }))
            .answers::<Progress>(200, "How it ended")
            .streams_lines::<Progress>(200)
            .fails(&[409]),
        Operation::OllamaCopy => at("ollamaCopy", "Give a model a second name")
            .says(MANAGED)
            .takes::<CopyRequest>(json!({ "source": "llama3.2:1b", "destination": "mine" }))
            .answers_nothing(200, "Done")
            .fails(&[409]),
        Operation::OllamaDelete => at("ollamaDelete", "Delete a model")
            .says(MANAGED)
            .takes::<ModelName>(json!({ "model": "mine" }))
            .answers_nothing(200, "Done")
            .fails(&[409]),
        Operation::OllamaBlob => blob(method, &at),
        Operation::OllamaVersion => {
            at("ollamaVersion", "The version of Ollama").answers::<Version>(200, "The version")
        }
        Operation::OllamaOther => passed_on(at("ollamaOther", "Anything else of Ollama's API")),
        _ => at("ollamaGenerate", "Answer a prompt")
            .says(STREAMED)
            .takes::<GenerateRequest>(
                json!({ "model": "llama3.2:1b", "prompt": "Why is the sky blue?", "stream": false }),
            )
            .answers::<GenerateResponse>(200, "The answer")
            .streams_lines::<GenerateResponse>(200),
    }
}

fn transfer(entry: Entry, model: &str) -> Entry {
    entry
        .says(MANAGED)
        .takes::<TransferRequest>(json!({ "model": model }))
        .answers::<Progress>(200, "How it ended")
        .streams_lines::<Progress>(200)
        .fails(&[409])
}

fn blob(method: &str, at: &impl Fn(&str, &str) -> Entry) -> Entry {
    let entry = if method == "HEAD" {
        at("ollamaHasBlob", "Whether the backends have a blob").answers_nothing(200, "They have")
    } else {
        at("ollamaPutBlob", "Send a blob, for a model to be made of")
            .says(MANAGED)
            .takes_other("application/octet-stream", binary())
            .answers_nothing(201, "They have it now")
            .fails(&[409])
    };
    let example = "sha256:29fdb92e57cf0827ded04ae6461b5931d01fa595843f55d36f5b275a52087dd2";
    entry.path("digest", "The blob's SHA-256", example)
}
