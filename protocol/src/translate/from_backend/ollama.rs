//! Reads Ollama's answers to chats and completions.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Number, Value};

use super::ReadAnswer;
use crate::time::Timestamp;
use crate::translate::chat;
use crate::translate::frames::{Frame, Framing};
use crate::translate::piece::{Done, Piece, Timings};
use crate::translate::{Broken, Occasion};
use crate::wire::{Usage, fault};

/// Reads one answer.
#[derive(Debug)]
pub(in crate::translate) struct Reader {
    occasion: Occasion,
    /// How many calls of tools there were so far.
    calls: u32,
}

/// `ChatResponse` and `GenerateResponse` of `api/types.go`, as far as they say something to a client of another API.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object<'b> {
    #[serde(borrow)]
    created_at: Option<Cow<'b, str>>,
    message: Option<Message>,
    response: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    logprobs: Option<Vec<Value>>,
    done: Option<bool>,
    done_reason: Option<String>,
    // Numbers of any kind: a count that is out of range is none, and no reason to lose an answer.
    total_duration: Option<Number>,
    load_duration: Option<Number>,
    prompt_eval_count: Option<Number>,
    prompt_eval_duration: Option<Number>,
    eval_count: Option<Number>,
    eval_duration: Option<Number>,
    error: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Debug, Deserialize)]
struct ToolCall {
    id: Option<String>,
    function: Function,
}

#[derive(Debug, Deserialize)]
struct Function {
    index: Option<Number>,
    name: String,
    arguments: Option<Map<String, Value>>,
}

// === impl Reader ===

impl Reader {
    pub(in crate::translate) fn new(occasion: Occasion) -> Self {
        Self { occasion, calls: 0 }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Piece, Broken> {
        let object = Object::parse(bytes)?;
        let created = object.created_at.as_deref().and_then(|created| created.parse().ok());
        let done = (object.done == Some(true)).then(|| object.end());
        let message = object.message.unwrap_or_default();
        let calls = [message.tool_calls, object.tool_calls].into_iter().flatten().flatten();
        Ok(Piece {
            created,
            content: message.content.or(object.response).unwrap_or_default(),
            thinking: message.thinking.or(object.thinking).unwrap_or_default(),
            tool_calls: calls.map(|call| self.named(call)).collect(),
            logprobs: object.logprobs.unwrap_or_default(),
            done,
        })
    }

    /// A call with an id, which other APIs need to tell whose result is whose: older Ollamas give none.
    fn named(&mut self, call: ToolCall) -> chat::ToolCall {
        let number = self.calls;
        self.calls = number.saturating_add(1);
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| self.occasion.call(number));
        let arguments = call.function.arguments.unwrap_or_default();
        let index = call.function.index.and_then(|index| u32::try_from(index.as_u64()?).ok());
        chat::ToolCall { id: Some(id), name: call.function.name, arguments, index }
    }
}

impl ReadAnswer for Reader {
    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn frame(&mut self, frame: Frame<'_>, _now: Timestamp, pieces: &mut Vec<Piece>) -> Result<(), Broken> {
        pieces.push(self.read(frame.data)?);
        Ok(())
    }

    fn end(&mut self, _now: Timestamp, _pieces: &mut Vec<Piece>) -> Result<(), Broken> {
        // Nothing is held back. Ollama itself ends a stream like this if its runner does (`llm/llama_server.go`).
        Err(Broken::Ended)
    }

    fn whole(&mut self, body: &[u8], _now: Timestamp) -> Result<Piece, Broken> {
        let piece = self.read(body.trim_ascii())?;
        if piece.done.is_some() { Ok(piece) } else { Err(Broken::Ended) }
    }
}

// === impl Object ===

impl<'b> Object<'b> {
    fn parse(bytes: &'b [u8]) -> Result<Self, Broken> {
        // Of an array, serde would take the elements for the members.
        if bytes.first() != Some(&b'{') {
            return Err(Broken::Unreadable("not a JSON object".to_owned()));
        }
        let object: Self = serde_json::from_slice(bytes).map_err(|e| Broken::Unreadable(e.to_string()))?;
        if object.error.is_some() {
            let words = fault::error_text(bytes);
            return Err(Broken::Reported(words.unwrap_or_else(|| "an error without words".to_owned())));
        }
        Ok(object)
    }

    /// What the last object of an answer says of it.
    fn end(&self) -> Done {
        let count = |number: &Option<Number>| number.as_ref().and_then(Number::as_u64);
        Done {
            reason: self.done_reason.clone().filter(|reason| !reason.is_empty()),
            usage: Usage { prompt: count(&self.prompt_eval_count), completion: count(&self.eval_count) },
            timings: Timings {
                total: count(&self.total_duration),
                load: count(&self.load_duration),
                prompt: count(&self.prompt_eval_duration),
                completion: count(&self.eval_duration),
            },
        }
    }
}

#[cfg(test)]
mod tests;
