//! Writes the answers of `POST /v1/responses`.

mod items;
mod object;
mod stream;
#[cfg(test)]
mod tests;

use serde_json::{Map, Number, Value};

use self::items::{Item, Kind, Status};
pub(in crate::translate) use self::object::Reasoning;
use self::object::Response;
use self::stream::Stream;
use super::{WriteAnswer, openai};
use crate::time::Timestamp;
use crate::translate::Occasion;
use crate::translate::chat::ToolCall;
use crate::translate::frames::MAX_FRAME;
use crate::translate::piece::{Done, Piece};

/// What the answer repeats of the request.
#[derive(Clone, Debug, Default)]
pub(in crate::translate) struct Echo {
    pub(in crate::translate) model: String,
    pub(in crate::translate) instructions: Option<String>,
    pub(in crate::translate) max_output_tokens: Option<u64>,
    pub(in crate::translate) max_tool_calls: Option<u64>,
    pub(in crate::translate) metadata: Map<String, Value>,
    pub(in crate::translate) prompt_cache_key: Option<String>,
    pub(in crate::translate) reasoning: Option<Reasoning>,
    pub(in crate::translate) safety_identifier: Option<String>,
    pub(in crate::translate) temperature: Option<Number>,
    /// `text.format`.
    pub(in crate::translate) text_format: Option<Value>,
    pub(in crate::translate) tools: Vec<Value>,
    pub(in crate::translate) top_p: Option<Number>,
    pub(in crate::translate) truncation: Option<String>,
}

/// Writes one answer.
///
/// As in Ollama, text that comes with a tool call or behind one is left out. Text that a stream has told before the
/// call cannot be taken back: it stays in the output.
#[derive(Debug)]
pub(in crate::translate) struct Writer {
    echo: Echo,
    occasion: Occasion,
    stream: Stream,
    /// The output so far. Only the last item may be in progress.
    items: Vec<Item>,
    /// About how many bytes they have.
    held: usize,
    has_calls: bool,
}

/// About what an item has besides its text, in bytes.
const ITEM: usize = 256;

// === impl Writer ===

impl Writer {
    pub(in crate::translate) fn new(echo: Echo, occasion: Occasion) -> Self {
        Self { echo, occasion, stream: Stream::default(), items: Vec::new(), held: 0, has_calls: false }
    }

    fn id(&self) -> String {
        self.occasion.hex("resp_", 0, 24)
    }

    /// The number of the next item, from which its ids are made.
    fn next_number(&self) -> u32 {
        u32::try_from(self.items.len()).unwrap_or(u32::MAX)
    }

    fn put(&mut self, kind: Kind, text: String, status: Status) {
        let id = self.occasion.hex(kind.prefix(), self.next_number(), 24);
        self.held += ITEM + text.len();
        self.items.push(Item { id, kind, text, status });
    }

    fn kind_of(&self, call: &ToolCall) -> Kind {
        let call_id = call.id.clone().filter(|id| !id.is_empty());
        let call_id = call_id.unwrap_or_else(|| self.occasion.call(self.next_number()));
        Kind::Call { call_id, name: call.name.clone() }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if self.stream.is_started() {
            return;
        }
        let id = self.id();
        let response = Response::new(&id, &self.echo, self.occasion.now, &[]);
        self.stream.response("response.created", &response, out);
        self.stream.response("response.in_progress", &response, out);
    }

    /// Puts text behind the item in progress, or begins another one if it is of another kind.
    fn text(&mut self, kind: Kind, text: &str, out: &mut Vec<u8>) {
        let is_open = |item: &Item| item.status == Status::InProgress && item.kind == kind;
        if !self.items.last().is_some_and(is_open) {
            self.close(out);
            self.put(kind, String::new(), Status::InProgress);
            if let Some(item) = self.items.last() {
                self.stream.added(self.items.len() - 1, item, out);
            }
        }
        let index = self.items.len().saturating_sub(1);
        if let Some(item) = self.items.last_mut() {
            item.text.push_str(text);
            self.held += text.len();
            self.stream.delta(index, item, text, out);
        }
    }

    fn call(&mut self, call: &ToolCall, out: &mut Vec<u8>) {
        self.close(out);
        let kind = self.kind_of(call);
        self.text(kind, &arguments(call), out);
        self.close(out);
        self.has_calls = true;
    }

    /// Ends the item in progress, if there is one.
    fn close(&mut self, out: &mut Vec<u8>) {
        let index = self.items.len().saturating_sub(1);
        if let Some(item) = self.items.last_mut().filter(|item| item.status == Status::InProgress) {
            item.status = Status::Completed;
            self.stream.done(index, item, out);
        }
    }

    fn end(&mut self, done: &Done, now: Timestamp, out: &mut Vec<u8>) {
        self.close(out);
        let id = self.id();
        let mut response = Response::new(&id, &self.echo, self.occasion.now, &self.items);
        let event = response.end(done, now);
        self.stream.response(event, &response, out);
    }
}

impl WriteAnswer for Writer {
    fn piece(&mut self, piece: Piece, now: Timestamp, out: &mut Vec<u8>) {
        self.start(out);
        if !piece.thinking.is_empty() {
            self.text(Kind::Reasoning, &piece.thinking, out);
        }
        for call in &piece.tool_calls {
            self.call(call, out);
        }
        if !piece.content.is_empty() && !self.has_calls {
            self.text(Kind::Message, &piece.content, out);
        }
        if let Some(done) = &piece.done {
            self.end(done, now, out);
        }
    }

    fn is_full(&self) -> bool {
        self.held >= MAX_FRAME
    }

    fn error(&mut self, message: &str, out: &mut Vec<u8>) {
        self.start(out);
        if let Some(item) = self.items.last_mut().filter(|item| item.status == Status::InProgress) {
            item.status = Status::Incomplete;
        }
        let id = self.id();
        let mut response = Response::new(&id, &self.echo, self.occasion.now, &self.items);
        response.fail(message);
        self.stream.response("response.failed", &response, out);
    }

    fn whole(&mut self, piece: Piece, now: Timestamp) -> Vec<u8> {
        if !piece.thinking.is_empty() {
            self.put(Kind::Reasoning, piece.thinking, Status::Completed);
        }
        for call in &piece.tool_calls {
            self.put(self.kind_of(call), arguments(call), Status::Completed);
        }
        if piece.tool_calls.is_empty() {
            self.put(Kind::Message, piece.content, Status::Completed);
        }
        let id = self.id();
        let created = piece.created.unwrap_or(self.occasion.now);
        let mut response = Response::new(&id, &self.echo, created, &self.items);
        response.end(&piece.done.unwrap_or_default(), now);
        openai::body(&response)
    }
}

fn arguments(call: &ToolCall) -> String {
    serde_json::to_string(&call.arguments).unwrap_or_default()
}
