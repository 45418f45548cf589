//! Writes `POST /api/chat`.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Said;
use super::ollama::{self, Common, Form, Thinking};
use crate::translate::Refused;
use crate::translate::chat::{self, Chat, Format, ToolChoice};

/// A request body.
#[derive(Debug, Serialize)]
struct Body<'c> {
    model: &'c str,
    messages: Vec<Message<'c>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tools: &'c [Box<RawValue>],
    #[serde(flatten)]
    common: Common<'c>,
}

/// A message, its members in the order of `api/types.go`.
#[derive(Debug, Serialize)]
struct Message<'c> {
    role: &'c str,
    content: &'c str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'c str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'c str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'c str>,
}

#[derive(Debug, Serialize)]
struct ToolCall<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'c str>,
    function: Function<'c>,
}

#[derive(Debug, Serialize)]
struct Function<'c> {
    index: usize,
    name: &'c str,
    arguments: &'c Map<String, Value>,
}

/// Writes a request body.
pub(in crate::translate) fn write(chat: &Chat) -> Result<Said, Refused> {
    let body = Body {
        model: &chat.model,
        messages: chat.messages.iter().map(message).collect::<Result<_, _>>()?,
        tools: tools(chat),
        common: Common {
            stream: chat.stream,
            format: Form::of(&chat.format),
            keep_alive: chat.keep_alive.as_ref(),
            options: &chat.options,
            think: chat.think.as_ref().map(Thinking::of),
            truncate: chat.truncate,
            shift: chat.shift,
            logprobs: chat.logprobs,
            top_logprobs: chat.top_logprobs,
        },
    };
    Said::of(&body, unsaid(chat))
}

/// The tools that the model may call.
fn tools(chat: &Chat) -> &[Box<RawValue>] {
    if chat.tool_choice == ToolChoice::None { &[] } else { &chat.tools }
}

/// What Ollama has no word for. It cannot be told that the model must call a tool, and its own layer for other APIs passes
/// over it, too; that several calls may come is how it is anyway. Nor can it be told what a schema is called.
fn unsaid(chat: &Chat) -> Vec<String> {
    let mut unsaid = Vec::new();
    if matches!(chat.tool_choice, ToolChoice::Required | ToolChoice::Named(_)) {
        unsaid.push("tool_choice".to_owned());
    }
    if chat.parallel_tool_calls == Some(false) {
        unsaid.push("parallel_tool_calls".to_owned());
    }
    if let Format::Schema(schema) = &chat.format {
        let names = [("format.name", &schema.name), ("format.description", &schema.description)];
        unsaid.extend(names.iter().filter(|(_, text)| text.is_some()).map(|(name, _)| (*name).to_owned()));
    }
    unsaid
}

fn message(message: &chat::Message) -> Result<Message<'_>, Refused> {
    let call = |(index, call)| tool_call(index, call);
    Ok(Message {
        role: &message.role,
        content: &message.content,
        thinking: &message.thinking,
        images: ollama::images(&message.media)?,
        tool_calls: message.tool_calls.iter().enumerate().map(call).collect(),
        tool_name: message.tool_name.as_deref(),
        tool_call_id: message.tool_call_id.as_deref(),
    })
}

