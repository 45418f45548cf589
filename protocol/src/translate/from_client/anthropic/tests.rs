use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::translate::chat::{Format, Media, Think, ToolCall, ToolChoice};

fn asked(body: &str) -> Asked<Chat, Echo> {
    read(body.as_bytes()).unwrap()
}

/// A request with more members than those that each has to have.
fn with(members: &str) -> Asked<Chat, Echo> {
    asked(&format!(
        r#"{{"model":"m","max_tokens":16,"messages":[{{"role":"user","content":"hi"}}],{members}}}"#
    ))
}

/// The messages of a request with these messages.
fn messages(messages: &str) -> Vec<Message> {
    asked(&format!(r#"{{"model":"m","max_tokens":16,"messages":{messages}}}"#)).request.messages
}

fn refused(body: &str) -> Refused {
    read(body.as_bytes()).unwrap_err()
}

fn said(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
}

#[test]
fn a_minimal_request_says_no_more_than_it_does() {
    let asked = asked(r#"{"model":"m","max_tokens":16,"messages":[{"role":"user","content":"hi"}]}"#);
    let chat = asked.request;
    assert_eq!(chat.model, "m");
    assert_eq!(chat.messages, [said("user", "hi")]);
    assert_eq!(json!(chat.options), json!({"num_predict": 16}));
    assert!(!chat.stream && chat.tools.is_empty() && chat.think.is_none());
    assert!(matches!(chat.format, Format::Text));
    assert_eq!((asked.echo.model.as_str(), asked.echo.input_tokens), ("m", 1));
    assert!(asked.dropped.is_empty());
}

#[test]
fn model_max_tokens_and_messages_are_required() {
    for (body, field) in [
        (r#"{"max_tokens":1,"messages":[{"role":"user","content":"x"}]}"#, "model is required"),
        (r#"{"model":"","max_tokens":1,"messages":[]}"#, "model is required"),
        (r#"{"model":"m","messages":[]}"#, "max_tokens is required and must be positive"),
        (r#"{"model":"m","max_tokens":0,"messages":[]}"#, "max_tokens is required and must be positive"),
        (r#"{"model":"m","max_tokens":-1,"messages":[]}"#, "max_tokens is required and must be positive"),
        (r#"{"model":"m","max_tokens":1}"#, "messages is required"),
        (r#"{"model":"m","max_tokens":1,"messages":[]}"#, "messages is required"),
        (
            r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[]}]}"#,
            "messages must not all be empty",
        ),
        (r#"{"model":"m","max_tokens":1,"messages":[{"role":"user"}]}"#, "messages[0].content is required"),
        (r#"{"model":"m","max_tokens":1,"messages":[{"content":"x"}]}"#, "messages[0].role is required"),
    ] {
        assert_eq!(refused(body).message, field, "{body}");
    }
}

#[test]
fn an_empty_string_is_a_message_as_upstream_has_it() {
    let read = messages(r#"[{"role":"user","content":"a"},{"role":"assistant","content":""}]"#);
    assert_eq!(read, [said("user", "a"), said("assistant", "")]);
}

#[test]
fn what_is_left_out_of_a_block_is_named_with_its_place() {
    let body = r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[
        {"type":"text","text":"a","foo":1,"cache_control":{"type":"ephemeral"}},
        {"type":"image","bar":2,"source":{"type":"base64","media_type":"image/png","data":"AA==","baz":3}},
        {"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"b","qux":4},{"type":"mystery"}]}]}]}"#;
    assert_eq!(
        asked(body).dropped,
        [
            "messages[0].content[0].foo",
            "messages[0].content[0].cache_control",
            "messages[0].content[1].source.baz",
            "messages[0].content[1].bar",
            "messages[0].content[2].content[0].qux",
            "messages[0].content[2].content[1]",
        ]
    );
}

#[test]
fn system_is_a_string_or_blocks_put_together() {
    assert_eq!(with(r#""system":"s""#).request.messages[0], said("system", "s"));
    assert_eq!(with(r#""system":"""#).request.messages, [said("user", "hi")]);
    let asked = with(
        r#""system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}]"#,
    );
    assert_eq!(asked.request.messages, [said("system", "ab"), said("user", "hi")]);
    assert_eq!(asked.dropped, ["system[0].cache_control"]);
}

#[test]
fn a_round_of_tools_becomes_a_call_and_a_result_before_the_text() {
    let read = messages(
        r#"[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},
              {"type":"text","text":"call"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"b":1,"a":[]}}]},
            {"role":"user","content":[{"type":"text","text":"go"},
              {"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"r"},
                {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},
                {"type":"text","text":"s"}]}]}]"#,
    );
    let serde_json::Value::Object(arguments) = json!({"b": 1, "a": []}) else { unreachable!() };
    let call =
        ToolCall { id: Some("toolu_1".to_owned()), name: "f".to_owned(), arguments, ..ToolCall::default() };
    let png = Media::Inline { base64: "AA==".to_owned(), media_type: Some("image/png".to_owned()) };
    assert_eq!(
        read,
        [
            Message { thinking: "t".to_owned(), tool_calls: vec![call], ..said("assistant", "call") },
            Message { media: vec![png], tool_call_id: Some("toolu_1".to_owned()), ..said("tool", "rs") },
            said("user", "go"),
        ]
    );
}

#[test]
fn what_a_tool_failed_with_is_told_and_that_it_failed_is_named() {
    let body = r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[
        {"type":"tool_result","tool_use_id":"t","is_error":true,"content":"no"}]}]}"#;
    let asked = asked(body);
    assert_eq!(asked.request.messages[0].content, "no");
    assert_eq!(asked.dropped, ["messages[0].content[0].is_error"]);
}

#[test]
fn images_are_inline_or_to_be_fetched() {
    let image =
        |source: &str| format!(r#"[{{"role":"user","content":[{{"type":"image","source":{source}}}]}}]"#);
    assert_eq!(
        messages(&image(r#"{"type":"url","url":"https://e.com/x"}"#))[0].media,
        [Media::Remote {
            url: "https://e.com/x".to_owned(),
            field: "messages[0].content[0].source.url".to_owned(),
            refusal: "invalid image source type: url. Only base64 images are supported.",
        }]
    );
    let body = |source| format!(r#"{{"model":"m","max_tokens":1,"messages":{}}}"#, image(source));
    let refusal = refused(&body(r#"{"type":"file","file_id":"f"}"#));
    assert_eq!(refusal.message, "invalid image source type: file. Only base64 images are supported.");
    assert_eq!(refusal.field.as_deref(), Some("messages[0].content[0].source"));
    assert_eq!(refused(&body(r#"{"type":"base64","data":"A"}"#)).message, "invalid base64 image data");
    assert_eq!(refused(&body("null")).message, "invalid image source");
    assert_eq!(
        refused(&body(r#"{"type":"base64"}"#)).message,
        "messages[0].content[0].source.data is required"
    );
}

#[test]
fn a_call_needs_id_and_name_and_an_object() {
    for (block, message) in [
        (r#"{"type":"tool_use","name":"f","input":{}}"#, "tool_use block missing required 'id' field"),
        (r#"{"type":"tool_use","id":"i","name":""}"#, "tool_use block missing required 'name' field"),
        (
            r#"{"type":"tool_use","id":"i","name":"f","input":"{}"}"#,
            "messages[0].content[0].input must be an object",
        ),
        (r#"{"text":"x"}"#, "messages[0].content[0].type is required"),
        ("7", "messages[0].content[0] must be an object"),
    ] {
        let body = format!(
            r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"assistant","content":[{block}]}}]}}"#
        );
        assert_eq!(refused(&body).message, message);
    }
    let without_input =
        messages(r#"[{"role":"assistant","content":[{"type":"tool_use","id":"i","name":"f"}]}]"#);
    assert!(without_input[0].tool_calls[0].arguments.is_empty());
}

#[test]
fn blocks_that_no_backend_knows_are_left_out_and_named() {
    let body = r#"{"model":"m","max_tokens":1,"metadata":{"user_id":"u"},"service_tier":"auto","messages":[
        {"role":"assistant","content":[{"type":"redacted_thinking","data":"x"},{"type":"text","text":"a","citations":[]}]},
        {"role":"USER","name":"n","content":[{"type":"container_upload","file_id":"f"},{"type":"text","text":"b"}]}]}"#;
    let asked = asked(body);
    assert_eq!(asked.request.messages, [said("assistant", "a"), said("user", "b")]);
    assert_eq!(
        asked.dropped,
        [
            "messages[0].content[1].citations",
            "messages[0].content[0]",
            "messages[1].name",
            "messages[1].content[0]",
            "metadata",
            "service_tier"
        ]
    );
}

#[test]
fn sampling_is_passed_on_as_far_as_it_is_given() {
    let options =
        with(r#""temperature":0.25,"top_p":1,"top_k":5,"stop_sequences":["a","b"]"#).request.options;
    assert_eq!(
        json!(options),
        json!({"num_predict": 16, "temperature": 0.25, "top_p": 1, "top_k": 5, "stop": ["a", "b"]})
    );
    assert_eq!(json!(with(r#""stop_sequences":[]"#).request.options), json!({"num_predict": 16}));
}

#[test]
fn thinking_goes_before_effort() {
    let think = |members: &str| with(members).request.think;
    assert_eq!(think(r#""thinking":{"type":"enabled","budget_tokens":1024}"#), Some(Think::On));
    assert_eq!(think(r#""thinking":{"type":"disabled"},"output_config":{"effort":"low"}"#), Some(Think::Off));
    assert_eq!(think(r#""thinking":{"type":"adaptive"}"#), None);
    let level = |name: &str| Some(Think::Level(name.to_owned()));
    assert_eq!(think(r#""thinking":{"type":"adaptive"},"output_config":{"effort":"low"}"#), level("low"));
    for (effort, expected) in [("medium", "medium"), ("high", "high"), ("max", "max"), (" XHigh ", "high")] {
        assert_eq!(think(&format!(r#""output_config":{{"effort":"{effort}"}}"#)), level(expected));
    }
    let asked = with(r#""output_config":{"effort":"extreme"}"#);
    assert_eq!((asked.request.think, asked.dropped), (None, vec!["output_config.effort".to_owned()]));
}

#[test]
fn a_schema_for_the_answer_is_passed_on_byte_by_byte() {
    let asked = with(r#""output_config":{"format":{"type":"json_schema","schema":{ "type":"object" }}}"#);
    let Format::Schema(schema) = asked.request.format else { panic!("no schema") };
    assert_eq!(schema.text.get(), r#"{ "type":"object" }"#);
}

#[test]
fn tools_are_functions_with_their_schemas_as_they_are() {
    let asked = with(
        r#""tools":[{"name":"f","description":"d","input_schema":{ "type":"object","x":1.0 },"cache_control":{}},
            {"type":"custom","name":"g","defer_loading":true},{"type":"any_20990101","name":"h","input_schema":{}}]"#,
    );
    let tools: Vec<&str> = asked.request.tools.iter().map(|tool| tool.get()).collect();
    assert_eq!(
        tools,
        [
            r#"{"type":"function","function":{"name":"f","description":"d","parameters":{ "type":"object","x":1.0 }}}"#,
            r#"{"type":"function","function":{"name":"g"}}"#,
            r#"{"type":"function","function":{"name":"h","parameters":{}}}"#,
        ]
    );
    assert_eq!(asked.dropped, ["tools[0].cache_control", "tools[1].defer_loading"]);
}

#[test]
fn a_tool_of_anthropics_own_is_refused_by_name() {
    let body = r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],
        "tools":[{"name":"f","input_schema":{}},{"type":"web_search_20250305","name":"web_search"}]}"#;
    let refusal = refused(body);
    assert_eq!(refusal.field.as_deref(), Some("tools[1]"));
    assert!(refusal.message.contains("web_search_20250305"), "{}", refusal.message);
}

#[test]
fn the_choice_of_tools_is_kept() {
    let choice = |choice: &str| {
        let chat = with(&format!(r#""tool_choice":{choice}"#)).request;
        (chat.tool_choice, chat.parallel_tool_calls)
    };
    assert_eq!(choice(r#"{"type":"auto"}"#), (ToolChoice::Auto, None));
    assert_eq!(
        choice(r#"{"type":"any","disable_parallel_tool_use":true}"#),
        (ToolChoice::Required, Some(false))
    );
    assert_eq!(choice(r#"{"type":"none"}"#), (ToolChoice::None, None));
    assert_eq!(choice(r#"{"type":"tool","name":"f"}"#), (ToolChoice::Named("f".to_owned()), None));
}

proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(
        content in "[\\[\\]{}\":,a-z0-9 ]{0,60}", kind in "text|image|tool_use|tool_result|thinking|x",
        value in "null|7|true|\"x\"|\\[\\]|\\[7\\]|\\{\\}|\\[\\{\"type\":\"text\"\\}\\]",
    ) {
        let _ = read(content.as_bytes());
        let body = format!(
            r#"{{"model":"m","max_tokens":1,"system":{value},"tools":{value},"thinking":{value},"tool_choice":{value},
            "messages":[{{"role":"user","content":[{{"type":"{kind}","id":"i","name":"n","text":{value},"input":{value},
            "content":{value},"source":{value},"thinking":{value}}}]}}]}}"#
        );
        let _ = read(body.as_bytes());
    }
}

#[test]
fn a_document_of_plain_text_is_text_and_any_other_is_refused() {
    let document = |source: &str| {
        format!(
            r#"[{{"role":"user","content":[{{"type":"text","text":"q "}},{{"type":"document","source":{source}}}]}}]"#
        )
    };
    let text = document(r#"{"type":"text","media_type":"text/plain","data":"42"}"#);
    assert_eq!(messages(&text), [said("user", "q 42")]);
    let pdf = document(r#"{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}"#);
    let refused = refused(&format!(r#"{{"model":"m","max_tokens":16,"messages":{pdf}}}"#));
    assert_eq!(refused.field.as_deref(), Some("messages[0].content[1].source"));
}
