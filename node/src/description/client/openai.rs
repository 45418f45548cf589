//! `OpenAI`'s API.

use ollamaflow_protocol::route::Operation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};

use super::{binary, passed_on};
use crate::description::Entry;

/// Says how a stream is asked for.
const STREAMED: &str = "The answer is a stream of events if `stream` is true; `data: [DONE]` ends it.";

/// One message of a conversation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text, or a list of parts.
    pub content: Option<Value>,
    /// Calls that the model asks for.
    pub tool_calls: Option<Vec<Value>>,
    /// The call whose result this is.
    pub tool_call_id: Option<String>,
}

/// A conversation to be continued.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatCompletionRequest {
    /// The model, or an alias of it; the frontend may have a default.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<ChatMessage>,
    /// Whether to stream.
    pub stream: Option<bool>,
    /// What streams are to tell beside the answer: `{"include_usage": true}`.
    pub stream_options: Option<Value>,
    /// Most tokens of the answer.
    pub max_completion_tokens: Option<u32>,
    /// The same, as older clients say it.
    pub max_tokens: Option<u32>,
    /// From 0, always the likeliest token, to 2.
    pub temperature: Option<f64>,
    /// How much of the probability is considered.
    pub top_p: Option<f64>,
    /// What ends the answer: a text, or several.
    pub stop: Option<Value>,
    /// For the same answer to the same request.
    pub seed: Option<i64>,
    /// Tools that the model may ask for.
    pub tools: Option<Vec<Value>>,
    /// Which of them it must use.
    pub tool_choice: Option<Value>,
    /// The form of the answer.
    pub response_format: Option<Value>,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatCompletion {
    /// Its name.
    pub id: String,
    /// `chat.completion`, or `chat.completion.chunk` in a stream.
    pub object: String,
    /// When it was made: seconds since 1970.
    pub created: i64,
    /// The model, by the name that the client used.
    pub model: String,
    /// The answer, in `message`; in a stream, its next part in `delta`.
    pub choices: Vec<Value>,
    /// Tokens.
    pub usage: Option<TokenUsage>,
}

/// Tokens of a request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenUsage {
    /// Those of the prompt.
    pub prompt_tokens: u64,
    /// Those of the answer.
    pub completion_tokens: Option<u64>,
    /// All.
    pub total_tokens: u64,
}

/// A prompt.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CompletionRequest {
    /// The model, or an alias of it; the frontend may have a default.
    pub model: String,
    /// The prompt: a text, or several.
    pub prompt: Value,
    /// Whether to stream.
    pub stream: Option<bool>,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// From 0, always the likeliest token, to 2.
    pub temperature: Option<f64>,
    /// What ends the answer: a text, or several.
    pub stop: Option<Value>,
}

/// An answer to a prompt.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Completion {
    /// Its name.
    pub id: String,
    /// `text_completion`
    pub object: String,
    /// When it was made: seconds since 1970.
    pub created: i64,
    /// The model, by the name that the client used.
    pub model: String,
    /// The answer, in `text`.
    pub choices: Vec<Value>,
    /// Tokens.
    pub usage: Option<TokenUsage>,
}

/// Texts to be made vectors of.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OpenAiEmbeddingsRequest {
    /// The model, or an alias of it.
    pub model: String,
    /// A text, or several.
    pub input: Value,
    /// `float` or `base64`.
    pub encoding_format: Option<String>,
    /// Length of the vectors.
    pub dimensions: Option<u32>,
}

/// Vectors.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OpenAiEmbeddings {
    /// `list`
    pub object: String,
    /// One for each text, in `embedding`.
    pub data: Vec<Value>,
    /// The model, by the name that the client used.
    pub model: String,
    /// Tokens.
    pub usage: Option<TokenUsage>,
}

/// All models that can be reached through the frontend.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelList {
    /// `list`
    pub object: String,
    /// The models.
    pub data: Vec<Model>,
}

