//! Nothing that comes in makes a translation panic.

use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate::Request;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::client::pairs;
use crate::damage::{damage, replace, stranger};
use crate::upstream::{Script, script};
use crate::{NOW, OCCASION};

const OPERATIONS: [Operation; 13] = [
    Operation::OllamaChat,
    Operation::OllamaGenerate,
    Operation::OllamaEmbed,
    Operation::OllamaEmbeddings,
    Operation::OllamaTags,
    Operation::OllamaPs,
    Operation::OllamaShow,
    Operation::OpenAiChat,
    Operation::OpenAiCompletion,
    Operation::OpenAiEmbeddings,
    Operation::OpenAiModels,
    Operation::OpenAiResponses,
    Operation::AnthropicMessages,
];

/// A request that uses much of what its API has.
fn valid(operation: Operation) -> Value {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
    let function = json!({ "name": "f", "description": "d", "parameters": schema });
    let image = "data:image/png;base64,iVBORw0KGgo=";
    match operation {
        Operation::OllamaChat => json!({
            "model": "m", "stream": true, "format": schema, "keep_alive": "5m", "think": "high",
            "messages": [
                { "role": "user", "content": "hi", "images": ["iVBORw0KGgo="] },
                { "role": "assistant", "content": "", "thinking": "t",
                  "tool_calls": [{ "id": "c", "function": { "index": 0, "name": "f", "arguments": { "a": 1 } } }] },
                { "role": "tool", "content": "r", "tool_name": "f", "tool_call_id": "c" },
            ],
            "tools": [{ "type": "function", "function": function }],
            "options": { "num_predict": 5, "stop": ["x"], "temperature": 0.5, "seed": 1, "top_k": 3 },
            "truncate": true, "shift": false, "logprobs": true, "top_logprobs": 2,
        }),
        Operation::OllamaGenerate => json!({
            "model": "m", "prompt": "hi", "suffix": "s", "system": "y", "template": "t", "raw": false,
            "context": [1, 2], "images": ["iVBORw0KGgo="], "format": "json", "options": { "num_predict": 5 },
            "think": true, "stream": false, "keep_alive": 0, "logprobs": true, "top_logprobs": 1,
        }),
        Operation::OllamaEmbed => json!({
            "model": "m", "input": ["a", "b"], "truncate": false, "dimensions": 3, "options": {}, "keep_alive": 1,
        }),
        Operation::OllamaEmbeddings => {
            json!({ "model": "m", "prompt": "a", "options": {}, "keep_alive": "1h" })
        }
        Operation::OpenAiChat => json!({
            "model": "m", "stream": true, "stream_options": { "include_usage": true },
            "messages": [
                { "role": "developer", "content": "s" },
                { "role": "user", "content": [
                    { "type": "text", "text": "a" },
                    { "type": "image_url", "image_url": { "url": image, "detail": "low" } },
                    { "type": "input_audio", "input_audio": { "data": "AA==", "format": "wav" } },
                ] },
                { "role": "assistant", "content": null, "reasoning": "t", "tool_calls": [
                    { "id": "c", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } },
                ] },
                { "role": "tool", "tool_call_id": "c", "content": "r" },
            ],
            "tools": [{ "type": "function", "function": function }], "tool_choice": "auto",
            "parallel_tool_calls": false, "max_tokens": 5, "max_completion_tokens": 6, "temperature": 0.5,
            "top_p": 0.5, "seed": 1, "stop": "x", "frequency_penalty": 0.1, "presence_penalty": 0.1, "n": 1,
            "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": schema } },
            "reasoning": { "effort": "low" }, "reasoning_effort": "high", "logprobs": true, "top_logprobs": 2,
            "user": "u", "options": { "num_ctx": 1 }, "keep_alive": "5m",
        }),
        Operation::OpenAiCompletion => json!({
            "model": "m", "prompt": "p", "suffix": "s", "max_tokens": 3, "stop": ["x"], "logprobs": 2, "seed": 1,
            "stream": true, "stream_options": { "include_usage": true }, "best_of": 1, "echo": false, "n": 1,
        }),
        Operation::OpenAiEmbeddings => {
            json!({ "model": "m", "input": ["a"], "dimensions": 2, "encoding_format": "base64", "user": "u" })
        }
        Operation::OpenAiResponses => json!({
            "model": "m", "instructions": "s", "stream": true, "max_output_tokens": 5, "temperature": 0.1,
            "input": [
                { "role": "user", "content": [
                    { "type": "input_text", "text": "a" },
                    { "type": "input_image", "detail": "auto", "image_url": image },
                ] },
                { "type": "reasoning", "id": "r", "summary": [], "encrypted_content": "t" },
                { "type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\":1}" },
                { "type": "function_call_output", "call_id": "c", "output": "r" },
            ],
            "reasoning": { "effort": "high", "summary": "auto" }, "truncation": "auto", "store": false,
            "text": { "format": { "type": "json_schema", "name": "n", "schema": schema } },
            "tools": [{ "type": "function", "name": "f", "description": "d", "parameters": schema }],
        }),
        Operation::AnthropicMessages => json!({
            "model": "m", "max_tokens": 5, "stream": true, "system": [{ "type": "text", "text": "s" }],
            "messages": [
                { "role": "user", "content": [
                    { "type": "image",
                      "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } },
                    { "type": "text", "text": "a" },
                ] },
                { "role": "assistant", "content": [
                    { "type": "thinking", "thinking": "t", "signature": "s" },
                    { "type": "tool_use", "id": "c", "name": "f", "input": { "a": 1 } },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "c", "content": [{ "type": "text", "text": "r" }] },
                ] },
            ],
            "tools": [{ "name": "f", "description": "d", "input_schema": schema }],
            "tool_choice": { "type": "auto" }, "thinking": { "type": "enabled", "budget_tokens": 1024 },
            "output_config": { "effort": "high" }, "stop_sequences": ["x"], "top_k": 3, "metadata": {},
        }),
        _ => json!({ "model": "m", "verbose": true }),
    }
}

