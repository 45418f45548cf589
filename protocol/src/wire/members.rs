//! A walk over JSON text that comes in pieces: it tells the members that somebody wants to know, and passes over all
//! else. The text is only watched, so broken JSON says something or nothing, and is no error.

/// The longest key or value that is told: the digits of the largest `u64`. `completion_tokens` has 17.
const TOKEN: usize = 20;
/// What is told of a longer one, which equals no key and no value.
const OVER: &[u8] = b"\0";
/// How many objects within each other are looked into.
const SCOPES: usize = 3;
/// Marks are looked for byte by byte up to here, in blocks of this size behind it.
const BLOCK: usize = 32;

/// The bytes that structure JSON.
const STRUCTURE: [bool; 256] = table(b"\"{}[]:,");
/// The same and white space.
const ENDS_SCALAR: [bool; 256] = table(b"\"{}[]:, \t\n\r\x0c");

const fn table(mut marks: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    while let [mark, rest @ ..] = marks {
        table[*mark as usize] = true;
        marks = rest;
    }
    table
}

/// An object that is looked into, by the key at which it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scope {
    /// The outermost object.
    #[default]
    Top,
    /// `response` or `message`, which events of some APIs hold their subject in.
    Envelope,
    /// `usage`.
    Usage,
}

/// What is to be done with the value of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Interest {
    /// It is passed over.
    #[default]
    None,
    /// It is told.
    Value,
    /// It is looked into, if it is an object.
    Inside(Scope),
}

/// Who is told.
pub(super) trait Members {
    /// What is to be done with the value at `key` of `scope`. Keys are as they are written.
    fn interest(&self, scope: Scope, key: &[u8]) -> Interest;

    /// A whole member of [`Interest::Value`]. `value` is a scalar as it is written; of a string the opening quote and the
    /// inside; of objects and arrays the bracket. Values over [`TOKEN`] bytes are `\0`.
    fn member(&mut self, scope: Scope, key: &[u8], value: &[u8]);
}

/// Where the walk is. Its size does not depend on the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
    /// The open objects that are looked into.
    scopes: [Scope; SCOPES],
    depth: usize,
    /// Brackets that are open within the innermost of them and are passed over.
    passed: u32,
    /// Within a string, wherever it stands.
    string: Option<Escape>,
    /// Of the innermost scope.
    part: Part,
    key: Token,
    value: Token,
    /// White space came behind the value so far.
    gap: bool,
    closed: bool,
}

/// Whether the next byte of a string stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    No,
    Yes,
}

/// A part of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Key,
    Value(Interest),
}

/// The first bytes of a key or value.
#[derive(Clone, Copy, Debug, Default)]
struct Token {
    bytes: [u8; TOKEN],
    len: usize,
}

// === impl Walk ===

impl Walk {
    /// Takes the next bytes, cut anywhere.
    pub(super) fn push<M: Members>(&mut self, mut bytes: &[u8], members: &mut M) {
        while !bytes.is_empty() {
            bytes = match self.string {
                Some(escape) => self.string(escape, bytes),
                None if self.passed == 0 => self.look(bytes, members),
                None => self.pass_over(bytes),
            };
        }
    }

