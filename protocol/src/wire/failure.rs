//! Errors in the shape that a client's own protocol has for them: whole bodies, and the last frame of a stream
//! that broke after its status was sent.

use serde_json::json;

use super::ending::StreamFormat;
use crate::route::ClientProtocol;

/// The JSON body for an error of a backend that speaks another API.
///
/// As [`error_body_of`], but for the `type` in OpenAI's shape: those that Ollama's own `/v1` layer knows
/// (`openai/openai.go`, `NewError`).
pub fn error_body(protocol: ClientProtocol, status: u16, message: &str) -> Option<String> {
    let is_known = protocol != ClientProtocol::OpenAi || matches!(status, 400 | 404);
    error_body_of(protocol, if is_known { status } else { 500 }, message, None)
}

/// The JSON body of an error that is answered instead of a backend's answer. `field` is the field of the request that it
/// is about; only OpenAI's shape has a place for it, `param`.
///
/// Shapes: Ollama `{"error": text}`; OpenAI and Anthropic with the types that they document; for anything else
/// OllamaFlow's admin error, which the caller renders itself.
pub fn error_body_of(
    protocol: ClientProtocol,
    status: u16,
    message: &str,
    field: Option<&str>,
) -> Option<String> {
    let body = match protocol {
        ClientProtocol::Ollama => json!({ "error": message }),
        ClientProtocol::OpenAi => json!({ "error": openai_error(status, message, field) }),
        ClientProtocol::Anthropic => json!({ "type": "error", "error": anthropic_error(status, message) }),
        ClientProtocol::Admin => return None,
    };
    Some(body.to_string())
}

/// The frame that tells a client that its stream broke. No end marker follows it.
pub fn error_frame(format: StreamFormat, message: &str) -> String {
    match format {
        StreamFormat::OllamaGeneration | StreamFormat::OllamaProgress => {
            format!("{}\n", json!({ "error": message }))
        }
        StreamFormat::OpenAiChunks => {
            format!("data: {}\n\n", json!({ "error": openai_error(502, message, None) }))
        }
        StreamFormat::OpenAiResponses => {
            // The `error` event of the Responses API; the nested `error` is what the SDKs raise on.
            let data = json!({
                "type": "error",
                "code": "upstream_error",
                "message": message,
                "param": null,
                "error": openai_error(502, message, None),
            });
            format!("event: error\ndata: {data}\n\n")
        }
        StreamFormat::AnthropicMessages => {
            let data = json!({ "type": "error", "error": anthropic_error(502, message) });
            format!("event: error\ndata: {data}\n\n")
        }
    }
}

fn openai_error(status: u16, message: &str, param: Option<&str>) -> serde_json::Value {
    let kind = match status {
        400 | 405 | 408 | 413 | 415 | 505 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        _ => "api_error",
    };
    json!({ "message": message, "type": kind, "param": param, "code": null })
}

fn anthropic_error(status: u16, message: &str) -> serde_json::Value {
    let kind = match status {
        400 | 405 | 408 | 415 | 505 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    };
    json!({ "type": kind, "message": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_gets_its_own_error_body() {
        let body = |protocol, status| error_body(protocol, status, "no \"x\"").unwrap_or_default();
        assert_eq!(body(ClientProtocol::Ollama, 404), r#"{"error":"no \"x\""}"#);
        assert_eq!(
            body(ClientProtocol::OpenAi, 404),
            r#"{"error":{"message":"no \"x\"","type":"not_found_error","param":null,"code":null}}"#
        );
        assert_eq!(
            body(ClientProtocol::Anthropic, 503),
            r#"{"type":"error","error":{"type":"overloaded_error","message":"no \"x\""}}"#
        );
        assert_eq!(error_body(ClientProtocol::Admin, 404, "x"), None);
    }

    #[test]
    fn error_frames_are_whole_frames_and_never_an_end_marker() {
        use crate::wire::{Ending, StreamWatch};
        for format in [
            StreamFormat::OllamaGeneration,
            StreamFormat::OllamaProgress,
            StreamFormat::OpenAiChunks,
            StreamFormat::OpenAiResponses,
            StreamFormat::AnthropicMessages,
        ] {
            let frame = error_frame(format, "the backend went away");
            let mut watch = StreamWatch::new(format);
            watch.push(frame.as_bytes());
            assert_eq!(watch.ending(), Ending::Failed, "{format:?}");
            assert_eq!(watch.separator(), "", "{format:?}");
            assert!(!frame.contains("[DONE]"));
        }
    }
}
