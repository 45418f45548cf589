//! The blocks that messages are made of.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Notes;
use crate::translate::Refused;
use crate::translate::chat::{Media, Message, ToolCall};
use crate::translate::fields::Fields;
use crate::translate::from_client::{FOLDED, image, openai};

/// What upstream's estimate of tokens counts of a call and of a result beside their values: the JSON around them.
const CALL_BYTES: usize = r#"{"type":"tool_use","id":"","name":"","input":}"#.len();
const RESULT_BYTES: usize = r#"{"type":"tool_result","tool_use_id":"","content":}"#.len();

/// A part of a content.
enum Part<'b> {
    /// All of it: a string.
    Said(String),
    Text(String),
    /// A block that is no text: its type and members.
    Block(String, Fields<'b>),
}

/// The blocks of one message, by kind.
#[derive(Default)]
struct Content {
    text: String,
    thinking: String,
    media: Vec<Media>,
    calls: Vec<ToolCall>,
    results: Vec<Message>,
}

/// Reads `system`.
pub(super) fn system(fields: &mut Fields<'_>, notes: &mut Notes) -> Result<Option<Message>, Refused> {
    let mut content = Content::default();
    for part in parts(fields, "system", notes)? {
        match part {
            Part::Said(text) | Part::Text(text) => content.text.push_str(&text),
            Part::Block(_, block) => notes.dropped.push(block.place()),
        }
    }
    Ok(content.into_messages("system").pop())
}

/// Reads one of `messages`. What was said becomes one message, and the result of each tool one more.
pub(super) fn message(value: &RawValue, path: &str, notes: &mut Notes) -> Result<Vec<Message>, Refused> {
    let mut fields = Fields::of_value(value, FOLDED, path)?;
    let role = fields.text("role")?.ok_or_else(|| Refused::field(fields.path("role"), "is required"))?;
    let role = role.to_ascii_lowercase();
    notes.text_bytes += role.len();
    if fields.raw("content").is_none() {
        return Err(Refused::field(fields.path("content"), "is required"));
    }
    let mut content = Content::default();
    let parts = parts(&mut fields, "content", notes)?;
    notes.rest(&fields);
    // A string is what was said, even an empty one; blocks may have nothing to say.
    if let [Part::Said(text)] = &parts[..] {
        return Ok(vec![Message { role, content: text.clone(), ..Message::default() }]);
    }
    for part in parts {
        match part {
            Part::Said(text) | Part::Text(text) => content.text.push_str(&text),
            Part::Block(kind, block) => content.take(&kind, block, notes)?,
        }
    }
    Ok(content.into_messages(&role))
}

/// A string, or an array of blocks; nothing if it is absent.
fn parts<'b>(fields: &mut Fields<'b>, name: &str, notes: &mut Notes) -> Result<Vec<Part<'b>>, Refused> {
    let path = fields.path(name);
    let Some(value) = fields.raw(name) else { return Ok(Vec::new()) };
    if let Some(text) = openai::text(value) {
        notes.text_bytes += text.len();
        return Ok(vec![Part::Said(text)]);
    }
    let blocks: Vec<&RawValue> = serde_json::from_str(value.get())
        .map_err(|_| Refused::field(&path, "must be a string or an array of blocks"))?;
    blocks
        .into_iter()
        .enumerate()
        .map(|(index, block)| part(block, &format!("{path}[{index}]"), notes))
        .collect()
}

fn part<'b>(value: &'b RawValue, path: &str, notes: &mut Notes) -> Result<Part<'b>, Refused> {
    let mut fields = Fields::of_value(value, FOLDED, path)?;
    let kind = fields.text("type")?.ok_or_else(|| Refused::field(fields.path("type"), "is required"))?;
    if kind != "text" {
        return Ok(Part::Block(kind, fields));
    }
    let text = fields.text("text")?.unwrap_or_default();
    notes.text_bytes += text.len();
    notes.rest(&fields);
    Ok(Part::Text(text))
}

/// A document, if it is plain text: a question without its document would be another question.
fn document(block: &mut Fields<'_>) -> Result<String, Refused> {
    let path = block.path("source");
    let only_text = || Refused::field(&path, "must be of type text: the backend reads no other documents");
    let mut source = block.object("source")?.ok_or_else(only_text)?;
    match (source.text("type")?.as_deref(), source.text("data")?) {
        (Some("text"), Some(data)) => Ok(data),
        _ => Err(only_text()),
    }
}

// === impl Content ===

