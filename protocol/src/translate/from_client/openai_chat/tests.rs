use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::translate::from_client::openai::tests::requests;

fn ask(more: &Value) -> Result<Asked<Chat, Echo>, Refused> {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    read(body.to_string().as_bytes())
}

fn asked(more: &Value) -> Asked<Chat, Echo> {
    ask(more).unwrap()
}

fn refusal(more: &Value) -> Refused {
    ask(more).unwrap_err()
}

#[test]
fn a_minimal_request_gets_upstreams_defaults() {
    let asked = asked(&json!({}));
    let request = asked.request;
    assert_eq!((request.model.as_str(), request.messages.len(), request.stream), ("m", 1, false));
    assert_eq!(Value::Object(request.options), json!({"temperature": 1.0, "top_p": 1.0}));
    assert_eq!((request.think, request.logprobs, request.top_logprobs), (None, None, None));
    assert!(matches!(request.format, Format::Text));
    assert_eq!((request.tool_choice, request.parallel_tool_calls), (ToolChoice::Auto, None));
    assert_eq!((asked.echo.model.as_str(), asked.echo.include_usage), ("m", false));
    assert_eq!(asked.dropped.len(), 0);
}

#[test]
fn everything_that_is_understood_is_kept() {
    let asked = asked(&json!({
        "max_tokens": 5, "temperature": 0.25, "top_p": 0, "seed": 42, "frequency_penalty": 0.1, "top_k": 3,
        "presence_penalty": -0.2, "stop": "END", "stream": true, "stream_options": {"include_usage": true},
        "logprobs": true, "top_logprobs": 2, "parallel_tool_calls": false, "keep_alive": -1, "n": 1,
        "options": {"num_ctx": 4096, "temperature": 0.9}, "modalities": ["text"], "functions": null, "audio": null
    }));
    let request = asked.request;
    let expected = json!({
        "num_ctx": 4096, "temperature": 0.25, "top_p": 0, "frequency_penalty": 0.1, "presence_penalty": -0.2,
        "top_k": 3, "seed": 42, "num_predict": 5, "stop": ["END"]
    });
    assert_eq!(Value::Object(request.options), expected);
    assert_eq!((request.stream, request.parallel_tool_calls), (true, Some(false)));
    assert_eq!((request.logprobs, request.top_logprobs), (Some(true), Some(2)));
    assert_eq!(request.keep_alive, Some(json!(-1)));
    assert!(asked.echo.include_usage);
    assert_eq!(asked.dropped.len(), 0);
}

#[test]
fn what_ollama_does_not_know_is_named() {
    let asked = asked(&json!({
        "user": "u", "metadata": {}, "store": true, "service_tier": "auto", "logit_bias": {"1": 2},
        "prediction": {"type": "content"}, "verbosity": null
    }));
    assert_eq!(asked.dropped, ["user", "metadata", "store", "service_tier", "logit_bias", "prediction"]);
    assert_eq!(asked.request.model, "m");
}

#[test]
fn stops_that_are_no_strings_are_left_out_and_named() {
    for (stop, kept) in [(json!(["a", 1, "b", null]), json!(["a", "b"])), (json!(7), Value::Null)] {
        let asked = asked(&json!({"stop": stop}));
        assert_eq!(asked.request.options.get("stop").unwrap_or(&Value::Null), &kept);
        assert_eq!(asked.dropped, ["stop"]);
    }
    for stop in [Value::Null, json!([])] {
        assert_eq!(asked(&json!({"stop": stop})).request.options.get("stop"), None);
    }
}

#[test]
fn effort_follows_the_table_and_the_reasoning_object_wins() {
    let think = |more: Value| asked(&more).request.think;
    let level = |level: &str| Some(Think::Level(level.to_owned()));
    for (effort, expected) in [
        ("none", Some(Think::Off)),
        ("minimal", level("low")),
        ("low", level("low")),
        ("medium", level("medium")),
        ("high", level("high")),
        ("max", level("max")),
        ("xhigh", level("max")),
        ("ultra", level("max")),
        ("", None),
    ] {
        assert_eq!(think(json!({"reasoning_effort": effort})), expected, "{effort}");
        assert_eq!(
            think(json!({"reasoning": {"effort": effort}, "reasoning_effort": "high"})),
            expected,
            "{effort}"
        );
    }
    assert_eq!(think(json!({"reasoning": {}, "reasoning_effort": "high"})), None);
    assert_eq!(think(json!({"reasoning_effort": "low", "think": true})), level("low"));
    assert_eq!(think(json!({"think": true})), Some(Think::On));
    assert_eq!(asked(&json!({"reasoning": {"summary": "auto"}})).dropped, ["reasoning.summary"]);
}

