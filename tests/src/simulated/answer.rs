//! Answers as values, and errors in the formats of the engines. Pure: nothing is sent here.

use bytes::Bytes;
use serde_json::{Value, json};

/// What Ollama labels native JSON with.
const NATIVE_JSON: &str = "application/json; charset=utf-8";

/// A whole answer, without the headers of framing.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// The format of error bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorStyle {
    /// `{"error":"..."}`
    Native,
    /// `{"error":{"message":..,"type":..}}`, as Ollama's compatibility layer.
    OpenAi,
    /// The same with vLLM's types and a numeric code.
    Vllm,
    /// `{"type":"error","error":{..}}`
    Anthropic,
}

/// A request the engine does not serve.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub status: u16,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl Answer {
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: body.into() }
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body.to_owned())
    }

    /// JSON as Ollama's native API sends it.
    pub(super) fn native(value: &Value) -> Self {
        Self::new(200, NATIVE_JSON, value.to_string())
    }

    /// JSON as `/v1` of Ollama sends it: Go's encoder ends it with a line feed.
    pub(super) fn openai(value: &Value) -> Self {
        Self::new(200, "application/json", format!("{value}\n"))
    }

    /// An error body.
    pub(super) fn error(style: ErrorStyle, refusal: &Refusal) -> Self {
        let content_type = if style == ErrorStyle::Native { NATIVE_JSON } else { "application/json" };
        Self::new(refusal.status, content_type, error_value(style, refusal).to_string())
    }
}

/// The error as a JSON value, also for error frames in streams.
pub(super) fn error_value(style: ErrorStyle, refusal: &Refusal) -> Value {
    let Refusal { status, message } = refusal;
    match style {
        ErrorStyle::Native => json!({ "error": message }),
        ErrorStyle::OpenAi => {
            let kind = match status {
                400 => "invalid_request_error",
                404 => "not_found_error",
                _ => "api_error",
            };
            json!({ "error": { "message": message, "type": kind, "param": null, "code": null } })
        }
        ErrorStyle::Vllm => {
            let kind = match status {
                400 => "BadRequestError",
                404 => "NotFoundError",
                _ => "InternalServerError",
            };
            json!({ "error": { "message": message, "type": kind, "param": null, "code": status } })
        }
        ErrorStyle::Anthropic => {
            let kind = match status {
                400 => "invalid_request_error",
                401 => "authentication_error",
                404 => "not_found_error",
                429 => "rate_limit_error",
                503 | 529 => "overloaded_error",
                _ => "api_error",
            };
            json!({ "type": "error", "error": { "type": kind, "message": message } })
        }
    }
}

/// The reason phrase of a status line.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Request Entity Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
