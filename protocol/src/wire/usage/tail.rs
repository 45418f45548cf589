//! The counts of a whole body, read from its end: engines write them last, and so most of an answer need not be read.

use memchr::memrchr;

use super::{Places, Usage};
use crate::wire::members::{Interest, Scope};

/// The counts of an object, if they stand behind everything that would take long to read; else `None`, and then they may
/// be anywhere. Exact for JSON; of what is no JSON something may be counted that a reader from the start would not.
pub(super) fn counts(body: &[u8], places: &Places) -> Option<Usage> {
    let mut tail = Tail { rest: body };
    tail.take(b'}')?;
    let mut usage = Usage::default();
    loop {
        let is_first = tail.member(Scope::Top, places, &mut usage)?;
        if usage.prompt.is_some() && usage.completion.is_some() {
            return Some(usage);
        }
        if is_first {
            return None;
        }
    }
}

/// What stands before the place that has been reached.
struct Tail<'a> {
    rest: &'a [u8],
}

// === impl Tail ===

impl<'a> Tail<'a> {
    /// Steps over a member of an object, and takes what it counts unless a later one has. Tells whether it was the first
    /// of its object. `None` if it is none of the members that are read here.
    fn member(&mut self, scope: Scope, places: &Places, usage: &mut Usage) -> Option<bool> {
        let mut inner = Usage::default();
        let value = match self.last()? {
            b'"' => {
                self.string()?;
                None
            }
            b'}' if scope == Scope::Top => {
                self.take(b'}')?;
                while !self.member(Scope::Usage, places, &mut inner)? {}
                None
            }
            _ => Some(self.scalar()?),
        };
        self.take(b':')?;
        self.last()?;
        let key = self.string()?;
        // What is escaped might be a quote.
        if key.contains(&b'\\') {
            return None;
        }
        match (places.interest(scope, key), value) {
            (Interest::Value, Some(value)) => {
                let mut found = Usage::default();
                found.take(places, key, value);
                usage.add_earlier(found);
            }
            (Interest::Inside(Scope::Usage), None) => usage.add_earlier(inner),
            (Interest::None, _) => {}
            _ => return None,
        }
        match self.last()? {
            b',' => self.take(b',').map(|()| false),
            _ => self.take(b'{').map(|()| true),
        }
    }

    /// The last byte that is no space.
    fn last(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_end();
        self.rest.last().copied()
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        self.rest = self.rest.trim_ascii_end().strip_suffix(&[wanted])?;
        Some(())
    }

    /// Steps over a string; `None` if there is none.
    fn string(&mut self) -> Option<&'a [u8]> {
        let inner = self.rest.strip_suffix(b"\"")?;
        let mut end = inner.len();
        loop {
            end = memrchr(b'"', &inner[..end])?;
            // A quote within the text has a backslash before it, and the one that begins the text has not.
            if end == 0 || inner[end - 1] != b'\\' {
                self.rest = &inner[..end];
                return Some(&inner[end + 1..]);
            }
        }
    }

    /// Steps over a number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Option<&'a [u8]> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = self.rest.iter().rev().take_while(|byte| is_part(byte)).count();
        let (rest, value) = self.rest.split_at(self.rest.len() - length);
        self.rest = rest;
        (length > 0).then_some(value)
    }
}
