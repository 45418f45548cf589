use serde_json::{Map, Value, json};

use super::*;
use crate::time::Timestamp;
use crate::translate::chat::Format;

const OCCASION: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 7 };
const PNG: &str = "iVBORw0KGgo=";

fn text(chat: &Chat) -> String {
    String::from_utf8(write(chat, OCCASION).unwrap().body).unwrap()
}

fn written(chat: &Chat) -> Value {
    serde_json::from_str(&text(chat)).unwrap()
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

fn message(role: &str, content: &str) -> chat::Message {
    chat::Message { role: role.to_owned(), content: content.to_owned(), ..chat::Message::default() }
}

fn inline(base64: &str) -> Media {
    Media::Inline { base64: base64.to_owned(), media_type: None }
}

fn content(message: chat::Message) -> Value {
    written(&Chat { messages: vec![message], ..Chat::default() })["messages"][0]["content"].take()
}

#[test]
fn the_least_chat_says_nothing_that_nobody_asked_for() {
    let chat = Chat { model: "m".to_owned(), messages: vec![message("user", "hi")], ..Chat::default() };
    let expected = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":false}"#;
    assert_eq!(text(&chat), expected);
    assert!(write(&chat, OCCASION).unwrap().dropped.is_empty());
}

#[test]
fn a_stream_always_tells_its_usage() {
    let body = written(&Chat { stream: true, ..Chat::default() });
    assert_eq!((&body["stream"], &body["stream_options"]), (&json!(true), &json!({"include_usage": true})));
}

#[test]
fn options_are_sampling_at_the_top_level_and_the_rest_is_named() {
    let chat = Chat {
        options: map(json!({"num_predict": 3, "temperature": 0.1, "num_ctx": 8, "min_p": 0.1})),
        keep_alive: Some(json!("5m")),
        truncate: Some(false),
        shift: Some(true),
        ..Chat::default()
    };
    let said = write(&chat, OCCASION).unwrap();
    let body: Value = serde_json::from_slice(&said.body).unwrap();
    assert_eq!((&body["max_tokens"], &body["temperature"]), (&json!(3), &json!(0.1)));
    assert_eq!(said.dropped, ["num_ctx", "min_p", "keep_alive", "truncate", "shift"]);
}

#[test]
fn media_are_parts_behind_the_text() {
    let (url, field) = ("https://e.com/a?b=\"c\"".to_owned(), "f".to_owned());
    let remote = Media::Remote { url, field, refusal: "" };
    let media = vec![inline(PNG), inline("UklGRiQAAABXQVZFZm10IA=="), inline("AAAA"), remote];
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let parts = [
        image("data:image/png;base64,iVBORw0KGgo="),
        json!({"type": "input_audio", "input_audio": {"data": "UklGRiQAAABXQVZFZm10IA==", "format": "wav"}}),
        image("data:image/jpeg;base64,AAAA"),
        image("https://e.com/a?b=\"c\""),
    ];
    let said = json!({"type": "text", "text": "what?"});
    let with_text = chat::Message { media: media.clone(), ..message("user", "what?") };
    assert_eq!(content(with_text), Value::from([&[said][..], &parts].concat()));
    assert_eq!(content(chat::Message { media, ..message("user", "") }), Value::from(parts.to_vec()));
}

#[test]
fn calls_are_json_texts_with_ids_and_results_name_them() {
    let call = |id: Option<&str>, arguments: Value| chat::ToolCall {
        id: id.map(str::to_owned),
        name: "f".to_owned(),
        arguments: map(arguments),
        ..chat::ToolCall::default()
    };
    let calls = vec![call(Some("call_1"), json!({"b": 1.0, "a": "ü\n"})), call(None, json!({}))];
    let result = |id: Option<&str>| chat::Message {
        tool_call_id: id.map(str::to_owned),
        tool_name: Some("f".to_owned()),
        ..message("tool", "22C")
    };
    let messages = vec![
        chat::Message { tool_calls: calls, thinking: "hm".to_owned(), ..message("assistant", "") },
        result(Some("call_1")),
        result(None),
    ];
    let chat = Chat { messages, ..Chat::default() };
    let made = OCCASION.call(0);
    let function = |arguments: &str| json!({"name": "f", "arguments": arguments});
    assert_eq!(
        written(&chat)["messages"],
        json!([
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "call_1", "index": 0, "type": "function", "function": function("{\"b\":1.0,\"a\":\"ü\\n\"}")},
                {"id": made, "index": 1, "type": "function", "function": function("{}")},
            ]},
            {"role": "tool", "content": "22C", "tool_call_id": "call_1", "name": "f"},
            {"role": "tool", "content": "22C", "tool_call_id": made, "name": "f"},
        ])
    );
    assert_eq!(write(&chat, OCCASION).unwrap().dropped, ["thinking"]);
}

