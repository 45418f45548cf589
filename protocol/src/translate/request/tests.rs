use serde_json::{Value, json};

use super::*;
use crate::time::Timestamp;

const OCCASION: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 1 };

/// The body for a backend, and what is not in it.
fn written(operation: Operation, body: &Value, format: ApiFormat) -> (Value, Vec<String>) {
    let request = Request::read(operation, None, body.to_string().as_bytes()).unwrap();
    let translated = request.write(format, OCCASION).unwrap();
    (serde_json::from_slice(&translated.body).unwrap(), translated.dropped)
}

#[test]
fn what_is_said_beside_a_schema_is_kept_or_named() {
    let schema = json!({"type": "object"});
    let named = json!({"name": "n", "description": "d", "schema": schema, "strict": true});
    let mut format = named.clone();
    format["type"] = "json_schema".into();
    let responses = json!({"model": "m", "input": "hi", "text": {"format": format}});
    let (body, dropped) = written(Operation::OpenAiResponses, &responses, ApiFormat::OpenAI);
    assert_eq!(body["response_format"], json!({"type": "json_schema", "json_schema": named}));
    assert_eq!(dropped, [""; 0]);
    let (body, dropped) = written(Operation::OpenAiResponses, &responses, ApiFormat::Ollama);
    assert_eq!(body["format"], schema);
    assert_eq!(dropped, ["text.format.description", "text.format.name"]);
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}],
                      "response_format": {"type": "json_schema", "json_schema": named}});
    let (body, dropped) = written(Operation::OpenAiChat, &chat, ApiFormat::Ollama);
    assert_eq!(body["format"], schema);
    assert_eq!(dropped, ["response_format.json_schema.description", "response_format.json_schema.name"]);
}

#[test]
fn a_schema_without_a_name_gets_upstreams() {
    let chat =
        json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "format": {"type": "object"}});
    let (body, _) = written(Operation::OllamaChat, &chat, ApiFormat::OpenAI);
    let expected =
        json!({"type": "json_schema", "json_schema": {"name": "schema", "schema": {"type": "object"}}});
    assert_eq!(body["response_format"], expected);
}

#[test]
fn strictness_of_tools_passes_with_them() {
    let tool = json!({"type": "function", "name": "f", "parameters": {}, "strict": true});
    let responses = json!({"model": "m", "input": "hi", "tools": [tool]});
    for format in [ApiFormat::Ollama, ApiFormat::OpenAI] {
        let (body, dropped) = written(Operation::OpenAiResponses, &responses, format);
        assert_eq!((&body["tools"][0]["function"]["strict"], dropped), (&json!(true), Vec::new()));
    }
}
