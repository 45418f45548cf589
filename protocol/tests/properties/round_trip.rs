//! A chat request that goes into the other API and back again is what it was, but for what was named as dropped.

use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate::Request;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::OCCASION;
use crate::upstream::{arguments, text};

const PNG: &str = "iVBORw0KGgo=";

/// Options that OpenAI's API has no word for.
const ONLY_OLLAMAS: [&str; 6] = ["top_k", "min_p", "num_ctx", "repeat_penalty", "num_keep", "num_gpu"];

/// A turn of a conversation.
#[derive(Clone, Debug)]
enum Turn {
    System(String),
    User(Vec<String>, usize),
    Assistant(String),
    Calls(Vec<(String, Map<String, Value>)>),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        text().prop_map(Turn::System),
        (vec(text(), 1..3), 0..3usize).prop_map(|(texts, images)| Turn::User(texts, images)),
        text().prop_map(Turn::Assistant),
        vec(("[a-z_]{1,6}", arguments()), 1..3).prop_map(Turn::Calls),
    ];
    vec(turn, 1..5)
}

/// What both APIs have, in the names of OpenAI's.
fn sampling() -> impl Strategy<Value = Map<String, Value>> {
    let numbers = (of(0.0..2.0f64), of(0.0..1.0f64), of(-2.0..2.0f64), of(-2.0..2.0f64));
    let others = (of(0..i32::MAX), of(1..5000u32), of(vec(text(), 1..3)));
    (numbers, others).prop_map(|((temperature, top_p, frequency, presence), (seed, max_tokens, stop))| {
        let members = [
            ("temperature", temperature.map(Value::from)),
            ("top_p", top_p.map(Value::from)),
            ("frequency_penalty", frequency.map(Value::from)),
            ("presence_penalty", presence.map(Value::from)),
            ("seed", seed.map(Value::from)),
            ("max_tokens", max_tokens.map(Value::from)),
            ("stop", stop.map(Value::from)),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    })
}

fn schema() -> impl Strategy<Value = Value> {
    arguments().prop_map(|properties| json!({ "type": "object", "properties": properties, "x-y": 1.50 }))
}

fn tool() -> impl Strategy<Value = Value> {
    ("[a-z_]{1,6}", schema()).prop_map(|(name, schema)| {
        json!({ "type": "function", "function": { "name": name, "strict": true, "parameters": schema } })
    })
}

fn openai_messages(turns: &[Turn]) -> Vec<Value> {
    let mut messages = Vec::new();
    for turn in turns {
        match turn {
            Turn::System(text) => messages.push(json!({ "role": "system", "content": text })),
            Turn::User(texts, images) => {
                let texts = texts.iter().map(|text| json!({ "type": "text", "text": text }));
                let url = format!("data:image/png;base64,{PNG}");
                let image = json!({ "type": "image_url", "image_url": { "url": url } });
                let parts: Vec<_> = texts.chain(std::iter::repeat_n(image, *images)).collect();
                messages.push(json!({ "role": "user", "content": parts }));
            }
            Turn::Assistant(text) => messages.push(json!({ "role": "assistant", "content": text })),
            Turn::Calls(calls) => {
                let from = messages.len();
                let calls: Vec<_> = calls.iter().enumerate().collect();
                let call = |(index, (name, arguments)): &(usize, &(String, Map<String, Value>))| {
                    let arguments = Value::Object(arguments.clone()).to_string();
                    json!({
                        "id": format!("call_{from}_{index}"), "type": "function",
                        "function": { "name": name, "arguments": arguments },
                    })
                };
                let called: Vec<_> = calls.iter().map(call).collect();
                messages.push(json!({ "role": "assistant", "content": null, "tool_calls": called }));
                for (index, (name, _)) in calls {
                    messages.push(json!({
                        "role": "tool", "content": name, "tool_call_id": format!("call_{from}_{index}"),
                    }));
                }
            }
        }
    }
    messages
}

fn ollama_messages(turns: &[Turn]) -> Vec<Value> {
    let mut messages = Vec::new();
    for turn in turns {
        match turn {
            Turn::System(text) => messages.push(json!({ "role": "system", "content": text })),
            Turn::User(texts, images) => {
                let mut message = json!({ "role": "user", "content": texts.concat() });
                if *images > 0 {
                    message["images"] = std::iter::repeat_n(PNG, *images).collect();
                }
                messages.push(message);
            }
            Turn::Assistant(text) => {
                messages.push(json!({ "role": "assistant", "content": text, "thinking": "hm" }));
            }
            Turn::Calls(calls) => {
                let from = messages.len();
                let call = |(index, (name, arguments)): (usize, &(String, Map<String, Value>))| {
                    let function = json!({ "index": index, "name": name, "arguments": arguments });
                    json!({ "id": format!("call_{from}_{index}"), "function": function })
                };
                let called: Vec<_> = calls.iter().enumerate().map(call).collect();
                messages.push(json!({ "role": "assistant", "content": "", "tool_calls": called }));
                for (index, (name, _)) in calls.iter().enumerate() {
                    messages.push(json!({
                        "role": "tool", "content": "r", "tool_name": name,
                        "tool_call_id": format!("call_{from}_{index}"),
                    }));
                }
            }
        }
    }
    messages
}

/// Sends a request there and back; what it is then, and what was dropped on the way there.
fn there_and_back(operation: Operation, request: &Value) -> (Value, Vec<String>) {
    let (there, back, other) = match operation {
        Operation::OpenAiChat => (ApiFormat::Ollama, ApiFormat::OpenAI, Operation::OllamaChat),
        _ => (ApiFormat::OpenAI, ApiFormat::Ollama, Operation::OpenAiChat),
    };
    let write = |operation, body: &[u8], format| {
        let request =
            Request::read(operation, None, body).and_then(|request| request.write(format, OCCASION));
        request.unwrap_or_else(|refused| panic!("{refused}: {}", body.escape_ascii()))
    };
    let sent = write(operation, request.to_string().as_bytes(), there);
    assert_eq!(sent.operation, other);
    let returned = write(other, &sent.body, back);
    (serde_json::from_slice(&returned.body).unwrap_or_default(), sent.dropped)
}

/// A message of OpenAI's API in the least words.
fn openai_message(message: &Value) -> Value {
    let parts: Vec<Value> = match &message["content"] {
        Value::Array(parts) => parts.clone(),
        Value::String(text) if !text.is_empty() => vec![json!({ "type": "text", "text": text })],
        _ => Vec::new(),
    };
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    let images: Vec<&Value> =
        parts.iter().map(|part| &part["image_url"]["url"]).filter(|it| !it.is_null()).collect();
    let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| {
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        json!([call["id"], call["function"]["name"], arguments])
    });
    json!({
        "role": message["role"], "text": texts.join("\n\n"), "images": images,
        "calls": calls.collect::<Vec<_>>(), "of": message["tool_call_id"],
    })
}