#[test]
fn a_result_without_a_call_is_refused_with_its_place() {
    let messages = vec![message("user", "hi"), message("tool", "22C")];
    let refused = write(&Chat { messages, ..Chat::default() }, OCCASION).unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("messages[1]"));
}

#[test]
fn schemas_pass_byte_for_byte() {
    let tool = r#"{"type":"function", "function":{"name":"f","parameters":{"z":1.50, "a":1e2}}}"#;
    let schema = r#"{"type": "object",  "properties":{}}"#;
    let chat =
        Chat { tools: vec![raw(tool)], format: Format::Schema((*raw(schema)).into()), ..Chat::default() };
    let body = text(&chat);
    assert!(body.contains(&format!("\"tools\":[{tool}]")), "{body}");
    let format = r#""response_format":{"type":"json_schema","json_schema":{"name":"schema","schema":"#;
    assert!(body.contains(&format!("{format}{schema}}}}}")), "{body}");
    let json = written(&Chat { format: Format::Json, ..Chat::default() });
    assert_eq!(json["response_format"], json!({"type": "json_object"}));
}

#[test]
fn which_tools_to_call_is_said_unless_it_goes_without_saying() {
    let said = |tool_choice, tools| {
        let chat = Chat { tool_choice, tools, parallel_tool_calls: Some(false), ..Chat::default() };
        let body = written(&chat);
        (body.get("tool_choice").cloned(), body.get("parallel_tool_calls").cloned())
    };
    let (tool, single) = (vec![raw("{}")], Some(json!(false)));
    let named = json!({"type": "function", "function": {"name": "f"}});
    assert_eq!(said(chat::ToolChoice::Auto, tool.clone()), (None, single.clone()));
    assert_eq!(said(chat::ToolChoice::None, tool.clone()), (Some(json!("none")), single.clone()));
    assert_eq!(said(chat::ToolChoice::Required, tool.clone()), (Some(json!("required")), single.clone()));
    assert_eq!(said(chat::ToolChoice::Named("f".to_owned()), tool), (Some(named), single));
    assert_eq!(said(chat::ToolChoice::None, Vec::new()), (None, None));
    assert_eq!(said(chat::ToolChoice::Required, Vec::new()), (Some(json!("required")), None));
}

#[test]
fn thinking_is_an_effort() {
    let effort = |think| written(&Chat { think, ..Chat::default() }).get("reasoning_effort").cloned();
    assert_eq!(effort(None), None);
    assert_eq!(effort(Some(Think::On)), None);
    assert_eq!(effort(Some(Think::Off)), Some(json!("none")));
    for (level, expected) in [("low", "low"), ("medium", "medium"), ("high", "high"), ("max", "high")] {
        assert_eq!(effort(Some(Think::Level(level.to_owned()))), Some(json!(expected)));
    }
}

#[test]
fn log_probabilities_have_one_alternative_at_least() {
    let said = |logprobs, top_logprobs| {
        let body = written(&Chat { logprobs, top_logprobs, ..Chat::default() });
        (body.get("logprobs").cloned(), body.get("top_logprobs").cloned())
    };
    assert_eq!(said(Some(true), None), (Some(json!(true)), Some(json!(1))));
    assert_eq!(said(Some(true), Some(5)), (Some(json!(true)), Some(json!(5))));
    assert_eq!(said(Some(false), Some(5)), (None, None));
    assert_eq!(said(None, Some(5)), (None, None));
}
