//! The routes of clients: one entry for each of `protocol`'s table.
//!
//! The types of bodies name what clients use and this node reads or writes. They are no contract beyond that: what else a
//! body has goes to the backend and back as it is.

pub mod anthropic;
pub mod ollama;
pub mod openai;

use ollamaflow_protocol::route::{DOCUMENTED, Operation};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{KnownFormat, Schema};

use super::entry::{Api, Entry, Method};
use super::failures::Audience;

/// Statuses that this node itself may give to any of its clients.
const REFUSALS: [u16; 9] = [400, 401, 403, 404, 408, 413, 429, 502, 503];

/// A body of JSON whose form is the backend's business.
#[derive(utoipa::ToSchema)]
#[schema(value_type = Object)]
pub struct AnyJson(#[expect(dead_code, reason = "only its schema is wanted")] serde_json::Value);

/// Adds the routes of clients, and what the node answers by itself.
pub(super) fn describe(api: &mut Api) {
    for (method, path, operation) in DOCUMENTED {
        api.add(entry(method, path, operation));
    }
    let own = |path: &str, id: &str, summary: &str| {
        Entry::new(Audience::Admin, Method::Get, path, id, summary).tag("Node")
    };
    api.add(
        own("/", "home", "Whether anything answers here")
            .says("`Ollama is running`, which Ollama's clients look for; a page for browsers.")
            .answers_text(200, "The text", "text/plain")
            .answers_text(200, "The text, or the page", "text/html"),
    );
    api.add(own("/favicon.ico", "icon", "The icon").answers_text(200, "An image", "image/png"));
}

fn entry(method: &str, path: &str, operation: Operation) -> Entry {
    let at = |id: &str, summary: &str| {
        let audience = Audience::Client(operation.protocol());
        let schemes: &[&str] = match operation {
            Operation::AnthropicMessages | Operation::AnthropicCountTokens => {
                &["", "clientKey", "anthropicKey"]
            }
            _ => &["", "clientKey"],
        };
        Entry::new(audience, by_name(method), path, id, summary)
            .secured_by(schemes)
            .fails(&REFUSALS)
            .fails(&[504])
            .fails_as_backends_do()
    };
    match operation {
        Operation::OllamaGenerate
        | Operation::OllamaChat
        | Operation::OllamaEmbed
        | Operation::OllamaEmbeddings
        | Operation::OllamaTags
        | Operation::OllamaPs
        | Operation::OllamaShow
        | Operation::OllamaPull
        | Operation::OllamaPush
        | Operation::OllamaCreate
        | Operation::OllamaCopy
        | Operation::OllamaDelete
        | Operation::OllamaBlob
        | Operation::OllamaVersion
        | Operation::OllamaOther => ollama::entry(method, path, operation, at).tag("Ollama"),
        Operation::AnthropicMessages | Operation::AnthropicCountTokens => {
            anthropic::entry(operation, at).tag("Anthropic")
        }
        Operation::OpenAiChat
        | Operation::OpenAiCompletion
        | Operation::OpenAiEmbeddings
        | Operation::OpenAiModels
        | Operation::OpenAiModel
        | Operation::OpenAiResponses
        | Operation::OpenAiTranscription
        | Operation::OpenAiOther => openai::entry(operation, at).tag("OpenAI"),
    }
}

fn by_name(method: &str) -> Method {
    match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "DELETE" => Method::Delete,
        _ => Method::Post,
    }
}

/// A path below an API that is passed on as it is.
fn passed_on(entry: Entry) -> Entry {
    entry
        .says("Any path that is not listed here, by any method but `CONNECT` and `TRACE`, goes to a backend as it is.")
        .path("path", "The rest of the path; it may have several segments", "experimental")
        .takes::<AnyJson>(serde_json::json!({}))
        .answers_as_backends_do("What the backend says, or an error in the form of the API")
}

/// Bytes.
fn binary() -> Schema {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
        .build()
        .into()
}
