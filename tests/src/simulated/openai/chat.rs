//! `/v1/chat/completions`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{EVENT_STREAM, Flavour, content_text, includes_usage, now, usage};
use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::exchange::FrameStyle;
use crate::simulated::generation::{Collected, Piece, Summary};
use crate::simulated::inference::{Call, Dialect, Fields, Stop};
use crate::simulated::knobs::ToolCall;
use crate::simulated::prompt::Prompt;

/// Chats.
pub(super) async fn chat(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let flavour = Flavour::of(call);
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let messages = fields.list("messages");
    if messages.is_empty() {
        return Err(Refusal::new(400, "[] is too short - 'messages'").into());
    }
    let model = call.model(&name, "completion")?;
    let continues = continues(flavour, &fields)?;
    let messages: Vec<_> = messages.iter().map(spoken).collect();
    let prompt = Prompt::conversation(&messages, continues)
        .limited(flavour.token_limit(&fields))
        .with_tools(!fields.list("tools").is_empty());
    let generation = call.begin(&model, &fields, prompt).await?;
    let id = format!("chatcmpl-{}", fastrand::u32(..));
    let include_usage = includes_usage(&fields);
    let mut dialect = Chat { flavour, model: name, id, created: now(), include_usage, role_sent: false };
    call.speak(generation, &mut dialect, fields.stream(false)).await
}

/// Whether a last message of the assistant is the beginning of the answer: Ollama takes it so, vLLM when it is told.
fn continues(flavour: Flavour, fields: &Fields) -> Result<bool, Refusal> {
    let flag = |name| fields.get(name).and_then(Value::as_bool).unwrap_or(false);
    let told = flag("continue_final_message");
    if flavour == Flavour::Vllm && told && flag("add_generation_prompt") {
        let message = "Cannot set both `continue_final_message` and `add_generation_prompt` to True.";
        return Err(Refusal::new(400, message));
    }
    Ok(told || flavour == Flavour::Ollama)
}

/// A message's role and text.
fn spoken(message: &Value) -> (String, String) {
    let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
    (role.to_owned(), content_text(message.get("content")))
}

struct Chat {
    flavour: Flavour,
    model: String,
    id: String,
    created: i64,
    include_usage: bool,
    role_sent: bool,
}

impl Chat {
    fn object(&self, kind: &str, choices: &Value) -> Value {
        let mut object = json!({
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
        });
        self.flavour.sign(&mut object);
        object["choices"] = choices.clone();
        object
    }

    fn chunk(&self, choices: &Value) -> Bytes {
        self.style().frame(&self.object("chat.completion.chunk", choices))
    }

    /// A chunk with this delta; the first one of a stream carries the role.
    fn delta(&mut self, delta: Value) -> Bytes {
        let mut whole = json!({});
        if !std::mem::replace(&mut self.role_sent, true) {
            whole["role"] = json!("assistant");
        }
        if let (Some(whole), Value::Object(delta)) = (whole.as_object_mut(), delta) {
            whole.extend(delta);
        }
        self.chunk(&json!([{ "index": 0, "delta": whole, "finish_reason": null }]))
    }
}

fn tool_calls(call: &ToolCall) -> Value {
    json!([{
        "id": "call_sim00001",
        "index": 0,
        "type": "function",
        "function": { "name": call.name, "arguments": call.arguments.to_string() },
    }])
}

fn finish_reason(summary: &Summary) -> &'static str {
    if summary.called_tool { "tool_calls" } else { summary.done_reason }
}

impl Dialect for Chat {
    fn style(&self) -> FrameStyle {
        FrameStyle::Chat(self.flavour.error_style())
    }

    fn stream_head(&self) -> (&'static str, &'static [(&'static str, &'static str)]) {
        (EVENT_STREAM, &[])
    }

    fn opening(&mut self) -> Vec<Bytes> {
        match self.flavour {
            Flavour::Ollama => Vec::new(),
            Flavour::Vllm => vec![self.delta(json!({ "content": "" }))],
        }
    }

    fn piece(&mut self, piece: &Piece) -> Vec<Bytes> {
        let delta = match (piece, self.flavour) {
            (Piece::Text(text), _) => json!({ "content": text }),
            (Piece::Thinking(text), Flavour::Ollama) => json!({ "content": "", "reasoning": text }),
            (Piece::Thinking(text), Flavour::Vllm) => json!({ "reasoning_content": text }),
            (Piece::ToolCall(call), _) => json!({ "content": "", "tool_calls": tool_calls(call) }),
        };
        vec![self.delta(delta)]
    }

    fn closing(&mut self, summary: &Summary) -> Vec<Bytes> {
        let choice = json!([{ "index": 0, "delta": {}, "finish_reason": finish_reason(summary) }]);
        let mut frames = vec![self.chunk(&choice)];
        if self.include_usage {
            let mut object = self.object("chat.completion.chunk", &json!([]));
            object["usage"] = usage(summary);
            frames.push(self.style().frame(&object));
        }
        frames
    }

    fn marker(&mut self, _summary: &Summary) -> Bytes {
        Bytes::from_static(b"data: [DONE]\n\n")
    }

    fn whole(&mut self, collected: &Collected, summary: &Summary) -> Answer {
        let mut message = json!({ "role": "assistant", "content": collected.text });
        if !collected.thinking.is_empty() {
            let key = if self.flavour == Flavour::Vllm { "reasoning_content" } else { "reasoning" };
            message[key] = json!(collected.thinking);
        }
        if let Some(call) = &collected.tool_call {
            message["tool_calls"] = tool_calls(call);
        }
        let choice = json!([{ "index": 0, "message": message, "finish_reason": finish_reason(summary) }]);
        let mut object = self.object("chat.completion", &choice);
        object["usage"] = usage(summary);
        Answer::openai(&object)
    }
}