fn effort(level: &str) -> &str {
    match level {
        "minimal" => "low",
        "xhigh" | "ultra" | "max" => "high",
        other => other,
    }
}

proptest! {
    #[test]
    fn openai_by_way_of_ollama(
        turns in turns(),
        sampling in sampling(),
        tools in vec(tool(), 0..3),
        schema in of(schema()),
        is_json in any::<bool>(),
        level in of(select(vec!["none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max"])),
        logprobs in of(1..20u32),
        stream in any::<bool>(),
    ) {
        let mut request = json!({ "model": "m", "messages": openai_messages(&turns), "stream": stream });
        request.as_object_mut().unwrap().extend(sampling.clone());
        if !tools.is_empty() {
            request["tools"] = tools.into();
        }
        if let Some(schema) = &schema {
            let schema = json!({ "name": "schema", "schema": schema });
            request["response_format"] = json!({ "type": "json_schema", "json_schema": schema });
        } else if is_json {
            request["response_format"] = json!({ "type": "json_object" });
        }
        if let Some(level) = level {
            request["reasoning_effort"] = level.into();
        }
        if let Some(logprobs) = logprobs {
            request["logprobs"] = true.into();
            request["top_logprobs"] = logprobs.into();
        }
        request["user"] = "u".into();

        let (back, dropped) = there_and_back(Operation::OpenAiChat, &request);
        let label = schema.iter().map(|_| "response_format.json_schema.name");
        prop_assert_eq!(dropped, label.chain(["user"]).collect::<Vec<_>>());
        let messages = |request: &Value| -> Vec<Value> {
            request["messages"].as_array().into_iter().flatten().map(openai_message).collect()
        };
        prop_assert_eq!(messages(&back), messages(&request));
        for name in ["model", "stream", "tools", "response_format", "logprobs", "top_logprobs"] {
            prop_assert_eq!(&back[name], &request[name], "{}", name);
        }
        for name in ["frequency_penalty", "presence_penalty", "seed", "max_tokens", "stop"] {
            prop_assert_eq!(&back[name], &request[name], "{}", name);
        }
        for name in ["temperature", "top_p"] {
            // The default of OpenAI's API goes with the request.
            let expected = sampling.get(name).and_then(Value::as_f64).unwrap_or(1.0);
            prop_assert_eq!(back[name].as_f64(), Some(expected), "{}", name);
        }
        prop_assert_eq!(back["reasoning_effort"].as_str(), level.map(effort));
    }

    #[test]
    fn ollama_by_way_of_openai(
        turns in turns(),
        sampling in sampling(),
        others in vec(select(ONLY_OLLAMAS.to_vec()), 0..4),
        tools in vec(tool(), 0..3),
        format in of(prop_oneof![Just(json!("json")), schema()]),
        think in of(select(vec![json!(false), json!("low"), json!("medium"), json!("high")])),
        logprobs in of(1..20u32),
        stream in of(any::<bool>()),
        rest in vec(select(vec![("keep_alive", json!("5m")), ("truncate", json!(true))]), 0..3),
    ) {
        let mut options = sampling.clone();
        if let Some(max_tokens) = options.remove("max_tokens") {
            options.insert("num_predict".to_owned(), max_tokens);
        }
        options.extend(others.into_iter().map(|name| (name.to_owned(), json!(1))));
        let mut request = json!({ "model": "m", "messages": ollama_messages(&turns), "options": options });
        let members = [
            ("format", format),
            ("think", think),
            ("logprobs", logprobs.map(|_| true.into())),
            ("top_logprobs", logprobs.map(Value::from)),
            ("stream", stream.map(Value::from)),
            ("tools", (!tools.is_empty()).then(|| tools.into())),
        ];
        let given = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in given.chain(rest) {
            request[name] = value;
        }

        let (mut back, dropped) = there_and_back(Operation::OllamaChat, &request);
        let is_dropped = |path: &str| dropped.iter().any(|name| name == path);
        for (index, message) in request["messages"].as_array().unwrap().iter().enumerate() {
            for (name, value) in message.as_object().unwrap() {
                if name != "thinking" || !is_dropped(name) {
                    prop_assert_eq!(&back["messages"][index][name], value, "messages[{}].{}", index, name);
                }
            }
        }
        // Those of a client of OpenAI's API.
        for name in ["temperature", "top_p"] {
            if !sampling.contains_key(name) {
                prop_assert_eq!(back["options"].as_object_mut().unwrap().remove(name), Some(json!(1.0)));
            }
        }
        for (name, value) in &options {
            let found = back["options"].get(name);
            prop_assert_eq!(found, (!is_dropped(&format!("options.{name}"))).then_some(value), "{}", name);
        }
        prop_assert!(sampling.keys().all(|name| !is_dropped(&format!("options.{name}"))), "{:?}", dropped);
        request["stream"] = stream.unwrap_or(true).into();
        for (name, value) in request.as_object().unwrap() {
            if !["messages", "options"].contains(&name.as_str()) && !is_dropped(name) {
                prop_assert_eq!(back.get(name), Some(value), "{}", name);
            }
        }
        let known = ["keep_alive", "truncate", "thinking"];
        let unknown = dropped.iter().find(|name| {
            !known.contains(&name.as_str()) && !name.starts_with("options.")
        });
        prop_assert_eq!(unknown, None);
    }
}
