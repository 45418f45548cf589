//! Token counts in the data of server-sent events.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use super::super::StreamFormat;
use super::super::members::Walk;
use super::{Counts, Places, Usage};

/// What a line that counts contains. Inside a string its quotes would be escaped.
static MARK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));

/// What comes before the data of an event; a space may follow.
const DATA: &[u8] = b"data:";

/// Watches the lines of a stream. Each one is the whole data of an event, as every engine writes it.
///
/// Pieces are mostly whole lines, and most of those count nothing, which one search tells. Only lines with a hit, and
/// such as are cut by the end of a piece, are walked.
#[derive(Clone, Debug)]
pub(in crate::wire) struct Events {
    counts: Counts,
    /// The current line, if a piece has ended within it.
    line: Line,
}

#[derive(Clone, Debug, Default)]
struct Line {
    /// How many of its bytes are [`DATA`].
    matched: usize,
    /// It begins with something else.
    is_other: bool,
    walk: Walk,
}

// === impl Events ===

impl Events {
    pub(in crate::wire) fn new(format: StreamFormat) -> Self {
        Self { counts: Counts::new(Places::of_events(format)), line: Line::default() }
    }

    pub(in crate::wire) fn push(&mut self, mut bytes: &[u8]) {
        if !self.line.is_empty() {
            let Some(end) = memchr(b'\n', bytes) else { return self.line.push(bytes, &mut self.counts) };
            self.line.push(&bytes[..end], &mut self.counts);
            self.line = Line::default();
            bytes = &bytes[end + 1..];
        }
        let whole = memrchr(b'\n', bytes).map_or(0, |last| last + 1);
        let (lines, cut) = bytes.split_at(whole);
        self.read(lines);
        self.line.push(cut, &mut self.counts);
    }

    pub(in crate::wire) fn usage(&self) -> Usage {
        self.counts.usage
    }

    /// Walks the lines that may count; `lines` are whole.
    fn read(&mut self, mut lines: &[u8]) {
        while let Some(hit) = MARK.find(lines) {
            let start = memrchr(b'\n', &lines[..hit]).map_or(0, |newline| newline + 1);
            let end = memchr(b'\n', &lines[hit..]).map_or(lines.len(), |newline| hit + newline);
            Line::default().push(&lines[start..end], &mut self.counts);
            lines = &lines[end..];
        }
    }
}

// === impl Line ===

impl Line {
    fn is_empty(&self) -> bool {
        self.matched == 0 && !self.is_other
    }

    fn push(&mut self, mut bytes: &[u8], counts: &mut Counts) {
        while let (Some(expected), Some((byte, rest)), false) =
            (DATA.get(self.matched), bytes.split_first(), self.is_other)
        {
            self.is_other = byte != expected;
            self.matched += usize::from(!self.is_other);
            bytes = rest;
        }
        if !self.is_other {
            self.walk.push(bytes, counts);
        }
    }
}
