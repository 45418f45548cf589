use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::translate::chat::{Format, Media, Think};

fn read_text(body: &str) -> Asked<Chat, Echo> {
    read(body.as_bytes()).unwrap()
}

fn refused(body: &str) -> Refused {
    read(body.as_bytes()).unwrap_err()
}

#[test]
fn a_request_is_read_in_whole() {
    let asked = read_text(
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":false,"format":{"type":"object"},
            "keep_alive":0,"options":{"num_predict":5,"stop":["x"]},"think":true,"truncate":false,"shift":true,
            "logprobs":true,"top_logprobs":2}"#,
    );
    let chat = asked.request;
    assert_eq!((chat.model.as_str(), asked.echo.model.as_str(), chat.stream), ("m", "m", false));
    assert_eq!(chat.messages.len(), 1);
    assert!(matches!(chat.format, Format::Schema(schema) if schema.text.get() == r#"{"type":"object"}"#));
    assert_eq!(chat.keep_alive, Some(json!(0)));
    assert_eq!(json!(chat.options), json!({"num_predict": 5, "stop": ["x"]}));
    assert_eq!(chat.think, Some(Think::On));
    assert_eq!((chat.truncate, chat.shift), (Some(false), Some(true)));
    assert_eq!((chat.logprobs, chat.top_logprobs), (Some(true), Some(2)));
    assert!(asked.dropped.is_empty());
}

#[test]
fn keys_fold_in_nested_objects_too_and_roles_are_lowered() {
    let asked = read_text(
        r#"{"MODEL":"m","Messages":[{"ROLE":"USER","Content":"hi"},
            {"Role":"Assistant","Tool_Calls":[{"ID":"c","Function":{"NAME":"f","Arguments":{"A":1}}}]}],
            "STREAM":null}"#,
    );
    let [user, assistant] = &asked.request.messages[..] else { panic!("two messages") };
    assert_eq!((user.role.as_str(), user.content.as_str()), ("user", "hi"));
    assert_eq!((assistant.role.as_str(), assistant.content.as_str()), ("assistant", ""));
    let call = &assistant.tool_calls[0];
    assert_eq!((call.id.as_deref(), call.name.as_str()), (Some("c"), "f"));
    assert_eq!(json!(call.arguments), json!({"A": 1}));
    assert!(asked.request.stream);
    assert!(asked.dropped.is_empty());
}

#[test]
fn developers_are_the_system() {
    let asked = read_text(r#"{"model":"m","messages":[{"role":"Developer","content":"x"}]}"#);
    assert_eq!(asked.request.messages[0].role, "system");
}

#[test]
fn a_conversation_with_tools_keeps_all_that_it_says() {
    let asked = read_text(
        r#"{"model":"m","messages":[
            {"role":"user","content":"look","images":["AAAA","AA=="]},
            {"role":"assistant","thinking":"hm","tool_calls":[
                {"type":"function","function":{"index":0,"name":"f",
                    "arguments":{"z":1,"a":12345678901234567890,"f":1.50}}},
                {"id":"","function":{"name":"g","arguments":null}}]},
            {"role":"tool","content":"7","tool_name":"f","tool_call_id":"call_1"}]}"#,
    );
    let [user, assistant, tool] = &asked.request.messages[..] else { panic!("three messages") };
    let inline = |base64: &str| Media::Inline { base64: base64.to_owned(), media_type: None };
    assert_eq!(user.media, [inline("AAAA"), inline("AA==")]);
    assert_eq!(assistant.thinking, "hm");
    let [first, second] = &assistant.tool_calls[..] else { panic!("two calls") };
    assert_eq!(first.id, None);
    assert_eq!(json!(first.arguments).to_string(), r#"{"z":1,"a":12345678901234567890,"f":1.5}"#);
    assert_eq!(second, &ToolCall { name: "g".to_owned(), ..ToolCall::default() });
    assert_eq!((tool.tool_name.as_deref(), tool.tool_call_id.as_deref()), (Some("f"), Some("call_1")));
    assert!(asked.dropped.is_empty());
}