    /// Whether an outermost object has been closed: everything was told of it.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Consumes the inside of a string up to and including the quote that ends it or the backslash that escapes what comes
    /// next; returns the rest.
    fn string<'a>(&mut self, escape: Escape, bytes: &'a [u8]) -> &'a [u8] {
        let from = usize::from(escape == Escape::Yes);
        let end = memchr::memchr2(b'"', b'\\', &bytes[from..]).map(|end| from + end);
        let (text, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.keep(text);
        let Some((&last, rest)) = rest.split_first() else {
            self.string = Some(Escape::No);
            return rest;
        };
        self.string = (last == b'\\').then_some(Escape::Yes);
        if last == b'\\' {
            self.keep(b"\\");
        }
        rest
    }

    /// Consumes what is in no scope, up to and including the next mark; returns the rest.
    fn pass_over<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(at) = next_mark(bytes) else { return &[] };
        let rest = &bytes[at + 1..];
        match bytes[at] {
            b'"' => match whole_string(rest) {
                Some((_, rest)) => return rest,
                None => self.string = Some(Escape::No),
            },
            b'{' | b'[' => self.passed = self.passed.saturating_add(1),
            _ => self.passed -= 1,
        }
        rest
    }

    /// Consumes what is in the innermost scope, or outside of everything, up to and including the next byte of structure;
    /// returns the rest.
    fn look<'a, M: Members>(&mut self, mut bytes: &'a [u8], members: &mut M) -> &'a [u8] {
        if self.part == Part::Key
            && self.key.len == 0
            && let Some(scope) = self.scope()
        {
            bytes = take_plain(bytes, scope, members);
        }
        let is_structure = |byte: &u8| STRUCTURE[usize::from(*byte)];
        let end = bytes.iter().position(is_structure).unwrap_or(bytes.len());
        let (scalar, rest) = bytes.split_at(end);
        self.scalar(scalar);
        let Some((&byte, rest)) = rest.split_first() else { return rest };
        match byte {
            b'"' => {
                self.begin_string();
                if let Some((text, rest)) = whole_string(rest) {
                    self.keep(text);
                    return rest;
                }
                self.string = Some(Escape::No);
            }
            b'{' => self.open(),
            b'[' => self.open_passed(b"["),
            b':' => self.begin_value(members),
            b',' => {
                self.tell(members);
                self.part = Part::Key;
                self.key.clear();
            }
            _ => self.close(byte, members),
        }
        rest
    }

    /// Keeps what is outside of strings, and of white space only that it was between two other bytes.
    fn scalar(&mut self, bytes: &[u8]) {
        if self.part != Part::Value(Interest::Value) {
            return;
        }
        for &byte in bytes {
            if byte.is_ascii_whitespace() {
                self.gap = self.value.len > 0;
                continue;
            }
            if std::mem::take(&mut self.gap) {
                self.value.push(b" ");
            }
            self.value.push(&[byte]);
        }
    }

    fn begin_string(&mut self) {
        match self.part {
            Part::Key => self.key.clear(),
            // So that "true" is not `true`.
            Part::Value(_) => self.value.push(b"\""),
        }
    }

    fn begin_value<M: Members>(&mut self, members: &M) {
        let interest = match (self.scope(), self.part) {
            (Some(scope), Part::Key) => members.interest(scope, self.key.as_slice()),
            _ => Interest::None,
        };
        self.part = Part::Value(interest);
        self.value.clear();
        self.gap = false;
    }

    fn open(&mut self) {
        let scope = match (self.depth, self.part) {
            (0, _) => Scope::Top,
            (_, Part::Value(Interest::Inside(scope))) => scope,
            _ => return self.open_passed(b"{"),
        };
        let Some(free) = self.scopes.get_mut(self.depth) else { return self.open_passed(b"{") };
        *free = scope;
        self.depth += 1;
        self.part = Part::Key;
        self.key.clear();
    }

    fn open_passed(&mut self, bracket: &[u8]) {
        self.passed = 1;
        self.value.push(bracket);
    }

    fn close<M: Members>(&mut self, bracket: u8, members: &mut M) {
        self.tell(members);
        if self.depth == 1 {
            self.closed = bracket == b'}';
        }
        self.depth = self.depth.saturating_sub(1);
        // Of an object that was looked into everything is told by now.
        self.part = Part::Value(Interest::None);
    }

    fn tell<M: Members>(&self, members: &mut M) {
        if let (Some(scope), Part::Value(Interest::Value)) = (self.scope(), self.part) {
            members.member(scope, self.key.as_slice(), self.value.as_slice());
        }
    }

    fn scope(&self) -> Option<Scope> {
        self.scopes.get(self.depth.checked_sub(1)?).copied()
    }

    /// Keeps what is inside a string.
    fn keep(&mut self, bytes: &[u8]) {
        match self.part {
            _ if self.passed > 0 => {}
            Part::Key => self.key.push(bytes),
            Part::Value(Interest::Value) => self.value.push(bytes),
            Part::Value(_) => {}
        }
    }
}

/// Takes members as long as they are whole and of the plainest form, as nearly all are; returns the rest. Nothing is kept
/// of them, which costs less than the way that can be cut anywhere.
fn take_plain<'a, M: Members>(mut bytes: &'a [u8], scope: Scope, members: &mut M) -> &'a [u8] {
    while let Some((key, value, rest)) = plain_member(bytes) {
        if members.interest(scope, key) == Interest::Value {
            members.member(scope, key, value);
        }
        bytes = rest;
    }
    bytes
}

/// Key and value of the member that `bytes` begins with, and what is behind its comma: if its value is a string without
/// escapes or a scalar, and no bound is exceeded. Anything else is none, and never wrong.
fn plain_member(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, rest) = whole_string(bytes.trim_ascii_start().strip_prefix(b"\"")?)?;
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let (value, rest) = match rest.strip_prefix(b"\"") {
        Some(text) => {
            let (text, behind) = whole_string(text)?;
            // With its opening quote.
            (&rest[..=text.len()], behind)
        }
        None => rest.split_at(rest.iter().position(|&byte| ENDS_SCALAR[usize::from(byte)])?),
    };
    Some((bounded(key), bounded(value), rest.strip_prefix(b",")?))
}

/// A key or value as it is told.
fn bounded(token: &[u8]) -> &[u8] {
    if token.len() > TOKEN { OVER } else { token }
}

/// The inside of a string whose opening quote was just before `bytes`, and what is behind it; `None` if it is cut off or its
/// first quote may be an escaped one. A quote ends the string if no backslash is before it.
fn whole_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'"', bytes)?;
    if end > 0 && bytes[end - 1] == b'\\' {
        return None;
    }
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Where the next quote or bracket is. Vectors of an embedding have kilobytes without one, so that blocks are searched
/// as a whole, which compilers do many bytes at a time.
fn next_mark(bytes: &[u8]) -> Option<usize> {
    let is_mark = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
    let (near, far) = bytes.split_at(bytes.len().min(BLOCK));
    if let Some(at) = near.iter().position(is_mark) {
        return Some(at);
    }
    let is_clear = |block: &&[u8]| !block.iter().fold(false, |found, byte| found | is_mark(byte));
    let clear = BLOCK * far.chunks_exact(BLOCK).take_while(is_clear).count();
    far[clear..].iter().position(is_mark).map(|at| near.len() + clear + at)
}

// === impl Part ===

impl Default for Part {
    fn default() -> Self {
        Self::Value(Interest::None)
    }
}

// === impl Token ===

impl Token {
    /// The bytes behind the length are never read, so they may stay.
    fn clear(&mut self) {
        self.len = 0;
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..) {
            let kept = bytes.len().min(room.len());
            room[..kept].copy_from_slice(&bytes[..kept]);
        }
        // The true length goes on counting, so that a longer token never equals its prefix.
        self.len = self.len.saturating_add(bytes.len());
    }

    fn as_slice(&self) -> &[u8] {
        // A token over the bound matches nothing.
        self.bytes.get(..self.len).unwrap_or(OVER)
    }
}

#[cfg(test)]
mod tests;
