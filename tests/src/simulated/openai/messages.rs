//! `/v1/messages`: Anthropic's Messages, text only.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{EVENT_STREAM, Flavour, content_text};
use crate::simulated::answer::{Answer, ErrorStyle, Refusal};
use crate::simulated::exchange::FrameStyle;
use crate::simulated::generation::{Collected, Piece, Summary};
use crate::simulated::inference::{Call, Dialect, Fields, Stop};
use crate::simulated::prompt::Prompt;

/// Answers a conversation.
pub(super) async fn messages(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let Some(limit) = Flavour::Ollama.token_limit(&fields).filter(|limit| *limit > 0) else {
        return Err(Refusal::new(400, "max_tokens is required and must be positive").into());
    };
    let spoken = |item: &Value| {
        let role = item.get("role").and_then(Value::as_str).unwrap_or_default();
        (role.to_owned(), content_text(item.get("content")))
    };
    let messages: Vec<_> = fields.list("messages").iter().map(spoken).collect();
    if messages.is_empty() {
        return Err(Refusal::new(400, "messages is required").into());
    }
    let model = call.model(&name, "completion")?;
    let prompt = Prompt::conversation(&messages, true).limited(Some(limit));
    let tokens = prompt.tokens;
    let generation = call.begin(&model, &fields, prompt).await?;
    let id = format!("msg_{:024x}", fastrand::u64(..));
    let mut dialect = Messages { model: name, id, prompt_tokens: tokens };
    call.speak(generation, &mut dialect, fields.stream(false)).await
}

struct Messages {
    model: String,
    id: String,
    prompt_tokens: u64,
}

impl Messages {
    fn message(&self, content: &Value) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
        })
    }
}

fn stop_reason(summary: &Summary) -> &'static str {
    if summary.done_reason == "length" { "max_tokens" } else { "end_turn" }
}

fn usage(summary: &Summary) -> Value {
    json!({ "input_tokens": summary.prompt_tokens, "output_tokens": summary.tokens })
}

impl Dialect for Messages {
    fn style(&self) -> FrameStyle {
        FrameStyle::Typed(ErrorStyle::Anthropic)
    }

    fn stream_head(&self) -> (&'static str, &'static [(&'static str, &'static str)]) {
        (EVENT_STREAM, &[("Cache-Control", "no-cache")])
    }

    fn opening(&mut self) -> Vec<Bytes> {
        let mut message = self.message(&json!([]));
        message["usage"] = json!({ "input_tokens": self.prompt_tokens, "output_tokens": 0 });
        let start = json!({ "type": "message_start", "message": message });
        let block = json!({
            "type": "content_block_start",
            "index": 0,
            "content_block": { "type": "text", "text": "" },
        });
        vec![self.style().frame(&start), self.style().frame(&block)]
    }

    fn piece(&mut self, piece: &Piece) -> Vec<Bytes> {
        let Piece::Text(text) = piece else { return Vec::new() };
        let delta = json!({
            "type": "content_block_delta",
            "index": 0,
            "delta": { "type": "text_delta", "text": text },
        });
        vec![self.style().frame(&delta)]
    }

    fn closing(&mut self, summary: &Summary) -> Vec<Bytes> {
        let stop = json!({ "type": "content_block_stop", "index": 0 });
        let delta = json!({
            "type": "message_delta",
            "delta": { "stop_reason": stop_reason(summary) },
            "usage": usage(summary),
        });
        vec![self.style().frame(&stop), self.style().frame(&delta)]
    }

    fn marker(&mut self, _summary: &Summary) -> Bytes {
        self.style().frame(&json!({ "type": "message_stop" }))
    }

    fn whole(&mut self, collected: &Collected, summary: &Summary) -> Answer {
        let mut message = self.message(&json!([{ "type": "text", "text": collected.text }]));
        message["stop_reason"] = json!(stop_reason(summary));
        message["usage"] = usage(summary);
        Answer::openai(&message)
    }
}
