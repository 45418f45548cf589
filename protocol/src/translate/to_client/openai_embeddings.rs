//! Writes the answers of `POST /v1/embeddings`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use super::openai;
use crate::translate::embedding::Vectors;

/// What the answer repeats of the request.
#[derive(Clone, Debug, Default)]
pub(in crate::translate) struct Echo {
    pub(in crate::translate) model: String,
    /// Vectors as base64 of little-endian floats, and not as arrays.
    pub(in crate::translate) base64: bool,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
    model: &'a str,
    usage: Tokens,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    embedding: Vector<'a>,
    index: usize,
}

/// One vector, encoded when it is written.
enum Vector<'a> {
    Floats(&'a [f32]),
    Base64(&'a [f32]),
}

#[derive(Serialize)]
struct Tokens {
    #[serde(rename = "prompt_tokens")]
    prompt: u64,
    #[serde(rename = "total_tokens")]
    total: u64,
}

/// Writes an answer.
pub(in crate::translate) fn write(vectors: Vectors, echo: &Echo) -> Vec<u8> {
    let Vectors { rows, usage, .. } = vectors;
    let encode = if echo.base64 { Vector::Base64 } else { Vector::Floats };
    let item = |(index, vector)| Item { object: "embedding", embedding: encode(vector), index };
    let tokens = usage.prompt.unwrap_or_default();
    openai::body(&List {
        object: "list",
        data: rows.iter().map(Vec::as_slice).enumerate().map(item).collect(),
        model: &echo.model,
        usage: Tokens { prompt: tokens, total: tokens },
    })
}

// === impl Vector ===

impl Serialize for Vector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Floats(floats) => floats.serialize(serializer),
            Self::Base64(floats) => {
                let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
                serializer.serialize_str(&STANDARD.encode(bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::wire::Usage;

    fn written(vectors: Vec<Vec<f32>>, base64: bool) -> String {
        let usage = Usage { prompt: (!vectors.is_empty()).then_some(4), completion: None };
        let vectors = Vectors { rows: vectors, usage, ..Vectors::default() };
        String::from_utf8(write(vectors, &Echo { model: "nomic".to_owned(), base64 })).unwrap()
    }

    #[test]
    fn vectors_are_arrays_in_their_order() {
        let expected = concat!(
            r#"{"object":"list","data":[{"object":"embedding","embedding":[0.5,-0.25,0.125],"index":0},"#,
            r#"{"object":"embedding","embedding":[1.0],"index":1}],"model":"nomic","#,
            r#""usage":{"prompt_tokens":4,"total_tokens":4}}"#
        );
        assert_eq!(written(vec![vec![0.5, -0.25, 0.125], vec![1.0]], false), expected);
    }

    #[test]
    fn base64_is_that_of_little_endian_floats() {
        let expected = concat!(
            r#"{"object":"list","data":[{"object":"embedding","embedding":"AAAAPwAAgL4AAAA+","index":0}],"#,
            r#""model":"nomic","usage":{"prompt_tokens":4,"total_tokens":4}}"#
        );
        assert_eq!(written(vec![vec![0.5, -0.25, 0.125]], true), expected);
    }

    #[test]
    fn no_vectors_are_an_empty_list() {
        let expected =
            r#"{"object":"list","data":[],"model":"nomic","usage":{"prompt_tokens":0,"total_tokens":0}}"#;
        assert_eq!(written(Vec::new(), true), expected);
    }

    proptest! {
        #[test]
        fn both_encodings_carry_the_same_floats(floats in proptest::collection::vec(proptest::num::f32::NORMAL, 0..9)) {
            let embedding = |base64| {
                let list: Value = serde_json::from_str(&written(vec![floats.clone()], base64)).unwrap();
                list["data"][0]["embedding"].clone()
            };
            let array: Vec<f32> = serde_json::from_value(embedding(false)).unwrap();
            let bytes = STANDARD.decode(embedding(true).as_str().unwrap()).unwrap();
            let decoded: Vec<f32> =
                bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
            prop_assert_eq!(&array, &floats);
            prop_assert_eq!(&decoded, &floats);
        }
    }
}
