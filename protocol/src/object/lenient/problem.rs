//! Errors of the reader, each with its place.

use std::fmt;

use serde::de::{self, Expected, Unexpected};
use thiserror::Error;

use crate::object::path::JsonPath;

/// A property breaks a rule. Prints as one sentence: the path, then what the value must be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} {message}", Subject(path))]
pub struct ObjectError {
    path: JsonPath,
    message: String,
}

/// The error type of the reader while it unwinds; it learns its place on the way.
#[derive(Debug)]
pub(super) struct ReadError {
    path: Option<JsonPath>,
    message: String,
}

struct Subject<'a>(&'a JsonPath);

struct Actual<'a>(Unexpected<'a>);

// === ObjectError ===

impl ObjectError {
    /// An error at `path`; `message` is a predicate such as "must not be empty".
    pub fn new(path: JsonPath, message: impl Into<String>) -> Self {
        Self { path, message: message.into() }
    }

    /// The text is no JSON; the message carries line and column.
    pub fn syntax(error: &serde_json::Error) -> Self {
        Self::new(JsonPath::root(), format!("is not valid: {error}"))
    }

    /// The place of the faulty property.
    pub fn path(&self) -> &JsonPath {
        &self.path
    }

    /// What is wrong there, without the path.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error, seen from a document in which the object sits at `prefix`.
    #[must_use]
    pub fn under(self, prefix: &JsonPath) -> Self {
        Self { path: self.path.under(prefix), message: self.message }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.segments().is_empty() {
            formatter.write_str("the JSON document")
        } else {
            self.0.fmt(formatter)
        }
    }
}

// === ReadError ===

impl ReadError {
    /// The same error with its place, unless an inner place is known already.
    pub(super) fn at(mut self, path: impl FnOnce() -> JsonPath) -> Self {
        self.path.get_or_insert_with(path);
        self
    }

    pub(super) fn path(&self) -> JsonPath {
        self.path.clone().unwrap_or_default()
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string() }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // The value stays out: it may be a secret in the wrong place.
        Self::custom(format_args!("must be {expected}, but is {}", Actual(unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match unexpected {
            Unexpected::Signed(number) => Self::custom(format_args!("must be {expected}, but is {number}")),
            Unexpected::Unsigned(number) => Self::custom(format_args!("must be {expected}, but is {number}")),
            other => Self::invalid_type(other, expected),
        }
    }

    fn unknown_variant(variant: &str, allowed: &'static [&'static str]) -> Self {
        Self::custom(format_args!("must be one of {}, but is {variant:?}", allowed.join(", ")))
    }
}

impl fmt::Display for Actual<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a number",
            Unexpected::Float(_) => "a number with a fraction",
            Unexpected::Str(_) | Unexpected::Char(_) => "a string",
            Unexpected::Unit | Unexpected::Option => "null",
            Unexpected::Seq => "an array",
            Unexpected::Map => "an object",
            _ => "something else",
        })
    }
}
