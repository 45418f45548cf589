//! How many tokens a request cost, as the backend counts them, found in the bytes that pass by.

mod events;
mod places;
mod tail;

pub(super) use self::events::Events;
pub(super) use self::places::Places;

use super::members::{Interest, Members, Scope, Walk};
use crate::route::Operation;

/// Counts of tokens; `None` where the backend gave none. Nothing is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: Option<u64>,
    /// Tokens of the answer.
    pub completion: Option<u64>,
}

/// Watches an answer that is one JSON body, for its counts; [`StreamWatch`](super::StreamWatch) has those of a stream.
///
/// Only what stands where the API puts it counts: neither text that looks like it, nor the arguments of a tool call.
/// Memory is constant, whatever the body, and the numbers of an embedding are passed over at memory speed.
#[derive(Clone, Debug)]
pub struct UsageWatch {
    walk: Walk,
    counts: Counts,
}

/// The counts so far, and where more of them are to be found.
#[derive(Clone, Debug)]
struct Counts {
    places: &'static Places,
    usage: Usage,
}

// === impl UsageWatch ===

impl UsageWatch {
    /// Starts at the first byte of an answer with status 200 and without content coding; `None` for operations whose
    /// answers count nothing.
    pub fn new(operation: Operation) -> Option<Self> {
        let places = Places::of_body(operation)?;
        Some(Self { walk: Walk::default(), counts: Counts::new(places) })
    }

    /// Takes the whole body at once, which is quicker where the counts stand at its end.
    pub fn push_whole(&mut self, body: &[u8]) {
        match tail::counts(body, self.counts.places) {
            Some(usage) => self.counts.usage = usage,
            None => self.push(body),
        }
    }

    /// Takes the next bytes, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.walk.push(bytes, &mut self.counts);
    }

    /// What has been counted so far. A number counts from the byte behind it on.
    pub fn usage(&self) -> Usage {
        self.counts.usage
    }
}

// === impl Usage ===

impl Usage {
    /// Takes a member of an answer; the later of two that count the same wins.
    pub(super) fn take(&mut self, places: &Places, key: &[u8], value: &[u8]) {
        if key == places.prompt {
            self.prompt = count(value).or(self.prompt);
        } else if key == places.completion {
            self.completion = count(value).or(self.completion);
        }
    }

    /// Takes what stands before that which has been taken, and does not win over it.
    fn add_earlier(&mut self, earlier: Self) {
        self.prompt = self.prompt.or(earlier.prompt);
        self.completion = self.completion.or(earlier.completion);
    }
}

// === impl Counts ===

impl Counts {
    fn new(places: &'static Places) -> Self {
        Self { places, usage: Usage::default() }
    }
}

impl Members for Counts {
    fn interest(&self, scope: Scope, key: &[u8]) -> Interest {
        self.places.interest(scope, key)
    }

    fn member(&mut self, _: Scope, key: &[u8], value: &[u8]) {
        self.usage.take(self.places, key, value);
    }
}

/// A number of tokens. Fractions, signs and what exceeds `u64` are none.
fn count(value: &[u8]) -> Option<u64> {
    // `parse` alone would take a plus sign.
    let digits = value.iter().all(u8::is_ascii_digit).then_some(value)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
