//! Reads the messages of OpenAI's chat.

use std::collections::HashMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::FOLDED;
use super::openai_parts::Content;
use crate::translate::Refused;
use crate::translate::chat::{Message, ToolCall};
use crate::translate::fields::Fields;

/// Members of a message without which it is another one, and that no other API has.
const INEXPRESSIBLE: [&str; 2] = ["function_call", "audio"];

struct Reader<'d> {
    /// The tool of each call so far, by the call's id. Some clients use an id again in every turn: the last call counts.
    tools: HashMap<String, String>,
    dropped: &'d mut Vec<String>,
}

/// Reads `messages`.
pub(super) fn read(fields: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<Vec<Message>, Refused> {
    let elements = fields.array("messages")?.unwrap_or_default();
    if elements.is_empty() {
        return Err(Refused::verbatim("messages", "[] is too short - 'messages'"));
    }
    let mut reader = Reader { tools: HashMap::new(), dropped };
    let elements = elements.into_iter().enumerate();
    elements.map(|(index, element)| reader.message(element, &format!("messages[{index}]"))).collect()
}

// === impl Reader ===

impl Reader<'_> {
    fn message(&mut self, raw: &RawValue, path: &str) -> Result<Message, Refused> {
        let mut fields = Fields::of_value(raw, FOLDED, path)?;
        for name in INEXPRESSIBLE {
            if fields.raw(name).is_some() {
                return Err(Refused::field(fields.path(name), "is not supported"));
            }
        }
        let role = role(&mut fields)?;
        let tool_calls = self.calls(&mut fields)?;
        let may_be_silent = role == "assistant" || !tool_calls.is_empty();
        let mut content = self.content(&mut fields, may_be_silent)?;
        if let Some(refusal) = fields.text("refusal")?.filter(|_| content.text.is_empty()) {
            // What the model said instead of an answer: to every other API, that was its answer.
            content.text = refusal;
        }
        let reasoning = fields.text("reasoning")?;
        let thinking = fields.text("reasoning_content")?;
        let mut message = Message {
            content: content.text,
            thinking: reasoning.or(thinking).unwrap_or_default(),
            media: content.media,
            tool_calls,
            ..Message::default()
        };
        if role == "tool" {
            message.tool_call_id = some_text(&mut fields, "tool_call_id")?;
            message.tool_name =
                some_text(&mut fields, "name")?.or_else(|| self.tool(message.tool_call_id.as_ref()?));
        }
        message.role = role;
        self.dropped.extend(fields.rest());
        Ok(message)
    }

    fn content(&mut self, fields: &mut Fields<'_>, may_be_silent: bool) -> Result<Content, Refused> {
        let path = fields.path("content");
        match fields.raw("content") {
            Some(content) => Content::read(content, &path, self.dropped),
            None if may_be_silent => Ok(Content::default()),
            None => Err(Content::mistyped(&path, "<nil>")),
        }
    }

    fn calls(&mut self, fields: &mut Fields<'_>) -> Result<Vec<ToolCall>, Refused> {
        let path = fields.path("tool_calls");
        let elements = fields.array("tool_calls")?.unwrap_or_default().into_iter().enumerate();
        elements.map(|(index, element)| self.call(element, &format!("{path}[{index}]"))).collect()
    }

    fn call(&mut self, raw: &RawValue, path: &str) -> Result<ToolCall, Refused> {
        let mut fields = Fields::of_value(raw, FOLDED, path)?;
        if fields.text("type")?.is_some_and(|kind| kind != "function") {
            return Err(Refused::field(fields.path("type"), "must be function"));
        }
        // The order of the calls says as much.
        fields.ignore(&["index"]);
        let id = some_text(&mut fields, "id")?;
        let function = fields.object("function")?;
        let mut function = function.ok_or_else(|| Refused::field(fields.path("function"), "is required"))?;
        let name = function.text("name")?.unwrap_or_default();
        let arguments = arguments(&mut function)?;
        self.dropped.extend(function.rest());
        self.dropped.extend(fields.rest());
        if let Some(id) = &id {
            self.tools.insert(id.clone(), name.clone());
        }
        Ok(ToolCall { id, name, arguments, ..ToolCall::default() })
    }

    fn tool(&self, call: &str) -> Option<String> {
        self.tools.get(call).cloned()
    }
}

