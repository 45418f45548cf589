//! Random changes of what is valid.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// One change of some bytes.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Cut(Index),
}

pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    let piece = proptest::sample::select(vec![
        &b"\n"[..],
        b"\r",
        b"\r\n",
        b"\n\n",
        b"{\"error\":\"boom\"}\n",
        b"data: {\"error\":{\"message\":\"boom\"}}\n\n",
        b"data: [DONE]\n\n",
        b"\xff",
        b"\"",
        b"null",
        b"}",
        b": x\n",
        b"event: y\n",
        b"{}\n",
        b"data: {}\n\n",
    ]);
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), piece).prop_map(|(at, piece)| Damage::Insert(at, piece.to_vec())),
        (any::<Index>(), 1..40usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        any::<Index>().prop_map(Damage::Cut),
    ]
}

// === impl Damage ===

impl Damage {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Insert(at, piece) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Remove(at, len) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + len).min(bytes.len()));
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

/// A value that is not what was expected.
pub(crate) fn stranger() -> impl Strategy<Value = Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    proptest::sample::select(vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("x"),
        json!("\u{0}\u{1f600}"),
        json!("https://example.com/x.png"),
        json!("data:image/png;base64,iVBORw0KGgo="),
        json!("data:"),
        json!("{\"a\":"),
        json!([]),
        json!([null]),
        json!([[]]),
        json!(["x", 1]),
        json!({}),
        json!({ "type": "x" }),
        json!({ "type": "text" }),
        json!({ "type": ["x"], "content": 1 }),
        deep,
    ])
}

/// Puts `stranger` in the place of one of the values inside of `value`, or of all of it.
pub(crate) fn replace(value: &mut Value, at: Index, stranger: Value) {
    let count = count(value);
    let mut left = at.index(count);
    if let Some(place) = nth(value, &mut left) {
        *place = stranger;
    }
}

fn count(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    };
    inner + 1
}

fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(elements) => elements.iter_mut().find_map(|element| nth(element, left)),
        Value::Object(members) => members.values_mut().find_map(|member| nth(member, left)),
        _ => None,
    }
}
