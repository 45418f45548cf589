//! `/api/chat`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{NDJSON, beginning, complete, token_limit, unloads};
use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::exchange::FrameStyle;
use crate::simulated::generation::{Collected, Piece, Summary};
use crate::simulated::inference::{Call, Dialect, Fields, Stop};
use crate::simulated::knobs::ToolCall;
use crate::simulated::prompt::Prompt;

/// Chats, loads (no messages) or unloads (no messages, `keep_alive: 0`).
pub(super) async fn chat(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let model = call.model(&name, "completion")?;
    let prompt = prompt(&fields)?;
    if fields.list("messages").is_empty() {
        let unload = unloads(&fields)?;
        if unload {
            call.shared.scheduler.unload(&crate::simulated::library::canonical(&name));
        } else {
            call.admit(&model, &fields).await?;
        }
        let mut object = beginning(&name);
        object.insert("message".to_owned(), json!({ "role": "assistant", "content": "" }));
        object.insert("done".to_owned(), json!(true));
        object.insert("done_reason".to_owned(), json!(if unload { "unload" } else { "load" }));
        return Ok(call.exchange.answer(Answer::native(&Value::Object(object))).await?);
    }
    let generation = call.begin(&model, &fields, prompt).await?;
    call.speak(generation, &mut NativeChat { model: name }, fields.stream(true)).await
}

/// A last message of the assistant is the beginning of the answer.
fn prompt(fields: &Fields) -> Result<Prompt, Refusal> {
    let mut messages = Vec::new();
    for message in fields.list("messages") {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        match message.get("content") {
            Some(Value::String(content)) => messages.push((role, content.as_str())),
            None | Some(Value::Null) => messages.push((role, "")),
            Some(_) => return Err(Refusal::new(400, "message content must be a string")),
        }
    }
    let offers_tools = !fields.list("tools").is_empty();
    Ok(Prompt::conversation(&messages, true).limited(token_limit(fields)).with_tools(offers_tools))
}

struct NativeChat {
    model: String,
}

impl NativeChat {
    fn object(&self, message: Value) -> Map<String, Value> {
        let mut object = beginning(&self.model);
        object.insert("message".to_owned(), message);
        object.insert("done".to_owned(), json!(false));
        object
    }
}

fn tool_calls(call: &ToolCall) -> Value {
    json!([{
        "id": "call_sim00001",
        "function": { "index": 0, "name": call.name, "arguments": call.arguments },
    }])
}

impl Dialect for NativeChat {
    fn style(&self) -> FrameStyle {
        FrameStyle::Ndjson
    }

    fn stream_head(&self) -> (&'static str, &'static [(&'static str, &'static str)]) {
        (NDJSON, &[])
    }

    fn piece(&mut self, piece: &Piece) -> Vec<Bytes> {
        let message = match piece {
            Piece::Text(text) => json!({ "role": "assistant", "content": text }),
            Piece::Thinking(text) => json!({ "role": "assistant", "content": "", "thinking": text }),
            Piece::ToolCall(call) => {
                json!({ "role": "assistant", "content": "", "tool_calls": tool_calls(call) })
            }
        };
        vec![self.style().frame(&Value::Object(self.object(message)))]
    }

    fn marker(&mut self, summary: &Summary) -> Bytes {
        let mut object = self.object(json!({ "role": "assistant", "content": "" }));
        complete(&mut object, summary);
        self.style().frame(&Value::Object(object))
    }

    fn whole(&mut self, collected: &Collected, summary: &Summary) -> Answer {
        let mut message = json!({ "role": "assistant", "content": collected.text });
        if !collected.thinking.is_empty() {
            message["thinking"] = json!(collected.thinking);
        }
        if let Some(call) = &collected.tool_call {
            message["tool_calls"] = tool_calls(call);
        }
        let mut object = self.object(message);
        complete(&mut object, summary);
        Answer::native(&Value::Object(object))
    }
}
