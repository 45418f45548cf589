//! A walk over one JSON text that comes in pieces, to the strings that name a model.

use super::Edited;
use crate::json::key::name;

/// The keys of objects in which the name is looked for, too.
const WITHIN: [&[u8]; 2] = [b"response", b"message"];

/// Longer raw keys match nothing, however they are escaped: six bytes is the longest escape of one character, bytes.
const MAX_KEY: usize = 6 * 8;

/// Where the walk is.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// The key whose value is the name.
    wanted: &'static [u8],
    /// Objects and arrays that are open.
    depth: u32,
    /// How many of the open ones, from the outermost, are objects that are looked into: two at most.
    watched: u32,
    /// In the innermost object that is looked into: behind a colon.
    is_value: bool,
    /// The last key there, as far as it says anything.
    member: Member,
    /// There in a string.
    string: Option<Text>,
    /// The next byte of the string is escaped.
    is_escaped: bool,
    /// The raw key that is being read, or one byte more than is of interest.
    key: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    /// Its value is the name.
    Name,
    /// Its value may be an object with the name.
    Holder,
    Other,
}

/// What a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Key,
    /// The name that another one takes the place of.
    Replaced,
    Other,
}

// === impl Walk ===

impl Walk {
    pub(super) fn new(wanted: &'static [u8]) -> Self {
        Self {
            wanted,
            depth: 0,
            watched: 0,
            is_value: false,
            member: Member::Other,
            string: None,
            is_escaped: false,
            key: Vec::new(),
        }
    }

    /// Another text begins.
    pub(super) fn reset(&mut self) {
        (self.depth, self.watched) = (0, 0);
        (self.string, self.is_escaped) = (None, false);
    }

    /// Goes over the bytes from `at` to `end`; `name` takes the place of strings that name the model.
    pub(super) fn over(&mut self, edited: &mut Edited<'_>, mut at: usize, end: usize, name: &str) {
        let bytes = &edited.bytes[..end];
        while at < end {
            if let Some(text) = self.string {
                at = self.in_string(bytes, at, text);
                if text == Text::Replaced {
                    edited.leave_out(at);
                }
            } else {
                if self.token(bytes[at]) == Some(Text::Replaced) {
                    edited.replace(at, name);
                }
                at += 1;
            }
        }
    }

    /// A byte outside of strings; the kind of the string that it begins.
    fn token(&mut self, byte: u8) -> Option<Text> {
        // Directly within an object that is looked into.
        let is_watched = self.watched > 0 && self.depth == self.watched;
        match byte {
            b'{' | b'[' => {
                let is_holder =
                    is_watched && self.watched == 1 && self.is_value && self.member == Member::Holder;
                if byte == b'{' && (self.depth == 0 || is_holder) {
                    self.watched += 1;
                    self.is_value = false;
                }
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.watched > self.depth {
                    self.watched = self.depth;
                    // The object was the value of a member.
                    (self.is_value, self.member) = (true, Member::Other);
                }
            }
            b':' if is_watched => self.is_value = true,
            b',' if is_watched => self.is_value = false,
            b'"' => {
                let text = match (is_watched, self.is_value, self.member) {
                    (true, false, _) => {
                        self.key.clear();
                        Text::Key
                    }
                    (true, true, Member::Name) => Text::Replaced,
                    _ => Text::Other,
                };
                self.string = Some(text);
                return Some(text);
            }
            _ => {}
        }
        None
    }

    /// Bytes of a string; gives the place behind what was read of it.
    fn in_string(&mut self, bytes: &[u8], at: usize, text: Text) -> usize {
        if std::mem::take(&mut self.is_escaped) {
            self.keep(text, &bytes[at..=at]);
            return at + 1;
        }
        let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) else {
            self.keep(text, &bytes[at..]);
            return bytes.len();
        };
        let stop = at + found;
        if bytes[stop] == b'\\' {
            self.keep(text, &bytes[at..=stop]);
            self.is_escaped = true;
            return stop + 1;
        }
        self.keep(text, &bytes[at..stop]);
        self.string = None;
        match text {
            Text::Key => self.member = self.member_of_key(),
            Text::Replaced | Text::Other => {}
        }
        stop + 1
    }

    fn keep(&mut self, text: Text, bytes: &[u8]) {
        if text == Text::Key {
            let room = (MAX_KEY + 1).saturating_sub(self.key.len());
            self.key.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn member_of_key(&self) -> Member {
        if self.key.len() > MAX_KEY {
            return Member::Other;
        }
        let key = name(&self.key, false);
        if *key == *self.wanted {
            Member::Name
        } else if WITHIN.iter().any(|within| *key == **within) {
            Member::Holder
        } else {
            Member::Other
        }
    }
}
