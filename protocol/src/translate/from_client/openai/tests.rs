use proptest::prelude::*;
use serde_json::json;

use super::*;

fn fields(body: &str) -> Fields<'_> {
    Fields::of_body(body.as_bytes(), false).unwrap()
}

#[test]
fn openais_members_win_over_options_and_nulls_are_absent() {
    let body = r#"{"options":{"num_ctx":8192,"temperature":0.1,"seed":null,"top_p":0.5},"temperature":0.25,
        "top_p":null,"seed":-7,"top_k":3,"min_p":0.05,"repeat_penalty":1.10,"max_completion_tokens":9}"#;
    let mut fields = fields(body);
    let expected = json!({
        "num_ctx": 8192, "temperature": 0.25, "top_p": 0.5, "top_k": 3, "min_p": 0.05, "repeat_penalty": 1.1,
        "seed": -7, "num_predict": 9
    });
    assert_eq!(Value::Object(options(&mut fields).unwrap()), expected);
    assert_eq!(fields.rest().count(), 0);
}

#[test]
fn max_tokens_wins_over_max_completion_tokens_and_zero_is_a_number() {
    let mut both = fields(r#"{"max_completion_tokens":9,"max_tokens":0}"#);
    assert_eq!(options(&mut both).unwrap()["num_predict"], 0);
    assert_eq!(both.rest().count(), 0);
}

#[test]
fn a_default_never_replaces_what_the_client_says() {
    let mut options = options(&mut fields(r#"{"temperature":0}"#)).unwrap();
    set_default(&mut options, "temperature", 1.0);
    set_default(&mut options, "top_p", 1.0);
    assert_eq!(Value::Object(options), json!({"temperature": 0, "top_p": 1.0}));
}

#[test]
fn mistakes_in_sampling_name_their_field() {
    for (body, field) in [
        (r#"{"temperature":"1"}"#, "temperature"),
        (r#"{"seed":1.5}"#, "seed"),
        (r#"{"max_tokens":"5"}"#, "max_tokens"),
        (r#"{"options":[]}"#, "options"),
    ] {
        assert_eq!(options(&mut fields(body)).unwrap_err().field.as_deref(), Some(field), "{body}");
    }
    assert_eq!(model(&mut fields(r#"{"model":""}"#)).unwrap_err().message, "model is required");
    assert_eq!(model(&mut fields("{}")).unwrap_err().field.as_deref(), Some("model"));
}

#[test]
fn only_one_answer_can_be_asked_for() {
    assert_eq!(only_one(&mut fields(r#"{"n":1}"#), "n"), Ok(()));
    assert_eq!(only_one(&mut fields(r#"{"n":null}"#), "n"), Ok(()));
    assert_eq!(only_one(&mut fields(r#"{"n":2}"#), "n").unwrap_err().field.as_deref(), Some("n"));
}

#[test]
fn ollamas_think_is_taken_and_checked() {
    let think = |body| think(&mut fields(body));
    assert_eq!(think(r#"{"think":null}"#), Ok(None));
    assert_eq!(think(r#"{"think":true}"#), Ok(Some(Think::On)));
    assert_eq!(think(r#"{"think":false}"#), Ok(Some(Think::Off)));
    assert_eq!(think(r#"{"think":"max"}"#), Ok(Some(Think::Level("max".to_owned()))));
    for body in [r#"{"think":"very"}"#, r#"{"think":1}"#] {
        assert_eq!(think(body).unwrap_err().field.as_deref(), Some("think"), "{body}");
    }
}

#[test]
fn stream_options_are_read_and_the_rest_of_them_is_named() {
    let mut dropped = Vec::new();
    let body = r#"{"stream_options":{"include_usage":true,"include_obfuscation":true}}"#;
    assert_eq!(include_usage(&mut fields(body), &mut dropped), Ok(true));
    assert_eq!(dropped, ["stream_options.include_obfuscation"]);
    assert_eq!(include_usage(&mut fields(r#"{"stream_options":{}}"#), &mut dropped), Ok(false));
    assert_eq!(include_usage(&mut fields("{}"), &mut dropped), Ok(false));
}

#[test]
fn types_are_named_as_go_names_them() {
    let names: Vec<&str> = stop(&mut fields(r#"{"stop":[null,true,false,1,-2,"s",[],{}]}"#))
        .into_iter()
        .map(type_name)
        .collect();
    let expected = [
        "<nil>",
        "bool",
        "bool",
        "float64",
        "float64",
        "string",
        "[]interface {}",
        "map[string]interface {}",
    ];
    assert_eq!(names, expected);
}

/// JSON that is much like a request of OpenAI's: known names at every level, and values of any type behind them.
pub(in crate::translate::from_client) fn requests() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 20] = [
        "model",
        "messages",
        "stop",
        "options",
        "response_format",
        "tools",
        "tool_choice",
        "stream_options",
        "stream",
        "think",
        "reasoning",
        "reasoning_effort",
        "prompt",
        "suffix",
        "input",
        "encoding_format",
        "logprobs",
        "n",
        "keep_alive",
        "modalities",
    ];
    let members = object(value(), &NAMES);
    (members, proptest::option::weighted(0.8, proptest::collection::vec(message(), 0..3))).prop_map(
        |(mut body, messages)| {
            // Readers look no further without one.
            body["model"] = "m".into();
            if let Some(messages) = messages {
                body["messages"] = messages.into();
            }
            body
        },
    )
}

fn message() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 6] =
        ["name", "tool_call_id", "reasoning", "reasoning_content", "content", "tool_calls"];
    const PART: [&str; 6] = ["text", "image_url", "url", "input_audio", "data", "format"];
    const CALL: [&str; 5] = ["id", "type", "function", "name", "arguments"];
    let role = proptest::sample::select(&["user", "assistant", "tool", "developer"][..]);
    let kind = proptest::sample::select(&["text", "image_url", "input_audio", "file"][..]);
    let part = (object(value(), &PART), kind).prop_map(|(part, kind)| with(part, "type", kind.into()));
    let call = (object(value(), &CALL), object(value(), &CALL));
    let call = call.prop_map(|(call, function)| with(call, "function", function));
    let parts = proptest::option::of(proptest::collection::vec(part, 0..4));
    let calls = proptest::option::of(proptest::collection::vec(call, 0..3));
    (object(value(), &NAMES), role, parts, calls).prop_map(|(message, role, parts, calls)| {
        let message = with(message, "role", role.into());
        let message = match parts {
            Some(parts) => with(message, "content", parts.into()),
            None => message,
        };
        match calls {
            Some(calls) => with(message, "tool_calls", calls.into()),
            None => message,
        }
    })
}

fn value() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 10] = [
        "type",
        "url",
        "data",
        "format",
        "effort",
        "function",
        "name",
        "json_schema",
        "schema",
        "include_usage",
    ];
    const TEXTS: [&str; 10] = [
        "",
        "text",
        "function",
        "json_schema",
        "low",
        "data:;base64,AAAA",
        "http://x",
        "{}",
        "{\"a\":1}",
        "AA==",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(&TEXTS[..]).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner, &NAMES)
        ]
    })
}

fn object(value: impl Strategy<Value = Value>, names: &'static [&str]) -> impl Strategy<Value = Value> {
    let members = proptest::collection::vec((proptest::sample::select(names), value), 0..6);
    members.prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}
