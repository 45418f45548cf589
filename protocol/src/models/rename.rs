//! Another name in JSON text: the string members that hold it are replaced in place, and all else stays byte for byte.

use std::ops::Range;

use crate::json::key::name;
use crate::json::scan::{Broken, Scanner};

/// Members of an object, and where they may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members<'k> {
    /// The keys whose values are names.
    pub(super) keys: &'k [&'k [u8]],
    /// The keys of objects in which they are looked for, too.
    pub(super) within: &'k [&'k [u8]],
    /// The reader of the text folds keys.
    pub(super) folded: bool,
}

/// The places of names in an object.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// In order.
    ranges: Vec<Range<usize>>,
    /// Whether the object has any member, and the place of its closing brace.
    any: bool,
    end: usize,
}

// === impl Members ===

impl Members<'_> {
    /// Finds the members in the text of one object. Strings count, and nulls, which are names that are absent.
    pub(super) fn find(self, object: &[u8]) -> Result<Places, Broken> {
        let mut places = Places::default();
        let mut scanner = Scanner::new(object);
        scanner.object(|scanner, key| {
            places.any = true;
            let key = name(key, self.folded);
            let value = scanner.value()?;
            let start = offset(object, value);
            if self.keys.contains(&&*key) && matches!(value.first(), Some(b'"' | b'n')) {
                places.ranges.push(start..start + value.len());
            } else if self.within.contains(&&*key) && value.first() == Some(&b'{') {
                let inner = Members { within: &[], ..self }.find(value)?;
                places
                    .ranges
                    .extend(inner.ranges.into_iter().map(|range| start + range.start..start + range.end));
            }
            Ok(())
        })?;
        if !scanner.at_end() {
            return Err(Broken);
        }
        // The text ends with its brace: the walk came there.
        places.end = object.trim_ascii_end().len() - 1;
        Ok(places)
    }
}

// === impl Places ===

impl Places {
    /// `object` with `name` at all places, or, if there are none, as a new last member `key`.
    pub(super) fn replaced(&self, object: &[u8], key: &str, name: &str) -> Vec<u8> {
        let quoted = quoted(name);
        let mut text =
            Vec::with_capacity(object.len() + (self.ranges.len() + 1) * (quoted.len() + key.len() + 4));
        let mut from = 0;
        for range in &self.ranges {
            text.extend_from_slice(&object[from..range.start]);
            text.extend_from_slice(quoted.as_bytes());
            from = range.end;
        }
        if self.ranges.is_empty() {
            text.extend_from_slice(&object[..self.end]);
            let comma = if self.any { "," } else { "" };
            text.extend_from_slice(format!("{comma}\"{key}\":{quoted}").as_bytes());
            from = self.end;
        }
        text.extend_from_slice(&object[from..]);
        text
    }
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where `part`, a subslice of `text`, starts in it.
fn offset(text: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}