impl Content {
    /// Takes a block of a message that is no text.
    fn take(&mut self, kind: &str, mut block: Fields<'_>, notes: &mut Notes) -> Result<(), Refused> {
        match kind {
            "image" => self.media.push(picture(&mut block, notes)?),
            "document" => {
                let text = document(&mut block)?;
                notes.text_bytes += text.len();
                self.text.push_str(&text);
            }
            "tool_use" => self.calls.push(call(&mut block, notes)?),
            "tool_result" => self.results.push(result(&mut block, notes)?),
            "thinking" => {
                let thinking = block.text("thinking")?.unwrap_or_default();
                notes.text_bytes += thinking.len();
                self.thinking.push_str(&thinking);
                // Anthropic's proof that the thought is its own: nobody else can check it.
                block.ignore(&["signature"]);
            }
            _ => {
                notes.dropped.push(block.place());
                return Ok(());
            }
        }
        notes.rest(&block);
        Ok(())
    }

    /// Results come before what the user says to them, and behind everything else.
    fn into_messages(self, role: &str) -> Vec<Message> {
        let said = Message {
            role: role.to_owned(),
            content: self.text,
            thinking: self.thinking,
            media: self.media,
            tool_calls: self.calls,
            ..Message::default()
        };
        let is_silent = said.content.is_empty()
            && said.thinking.is_empty()
            && said.media.is_empty()
            && said.tool_calls.is_empty();
        let said = (!is_silent).then_some(said);
        if role == "user" {
            self.results.into_iter().chain(said).collect()
        } else {
            said.into_iter().chain(self.results).collect()
        }
    }
}

fn picture(block: &mut Fields<'_>, notes: &mut Notes) -> Result<Media, Refused> {
    let path = block.path("source");
    let mut source =
        block.object("source")?.ok_or_else(|| Refused::verbatim(&path, "invalid image source"))?;
    let media = match source.text("type")?.unwrap_or_default().as_str() {
        "base64" => {
            let field = source.path("data");
            let data = source.text("data")?.ok_or_else(|| Refused::field(&field, "is required"))?;
            let base64 = image::base64(&data);
            let base64 = base64.ok_or_else(|| Refused::verbatim(field, "invalid base64 image data"))?;
            Media::Inline { base64, media_type: source.text("media_type")? }
        }
        "url" => {
            let field = source.path("url");
            let url = source.text("url")?.ok_or_else(|| Refused::field(&field, "is required"))?;
            let refusal = "invalid image source type: url. Only base64 images are supported.";
            Media::Remote { url, field, refusal }
        }
        other => {
            let message = format!("invalid image source type: {other}. Only base64 images are supported.");
            return Err(Refused::verbatim(path, message));
        }
    };
    notes.rest(&source);
    Ok(media)
}

fn call(block: &mut Fields<'_>, notes: &mut Notes) -> Result<ToolCall, Refused> {
    let mut required = |name: &str| {
        let text = block.text(name)?.filter(|text| !text.is_empty());
        let missing =
            || Refused::verbatim(block.path(name), format!("tool_use block missing required '{name}' field"));
        text.ok_or_else(missing)
    };
    let (id, name) = (required("id")?, required("name")?);
    let input_bytes = block.raw("input").map_or(0, |input| input.get().len());
    let arguments: Option<Map<String, Value>> = block.read("input", "must be an object")?;
    // Who called it, a program or the model itself: here only the model can.
    block.ignore(&["caller"]);
    notes.text_bytes += CALL_BYTES + id.len() + name.len() + input_bytes;
    Ok(ToolCall { id: Some(id), name, arguments: arguments.unwrap_or_default(), ..ToolCall::default() })
}

fn result(block: &mut Fields<'_>, notes: &mut Notes) -> Result<Message, Refused> {
    let tool_call_id = block.text("tool_use_id")?.filter(|id| !id.is_empty());
    let content_bytes = block.raw("content").map_or(0, |content| content.get().len());
    let before = notes.text_bytes;
    let mut message = Message { role: "tool".to_owned(), ..Message::default() };
    for part in parts(block, "content", notes)? {
        match part {
            Part::Said(text) | Part::Text(text) => message.content.push_str(&text),
            Part::Block(kind, mut inner) if kind == "image" => {
                message.media.push(picture(&mut inner, notes)?);
                notes.rest(&inner);
            }
            Part::Block(_, inner) => notes.dropped.push(inner.place()),
        }
    }
    if block.flag("is_error")? == Some(true) {
        notes.dropped.push(block.path("is_error"));
    }
    // Upstream counts the whole block, and not its texts once more.
    let id_bytes = tool_call_id.as_deref().map_or(0, str::len);
    notes.text_bytes = before + RESULT_BYTES + id_bytes + content_bytes;
    message.tool_call_id = tool_call_id;
    Ok(message)
}
