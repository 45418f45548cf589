//! One span, as it is kept until it is sent.

use std::borrow::Cow;

/// Longest text of an attribute, in bytes; the rest is left out.
pub const MAX_TEXT: usize = 512;

/// What was done in one stretch of time for a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its id; never 0.
    pub id: u64,
    /// The span that it is a part of.
    pub parent: Option<u64>,
    /// What was done. Few different ones: details are attributes.
    pub name: Cow<'static, str>,
    /// Which side of a call it is.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Names and values.
    pub attributes: Vec<Attribute>,
    /// Whether it failed.
    pub is_error: bool,
}

/// The name of a fact, as OpenTelemetry's conventions have it, and its value.
pub type Attribute = (&'static str, AttributeValue);

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A request that came.
    Server,
    /// One that was sent.
    Client,
    /// Neither.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// A text of 512 bytes at most.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
    /// A number.
    Float(f64),
}

/// All spans of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The id of the trace that they are in; never 0.
    pub id: u128,
    /// `tracestate` as it came.
    pub state: String,
    /// The request's own span, and its children.
    pub spans: Vec<Span>,
}

/// The span of a client in which a request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The id of its trace.
    pub trace: u128,
    /// Its own.
    pub span: u64,
    /// Whether the client records it.
    pub is_sampled: bool,
}

// === impl AttributeValue ===

impl AttributeValue {
    /// Somebody else's text, as far as there is room.
    pub fn text(text: &str) -> Self {
        let end = (0..=text.len().min(MAX_TEXT)).rev().find(|at| text.is_char_boundary(*at));
        Self::Text(Cow::Owned(text[..end.unwrap_or_default()].to_owned()))
    }

    /// A text of this node's.
    pub fn word(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A count. What is beyond all counts is the greatest one.
    pub fn count(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