/// Takes a request as far as it goes; whether it can be read.
fn take(operation: Operation, body: &[u8]) -> bool {
    let Ok(mut request) = Request::read(operation, Some("m"), body) else { return false };
    for format in [ApiFormat::Ollama, ApiFormat::OpenAI] {
        let _ = request.answer_here(format, OCCASION);
        let _ = request.write(format, OCCASION);
    }
    for media in request.remote_media() {
        assert!(!media.url().is_empty() || !media.field().is_empty());
        media.fetched("AA==".to_owned(), None);
    }
    for format in [ApiFormat::Ollama, ApiFormat::OpenAI] {
        let _ = request.write(format, OCCASION);
    }
    true
}

/// Takes an answer in every way that there is.
fn answer(operation: Operation, body: &[u8]) {
    let Ok(request) = Request::read(operation, Some("m"), valid(operation).to_string().as_bytes()) else {
        panic!("{operation:?}: a valid request is refused");
    };
    for format in [ApiFormat::Ollama, ApiFormat::OpenAI] {
        let ask = || request.write(format, OCCASION).ok().map(|asked| asked.answer);
        for media_type in ["application/json", "text/event-stream", "application/x-ndjson"] {
            if let Some(mut answer) = ask() {
                let _ = answer.whole(media_type, body, NOW);
            }
        }
        if let Some(mut answer) = ask() {
            let mut out = Vec::new();
            answer.push(body, NOW, &mut out);
            answer.finish(NOW, &mut out);
            let _ = answer.error(500, body);
        }
    }
}

#[test]
fn what_is_valid_is_read() {
    for operation in OPERATIONS {
        assert!(take(operation, valid(operation).to_string().as_bytes()), "{operation:?}");
    }
}

#[test]
fn deep_json_is_refused_and_no_stack_overflow() {
    for operation in OPERATIONS {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
            for body in [deep.clone(), format!("{{\"model\":\"m\",\"messages\":{deep},\"input\":{deep}}}")] {
                if operation != Operation::OpenAiModels {
                    let _ = take(operation, body.as_bytes());
                }
                answer(operation, body.as_bytes());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_a_reader_of_requests_panic(body in vec(any::<u8>(), 0..200)) {
        for operation in OPERATIONS {
            take(operation, &body);
        }
    }

    #[test]
    fn no_damage_makes_a_reader_of_requests_panic(damages in vec(damage(), 1..4)) {
        for operation in OPERATIONS {
            let mut body = valid(operation).to_string().into_bytes();
            for damage in &damages {
                damage.apply(&mut body);
            }
            take(operation, &body);
        }
    }

    #[test]
    fn no_strange_value_makes_a_reader_of_requests_panic(
        strangers in vec((any::<Index>(), stranger()), 1..4),
    ) {
        for operation in OPERATIONS {
            let mut body = valid(operation);
            for (at, stranger) in &strangers {
                replace(&mut body, *at, stranger.clone());
            }
            take(operation, body.to_string().as_bytes());
        }
    }

    #[test]
    fn no_bytes_make_a_reader_of_answers_panic(body in vec(any::<u8>(), 0..200)) {
        for operation in OPERATIONS {
            answer(operation, &body);
        }
    }

    #[test]
    fn no_strange_value_makes_a_reader_of_answers_panic(
        script in script(),
        strangers in vec((any::<Index>(), any::<Index>(), stranger()), 1..4),
    ) {
        for pair in pairs() {
            let asked = pair.ask(true);
            let stream = script.stream(asked.operation);
            let strange = with_strangers(&stream, &strangers);
            let (mut answer, mut out) = (asked.answer, Vec::new());
            answer.push(&strange, NOW, &mut out);
            answer.finish(NOW, &mut out);
            let _ = pair.ask(false).answer.whole(Script::media_type(asked.operation), &strange, NOW);
        }
    }
}

/// A stream with strange values in some of its frames.
fn with_strangers(stream: &[u8], strangers: &[(Index, Index, Value)]) -> Vec<u8> {
    let mut lines: Vec<String> =
        stream.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    for (line, at, stranger) in strangers {
        let line = line.index(lines.len());
        let (prefix, json) = match lines[line].strip_prefix("data: ") {
            Some(json) => ("data: ", json),
            None => ("", lines[line].as_str()),
        };
        if let Ok(mut frame) = serde_json::from_str(json) {
            replace(&mut frame, *at, stranger.clone());
            lines[line] = format!("{prefix}{frame}");
        }
    }
    lines.join("\n").into_bytes()
}
