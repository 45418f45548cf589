//! Top-level `done`, `error` and `status` of each line of an NDJSON stream, found without parsing the rest.

use super::ending::{Ending, StreamFormat};

/// The longest key or literal that matters, plus one so that a longer one differs.
const TOKEN: usize = 8;

/// A line-by-line scanner; resets at each newline, which JSON text cannot contain inside a string.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    line: Line,
    /// What the last whole line said.
    last: Option<Facts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    done: bool,
    failed: bool,
    success: bool,
}

#[derive(Clone, Debug, Default)]
struct Line {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// At depth 1: the next string is a key.
    at_key: bool,
    key: Token,
    value: Token,
    /// The object was closed: `facts` are final.
    closed: bool,
    started: bool,
    facts: Facts,
}

/// The first bytes of a key or scalar.
#[derive(Clone, Copy, Debug, Default)]
struct Token {
    bytes: [u8; TOKEN],
    len: usize,
}

// === impl Watch ===

impl Watch {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = if byte == b'\n' {
                self.end_line();
                rest
            } else if self.line.in_string && !self.line.escaped {
                self.line.string(bytes)
            } else {
                self.line.byte(byte);
                rest
            };
        }
    }

    pub(super) fn ending(&self, format: StreamFormat) -> Ending {
        let facts = if self.line.closed {
            self.line.facts
        } else if self.line.started {
            // An object that is still open says nothing, and whatever came before it was not the end.
            Facts { failed: self.last.is_some_and(|last| last.failed), ..Facts::default() }
        } else {
            self.last.unwrap_or_default()
        };
        let complete = match format {
            StreamFormat::OllamaProgress => facts.success,
            _ => facts.done,
        };
        match (facts.failed, complete) {
            (true, _) => Ending::Failed,
            (false, true) => Ending::Complete,
            (false, false) => Ending::Missing,
        }
    }

    pub(super) fn separator(&self) -> &'static str {
        if self.line.started { "\n" } else { "" }
    }

    fn end_line(&mut self) {
        if self.line.started {
            let closed = self.line.closed;
            self.last = Some(if closed { self.line.facts } else { Facts::default() });
        }
        self.line = Line::default();
    }
}

// === impl Line ===

impl Line {
    /// Consumes the inside of a string up to and including the byte that ends or escapes it (or the newline
    /// before which a broken line ends); returns the rest.
    fn string<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = memchr::memchr3(b'"', b'\\', b'\n', bytes).unwrap_or(bytes.len());
        self.keep(&bytes[..end]);
        match bytes.get(end) {
            Some(b'"') => self.in_string = false,
            Some(b'\\') => {
                self.escaped = true;
                self.keep(b"\\");
            }
            _ => return &bytes[end..],
        }
        &bytes[end + 1..]
    }

    fn byte(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
            self.keep(&[byte]);
            return;
        }
        if byte.is_ascii_whitespace() {
            return;
        }
        self.started = true;
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 {
                    // A string value keeps its opening quote, so that "true" is not `true`.
                    if self.at_key { self.key = Token::default() } else { self.value.push(b"\"") }
                }
            }
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth == 1 {
                    self.at_key = byte == b'{';
                    self.key = Token::default();
                    self.value = Token::default();
                } else if self.depth == 2 {
                    self.value.push(&[byte]);
                }
            }
            b'}' | b']' => {
                if self.depth == 1 {
                    self.end_member();
                    self.closed = byte == b'}';
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 => {
                self.at_key = false;
                self.value = Token::default();
            }
            b',' if self.depth == 1 => {
                self.end_member();
                self.at_key = true;
                self.key = Token::default();
            }
            _ if self.depth == 1 => self.keep(&[byte]),
            _ => {}
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.depth == 1 {
            if self.at_key { self.key.push(bytes) } else { self.value.push(bytes) }
        }
    }

    fn end_member(&mut self) {
        if self.at_key {
            return;
        }
        match self.key.as_slice() {
            b"done" => self.facts.done = self.value.as_slice() == b"true",
            b"error" => self.facts.failed = !matches!(self.value.as_slice(), b"null" | b"\"" | b""),
            b"status" => self.facts.success = self.value.as_slice() == b"\"success",
            _ => {}
        }
    }
}

// === impl Token ===

impl Token {
    fn push(&mut self, bytes: &[u8]) {
        let room = TOKEN - self.len.min(TOKEN);
        let kept = &bytes[..bytes.len().min(room)];
        self.bytes[TOKEN - room..TOKEN - room + kept.len()].copy_from_slice(kept);
        // The true length goes on counting, so that a longer token never equals its prefix.
        self.len += bytes.len();
    }

    fn as_slice(&self) -> &[u8] {
        // A token over the bound matches nothing.
        if self.len > TOKEN { b"\0" } else { &self.bytes[..self.len] }
    }
}
