//! Writes the answers of `POST /v1/chat/completions`.

use serde::Serialize;
use serde_json::Value;

use super::WriteAnswer;
use super::openai::{self, Echo, Tokens};
use crate::time::Timestamp;
use crate::translate::Occasion;
use crate::translate::chat::ToolCall;
use crate::translate::piece::{Done, Piece};
use crate::wire::{StreamFormat, error_frame};

/// Writes one answer. A stream whose usage is wanted ends with a chunk that has it and nothing else.
#[derive(Debug)]
pub(in crate::translate) struct Writer {
    echo: Echo,
    occasion: Occasion,
    id: String,
    /// The same in every chunk: that of the first piece.
    created: Option<i64>,
    /// Whether the first chunk, which has the role, is written.
    started: bool,
    /// How many tool calls are written.
    calls: u32,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    system_fingerprint: &'static str,
    choices: [Choice<'a>; 1],
    usage: Tokens,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs<'a>>,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    system_fingerprint: &'static str,
    choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Tokens>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Message<'a>,
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs<'a>>,
}

/// A whole message, or what is new of it.
#[derive(Default, Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tool_calls: &'a [Call<'a>],
}

#[derive(Serialize)]
struct Call<'a> {
    id: String,
    index: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    /// An object, as JSON text.
    arguments: String,
}

#[derive(Clone, Copy, Serialize)]
struct Logprobs<'a> {
    content: &'a [Value],
}

// === impl Writer ===

impl Writer {
    pub(in crate::translate) fn new(echo: Echo, occasion: Occasion) -> Self {
        let id = occasion.hex("chatcmpl-", 0, 24);
        Self { echo, occasion, id, created: None, started: false, calls: 0 }
    }

    /// The chunks for what a piece says. Thinking and what comes behind it never share one.
    fn content(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        let role = (!std::mem::replace(&mut self.started, true)).then_some("assistant");
        let calls = self.calls(&piece.tool_calls);
        let logprobs = Logprobs::of(piece);
        let content = Some(piece.content.as_str());
        let reasoning = some(&piece.thinking);
        if reasoning.is_some() && !(piece.content.is_empty() && calls.is_empty()) {
            self.delta(Message { role, reasoning, ..Message::default() }, logprobs, out);
            self.delta(Message { content, tool_calls: &calls, ..Message::default() }, None, out);
        } else {
            self.delta(Message { role, content, reasoning, tool_calls: &calls }, logprobs, out);
        }
    }

    /// The frames behind the last content.
    fn end(&self, done: &Done, out: &mut Vec<u8>) {
        let reason = openai::finish_reason(done).unwrap_or("stop");
        let finish_reason = Some(self.with_calls(reason));
        self.chunk(
            &[ChunkChoice { index: 0, delta: Message::default(), finish_reason, logprobs: None }],
            None,
            out,
        );
        if self.echo.include_usage {
            self.chunk(&[], Some(done.usage.into()), out);
        }
        out.extend_from_slice(openai::DONE);
    }

    fn delta(&self, delta: Message<'_>, logprobs: Option<Logprobs<'_>>, out: &mut Vec<u8>) {
        self.chunk(&[ChunkChoice { index: 0, delta, finish_reason: None, logprobs }], None, out);
    }

    fn chunk(&self, choices: &[ChunkChoice<'_>], usage: Option<Tokens>, out: &mut Vec<u8>) {
        let chunk = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created.unwrap_or_default(),
            model: &self.echo.model,
            system_fingerprint: openai::FINGERPRINT,
            choices,
            usage,
        };
        openai::frame(&chunk, out);
    }

    /// Calls in OpenAI's form, numbered through the answer.
    fn calls<'p>(&mut self, calls: &'p [ToolCall]) -> Vec<Call<'p>> {
        let call = |call: &'p ToolCall| {
            let index = call.place(&mut self.calls);
            let id = call.id.clone().unwrap_or_else(|| self.occasion.call(index));
            let arguments = String::from_utf8(openai::body(&call.arguments)).unwrap_or_default();
            Call { id, index, kind: "function", function: Function { name: &call.name, arguments } }
        };
        calls.iter().map(call).collect()
    }

    /// An answer that was cut off stays so, even behind tool calls.
    fn with_calls<'r>(&self, reason: &'r str) -> &'r str {
        if self.calls > 0 && reason == "stop" { "tool_calls" } else { reason }
    }
}

impl WriteAnswer for Writer {
    fn piece(&mut self, piece: Piece, now: Timestamp, out: &mut Vec<u8>) {
        self.created.get_or_insert_with(|| openai::seconds(piece.created.unwrap_or(now)));
        let is_trailer = piece.done.is_some() && piece.is_silent();
        if !(is_trailer && self.started) {
            self.content(&piece, out);
        }
        if let Some(done) = &piece.done {
            self.end(done, out);
        }
    }

    fn error(&mut self, message: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(error_frame(StreamFormat::OpenAiChunks, message).as_bytes());
    }

    fn whole(&mut self, piece: Piece, now: Timestamp) -> Vec<u8> {
        let calls = self.calls(&piece.tool_calls);
        let done = piece.done.as_ref();
        let reason = done.and_then(openai::finish_reason);
        let message = Message {
            role: Some("assistant"),
            content: Some(&piece.content),
            reasoning: some(&piece.thinking),
            tool_calls: &calls,
        };
        let finish_reason = reason.map(|reason| self.with_calls(reason));
        openai::body(&Completion {
            id: &self.id,
            object: "chat.completion",
            created: openai::seconds(piece.created.unwrap_or(now)),
            model: &self.echo.model,
            system_fingerprint: openai::FINGERPRINT,
            choices: [Choice { index: 0, message, finish_reason, logprobs: Logprobs::of(&piece) }],
            usage: done.map(|done| done.usage).unwrap_or_default().into(),
        })
    }
}

// === impl Logprobs ===

impl<'p> Logprobs<'p> {
    fn of(piece: &'p Piece) -> Option<Self> {
        (!piece.logprobs.is_empty()).then_some(Self { content: &piece.logprobs })
    }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
