//! The serde deserializer behind the lenient reading: it walks a JSON value and keeps track of the place.

use std::cell::RefCell;
use std::slice;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Value, map};

use super::problem::ReadError;
use super::{Kind, Property};
use crate::object::path::{JsonPath, Segment};

/// A place in the document, linked from the inside out so that the good case allocates nothing.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    Root,
    Property(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

/// What the walk leaves behind besides the value.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) unknown: Vec<JsonPath>,
    pub(super) properties: Vec<Property>,
    records_properties: bool,
}

/// Deserializes the value at one place.
pub(super) struct Reader<'de, 'p> {
    value: &'de Value,
    place: &'p Place<'p>,
    notes: &'p RefCell<Notes>,
    /// Whether everything above is a structure: what lies in lists and maps is no property of the schema.
    on_schema: bool,
}

/// The known properties of a structure, each with the value the document has for it.
struct Structure<'de, 'p> {
    properties: std::vec::IntoIter<(&'static str, Option<&'de Value>)>,
    next: Option<(&'static str, &'de Value)>,
    place: &'p Place<'p>,
    notes: &'p RefCell<Notes>,
    on_schema: bool,
}

/// The entries of an object with free keys.
struct Entries<'de, 'p> {
    unread: map::Iter<'de>,
    next: Option<(&'de str, &'de Value)>,
    place: &'p Place<'p>,
    notes: &'p RefCell<Notes>,
}

/// The items of an array.
struct Items<'de, 'p> {
    unread: std::iter::Enumerate<slice::Iter<'de, Value>>,
    place: &'p Place<'p>,
    notes: &'p RefCell<Notes>,
}

// === Place ===

impl Place<'_> {
    fn path(&self) -> JsonPath {
        let mut segments = Vec::new();
        let mut place = self;
        loop {
            place = match place {
                Place::Root => break,
                Place::Property(parent, name) => {
                    segments.push(Segment::Property((*name).to_owned()));
                    parent
                }
                Place::Item(parent, index) => {
                    segments.push(Segment::Item(*index));
                    parent
                }
            };
        }
        segments.reverse();
        JsonPath::from(segments)
    }
}

// === Notes ===

impl Notes {
    pub(super) fn recording() -> Self {
        Self { records_properties: true, ..Self::default() }
    }

    fn record(&mut self, place: &Place<'_>, on_schema: bool, kind: Kind) {
        if self.records_properties && on_schema && !matches!(place, Place::Root) {
            self.properties.push(Property { path: place.path(), kind });
        }
    }
}

// === Reader ===

impl<'de, 'p> Reader<'de, 'p> {
    pub(super) fn new(value: &'de Value, place: &'p Place<'p>, notes: &'p RefCell<Notes>) -> Self {
        Self { value, place, notes, on_schema: true }
    }

    fn record(&self, kind: Kind) {
        self.notes.borrow_mut().record(self.place, self.on_schema, kind);
    }

    fn mismatch(&self, expected: &'static str) -> ReadError {
        let actual = match self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(_) => Unexpected::Signed(0),
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        };
        ReadError::invalid_type(actual, &expected).at(|| self.place.path())
    }

    fn items(&self, items: &'de [Value]) -> Items<'de, 'p> {
        Items { unread: items.iter().enumerate(), place: self.place, notes: self.notes }
    }

    fn entries(&self, entries: &'de serde_json::Map<String, Value>) -> Entries<'de, 'p> {
        Entries { unread: entries.iter(), next: None, place: self.place, notes: self.notes }
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let place = self.place;
        self.record(match self.value {
            Value::Null | Value::String(_) => Kind::Text,
            Value::Bool(_) => Kind::Boolean,
            Value::Number(_) => Kind::Number,
            Value::Array(_) => Kind::List,
            Value::Object(_) => Kind::Map,
        });
        let result = match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(self.items(items)),
            Value::Object(entries) => visitor.visit_map(self.entries(entries)),
        };
        result.map_err(|error| error.at(|| place.path()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.record(Kind::Structure);
        let Value::Object(entries) = self.value else { return Err(self.mismatch("an object")) };
        let mut values: Vec<Option<&'de Value>> = vec![None; fields.len()];
        for (key, value) in entries {
            match fields.iter().position(|field| field.eq_ignore_ascii_case(key)) {
                Some(index) => values[index] = (!value.is_null()).then_some(value),
                None => self.notes.borrow_mut().unknown.push(Place::Property(self.place, key).path()),
            }
        }
        let properties: Vec<_> = fields.iter().copied().zip(values).collect();
        let Self { place, notes, on_schema, .. } = self;
        visitor
            .visit_map(Structure { properties: properties.into_iter(), next: None, place, notes, on_schema })
            .map_err(|error| error.at(|| place.path()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Object(_) => self.deserialize_any(visitor),
            _ => Err(self.mismatch("an object")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Array(_) => self.deserialize_any(visitor),
            _ => Err(self.mismatch("an array")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.record(Kind::Text);
        let place = self.place;
        let known = match self.value {
            Value::String(text) => variants
                .iter()
                .find(|variant| variant.eq_ignore_ascii_case(text))
                .ok_or_else(|| ReadError::unknown_variant(text, variants)),
            Value::Number(number) => number
                .as_u64()
                .and_then(|index| variants.get(usize::try_from(index).ok()?))
                .ok_or_else(|| ReadError::unknown_variant(&number.to_string(), variants)),
            _ => Err(self.mismatch("a string")),
        };
        let variant: StrDeserializer<'_, ReadError> =
            known.map_err(|error| error.at(|| place.path()))?.into_deserializer();
        visitor.visit_enum(variant).map_err(|error: ReadError| error.at(|| place.path()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

// === Structure ===

impl<'de> MapAccess<'de> for Structure<'de, '_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        for (name, value) in self.properties.by_ref() {
            let Some(value) = value else {
                let place = Place::Property(self.place, name);
                self.notes.borrow_mut().record(&place, self.on_schema, Kind::Text);
                continue;
            };
            self.next = Some((name, value));
            let key: StrDeserializer<'_, ReadError> = name.into_deserializer();
            return seed.deserialize(key).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (name, value) =
            self.next.take().ok_or_else(|| ReadError::custom("has a value without a name"))?;
        let place = Place::Property(self.place, name);
        seed.deserialize(Reader { value, place: &place, notes: self.notes, on_schema: self.on_schema })
            .map_err(|error| error.at(|| place.path()))
    }
}

// === Entries ===

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.next = self.unread.next().map(|(key, value)| (key.as_str(), value));
        let Some((key, _)) = self.next else { return Ok(None) };
        seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, value) = self.next.take().ok_or_else(|| ReadError::custom("has a value without a name"))?;
        let place = Place::Property(self.place, key);
        seed.deserialize(Reader { value, place: &place, notes: self.notes, on_schema: false })
            .map_err(|error| error.at(|| place.path()))
    }
}

// === Items ===

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some((index, value)) = self.unread.next() else { return Ok(None) };
        let place = Place::Item(self.place, index);
        seed.deserialize(Reader { value, place: &place, notes: self.notes, on_schema: false })
            .map(Some)
            .map_err(|error| error.at(|| place.path()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.unread.len())
    }
}
