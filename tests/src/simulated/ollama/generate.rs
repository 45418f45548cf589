//! `/api/generate`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{NDJSON, beginning, complete, token_limit, unloads};
use crate::simulated::answer::Answer;
use crate::simulated::exchange::FrameStyle;
use crate::simulated::generation::{Collected, Piece, Summary};
use crate::simulated::inference::{Call, Dialect, Fields, Stop};
use crate::simulated::library::canonical;
use crate::simulated::prompt::Prompt;

/// Completes, loads (no prompt) or unloads (no prompt, `keep_alive: 0`).
pub(super) async fn generate(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let model = call.model(&name, "completion")?;
    let text = fields.text("prompt").unwrap_or_default().to_owned();
    if text.is_empty() {
        let unload = unloads(&fields)?;
        if unload {
            call.shared.scheduler.unload(&canonical(&name));
        } else {
            call.admit(&model, &fields).await?;
        }
        let mut object = beginning(&name);
        object.insert("response".to_owned(), json!(""));
        object.insert("done".to_owned(), json!(true));
        object.insert("done_reason".to_owned(), json!(if unload { "unload" } else { "load" }));
        return Ok(call.exchange.answer(Answer::native(&Value::Object(object))).await?);
    }
    let is_raw = fields.get("raw").and_then(Value::as_bool).unwrap_or(false);
    let prompt = if is_raw { Prompt::raw(&text) } else { Prompt::plain(&text) }.limited(token_limit(&fields));
    let generation = call.begin(&model, &fields, prompt).await?;
    call.speak(generation, &mut NativeGenerate { model: name }, fields.stream(true)).await
}

struct NativeGenerate {
    model: String,
}

impl NativeGenerate {
    fn object(&self, text: &str) -> Map<String, Value> {
        let mut object = beginning(&self.model);
        object.insert("response".to_owned(), json!(text));
        object.insert("done".to_owned(), json!(false));
        object
    }

    fn last(&self, text: &str, summary: &Summary) -> Map<String, Value> {
        let mut object = self.object(text);
        complete(&mut object, summary);
        object.insert("context".to_owned(), json!([1, 2, 3]));
        object
    }
}

impl Dialect for NativeGenerate {
    fn style(&self) -> FrameStyle {
        FrameStyle::Ndjson
    }

    fn stream_head(&self) -> (&'static str, &'static [(&'static str, &'static str)]) {
        (NDJSON, &[])
    }

    fn piece(&mut self, piece: &Piece) -> Vec<Bytes> {
        let object = match piece {
            Piece::Text(text) => self.object(text),
            Piece::Thinking(text) => {
                let mut object = self.object("");
                object.insert("thinking".to_owned(), json!(text));
                object
            }
            Piece::ToolCall(_) => return Vec::new(),
        };
        vec![self.style().frame(&Value::Object(object))]
    }

    fn marker(&mut self, summary: &Summary) -> Bytes {
        self.style().frame(&Value::Object(self.last("", summary)))
    }

    fn whole(&mut self, collected: &Collected, summary: &Summary) -> Answer {
        let mut object = self.last(&collected.text, summary);
        if !collected.thinking.is_empty() {
            object.insert("thinking".to_owned(), json!(collected.thinking));
        }
        Answer::native(&Value::Object(object))
    }
}