/// A model.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// Its name.
    pub id: String,
    /// `model`
    pub object: String,
    /// When it was last changed: seconds since 1970.
    pub created: Option<i64>,
    /// Whose it is.
    pub owned_by: Option<String>,
}

/// A conversation to be continued.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ResponsesRequest {
    /// The model, or an alias of it; the frontend may have a default.
    pub model: String,
    /// A text, or a list of items.
    pub input: Value,
    /// The system message.
    pub instructions: Option<String>,
    /// Whether to stream.
    pub stream: Option<bool>,
    /// Most tokens of the answer.
    pub max_output_tokens: Option<u32>,
    /// From 0, always the likeliest token, to 2.
    pub temperature: Option<f64>,
    /// Tools that the model may ask for.
    pub tools: Option<Vec<Value>>,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ResponsesResponse {
    /// Its name.
    pub id: String,
    /// `response`
    pub object: String,
    /// The model, by the name that the client used.
    pub model: String,
    /// `completed`, `incomplete` or `failed`.
    pub status: Option<String>,
    /// Items: messages, and calls of tools.
    pub output: Vec<Value>,
}

/// An event of a stream.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ResponsesEvent {
    /// What happened, such as `response.output_text.delta`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its number.
    pub sequence_number: Option<u64>,
}

/// What was said.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Transcription {
    /// The text.
    pub text: String,
}

pub(super) fn entry(operation: Operation, at: impl Fn(&str, &str) -> Entry) -> Entry {
    match operation {
        Operation::OpenAiCompletion => at("openAiCompletion", "Answer a prompt")
            .says(STREAMED)
            .takes::<CompletionRequest>(json!({ "model": "llama3.2:1b", "prompt": "Once", "max_tokens": 16 }))
            .answers::<Completion>(200, "The answer")
            .streams_events_until_done::<Completion>(200),
        Operation::OpenAiEmbeddings => at("openAiEmbeddings", "Make vectors of texts")
            .takes::<OpenAiEmbeddingsRequest>(json!({ "model": "all-minilm", "input": ["one", "two"] }))
            .answers::<OpenAiEmbeddings>(200, "The vectors"),
        Operation::OpenAiModels => at("openAiModels", "List the models")
            .says("Of all backends of the frontend, each name once.")
            .answers::<ModelList>(200, "The models"),
        Operation::OpenAiModel => at("openAiModel", "Show a model")
            .path("model", "Its name, which may hold slashes", "llama3.2:1b")
            .answers::<Model>(200, "The model"),
        Operation::OpenAiResponses => at("openAiResponses", "Continue a conversation (Responses API)")
            .says("Nothing is stored between requests. The answer is a stream of events if `stream` is true.")
            .takes::<ResponsesRequest>(json!({ "model": "llama3.2:1b", "input": "Why is the sky blue?" }))
            .answers::<ResponsesResponse>(200, "The answer")
            .streams_events::<ResponsesEvent>(200),
        Operation::OpenAiTranscription => at("openAiTranscription", "Write down what was said")
            .says("To backends that have it, as it is.")
            .takes_other("multipart/form-data", form())
            .answers::<Transcription>(200, "The text"),
        Operation::OpenAiOther => passed_on(at("openAiOther", "Anything else of OpenAI's API")),
        _ => at("openAiChat", "Continue a conversation")
            .says(STREAMED)
            .takes::<ChatCompletionRequest>(json!({
                "model": "llama3.2:1b",
                "messages": [{ "role": "user", "content": "Why is the sky blue?" }]
            }))
            .answers::<ChatCompletion>(200, "The answer")
            .streams_events_until_done::<ChatCompletion>(200),
    }
}

/// The form of a transcription.
fn form() -> Schema {
    let text = || ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Object))
        .property("model", text())
        .property("file", binary())
        .property("language", text())
        .required("model")
        .required("file")
        .build()
        .into()
}
