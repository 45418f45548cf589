//! Reads JSON into any serde type the way the original did: property names in any case, an explicit `null` for
//! the default, enum names in any case or by number.
//!
//! In: a parsed JSON value. Out: the typed value and every property nobody knew, or an error with its place.
//! The names and kinds come from the serde types themselves; there is no second list of them.

mod problem;
mod reader;

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::problem::ReadError;
use self::reader::{Notes, Place, Reader};
use super::path::{JsonPath, Segment};

pub use self::problem::ObjectError;

/// A value that was read, with the properties that were left out because nobody knows them.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<T> {
    /// The value.
    pub value: T,
    /// Places of the unknown properties, in document order.
    pub unknown: Vec<JsonPath>,
}

/// What [`read_all`] could make of a document.
#[derive(Debug)]
pub struct Recovered<T> {
    /// The value with every faulty part replaced by its default; absent when not even that can be read.
    pub parsed: Option<Parsed<T>>,
    /// What is wrong, in the order of discovery; empty for a good document.
    pub errors: Vec<ObjectError>,
}

/// A place in a type, see [`schema`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Where the property is.
    pub path: JsonPath,
    /// What it holds.
    pub kind: Kind,
}

/// What a property holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A structure with properties of its own, which follow in the list.
    Structure,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A text, a named choice, or anything that is absent by default.
    Text,
    /// An array.
    List,
    /// An object with keys that the user chooses.
    Map,
}

/// Most errors that [`read_all`] reports for one document.
const MAX_ERRORS: usize = 100;

/// Reads `value`, stopping at the first error.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<Parsed<T>, ObjectError> {
    let notes = RefCell::new(Notes::default());
    match T::deserialize(Reader::new(value, &Place::Root, &notes)) {
        Ok(value) => Ok(Parsed { value, unknown: notes.into_inner().unknown }),
        Err(error) => Err(error.into()),
    }
}

/// Reads `value` and reports every error (at most 100 of them): after each one the faulty part is replaced by
/// its default and reading starts again.
pub fn read_all<T: DeserializeOwned>(value: &Value) -> Recovered<T> {
    let mut remaining = value.clone();
    let mut errors: Vec<ObjectError> = Vec::new();
    let mut attempt = 0;
    // At most three attempts for each error; the bound is for types that refuse every repair.
    for _ in 0..3 * MAX_ERRORS {
        let error = match read(&remaining) {
            Ok(parsed) => return Recovered { parsed: Some(parsed), errors },
            Err(error) => error,
        };
        attempt = if errors.last().is_some_and(|last| last.path() == error.path()) { attempt + 1 } else { 0 };
        let repaired = repair(&mut remaining, error.path(), attempt);
        if !errors.iter().any(|known| error.path().is_within(known.path())) {
            errors.push(error);
        }
        if !repaired || errors.len() >= MAX_ERRORS {
            break;
        }
    }
    Recovered { parsed: None, errors }
}

/// Every property of `T`, in order, as `sample` holds it; elements of lists and maps are not entered.
pub fn schema<T: Serialize + DeserializeOwned>(sample: &T) -> Vec<Property> {
    let Ok(value) = serde_json::to_value(sample) else { return Vec::new() };
    let notes = RefCell::new(Notes::recording());
    // What a type wrote it can read; the notes are complete up to a failure in any case.
    let _ = T::deserialize(Reader::new(&value, &Place::Root, &notes));
    notes.into_inner().properties
}

/// The names of the top-level properties of `T`, in order.
pub fn property_names<T: Serialize + DeserializeOwned>(sample: &T) -> Vec<String> {
    let top_level = |property: Property| match property.path.segments() {
        [Segment::Property(name)] => Some(name.clone()),
        _ => None,
    };
    schema(sample).into_iter().filter_map(top_level).collect()
}

/// Replaces what is at `path` by something that should do. Answers whether anything was changed.
///
/// A property is taken out, so that it gets its default. An item of a list has no default: the first attempt puts
/// an empty object in its place, the second a text, the third gives up the whole list.
fn repair(document: &mut Value, path: &JsonPath, attempt: usize) -> bool {
    let mut segments = path.segments().to_vec();
    let Some(mut last) = segments.pop() else { return false };
    if attempt >= 2
        && let Segment::Item(_) = last
    {
        let Some(parent) = segments.pop() else { return false };
        last = parent;
    }
    match (find(document, &segments), last) {
        (Some(Value::Object(map)), Segment::Property(name)) => {
            let before = map.len();
            map.retain(|key, _| !key.eq_ignore_ascii_case(&name));
            map.len() < before
        }
        (Some(Value::Array(items)), Segment::Item(index)) if index < items.len() => {
            items[index] = if attempt == 0 { Value::Object(serde_json::Map::new()) } else { "x".into() };
            true
        }
        _ => false,
    }
}

fn find<'a>(document: &'a mut Value, segments: &[Segment]) -> Option<&'a mut Value> {
    segments.iter().try_fold(document, |value, segment| match (value, segment) {
        // The last spelling wins, as it does for the reader.
        (Value::Object(map), Segment::Property(name)) => {
            map.iter_mut().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).last()
        }
        (Value::Array(items), Segment::Item(index)) => items.get_mut(*index),
        _ => None,
    })
}

impl From<ReadError> for ObjectError {
    fn from(error: ReadError) -> Self {
        Self::new(error.path(), error.message())
    }
}

#[cfg(test)]
mod tests;