#[test]
fn tools_pass_byte_for_byte() {
    let tool =
        r#"{ "type":"function", "function":{"name":"f","parameters":{"const":1.50,"$ref":"\u0061"} } }"#;
    let asked = read_text(&format!(r#"{{"model":"m","tools":[ {tool} , {{}}]}}"#));
    assert_eq!(asked.request.tools[0].get(), tool);
    assert_eq!(asked.request.tools[1].get(), "{}");
    assert_eq!(refused(r#"{"model":"m","tools":[{},"f"]}"#).field.as_deref(), Some("tools[1]"));
    assert!(read(br#"{"model":"m","tools":{}}"#).is_err());
}

#[test]
fn what_nobody_knows_is_named_by_its_path() {
    let asked = read_text(
        r#"{"model":"m","user":"u","tool_choice":"none","_debug_render_only":false,"seed":null,
            "options":{"seed":1,"x":2},
            "messages":[{"role":"user","content":"a"},{"role":"user","content":"b","name":"n","tool_calls":[
                {"id":"c","extra":1,"function":{"name":"f","strict":true}}]}]}"#,
    );
    let mut dropped = asked.dropped;
    dropped.sort_unstable();
    assert_eq!(
        dropped,
        [
            "_debug_render_only",
            "messages[1].name",
            "messages[1].tool_calls[0].extra",
            "messages[1].tool_calls[0].function.strict",
            "options.x",
            "tool_choice",
            "user",
        ]
    );
}

#[test]
fn mistakes_are_refused_by_the_field() {
    for (body, field) in [
        (r#"{"messages":[]}"#, "model"),
        (r#"{"model":"m","messages":{}}"#, "messages"),
        (r#"{"model":"m","messages":["hi"]}"#, "messages[0]"),
        (r#"{"model":"m","messages":[{"role":7}]}"#, "messages[0].role"),
        (r#"{"model":"m","messages":[{},{"content":["a"]}]}"#, "messages[1].content"),
        (r#"{"model":"m","messages":[{"images":["a-_b"]}]}"#, "messages[0].images[0]"),
        (
            r#"{"model":"m","messages":[{"tool_calls":[{"function":"f"}]}]}"#,
            "messages[0].tool_calls[0].function",
        ),
        (
            r#"{"model":"m","messages":[{"tool_calls":[{"function":{"arguments":"{}"}}]}]}"#,
            "messages[0].tool_calls[0].function.arguments",
        ),
        (r#"{"model":"m","options":{"seed":"1"}}"#, "options.seed"),
        (r#"{"model":"m","keep_alive":"300"}"#, "keep_alive"),
        (r#"{"model":"m","format":"xml"}"#, "format"),
        (r#"{"model":"m","think":"none"}"#, "think"),
        (r#"{"model":"m","stream":1}"#, "stream"),
        (r#"{"model":"m","top_logprobs":21}"#, "top_logprobs"),
    ] {
        assert_eq!(refused(body).field.as_deref(), Some(field), "{body}");
    }
    assert_eq!(refused("").message, "missing request body");
}

#[test]
fn deep_json_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for place in ["\"tools\"", "\"format\"", "\"options\"", "\"x\""] {
        assert!(read(format!("{{\"model\":\"m\",{place}:{deep}}}").as_bytes()).is_err(), "{place}");
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|flag| json!(flag)),
        any::<i64>().prop_map(|number| json!(number)),
        prop_oneof![Just("AAAA"), Just("json"), Just("low"), Just("5m"), Just("")]
            .prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop_oneof![
            Just("role"),
            Just("content"),
            Just("images"),
            Just("tool_calls"),
            Just("function"),
            Just("arguments"),
            Just("temperature"),
            Just("STOP")
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|elements| json!(elements)),
            proptest::collection::vec((name, inner), 0..4).prop_map(|members| {
                json!(
                    members
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect::<serde_json::Map<_, _>>()
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(name in prop_oneof![
        Just("messages"), Just("tools"), Just("options"), Just("format"), Just("think"), Just("keep_alive"),
        Just("stream")
    ], value in any_json()) {
        let body = json!({"model": "m", name: value}).to_string();
        if let Ok(asked) = read(body.as_bytes()) {
            prop_assert_eq!(asked.request.model, "m");
        }
    }

    #[test]
    fn the_case_of_keys_does_not_matter(content in "\\PC{0,20}", upper in any::<bool>()) {
        let case = |name: &str| if upper { name.to_uppercase() } else { name.to_owned() };
        let body = json!({case("model"): "m", case("messages"): [{case("role"): "User", case("content"): content}]});
        let message = &read_text(&body.to_string()).request.messages[0];
        prop_assert_eq!((message.role.as_str(), &message.content), ("user", &content));
    }
}
