//! `/v1/responses`: one text message, no reasoning, no tools.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{EVENT_STREAM, Flavour, content_text, now};
use crate::simulated::answer::Answer;
use crate::simulated::exchange::FrameStyle;
use crate::simulated::generation::{Collected, Piece, Summary};
use crate::simulated::inference::{Call, Dialect, Fields, Stop};
use crate::simulated::prompt::Prompt;

/// Responds.
pub(super) async fn responses(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let text = match fields.get("input") {
        Some(Value::Array(items)) => content_text(items.last().and_then(|item| item.get("content"))),
        other => content_text(other),
    };
    let model = call.model(&name, "completion")?;
    let limit = fields.get("max_output_tokens").and_then(Value::as_u64);
    let prompt = Prompt::plain(&text).limited(limit);
    let generation = call.begin(&model, &fields, prompt).await?;
    let number = fastrand::u32(..);
    let flavour = Flavour::of(call);
    let mut dialect =
        Responses { flavour, model: name, number, created: now(), events: 0, text: String::new() };
    call.speak(generation, &mut dialect, fields.stream(false)).await
}

struct Responses {
    flavour: Flavour,
    model: String,
    number: u32,
    created: i64,
    /// Events sent: the next one's sequence number.
    events: u64,
    /// What was said so far; the last events repeat it.
    text: String,
}

impl Responses {
    fn response(&self, status: &str, output: &Value, usage: &Value) -> Value {
        let completed = (status == "completed").then(now);
        json!({
            "id": format!("resp_{}", self.number),
            "object": "response",
            "created_at": self.created,
            "completed_at": completed,
            "status": status,
            "incomplete_details": null,
            "model": self.model,
            "previous_response_id": null,
            "instructions": null,
            "output": output,
            "error": null,
            "tools": [],
            "tool_choice": "auto",
            "truncation": "disabled",
            "parallel_tool_calls": true,
            "text": { "format": { "type": "text" } },
            "top_p": 1,
            "temperature": 1,
            "usage": usage,
            "store": false,
            "metadata": {},
        })
    }

    fn item_id(&self) -> String {
        format!("msg_{}", self.number)
    }

    fn item(&self, status: &str, content: &Value) -> Value {
        let id = self.item_id();
        json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content })
    }

    /// An event with these fields, numbered.
    fn event(&mut self, kind: &str, mut fields: Value) -> Bytes {
        fields["type"] = json!(kind);
        fields["sequence_number"] = json!(self.events);
        self.events += 1;
        self.style().frame(&fields)
    }
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

fn usage(summary: &Summary) -> Value {
    json!({
        "input_tokens": summary.prompt_tokens,
        "output_tokens": summary.tokens,
        "total_tokens": summary.prompt_tokens + summary.tokens,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens_details": { "reasoning_tokens": 0 },
    })
}

impl Dialect for Responses {
    fn style(&self) -> FrameStyle {
        FrameStyle::Typed(self.flavour.error_style())
    }

    fn stream_head(&self) -> (&'static str, &'static [(&'static str, &'static str)]) {
        (EVENT_STREAM, &[("Cache-Control", "no-cache")])
    }

    fn opening(&mut self) -> Vec<Bytes> {
        let response = json!({ "response": self.response("in_progress", &json!([]), &Value::Null) });
        let item = json!({ "output_index": 0, "item": self.item("in_progress", &json!([])) });
        let (id, part) = (self.item_id(), part(""));
        let part = json!({ "item_id": id, "output_index": 0, "content_index": 0, "part": part });
        vec![
            self.event("response.created", response.clone()),
            self.event("response.in_progress", response),
            self.event("response.output_item.added", item),
            self.event("response.content_part.added", part),
        ]
    }

    fn piece(&mut self, piece: &Piece) -> Vec<Bytes> {
        let Piece::Text(text) = piece else { return Vec::new() };
        self.text.push_str(text);
        let id = self.item_id();
        let fields =
            json!({ "item_id": id, "output_index": 0, "content_index": 0, "delta": text, "logprobs": [] });
        vec![self.event("response.output_text.delta", fields)]
    }

    fn closing(&mut self, _summary: &Summary) -> Vec<Bytes> {
        let (id, whole) = (self.item_id(), self.text.clone());
        let text =
            json!({ "item_id": id, "output_index": 0, "content_index": 0, "text": whole, "logprobs": [] });
        let part_done = json!({ "item_id": id, "output_index": 0, "content_index": 0, "part": part(&whole) });
        let item = json!({ "output_index": 0, "item": self.item("completed", &json!([part(&whole)])) });
        vec![
            self.event("response.output_text.done", text),
            self.event("response.content_part.done", part_done),
            self.event("response.output_item.done", item),
        ]
    }

    fn marker(&mut self, summary: &Summary) -> Bytes {
        let output = json!([self.item("completed", &json!([part(&self.text)]))]);
        let response = self.response("completed", &output, &usage(summary));
        self.event("response.completed", json!({ "response": response }))
    }

    fn whole(&mut self, collected: &Collected, summary: &Summary) -> Answer {
        let output = json!([self.item("completed", &json!([part(&collected.text)]))]);
        Answer::openai(&self.response("completed", &output, &usage(summary)))
    }
}
