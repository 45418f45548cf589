use serde_json::json;

use super::*;

fn body(continuation: &Continuation) -> Value {
    serde_json::from_slice(&continuation.body).unwrap()
}

fn continued(
    operation: Operation,
    target: ApiFormat,
    request: &str,
    text: &str,
    frames: u64,
) -> Option<Continuation> {
    Request::read(operation, request.as_bytes())?.continuation(target, text, frames)
}

fn can(operation: Operation, request: &Value) -> bool {
    Request::read(operation, request.to_string().as_bytes()).is_some()
}

#[test]
fn an_ollama_chat_goes_on_with_the_text_as_the_assistants_beginning() {
    let request = r#"{"model":"m","messages":[{"role":"user","content":"caf\u00e9?"}],"options":{"temperature":0.70,"num_predict":100},"keep_alive":"5m"}"#;
    let continuation = continued(Operation::OllamaChat, ApiFormat::Ollama, request, "It \"is\"", 30).unwrap();
    assert_eq!(continuation.operation, Operation::OllamaChat);
    assert_eq!(continuation.operation_path, "/api/chat");
    assert_eq!(
        String::from_utf8(continuation.body).unwrap(),
        r#"{"model":"m","messages":[{"role":"user","content":"caf\u00e9?"},{"role":"assistant","content":"It \"is\""}],"options":{"temperature":0.70,"num_predict":70},"keep_alive":"5m"}"#
    );
}

#[test]
fn the_clients_own_beginning_of_the_answer_is_extended() {
    let request =
        r#"{"messages":[{"role":"user","content":"a"},{"role":"Assistant","content":"It ","x":1}]}"#;
    let continuation = continued(Operation::OllamaChat, ApiFormat::Ollama, request, "is", 1).unwrap();
    assert_eq!(
        body(&continuation)["messages"],
        json!([{"role": "user", "content": "a"}, {"role": "Assistant", "content": "It is", "x": 1}])
    );
    let parts = r#"{"stream":true,"messages":[{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"It "}]}]}"#;
    let continuation = continued(Operation::OpenAiChat, ApiFormat::OpenAI, parts, "is", 1).unwrap();
    assert_eq!(
        body(&continuation)["messages"],
        json!([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "It is"}]}])
    );
}

#[test]
fn a_generate_goes_on_as_a_chat() {
    let request = r#"{"model":"m","prompt":"why?","system":"be brief","images":["aGk="],"suffix":"","context":null,"raw":false,"think":false}"#;
    let continuation =
        continued(Operation::OllamaGenerate, ApiFormat::Ollama, request, "Because", 1).unwrap();
    assert_eq!(continuation.operation, Operation::OllamaChat);
    assert_eq!(continuation.operation_path, "/api/chat");
    assert_eq!(
        body(&continuation),
        json!({
            "model": "m",
            "think": false,
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "why?", "images": ["aGk="]},
                {"role": "assistant", "content": "Because"},
            ],
        })
    );
}

#[test]
fn vllm_is_asked_to_continue_and_ollama_does_so_by_itself() {
    let request = r#"{"stream":true,"messages":[{"role":"user","content":"a"}],"max_tokens":10,"max_completion_tokens":2,"min_tokens":2,"temperature":1.0}"#;
    let vllm = continued(Operation::OpenAiChat, ApiFormat::OpenAI, request, "b", 3).unwrap();
    assert_eq!(vllm.operation_path, "/v1/chat/completions");
    assert_eq!(
        String::from_utf8(vllm.body).unwrap(),
        r#"{"stream":true,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"max_tokens":7,"max_completion_tokens":1,"min_tokens":0,"temperature":1.0,"continue_final_message":true,"add_generation_prompt":false}"#
    );
    let ollama = continued(Operation::OpenAiChat, ApiFormat::Ollama, request, "b", 3).unwrap();
    assert_eq!(ollama.operation_path, "/v1/chat/completions");
    let ollama = body(&ollama);
    assert_eq!(ollama["messages"][1], json!({"role": "assistant", "content": "b"}));
    assert_eq!(ollama.get("continue_final_message"), None);
    assert_eq!(ollama.get("add_generation_prompt"), None);
}

#[test]
fn a_backend_that_does_not_speak_the_protocol_cannot_continue() {
    let chat = r#"{"messages":[{"role":"user","content":"a"}],"stream":true}"#;
    let can = |operation, target| continued(operation, target, chat, "b", 1).is_some();
    assert!(!can(Operation::OllamaChat, ApiFormat::OpenAI));
    assert!(!can(Operation::OllamaChat, ApiFormat::Unknown));
    assert!(!can(Operation::OpenAiChat, ApiFormat::Unknown));
    assert!(can(Operation::OpenAiChat, ApiFormat::Ollama));
    assert!(!can(Operation::OpenAiCompletion, ApiFormat::OpenAI));
}

