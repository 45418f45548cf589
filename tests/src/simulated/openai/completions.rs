//! `/v1/completions`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{EVENT_STREAM, Flavour, includes_usage, now, usage};
use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::exchange::FrameStyle;
use crate::simulated::generation::{Collected, Piece, Summary};
use crate::simulated::inference::{Call, Dialect, Fields, Stop};
use crate::simulated::prompt::Prompt;

/// Completes one prompt.
pub(super) async fn completions(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let flavour = Flavour::of(call);
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let text = match fields.get("prompt") {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return Err(Refusal::new(400, "prompt must be a string").into()),
    };
    let model = call.model(&name, "completion")?;
    let limit = flavour.token_limit(&fields);
    let prompt = Prompt::raw(&text).limited(limit);
    let generation = call.begin(&model, &fields, prompt).await?;
    let id = format!("cmpl-{}", fastrand::u32(..));
    let mut dialect = Completion { flavour, model: name, id, include_usage: includes_usage(&fields) };
    call.speak(generation, &mut dialect, fields.stream(false)).await
}

struct Completion {
    flavour: Flavour,
    model: String,
    id: String,
    include_usage: bool,
}

impl Completion {
    fn object(&self, choices: &Value) -> Value {
        let mut object = json!({
            "id": self.id,
            "object": "text_completion",
            "created": now(),
            "choices": choices,
            "model": self.model,
        });
        self.flavour.sign(&mut object);
        object
    }

    fn chunk(&self, text: &str, finish_reason: Option<&str>) -> Bytes {
        let choices = json!([{ "text": text, "index": 0, "finish_reason": finish_reason }]);
        self.style().frame(&self.object(&choices))
    }
}

impl Dialect for Completion {
    fn style(&self) -> FrameStyle {
        FrameStyle::Completion(self.flavour.error_style())
    }

    fn stream_head(&self) -> (&'static str, &'static [(&'static str, &'static str)]) {
        (EVENT_STREAM, &[])
    }

    fn piece(&mut self, piece: &Piece) -> Vec<Bytes> {
        match piece {
            Piece::Text(text) => vec![self.chunk(text, None)],
            Piece::Thinking(_) | Piece::ToolCall(_) => Vec::new(),
        }
    }

    fn closing(&mut self, summary: &Summary) -> Vec<Bytes> {
        let mut frames = vec![self.chunk("", Some(summary.done_reason))];
        if self.include_usage {
            let mut object = self.object(&json!([]));
            object["usage"] = usage(summary);
            frames.push(self.style().frame(&object));
        }
        frames
    }

    fn marker(&mut self, _summary: &Summary) -> Bytes {
        Bytes::from_static(b"data: [DONE]\n\n")
    }

    fn whole(&mut self, collected: &Collected, summary: &Summary) -> Answer {
        let choice = json!([{ "text": collected.text, "index": 0, "finish_reason": summary.done_reason }]);
        let mut object = self.object(&choice);
        object["usage"] = usage(summary);
        Answer::openai(&object)
    }
}
