//! The requests the scenarios send: a chat call with a prompt of a given size, and the script for the upstream in a
//! header. Built once, sent many times.

use crate::wire::script::{self, Script};

/// Body of the small-request scenario: 1 KiB of JSON.
pub(crate) const SMALL_BODY_BYTES: usize = 1024;
/// Body of the streaming scenarios, a short prompt.
pub(crate) const SHORT_BODY_BYTES: usize = 200;

/// The API whose wire format is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Api {
    /// `POST /api/chat`, answered in NDJSON.
    Ollama,
    /// `POST /v1/chat/completions`, answered in server-sent events.
    Openai,
}

/// One chat request whose body has exactly `body_bytes` (or the least possible, if that is more).
pub(crate) fn chat(api: Api, script: Script, body_bytes: usize) -> Vec<u8> {
    let path = match api {
        Api::Ollama => "/api/chat",
        Api::Openai => "/v1/chat/completions",
    };
    let streamed = !matches!(script, Script::Answer | Script::CloseAfter { .. });
    // Where a proxy may keep the header for itself, the prompt says it too.
    let said = match api {
        Api::Ollama => String::new(),
        Api::Openai => format!("{} ", script.for_body()),
    };
    let head =
        format!(r#"{{"model":"bench","stream":{streamed},"messages":[{{"role":"user","content":"{said}"#);
    let tail = r#""}]}"#;
    let prompt = "word ".repeat(body_bytes / 5 + 1);
    let room = body_bytes.saturating_sub(head.len() + tail.len());
    let body = format!("{head}{}{tail}", &prompt[..room]);
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         {}: {script}\r\n\r\n{body}",
        body.len(),
        script::HEADER,
    )
    .into_bytes()
}

/// A GET without a body; `authorization` is the value of that header.
pub(crate) fn get(path: &str, authorization: Option<&str>) -> Vec<u8> {
    let authorization = authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{authorization}\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_asked_size_and_valid_json() {
        for size in [200, 1024, 100 * 1024] {
            let bytes = chat(Api::Ollama, Script::Answer, size);
            let text = String::from_utf8(bytes).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(body.len(), size);
            assert!(head.contains(&format!("content-length: {size}")));
            let value: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(value["stream"], false);
        }
    }

    #[test]
    fn a_streamed_request_says_so() {
        let bytes = chat(Api::Openai, Script::Idle, 200);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("POST /v1/chat/completions "));
        assert!(text.contains(r#""stream":true"#));
        assert!(text.contains("x-bench: idle\r\n"));
    }
}