#[test]
fn white_space_at_the_end_is_not_told_to_the_engine() {
    let request = r#"{"messages":[{"role":"user","content":"a"}]}"#;
    let continuation = continued(Operation::OllamaChat, ApiFormat::Ollama, request, "It is \n", 3).unwrap();
    assert_eq!(body(&continuation)["messages"][1]["content"], "It is");
    let continuation = continued(Operation::OllamaChat, ApiFormat::Ollama, request, " ", 1).unwrap();
    assert_eq!(body(&continuation)["messages"], json!([{"role": "user", "content": "a"}]));
}

#[test]
fn a_limit_of_tokens_is_reduced_by_what_was_sent_but_never_to_nothing() {
    let limit = |written: &str| {
        let request = format!(r#"{{"messages":[{{"role":"user"}}],"options":{{"num_predict":{written}}}}}"#);
        let continuation = continued(Operation::OllamaChat, ApiFormat::Ollama, &request, "b", 3).unwrap();
        let body = String::from_utf8(continuation.body).unwrap();
        body.split_once("num_predict\":").unwrap().1.split_once('}').unwrap().0.to_owned()
    };
    for (written, expected) in [
        ("10", "7"),
        ("3", "1"),
        ("1", "1"),
        ("10.9", "7"),
        ("-1", "-1"),
        ("-2", "-2"),
        ("0", "0"),
        ("null", "null"),
        ("\"10\"", "\"10\""),
        ("1e400", "1e400"),
    ] {
        assert_eq!(limit(written), expected, "{written}");
    }
}

#[test]
fn answers_that_are_no_plain_stream_are_not_continued() {
    let with = |base: &Value, name: &str, value: &Value| {
        let mut request = base.clone();
        request[name] = value.clone();
        request
    };
    let messages = json!([{"role": "user", "content": "a"}]);
    let chat = json!({"model": "m", "messages": messages});
    assert!(can(Operation::OllamaChat, &chat));
    for (name, value) in [
        ("stream", json!(false)),
        ("format", json!("json")),
        ("format", json!({"type": "object"})),
        ("logprobs", json!(true)),
        ("messages", json!([])),
        ("messages", json!("a")),
        ("messages", json!([{"role": "assistant", "content": "", "tool_calls": [{}]}])),
    ] {
        assert!(!can(Operation::OllamaChat, &with(&chat, name, &value)), "{name}: {value}");
    }
    for (name, value) in [("stream", json!(true)), ("format", json!("")), ("tools", json!([{}]))] {
        assert!(can(Operation::OllamaChat, &with(&chat, name, &value)), "{name}: {value}");
    }

    let generate = json!({"model": "m", "prompt": "a"});
    assert!(can(Operation::OllamaGenerate, &generate));
    for (name, value) in [
        ("stream", json!(false)),
        ("prompt", json!("")),
        ("prompt", json!(7)),
        ("system", json!(7)),
        ("raw", json!(true)),
        ("suffix", json!("b")),
        ("template", json!("{{ .Prompt }}")),
        ("context", json!([1, 2])),
        ("format", json!("json")),
    ] {
        assert!(!can(Operation::OllamaGenerate, &with(&generate, name, &value)), "{name}: {value}");
    }

    let chunks = json!({"model": "m", "messages": messages, "stream": true});
    assert!(can(Operation::OpenAiChat, &chunks));
    for (name, value) in [
        ("stream", json!(false)),
        ("stream", json!(null)),
        ("n", json!(2)),
        ("n", json!("2")),
        ("response_format", json!({"type": "json_object"})),
        ("response_format", json!({"type": "json_schema", "json_schema": {}})),
        ("tool_choice", json!("required")),
        ("tool_choice", json!({"type": "function"})),
        ("logprobs", json!(true)),
        ("echo", json!(true)),
        ("guided_json", json!({"a": 1})),
        ("audio", json!({"voice": "x"})),
        ("messages", json!([{"role": "assistant", "content": [{"type": "image_url"}]}])),
    ] {
        assert!(!can(Operation::OpenAiChat, &with(&chunks, name, &value)), "{name}: {value}");
    }
    for (name, value) in [
        ("n", json!(1)),
        ("n", json!(null)),
        ("response_format", json!({"type": "text"})),
        ("tool_choice", json!("auto")),
        ("tools", json!([{}])),
        ("logprobs", json!(false)),
    ] {
        assert!(can(Operation::OpenAiChat, &with(&chunks, name, &value)), "{name}: {value}");
    }
    assert!(!can(Operation::OpenAiCompletion, &chunks));
}

#[test]
fn a_body_that_is_not_one_object_or_is_too_large_is_not_continued() {
    for request in [
        "",
        "[]",
        "{\"messages\":[{\"role\":\"user\"}]}{}",
        "{\"messages\":[{\"role\":\"user\"}],\"Messages\":[]}",
    ] {
        assert!(Request::read(Operation::OllamaChat, request.as_bytes()).is_none(), "{request}");
    }
    assert!(
        Request::read(Operation::OllamaChat, b"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}")
            .is_none()
    );
    let large = json!({"messages": [{"role": "user", "content": "a".repeat(MAX_REQUEST)}]});
    assert!(!can(Operation::OllamaChat, &large));
}