fn tool_call(index: usize, call: &chat::ToolCall) -> ToolCall<'_> {
    let function = Function { index, name: &call.name, arguments: &call.arguments };
    ToolCall { id: call.id.as_deref(), function }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::translate::chat::{Media, Think};

    fn written(chat: &Chat) -> Value {
        serde_json::from_slice(&write(chat).unwrap().body).unwrap()
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn the_least_chat_says_whether_it_streams_and_nothing_that_nobody_asked_for() {
        let body = write(&Chat { model: "m".to_owned(), ..Chat::default() }).unwrap().body;
        assert_eq!(body, br#"{"model":"m","messages":[],"stream":false}"#);
    }

    #[test]
    fn everything_ollama_has_a_word_for_is_written() {
        let chat = Chat {
            model: "m".to_owned(),
            stream: true,
            format: Format::Json,
            think: Some(Think::Level("high".to_owned())),
            options: json!({"num_predict": 5, "stop": ["x"]}).as_object().unwrap().clone(),
            logprobs: Some(true),
            top_logprobs: Some(2),
            keep_alive: Some(json!("5m")),
            truncate: Some(false),
            shift: Some(true),
            ..Chat::default()
        };
        let mut expected = json!({
            "model": "m", "messages": [], "stream": true, "format": "json", "think": "high",
            "options": {"num_predict": 5, "stop": ["x"]}, "logprobs": true, "top_logprobs": 2,
            "keep_alive": "5m", "truncate": false, "shift": true,
        });
        assert_eq!(written(&chat), expected);
        for (think, value) in [(Think::Off, json!(false)), (Think::On, json!(true))] {
            expected["think"] = value;
            assert_eq!(written(&Chat { think: Some(think), ..chat.clone() }), expected);
        }
    }

    #[test]
    fn schemas_pass_byte_for_byte() {
        let tool = r#"{"type":"function", "function":{"name":"f","parameters":{"z":1.50, "a":1e2}}}"#;
        let schema = r#"{"type": "object",  "properties":{}}"#;
        let chat =
            Chat { tools: vec![raw(tool)], format: Format::Schema((*raw(schema)).into()), ..Chat::default() };
        let body = String::from_utf8(write(&chat).unwrap().body).unwrap();
        assert!(body.contains(&format!("\"tools\":[{tool}]")), "{body}");
        assert!(body.contains(&format!("\"format\":{schema}")), "{body}");
    }

    #[test]
    fn calls_are_numbered_by_their_position_and_keep_their_ids() {
        let call = |id: Option<&str>, name: &str| chat::ToolCall {
            id: id.map(str::to_owned),
            name: name.to_owned(),
            arguments: json!({"b": 1, "a": 2.0}).as_object().unwrap().clone(),
            ..chat::ToolCall::default()
        };
        let message = chat::Message {
            role: "assistant".to_owned(),
            thinking: "t".to_owned(),
            tool_calls: vec![call(Some("call_1"), "f"), call(None, "g")],
            ..chat::Message::default()
        };
        let body = write(&Chat { messages: vec![message], ..Chat::default() }).unwrap().body;
        let expected = concat!(
            r#"{"role":"assistant","content":"","thinking":"t","tool_calls":["#,
            r#"{"id":"call_1","function":{"index":0,"name":"f","arguments":{"b":1,"a":2.0}}},"#,
            r#"{"function":{"index":1,"name":"g","arguments":{"b":1,"a":2.0}}}]}"#,
        );
        assert!(String::from_utf8(body.clone()).unwrap().contains(expected), "{}", body.escape_ascii());
    }

    #[test]
    fn results_of_tools_name_the_call_and_the_tool() {
        let message = chat::Message {
            role: "tool".to_owned(),
            content: "22C".to_owned(),
            tool_call_id: Some("call_1".to_owned()),
            tool_name: Some("f".to_owned()),
            ..chat::Message::default()
        };
        assert_eq!(
            written(&Chat { messages: vec![message], ..Chat::default() })["messages"],
            json!([{"role": "tool", "content": "22C", "tool_name": "f", "tool_call_id": "call_1"}])
        );
    }

    #[test]
    fn what_is_no_file_yet_is_refused_and_files_are_images() {
        let inline = Media::Inline { base64: "iVBORw0KGgo=".to_owned(), media_type: None };
        let (url, field) = ("https://e.com/x.png".to_owned(), "messages[0].content".to_owned());
        let remote = Media::Remote { url, field, refusal: "no URLs" };
        let chat = |media| Chat {
            messages: vec![chat::Message { media, ..chat::Message::default() }],
            ..Chat::default()
        };
        assert_eq!(written(&chat(vec![inline.clone()]))["messages"][0]["images"], json!(["iVBORw0KGgo="]));
        let refused = write(&chat(vec![inline, remote])).unwrap_err();
        assert_eq!(refused, Refused::verbatim("messages[0].content", "no URLs"));
    }

    #[test]
    fn tools_are_left_out_if_none_may_be_called_and_that_one_must_be_cannot_be_said() {
        let chat = |tool_choice| Chat { tools: vec![raw("{}")], tool_choice, ..Chat::default() };
        assert_eq!(written(&chat(ToolChoice::Auto))["tools"], json!([{}]));
        assert_eq!(written(&chat(ToolChoice::None)).get("tools"), None);
        for choice in [ToolChoice::Required, ToolChoice::Named("f".to_owned())] {
            let said = write(&chat(choice)).unwrap();
            assert_eq!(said.dropped, ["tool_choice"]);
            assert!(String::from_utf8(said.body).unwrap().contains("\"tools\":[{}]"));
        }
    }

    #[test]
    fn one_call_at_a_time_cannot_be_asked_for() {
        let chat = |parallel_tool_calls| Chat { parallel_tool_calls, ..Chat::default() };
        assert_eq!(write(&chat(Some(false))).unwrap().dropped, ["parallel_tool_calls"]);
        assert!(write(&chat(Some(true))).unwrap().dropped.is_empty());
        assert!(write(&chat(None)).unwrap().dropped.is_empty());
    }
}