/// The role in the spelling of the neutral form.
fn role(fields: &mut Fields<'_>) -> Result<String, Refused> {
    let role = fields.text("role")?.ok_or_else(|| Refused::field(fields.path("role"), "is required"))?;
    let lower = role.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "developer" => "system".to_owned(),
        "system" | "user" | "assistant" | "tool" => lower,
        _ => role,
    })
}

/// The arguments of a call, which are an object in a string. Nothing and `null` are what clients write for none.
fn arguments(function: &mut Fields<'_>) -> Result<Map<String, Value>, Refused> {
    let text = function.text("arguments")?.unwrap_or_default();
    if text.is_empty() {
        return Ok(Map::new());
    }
    let arguments: Result<Option<Map<String, Value>>, _> = serde_json::from_str(&text);
    let arguments = arguments
        .map_err(|_| Refused::verbatim(function.path("arguments"), "invalid tool call arguments"))?;
    Ok(arguments.unwrap_or_default())
}

/// A string that is not empty.
fn some_text(fields: &mut Fields<'_>, name: &str) -> Result<Option<String>, Refused> {
    Ok(fields.text(name)?.filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::translate::chat::Media;

    fn read(messages: &Value) -> Result<(Vec<Message>, Vec<String>), Refused> {
        let body = json!({ "messages": messages }).to_string();
        let mut fields = Fields::of_body(body.as_bytes(), FOLDED).unwrap();
        let mut dropped = Vec::new();
        let messages = super::read(&mut fields, &mut dropped)?;
        Ok((messages, dropped))
    }

    fn one(message: Value) -> Message {
        read(&Value::Array(vec![message])).unwrap().0.pop().unwrap()
    }

    fn refusal(message: Value) -> Refused {
        read(&Value::Array(vec![message])).unwrap_err()
    }

    fn call(id: &str, name: &str, arguments: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }

    #[test]
    fn no_messages_are_refused_in_upstreams_words() {
        for messages in [Value::Null, json!([])] {
            assert_eq!(read(&messages).unwrap_err().message, "[] is too short - 'messages'");
        }
        assert_eq!(read(&json!({})).unwrap_err().message, "messages must be an array");
    }

    #[test]
    fn roles_are_those_of_the_neutral_form() {
        for (role, neutral) in [
            ("User", "user"),
            ("developer", "system"),
            ("SYSTEM", "system"),
            ("Tool", "tool"),
            ("Judge", "Judge"),
        ] {
            assert_eq!(one(json!({"role": role, "content": "c"})).role, neutral);
        }
        assert_eq!(refusal(json!({"content": "c"})).field.as_deref(), Some("messages[0].role"));
    }

    #[test]
    fn only_the_assistant_and_callers_of_tools_may_be_silent() {
        assert_eq!(one(json!({"role": "assistant", "content": null})).content, "");
        assert_eq!(one(json!({"role": "assistant"})).content, "");
        assert_eq!(one(json!({"role": "user", "tool_calls": [call("a", "f", "{}")]})).content, "");
        for message in
            [json!({"role": "user", "content": null}), json!({"role": "tool", "tool_call_id": "a"})]
        {
            let refused = refusal(message);
            assert_eq!(refused.message, "invalid message content type: <nil>");
            assert_eq!(refused.field.as_deref(), Some("messages[0].content"));
        }
    }

    #[test]
    fn reasoning_is_read_in_both_spellings() {
        let thinking = |message| one(message).thinking;
        assert_eq!(thinking(json!({"role": "assistant", "content": "b", "reasoning": "r"})), "r");
        assert_eq!(thinking(json!({"role": "assistant", "content": "b", "reasoning_content": "c"})), "c");
        let both = json!([{"role": "assistant", "content": "b", "reasoning": "r", "reasoning_content": "c"}]);
        let (messages, dropped) = read(&both).unwrap();
        assert_eq!((messages[0].thinking.as_str(), dropped.len()), ("r", 0));
    }

    #[test]
    fn calls_keep_their_ids_and_their_arguments_become_objects() {
        let message = one(json!({"role": "assistant", "content": null, "tool_calls": [
            call("call_abc", "get_weather", r#"{"city":"Paris","n":1.0}"#),
            {"index": 1, "function": {"name": "f", "arguments": ""}},
            {"id": "", "function": {"name": "g"}},
            call("d", "h", "null"),
        ]}));
        let names = ["get_weather", "f", "g", "h"];
        assert_eq!(message.tool_calls.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(), names);
        assert_eq!(message.tool_calls[0].id.as_deref(), Some("call_abc"));
        assert_eq!(
            serde_json::to_string(&message.tool_calls[0].arguments).unwrap(),
            r#"{"city":"Paris","n":1.0}"#
        );
        assert!(message.tool_calls[1..].iter().all(|call| call.arguments.is_empty()));
        assert_eq!((&message.tool_calls[1].id, &message.tool_calls[2].id), (&None, &None));
    }

    #[test]
    fn arguments_that_are_no_object_are_refused_in_upstreams_words() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for arguments in ["[]", "7", "\"x\"", "{", "{}{}", " ", &deep] {
            let refused = refusal(json!({"role": "assistant", "tool_calls": [call("a", "f", arguments)]}));
            assert_eq!(refused.message, "invalid tool call arguments");
            assert_eq!(refused.field.as_deref(), Some("messages[0].tool_calls[0].function.arguments"));
        }
    }

    #[test]
    fn a_tools_result_names_the_tool_that_was_called_last_by_its_id() {
        let (messages, dropped) = read(&json!([
            {"role": "assistant", "tool_calls": [call("call_0", "first", "{}")]},
            {"role": "tool", "tool_call_id": "call_0", "content": "1"},
            {"role": "assistant", "tool_calls": [call("call_0", "second", "{}")]},
            {"role": "tool", "tool_call_id": "call_0", "content": [{"type": "text", "text": "2"}]},
            {"role": "tool", "tool_call_id": "call_0", "content": "3", "name": "other"},
            {"role": "tool", "tool_call_id": "unknown", "content": "4"},
        ]))
        .unwrap();
        let results: Vec<_> = messages
            .iter()
            .filter(|message| message.role == "tool")
            .map(|message| {
                (message.content.as_str(), message.tool_name.as_deref(), message.tool_call_id.as_deref())
            })
            .collect();
        let expected = [
            ("1", Some("first"), Some("call_0")),
            ("2", Some("second"), Some("call_0")),
            ("3", Some("other"), Some("call_0")),
            ("4", None, Some("unknown")),
        ];
        assert_eq!(results, expected);
        assert_eq!(dropped.len(), 0);
    }

    #[test]
    fn members_that_nobody_knows_are_named() {
        let (_, dropped) = read(&json!([
            {"role": "user", "content": "c", "name": "ann", "tool_call_id": "x"},
            {"role": "assistant", "content": "c", "refusal": null, "annotations": [],
             "tool_calls": [{"id": "a", "x": 1, "function": {"name": "f", "arguments": "{}", "y": 2}}]},
        ]))
        .unwrap();
        let expected = [
            "messages[0].name",
            "messages[0].tool_call_id",
            "messages[1].tool_calls[0].function.y",
            "messages[1].tool_calls[0].x",
            "messages[1].annotations",
        ];
        assert_eq!(dropped, expected);
    }

    #[test]
    fn a_refusal_of_an_earlier_turn_is_what_the_model_said() {
        let refused = one(json!({"role": "assistant", "content": null, "refusal": "No."}));
        assert_eq!(refused.content, "No.");
    }

    #[test]
    fn what_only_openai_can_say_is_refused() {
        for (message, field) in [
            (json!({"role": "assistant", "function_call": {"name": "f"}}), "messages[0].function_call"),
            (json!({"role": "assistant", "audio": {"id": "a"}}), "messages[0].audio"),
            (
                json!({"role": "assistant", "tool_calls": [{"type": "custom"}]}),
                "messages[0].tool_calls[0].type",
            ),
            (json!({"role": "assistant", "tool_calls": [{"id": "a"}]}), "messages[0].tool_calls[0].function"),
            (json!("hi"), "messages[0]"),
        ] {
            assert_eq!(refusal(message).field.as_deref(), Some(field));
        }
    }

    #[test]
    fn media_are_those_of_the_message_that_names_them() {
        let part = json!({"type": "image_url", "image_url": {"url": "data:;base64,AAAA"}});
        let message = one(json!({"role": "user", "content": [part]}));
        assert_eq!(message.media, [Media::Inline { base64: "AAAA".to_owned(), media_type: None }]);
        assert_eq!(message.content, "");
    }
}
