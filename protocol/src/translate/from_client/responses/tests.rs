use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::translate::chat::{Media, ToolCall, ToolChoice};

fn asked(body: &str) -> Asked<Chat, Echo> {
    read(body.as_bytes()).unwrap()
}

/// A request with more members than it has to have.
fn with(members: &str) -> Asked<Chat, Echo> {
    asked(&format!(r#"{{"model":"m","input":"hi",{members}}}"#))
}

fn messages(input: &str) -> Vec<Message> {
    asked(&format!(r#"{{"model":"m","input":{input}}}"#)).request.messages
}

fn refused(members: &str) -> Refused {
    read(format!(r#"{{"model":"m",{members}}}"#).as_bytes()).unwrap_err()
}

fn said(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
}

fn call(id: &str, name: &str, arguments: Value) -> ToolCall {
    let Value::Object(arguments) = arguments else { panic!("no object") };
    ToolCall { id: Some(id.to_owned()), name: name.to_owned(), arguments, ..ToolCall::default() }
}

#[test]
fn a_question_is_one_message_with_a_temperature() {
    let asked = asked(r#"{"model":"m","input":"hi"}"#);
    let chat = asked.request;
    assert_eq!((chat.model.as_str(), chat.stream), ("m", false));
    assert_eq!(chat.messages, [said("user", "hi")]);
    assert_eq!(json!(chat.options), json!({"temperature": 1}));
    assert_eq!((chat.think, chat.tool_choice), (None, ToolChoice::Auto));
    assert_eq!(asked.echo.model, "m");
    assert!(asked.dropped.is_empty());
}

#[test]
fn a_request_without_model_or_input_is_refused() {
    assert_eq!(read(br#"{"input":"hi"}"#).err().unwrap().message, "model is required");
    for members in [r#""input":[]"#, r#""input":"""#, r#""stream":true"#] {
        assert_eq!(refused(members).field.as_deref(), Some("input"), "{members}");
    }
    assert_eq!(refused(r#""input":7"#).message, "input must be a string or an array of items");
}

#[test]
fn what_the_model_thought_and_called_is_one_message() {
    let asked = asked(
        r#"{"model":"m","instructions":"sys","input":[
            {"role":"user","content":[{"type":"input_text","text":"a"},
              {"type":"input_image","detail":"auto","image_url":"data:image/png;base64,iVBORw0KGgo="}]},
            {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"prev"},
            {"type":"function_call","id":"fc_1","status":"completed","call_id":"c1","name":"f","arguments":"{\"a\":1}"},
            {"type":"function_call","call_id":"c2","name":"g","arguments":""},
            {"type":"function_call_output","call_id":"c1","output":"r"},
            {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"s"},
              {"type":"input_text","text":"t"}]}]}"#,
    );
    let png = Media::Inline { base64: "iVBORw0KGgo=".to_owned(), media_type: Some("image/png".to_owned()) };
    let result = |id: &str, text: &str| Message { tool_call_id: Some(id.to_owned()), ..said("tool", text) };
    assert_eq!(
        asked.request.messages,
        [
            said("system", "sys"),
            Message { media: vec![png], ..said("user", "a") },
            Message {
                thinking: "prev".to_owned(),
                tool_calls: vec![call("c1", "f", json!({"a": 1})), call("c2", "g", json!({}))],
                ..said("assistant", "")
            },
            result("c1", "r"),
            result("c2", "st"),
        ]
    );
    assert_eq!(asked.echo.instructions.as_deref(), Some("sys"));
    assert!(asked.dropped.is_empty(), "{:?}", asked.dropped);
}

#[test]
fn messages_keep_their_roles_and_texts() {
    let read = messages(
        r#"[{"type":"message","role":"developer","content":"d"},{"role":"User","content":"u"},
            {"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[
              {"type":"output_text","text":"a","annotations":[],"logprobs":[]},{"type":"refusal","refusal":"no"}]}]"#,
    );
    assert_eq!(read, [said("system", "d"), said("user", "u"), said("assistant", "ano")]);
}

#[test]
fn thoughts_belong_to_the_next_turn_of_the_model() {
    let thought = r#"{"type":"reasoning","encrypted_content":"t"}"#;
    let with_thought = Message { thinking: "t".to_owned(), ..said("assistant", "x") };
    assert_eq!(
        messages(&format!(
            r#"[{thought},{{"role":"user","content":"u"}},{{"role":"assistant","content":"x"}}]"#
        )),
        [said("user", "u"), with_thought]
    );
    let alone = Message { thinking: "t".to_owned(), ..said("assistant", "") };
    assert_eq!(messages(&format!("[{thought}]")), [alone]);
    let two = messages(
        r#"[{"type":"reasoning","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}]},
            {"type":"reasoning","content":[{"type":"reasoning_text","text":"c"}],"summary":[{"text":"not this"}]}]"#,
    );
    assert_eq!(two[0].thinking, "a\n\nb\n\nc");
}

#[test]
fn what_is_said_between_a_call_and_its_result_belongs_to_the_call() {
    let read = messages(
        r#"[{"role":"assistant","content":"I look"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
            {"role":"assistant","content":"wait"},{"type":"function_call_output","call_id":"c","output":"r"},
            {"role":"assistant","content":"done"},{"role":"assistant","content":"really"}]"#,
    );
    let texts: Vec<(&str, &str)> =
        read.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
    let expected =
        [("assistant", "I look\nwait"), ("tool", "r"), ("assistant", "done"), ("assistant", "really")];
    assert_eq!(texts, expected);
}

#[test]
fn inputs_that_cannot_be_given_to_a_model_are_refused_by_their_place() {
    for (item, field, message) in [
        (
            r#"{"role":"user","content":[{"type":"input_file","file_id":"x"}]}"#,
            "input[0].content[0]",
            "file inputs are not currently supported",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_image","file_id":"x"}]}"#,
            "input[0].content[0].image_url",
            "file inputs are not currently supported",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_image","image_url":"x"}]}"#,
            "input[0].content[0].image_url",
            "invalid image input",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_audio"}]}"#,
            "input[0].content[0].type",
            "unknown content type: input_audio",
        ),
        (
            r#"{"role":"user","content":7}"#,
            "input[0].content",
            "input[0].content must be a string or an array of parts",
        ),
        (
            r#"{"type":"item_reference","id":"x"}"#,
            "input[0].type",
            r#"input[0].type is "item_reference", which is not supported"#,
        ),
        (r#"{"content":"x"}"#, "input[0].type", "input[0].type is required"),
        (
            r#"{"type":"function_call","call_id":"c","arguments":"{}"}"#,
            "input[0].name",
            "input[0].name is required",
        ),
    ] {
        let refusal = refused(&format!(r#""input":[{item}]"#));
        assert_eq!((refusal.field.as_deref(), refusal.message.as_str()), (Some(field), message));
    }
    let arguments = refused(r#""input":[{"type":"function_call","name":"f","arguments":"[1"}]"#);
    assert!(
        arguments.message.starts_with("failed to parse function call arguments"),
        "{}",
        arguments.message
    );
}

#[test]
fn an_image_elsewhere_is_kept_to_be_fetched() {
    let url = "https://e.com/x.png";
    let read = messages(&format!(
        r#"[{{"role":"user","content":[{{"type":"input_image","image_url":"{url}","detail":"low"}}]}}]"#
    ));
    let field = "input[0].content[0].image_url".to_owned();
    let (url, refusal) = (url.to_owned(), super::super::image::REMOTE);
    assert_eq!(read[0].media, [Media::Remote { url, field, refusal }]);
}

#[test]
fn what_is_stored_by_openai_is_refused() {
    for field in ["previous_response_id", "conversation", "prompt"] {
        let refusal = refused(&format!(r#""input":"hi","{field}":"x""#));
        assert_eq!(refusal.field.as_deref(), Some(field));
        assert!(asked(&format!(r#"{{"model":"m","input":"hi","{field}":null}}"#)).dropped.is_empty());
    }
    assert_eq!(refused(r#""input":"hi","background":true"#).field.as_deref(), Some("background"));
    assert!(with(r#""background":false"#).dropped.is_empty());
}

#[test]
fn what_has_no_effect_is_named_and_what_is_repeated_is_not() {
    let members = r#""store":true,"user":"u","service_tier":"flex","include":["reasoning.encrypted_content","x"],
        "top_logprobs":2,"text":{"verbosity":"low"},"reasoning":{"generate_summary":"auto"},"metadata":{"k":"v"},
        "safety_identifier":"s","prompt_cache_key":"p","truncation":"auto","max_tool_calls":3"#;
    let asked = with(members);
    let mut dropped = asked.dropped;
    dropped.sort_unstable();
    assert_eq!(
        dropped,
        [
            "include",
            "reasoning.generate_summary",
            "service_tier",
            "store",
            "text.verbosity",
            "top_logprobs",
            "user"
        ]
    );
    let echo = asked.echo;
    assert_eq!(json!(echo.metadata), json!({"k": "v"}));
    assert_eq!((echo.safety_identifier.as_deref(), echo.prompt_cache_key.as_deref()), (Some("s"), Some("p")));
    assert_eq!((echo.truncation.as_deref(), echo.max_tool_calls), (Some("auto"), Some(3)));
    assert!(echo.reasoning.is_none());
    let silent = r#""store":false,"service_tier":"auto","include":["reasoning.encrypted_content"]"#;
    assert!(with(silent).dropped.is_empty());
}

#[test]
fn sampling_is_passed_on_and_repeated() {
    let asked = with(
        r#""temperature":0.1,"top_p":0.9,"max_output_tokens":5,"stream":true,"parallel_tool_calls":false"#,
    );
    let chat = asked.request;
    assert_eq!(json!(chat.options), json!({"temperature": 0.1, "top_p": 0.9, "num_predict": 5}));
    assert_eq!((chat.stream, chat.parallel_tool_calls), (true, Some(false)));
    assert_eq!(asked.echo.max_output_tokens, Some(5));
}

#[test]
fn efforts_are_those_of_chat() {
    let think = |effort: &str| with(&format!(r#""reasoning":{{"effort":"{effort}"}}"#)).request.think;
    assert_eq!((think("none"), think("")), (Some(Think::Off), None));
    for (effort, level) in
        [("minimal", "low"), ("low", "low"), ("high", "high"), ("xhigh", "max"), ("max", "max")]
    {
        assert_eq!(think(effort), Some(Think::Level(level.to_owned())), "{effort}");
    }
    let refusal = refused(r#""input":"hi","reasoning":{"effort":"extreme"}"#);
    assert!(refusal.message.starts_with(r#"invalid reasoning value: "extreme" (must be "minimal""#));
}

#[test]
fn the_form_of_the_answer_is_kept() {
    let format = |format: &str| with(&format!(r#""text":{{"format":{format}}}"#));
    let asked = format(r#"{"type":"json_schema","name":"n","schema":{ "type":"object" },"strict":true}"#);
    let Format::Schema(schema) = asked.request.format else { panic!("no schema") };
    assert_eq!(schema.text.get(), r#"{ "type":"object" }"#);
    assert!(asked.echo.text_format.is_some() && asked.dropped.is_empty());
    assert!(matches!(format(r#"{"type":"json_object"}"#).request.format, Format::Json));
    assert!(matches!(format(r#"{"type":"text"}"#).request.format, Format::Text));
    for (format, field) in
        [(r#"{"type":"json_schema"}"#, "text.format.schema"), (r#"{"type":"grammar"}"#, "text.format.type")]
    {
        let refusal = refused(&format!(r#""input":"hi","text":{{"format":{format}}}"#));
        assert_eq!(refusal.field.as_deref(), Some(field));
    }
}

#[test]
fn tools_are_functions_with_their_schemas_as_they_are() {
    let asked = with(
        r#""tools":[{"type":"function","name":"f","description":"d","strict":true,"parameters":{ "x":1.0 }},
            {"type":"namespace","name":"ns","description":"n","tools":[
              {"type":"function","name":"g","defer_loading":true},{"type":"function","name":"ns.h"}]}]"#,
    );
    let tools: Vec<&str> = asked.request.tools.iter().map(|tool| tool.get()).collect();
    assert_eq!(
        tools,
        [
            r#"{"type":"function","function":{"name":"f","description":"d","parameters":{ "x":1.0 },"strict":true}}"#,
            r#"{"type":"function","function":{"name":"ns.g"}}"#,
            r#"{"type":"function","function":{"name":"ns.h"}}"#,
        ]
    );
    let members = json!([{"type": "function", "name": "g", "defer_loading": true}, {"type": "function", "name": "ns.h"}]);
    assert_eq!(
        asked.echo.tools,
        [
            json!({"type": "function", "name": "f", "description": "d", "strict": true, "parameters": {"x": 1.0}}),
            json!({"type": "namespace", "name": "ns", "description": "n", "strict": null, "parameters": null, "tools": members}),
        ]
    );
    assert_eq!(asked.dropped, ["tools[1].tools[0].defer_loading"]);
}

#[test]
fn tools_that_run_at_openai_are_refused_by_name() {
    for (tool, field) in [
        (r#"{"type":"web_search"}"#, "tools[0].type"),
        (r#"{"type":"custom","name":"x"}"#, "tools[0].type"),
        (
            r#"{"type":"namespace","name":"n","tools":[{"type":"namespace","name":"m"}]}"#,
            "tools[0].tools[0].type",
        ),
        (r#"{"type":"function"}"#, "tools[0].name"),
    ] {
        assert_eq!(refused(&format!(r#""input":"hi","tools":[{tool}]"#)).field.as_deref(), Some(field));
    }
    let refusal = refused(r#""input":"hi","tools":[{"type":"file_search"}]"#);
    assert!(refusal.message.contains("file_search"), "{}", refusal.message);
}

#[test]
fn the_choice_of_tools_is_kept() {
    let choice = |choice: &str| with(&format!(r#""tool_choice":{choice}"#)).request.tool_choice;
    assert_eq!(choice(r#""auto""#), ToolChoice::Auto);
    assert_eq!(choice(r#""none""#), ToolChoice::None);
    assert_eq!(choice(r#""required""#), ToolChoice::Required);
    assert_eq!(choice(r#"{"type":"function","name":"f"}"#), ToolChoice::Named("f".to_owned()));
    for choice in [r#""any""#, "7", r#"{"type":"web_search"}"#, r#"{"type":"function"}"#] {
        let refusal = refused(&format!(r#""input":"hi","tool_choice":{choice}"#));
        assert_eq!(refusal.field.as_deref(), Some("tool_choice"));
    }
}

#[test]
fn a_search_of_an_earlier_turn_is_left_out_and_named() {
    let asked = asked(
        r#"{"model":"m","input":[{"type":"web_search_call","id":"ws_1","status":"completed","action":{}},
            {"role":"assistant","content":"found"}]}"#,
    );
    assert_eq!(asked.request.messages, [said("assistant", "found")]);
    assert_eq!(asked.dropped, ["input[0]"]);
}

proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(
        content in "[\\[\\]{}\":,a-z0-9 ]{0,60}",
        kind in "message|reasoning|function_call|function_call_output|web_search_call|x",
        part in "input_text|input_image|input_file|refusal|x",
        value in "null|7|true|\"x\"|\\[\\]|\\[7\\]|\\{\\}|\\[\\{\"type\":\"function\"\\}\\]",
    ) {
        let _ = read(content.as_bytes());
        let body = format!(
            r#"{{"model":"m","tools":{value},"text":{value},"reasoning":{value},"tool_choice":{value},
            "metadata":{value},"include":{value},"instructions":{value},"input":[{{"type":"{kind}","role":"assistant",
            "content":[{{"type":"{part}","text":{value},"image_url":{value}}}],"summary":{value},"name":"n",
            "arguments":{value},"output":{value},"call_id":{value}}}]}}"#
        );
        let _ = read(body.as_bytes());
    }
}
