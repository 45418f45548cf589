//! Top-level `done`, `error`, `status` and token counts of each line of an NDJSON stream, found without parsing the rest.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::ending::{Ending, StreamFormat};
use super::members::{Interest, Members, Scope, Walk};
use super::usage::{Places, Usage};

/// A line that says something contains one of these, be it within a string: most lines hold a token of text and no more.
static MARKS: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["true", "\"error\"", "\"success\""].map(Finder::new));

/// A line-by-line watch; it starts anew at each newline, which JSON text cannot contain inside a string.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    line: Line,
    /// What the last whole line said.
    last: Option<Facts>,
    /// What the last whole line that was `done` counted.
    usage: Usage,
}

#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    done: bool,
    failed: bool,
    success: bool,
    usage: Usage,
}

#[derive(Clone, Debug, Default)]
struct Line {
    walk: Walk,
    started: bool,
    facts: Facts,
}

// === impl Watch ===

impl Watch {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.whole_line(&bytes[..end]);
            bytes = &bytes[end + 1..];
        }
        self.line.push(bytes);
    }

    pub(super) fn ending(&self, format: StreamFormat) -> Ending {
        let facts = if let Some(facts) = self.line.closed() {
            facts
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

    pub(super) fn usage(&self) -> Usage {
        self.line.closed().filter(|facts| facts.done).map_or(self.usage, |facts| facts.usage)
    }

    pub(super) fn separator(&self) -> &'static str {
        if self.line.started { "\n" } else { "" }
    }

    /// The rest of a line, or all of it.
    fn whole_line(&mut self, bytes: &[u8]) {
        if !self.line.started && MARKS.iter().all(|mark| mark.find(bytes).is_none()) {
            if !is_blank(bytes) {
                self.last = Some(Facts::default());
            }
            return;
        }
        self.line.push(bytes);
        if self.line.started {
            self.usage = self.usage();
            self.last = Some(self.line.closed().unwrap_or_default());
        }
        self.line = Line::default();
    }
}

// === impl Line ===

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        self.started = self.started || !is_blank(bytes);
        self.walk.push(bytes, &mut self.facts);
    }

    /// What the line says, if its object is whole.
    fn closed(&self) -> Option<Facts> {
        self.walk.is_closed().then_some(self.facts)
    }
}

// === impl Facts ===

impl Members for Facts {
    fn interest(&self, scope: Scope, key: &[u8]) -> Interest {
        match key {
            b"done" | b"error" | b"status" => Interest::Value,
            _ => Places::OLLAMA.interest(scope, key),
        }
    }

    fn member(&mut self, _: Scope, key: &[u8], value: &[u8]) {
        match key {
            b"done" => self.done = value == b"true",
            b"error" => self.failed = !matches!(value, b"null" | b"\"" | b""),
            b"status" => self.success = value == b"\"success",
            _ => self.usage.take(&Places::OLLAMA, key, value),
        }
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().is_empty()
}
