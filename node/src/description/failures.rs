//! How operations fail: the forms of error bodies by the API that a client speaks, and what each status means.

use ollamaflow_protocol::error::ApiError;
use ollamaflow_protocol::route::ClientProtocol;
use serde::Serialize;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Content, Ref, RefOr, Schema};
use utoipa::{PartialSchema as _, ToSchema};

/// Who an operation is for, which decides the form of its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Admins, and whoever watches nodes.
    Admin,
    /// Clients of an inference API.
    Client(ClientProtocol),
}

/// An error in Ollama's API.
#[derive(Debug, Serialize, ToSchema)]
pub struct OllamaError {
    /// One sentence.
    pub error: String,
}

/// An error in `OpenAI`'s API.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenAiError {
    /// What happened.
    pub error: OpenAiErrorDetail,
}

/// What happened, in `OpenAI`'s words.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenAiErrorDetail {
    /// One sentence.
    pub message: String,
    /// Its kind, such as `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The property that is to blame.
    pub param: Option<String>,
    /// A word for programs; some engines give a number.
    #[schema(value_type = serde_json::Value)]
    pub code: Option<serde_json::Value>,
}

/// An error in Anthropic's API.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnthropicError {
    /// `error`
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened.
    pub error: AnthropicErrorDetail,
}

/// What happened, in Anthropic's words.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnthropicErrorDetail {
    /// Its kind, such as `overloaded_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One sentence.
    pub message: String,
}

// === impl Audience ===

impl Audience {
    /// All that have an error of their own form.
    pub(super) const ALL: [Self; 4] = [
        Self::Admin,
        Self::Client(ClientProtocol::Ollama),
        Self::Client(ClientProtocol::OpenAi),
        Self::Client(ClientProtocol::Anthropic),
    ];

    /// The name of the error's response in the document.
    fn response_name(self) -> &'static str {
        match self {
            Self::Admin | Self::Client(ClientProtocol::Admin) => "AdminFailure",
            Self::Client(ClientProtocol::Ollama) => "OllamaFailure",
            Self::Client(ClientProtocol::OpenAi) => "OpenAiFailure",
            Self::Client(ClientProtocol::Anthropic) => "AnthropicFailure",
        }
    }

    /// The response that all errors of this audience refer to.
    pub(super) fn response(self) -> (String, Response) {
        let (name, _) = self.schema();
        let content = Content::new(Some(Ref::from_schema_name(name)));
        let response = ResponseBuilder::new().description("An error").content("application/json", content);
        (self.response_name().to_owned(), response.build())
    }

    /// The schemas of this audience's errors.
    pub(super) fn schemas(self) -> Vec<(String, RefOr<Schema>)> {
        let mut schemas = Vec::new();
        match self {
            Self::Admin | Self::Client(ClientProtocol::Admin) => ApiError::schemas(&mut schemas),
            Self::Client(ClientProtocol::Ollama) => OllamaError::schemas(&mut schemas),
            Self::Client(ClientProtocol::OpenAi) => OpenAiError::schemas(&mut schemas),
            Self::Client(ClientProtocol::Anthropic) => AnthropicError::schemas(&mut schemas),
        }
        schemas.push(self.schema());
        schemas
    }

    fn schema(self) -> (String, RefOr<Schema>) {
        match self {
            Self::Admin | Self::Client(ClientProtocol::Admin) => {
                (ApiError::name().into(), ApiError::schema())
            }
            Self::Client(ClientProtocol::Ollama) => (OllamaError::name().into(), OllamaError::schema()),
            Self::Client(ClientProtocol::OpenAi) => (OpenAiError::name().into(), OpenAiError::schema()),
            Self::Client(ClientProtocol::Anthropic) => {
                (AnthropicError::name().into(), AnthropicError::schema())
            }
        }
    }

    /// An error with this status.
    pub(super) fn failure(self, status: u16) -> Ref {
        let mut reference = Ref::from_response_name(self.response_name());
        let meaning = match self {
            Self::Admin => admin_meaning(status),
            Self::Client(_) => client_meaning(status),
        };
        meaning.clone_into(&mut reference.description);
        reference
    }

    /// An error that comes from a backend.
    pub(super) fn backends_failure(self) -> Ref {
        let mut reference = Ref::from_response_name(self.response_name());
        let meaning = "What the backend answered: its errors keep their status.";
        meaning.clone_into(&mut reference.description);
        reference
    }
}

/// What a status of the admin API means.
fn admin_meaning(status: u16) -> &'static str {
    match status {
        400 => "The request breaks a rule; `Message` says which. Nothing was changed.",
        401 => "There is no admin token, or a wrong one.",
        404 => "There is no such object.",
        405 => "The path does not take this method; `Allow` names those that it takes.",
        408 => "The body did not arrive in time.",
        409 => "It does not fit to what is there: the name is taken, or something still uses it.",
        412 => "The condition in the request's head does not hold: read again first.",
        413 => "The body is too large.",
        429 => "Too many wrong tokens came from this address; `Retry-After` says when to try again.",
        503 => {
            "The cluster cannot do it now: it has no leader, or is being formed. `Retry-After` says when to try again."
        }
        _ => "It failed.",
    }
}

/// What a status means that this node gives a client.
fn client_meaning(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be understood, or cannot be put into the backend's API.",
        401 => "The client's key is missing, or wrong.",
        403 => "The frontend does not allow this.",
        404 => "There is no frontend for this host name, or no such model.",
        405 => "The path does not take this method; `Allow` names those that it takes.",
        408 => "The body did not arrive in time.",
        413 => "The body is too large.",
        415 => "The body is in a coding that is not accepted.",
        429 => "The client, or all together, sent too many requests; `Retry-After` says when to try again.",
        502 => "No backend could answer.",
        503 => "All backends are busy, or the node is stopping; `Retry-After` says when to try again.",
        504 => "No backend was free in time, or it did not answer in time.",
        _ => "It failed.",
    }
}