#[test]
fn an_unknown_effort_is_refused_in_upstreams_words() {
    let refused = refusal(&json!({"reasoning_effort": "extreme"}));
    assert_eq!(
        refused.message,
        r#"invalid reasoning value: "extreme" (must be "minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none")"#
    );
    assert_eq!(refused.field.as_deref(), Some("reasoning_effort"));
    assert_eq!(refusal(&json!({"reasoning": {"effort": "x"}})).field.as_deref(), Some("reasoning.effort"));
}

#[test]
fn response_formats_become_formats() {
    let format = |more: Value| {
        let asked = asked(&json!({ "response_format": more }));
        (asked.request.format, asked.dropped)
    };
    assert!(matches!(format(json!({"type": "json_object"})).0, Format::Json));
    assert!(matches!(format(json!({"type": " JSON_Object "})).0, Format::Json));
    assert!(matches!(format(json!({"type": "text"})), (Format::Text, dropped) if dropped.is_empty()));
    let (unknown, dropped) = format(json!({"type": "grammar", "grammar": "x"}));
    assert!(matches!(unknown, Format::Text));
    assert_eq!(dropped, ["response_format"]);
    assert!(matches!(format(json!({"type": "json_schema"})).0, Format::Text));
    assert!(matches!(format(json!({"type": "json_schema", "json_schema": {"name": "p"}})).0, Format::Text));
}

#[test]
fn schemas_of_formats_and_tools_pass_byte_for_byte() {
    let schema =
        r##"{"type" : "object", "properties":{"z":{"const":1.50},"a":{"$ref":"#/x"}}, "required":["z"]}"##;
    let tool =
        format!(r#"{{"type":"function", "function":{{"name":"f","strict":true,"parameters":{schema}}}}}"#);
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"tools":[ {tool} ],
        "response_format":{{"type":"json_schema","json_schema":{{"name":"p","strict":true,"schema":{schema}}}}}}}"#
    );
    let asked = read(body.as_bytes()).unwrap();
    let Format::Schema(kept) = asked.request.format else { panic!("no schema") };
    assert_eq!(kept.text.get(), schema);
    assert_eq!(asked.request.tools[0].get(), tool);
    assert_eq!(asked.dropped.len(), 0);
}

#[test]
fn choices_of_tools_are_read() {
    let choice =
        |choice: Value| ask(&json!({ "tool_choice": choice })).map(|asked| asked.request.tool_choice);
    assert_eq!(choice(json!("auto")), Ok(ToolChoice::Auto));
    assert_eq!(choice(json!("none")), Ok(ToolChoice::None));
    assert_eq!(choice(json!("required")), Ok(ToolChoice::Required));
    let named = json!({"type": "function", "function": {"name": "f"}});
    assert_eq!(choice(named), Ok(ToolChoice::Named("f".to_owned())));
    for other in
        [json!("any"), json!({"type": "allowed_tools"}), json!({"function": {}}), json!(7), json!([])]
    {
        assert_eq!(choice(other).unwrap_err().field.as_deref(), Some("tool_choice"));
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    for (more, field) in [
        (json!({"n": 2}), "n"),
        (json!({"modalities": ["text", "audio"]}), "modalities"),
        (json!({"modalities": "audio"}), "modalities"),
        (json!({"functions": []}), "functions"),
        (json!({"function_call": "auto"}), "function_call"),
        (json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]}), "tools[0].type"),
        (json!({"tools": ["f"]}), "tools[0]"),
        (json!({"model": null}), "model"),
        (json!({"messages": []}), "messages"),
        (json!({"top_logprobs": -1}), "top_logprobs"),
        (json!({"stream": "yes"}), "stream"),
    ] {
        assert_eq!(refusal(&more).field.as_deref(), Some(field), "{more}");
    }
}

#[test]
fn what_is_no_body_is_refused() {
    let deep = format!("{{\"model\":\"m\",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "{\"model\":", "[]", "null", &deep] {
        assert_eq!(read(body.as_bytes()).unwrap_err().field, None);
    }
}

proptest! {
    #[test]
    fn no_request_panics(body in requests()) {
        let _ = read(body.to_string().as_bytes());
    }

    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&body);
    }
}
