//! Where in a JSON document something is, written `Backends[1].Port`.

use std::fmt;

/// One step into a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Into an object, by property name.
    Property(String),
    /// Into an array, by position from 0.
    Item(usize),
}

/// A place in a JSON document; empty for the document itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct JsonPath(Vec<Segment>);

// === JsonPath ===

impl JsonPath {
    /// The document itself.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The property `name` of the object at this place.
    #[must_use]
    pub fn property(&self, name: &str) -> Self {
        self.child(Segment::Property(name.to_owned()))
    }

    /// The item at `index` of the array at this place.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.child(Segment::Item(index))
    }

    /// The steps from the document to this place.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether this place is `other` or inside of it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// This place, seen from a document in which the present one sits at `prefix`.
    #[must_use]
    pub fn under(&self, prefix: &Self) -> Self {
        Self(prefix.0.iter().chain(&self.0).cloned().collect())
    }

    fn child(&self, segment: Segment) -> Self {
        Self(self.0.iter().cloned().chain([segment]).collect())
    }
}

impl From<Vec<Segment>> for JsonPath {
    fn from(segments: Vec<Segment>) -> Self {
        Self(segments)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Property(name) if position == 0 => formatter.write_str(name)?,
                Segment::Property(name) => write!(formatter, ".{name}")?,
                Segment::Item(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_an_expression() {
        let port = JsonPath::root().property("Backends").item(1).property("Port");
        assert_eq!(port.to_string(), "Backends[1].Port");
        assert!(port.is_within(&JsonPath::root().property("Backends")));
        assert_eq!(
            JsonPath::root().property("Port").under(&JsonPath::root().item(2)).to_string(),
            "[2].Port"
        );
    }
}
