//! Writes the answers of `POST /v1/messages`.

mod events;
#[cfg(test)]
mod tests;

use self::events::{Block, Delta, Event, Message, Stopped, Tokens};
use super::{WriteAnswer, event, openai};
use crate::time::Timestamp;
use crate::translate::Occasion;
use crate::translate::chat::ToolCall;
use crate::translate::piece::{Done, Piece};
use crate::wire::{self, StreamFormat, Usage};

/// What the answer repeats of the request.
#[derive(Clone, Debug, Default)]
pub(in crate::translate) struct Echo {
    pub(in crate::translate) model: String,
    /// Tokens of the request, about: a stream tells them before the backend has counted.
    pub(in crate::translate) input_tokens: u64,
}

/// Writes one answer.
#[derive(Debug)]
pub(in crate::translate) struct Writer {
    echo: Echo,
    occasion: Occasion,
    started: bool,
    /// The block that is being written, and the index of it or of the next one.
    open: Option<Open>,
    index: u32,
    calls: u32,
}

/// A block that comes in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Thinking,
    Text,
}

// === impl Writer ===

impl Writer {
    pub(in crate::translate) fn new(echo: Echo, occasion: Occasion) -> Self {
        Self { echo, occasion, started: false, open: None, index: 0, calls: 0 }
    }

    fn message<'a>(&'a self, id: &'a str, content: Vec<Block<'a>>) -> Message<'a> {
        Message {
            id,
            r#type: "message",
            role: "assistant",
            model: &self.echo.model,
            content,
            stop_reason: None,
            usage: Tokens::default(),
        }
    }

    fn message_id(&self) -> String {
        self.occasion.hex("msg_", 0, 24)
    }

    /// The call's own id, or one of Anthropic's form.
    fn call_id(&mut self, call: &ToolCall) -> String {
        self.calls += 1;
        let id = call.id.clone().filter(|id| !id.is_empty());
        id.unwrap_or_else(|| self.occasion.hex("toolu_", self.calls, 24))
    }

    fn start(&mut self, counted: Option<Usage>, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let counted = counted.and_then(|usage| usage.prompt).filter(|prompt| *prompt > 0);
        let id = self.message_id();
        let mut message = self.message(&id, Vec::new());
        message.usage.input_tokens = counted.unwrap_or(self.echo.input_tokens);
        write(&Event::MessageStart { message }, out);
    }

    fn text(&mut self, kind: Open, text: &str, out: &mut Vec<u8>) {
        if self.open != Some(kind) {
            self.close(out);
            let content_block = match kind {
                Open::Thinking => Block::Thinking { thinking: "" },
                Open::Text => Block::Text { text: "" },
            };
            write(&Event::ContentBlockStart { index: self.index, content_block }, out);
            self.open = Some(kind);
        }
        let delta = match kind {
            Open::Thinking => Delta::Thinking { thinking: text },
            Open::Text => Delta::Text { text },
        };
        write(&Event::ContentBlockDelta { index: self.index, delta }, out);
    }

    fn call(&mut self, call: &ToolCall, out: &mut Vec<u8>) {
        self.close(out);
        let (id, index) = (self.call_id(call), self.index);
        let none = serde_json::Map::new();
        let content_block = Block::ToolUse { id, name: &call.name, input: &none };
        write(&Event::ContentBlockStart { index, content_block }, out);
        let arguments = serde_json::to_string(&call.arguments).unwrap_or_default();
        let delta = Delta::Input { partial_json: &arguments };
        write(&Event::ContentBlockDelta { index, delta }, out);
        self.stop(out);
    }

    /// Ends the block that is being written, if there is one.
    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            self.stop(out);
        }
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        write(&Event::ContentBlockStop { index: self.index }, out);
        self.index += 1;
    }

    fn end(&mut self, done: &Done, out: &mut Vec<u8>) {
        self.close(out);
        let delta = Stopped { stop_reason: stop_reason(done, self.calls > 0) };
        write(&Event::MessageDelta { delta, usage: Tokens::of(done.usage) }, out);
        write(&Event::MessageStop, out);
    }
}

impl WriteAnswer for Writer {
    fn piece(&mut self, piece: Piece, _now: Timestamp, out: &mut Vec<u8>) {
        self.start(piece.done.as_ref().map(|done| done.usage), out);
        if !piece.thinking.is_empty() {
            self.text(Open::Thinking, &piece.thinking, out);
        }
        if !piece.content.is_empty() {
            self.text(Open::Text, &piece.content, out);
        }
        for call in &piece.tool_calls {
            self.call(call, out);
        }
        if let Some(done) = &piece.done {
            self.end(done, out);
        }
    }

    fn error(&mut self, message: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(wire::error_frame(StreamFormat::AnthropicMessages, message).as_bytes());
    }

    fn whole(&mut self, piece: Piece, _now: Timestamp) -> Vec<u8> {
        let mut content = Vec::new();
        if !piece.thinking.is_empty() {
            content.push(Block::Thinking { thinking: &piece.thinking });
        }
        if !piece.content.is_empty() {
            content.push(Block::Text { text: &piece.content });
        }
        for call in &piece.tool_calls {
            content.push(Block::ToolUse { id: self.call_id(call), name: &call.name, input: &call.arguments });
        }
        let done = piece.done.unwrap_or_default();
        let id = self.message_id();
        let mut message = self.message(&id, content);
        message.stop_reason = stop_reason(&done, !piece.tool_calls.is_empty());
        message.usage = Tokens::of(done.usage);
        openai::body(&message)
    }
}

/// Upstream's table, with a word for filtered answers. That a stop sequence was hit cannot be told from other ends.
fn stop_reason(done: &Done, has_calls: bool) -> Option<&'static str> {
    if has_calls {
        return Some("tool_use");
    }
    match done.reason.as_deref()? {
        "" => None,
        "stop" | "load" | "unload" => Some("end_turn"),
        "length" => Some("max_tokens"),
        "content_filter" => Some("refusal"),
        _ => Some("stop_sequence"),
    }
}

fn write(event: &Event<'_>, out: &mut Vec<u8>) {
    event::write(event.name(), event, out);
}
