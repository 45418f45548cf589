//! The client's name of a model in the answer of a backend that was asked for another one.
//!
//! Answers are rewritten as they pass, cut anywhere: only the value of the member that names the model changes, all other
//! bytes go on at once and as they are. A walk over the JSON text remembers where it is, so that memory is constant, however
//! long a frame is.

mod walk;

use bytes::Bytes;

use self::walk::Walk;
use crate::header::media_type;
use crate::models::rename::quoted;
use crate::route::Operation;

/// How the JSON texts of an answer are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The answer is one.
    Whole,
    /// Each line is one.
    Lines,
    /// The data of each server-sent event is one.
    Events,
}

/// Puts the name that the client used into an answer.
#[derive(Clone, Debug)]
pub struct Echo {
    framing: Framing,
    line: Line,
    /// A line has just ended with a carriage return: a line feed belongs to it.
    is_after_return: bool,
    walk: Walk,
    /// The name as a JSON string.
    name: Box<str>,
}

/// Where a walk over server-sent events is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes of [`DATA`] begin the line.
    Start(usize),
    /// Behind the name of the field.
    Data,
    /// In a line of another kind.
    Other,
}

/// The field of a server-sent event that has the JSON text.
const DATA: &[u8] = b"data:";

/// The text that comes out of a piece.
struct Edited<'b> {
    bytes: &'b [u8],
    /// Up to here the piece is told, or left out.
    told: usize,
    /// What has been told; empty as long as nothing was changed.
    text: Vec<u8>,
    is_changed: bool,
}

// === impl Framing ===

impl Framing {
    /// Of an answer with this `Content-Type`; `None` if it has no JSON texts.
    pub fn of(content_type: &str) -> Option<Self> {
        let is = |name: &str| media_type(content_type).eq_ignore_ascii_case(name);
        if is("application/json") {
            Some(Self::Whole)
        } else if is("application/x-ndjson") {
            Some(Self::Lines)
        } else if is("text/event-stream") {
            Some(Self::Events)
        } else {
            None
        }
    }
}

// === impl Echo ===

impl Echo {
    /// Starts at the first byte of an answer to a request for `operation`.
    ///
    /// The name is at the top, and in the first events of Responses and Messages within the object that they are about; in
    /// the answer about one model of OpenAI's API it is the `id`.
    pub fn new(operation: Operation, framing: Framing, name: &str) -> Self {
        let key: &[u8] = if operation == Operation::OpenAiModel { b"id" } else { b"model" };
        Self {
            framing,
            line: Line::Start(0),
            is_after_return: false,
            walk: Walk::new(key),
            name: quoted(name).into_boxed_str(),
        }
    }

    /// Takes the next bytes of the answer; gives what the client gets for them, which may be nothing.
    pub fn push(&mut self, bytes: Bytes) -> Bytes {
        let mut edited = Edited::of(&bytes);
        match self.framing {
            Framing::Whole => self.walk.over(&mut edited, 0, bytes.len(), &self.name),
            Framing::Lines => self.over_lines(&mut edited),
            Framing::Events => self.over_events(&mut edited),
        }
        match edited.into_text() {
            Some(text) => Bytes::from(text),
            None => bytes,
        }
    }

    fn over_lines(&mut self, edited: &mut Edited<'_>) {
        let bytes = edited.bytes;
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'\n', &bytes[at..]) {
            self.walk.over(edited, at, at + found, &self.name);
            self.walk.reset();
            at += found + 1;
        }
        self.walk.over(edited, at, bytes.len(), &self.name);
    }

    fn over_events(&mut self, edited: &mut Edited<'_>) {
        let bytes = edited.bytes;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let is_feed_of_return = std::mem::take(&mut self.is_after_return) && byte == b'\n';
            match self.line {
                Line::Start(_) if is_feed_of_return => at += 1,
                Line::Start(0) if matches!(byte, b'\n' | b'\r') => {
                    // A blank line ends the event; the lines of one event are one text.
                    self.walk.reset();
                    self.is_after_return = byte == b'\r';
                    at += 1;
                }
                Line::Start(matched) if DATA.get(matched) == Some(&byte) => {
                    let matched = matched + 1;
                    self.line = if matched == DATA.len() { Line::Data } else { Line::Start(matched) };
                    at += 1;
                }
                Line::Start(_) => self.line = Line::Other,
                Line::Data | Line::Other => {
                    let end = memchr::memchr2(b'\n', b'\r', &bytes[at..]).map(|found| at + found);
                    if self.line == Line::Data {
                        self.walk.over(edited, at, end.unwrap_or(bytes.len()), &self.name);
                    }
                    if let Some(end) = end {
                        self.line = Line::Start(0);
                        self.is_after_return = bytes[end] == b'\r';
                    }
                    at = end.map_or(bytes.len(), |end| end + 1);
                }
            }
        }
    }
}

// === impl Edited ===

impl<'b> Edited<'b> {
    fn of(bytes: &'b [u8]) -> Self {
        Self { bytes, told: 0, text: Vec::new(), is_changed: false }
    }

    /// `name` takes the place of the string that begins at `at`.
    fn replace(&mut self, at: usize, name: &str) {
        if !self.is_changed {
            self.text.reserve(self.bytes.len() + name.len());
        }
        self.text.extend_from_slice(&self.bytes[self.told..at]);
        self.text.extend_from_slice(name.as_bytes());
        self.leave_out(at + 1);
    }

    /// What was not told before `end` is left out.
    fn leave_out(&mut self, end: usize) {
        self.told = end;
        self.is_changed = true;
    }

    /// All that is told of the piece, if that is not simply the piece.
    fn into_text(mut self) -> Option<Vec<u8>> {
        if !self.is_changed {
            return None;
        }
        self.text.extend_from_slice(&self.bytes[self.told..]);
        Some(self.text)
    }
}

#[cfg(test)]
mod tests;
