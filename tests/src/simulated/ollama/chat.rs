//! `/api/chat`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{NDJSON, beginning, complete, token_limit, unloads};
use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::exchange::FrameStyle;
use crate::simulated::generation::{Collected, Generation, Piece, Prompt, Summary};
use crate::simulated::inference::{Call, Dialect, Fields, Stop};
use crate::simulated::knobs::ToolCall;
use crate::simulated::text::count_tokens;

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
    let load = call.admit(&model, &fields).await?;
    let generation = Generation::begin(&call.knobs, prompt, load);
    call.speak(generation, &mut NativeChat { model: name }, fields.stream(true)).await
}

fn prompt(fields: &Fields) -> Result<Prompt, Refusal> {
    let mut text = "";
    let mut tokens = 0;
    for message in fields.list("messages") {
        text = match message.get("content") {
            Some(Value::String(content)) => content,
            None | Some(Value::Null) => "",
            Some(_) => return Err(Refusal::new(400, "message content must be a string")),
        };
        tokens += count_tokens(text);
    }
    Ok(Prompt {
        text: text.to_owned(),
        tokens,
        limit: token_limit(fields),
        offers_tools: !fields.list("tools").is_empty(),
    })
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
