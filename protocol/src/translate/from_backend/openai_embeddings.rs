//! Reads the answers of `POST /v1/embeddings`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::openai::{self, Tokens};
use crate::translate::Broken;
use crate::translate::embedding::Vectors;
use crate::translate::piece::Timings;
use crate::wire::{Usage, fault};

#[derive(Debug, Deserialize)]
struct Body {
    /// Must be there; null is no vectors, as Ollama's own layer says it.
    #[serde(deserialize_with = "Option::deserialize")]
    data: Option<Vec<Item>>,
    usage: Option<Tokens>,
}

#[derive(Debug, Deserialize)]
struct Item {
    index: Option<u64>,
    embedding: Vector,
}

/// A vector that was written as an array, or as base64 of floats of four bytes each, the lowest first.
#[derive(Debug)]
struct Vector(Vec<f32>);

/// Reads an answer.
pub(in crate::translate) fn read(body: &[u8]) -> Result<Vectors, Broken> {
    let read: Body = serde_json::from_slice(body).map_err(|error| match fault::error_text(body) {
        Some(_) => openai::reported(body),
        None => Broken::Unreadable(error.to_string()),
    })?;
    let mut items = read.data.unwrap_or_default();
    // Without their indices they are taken to be in order.
    if items.iter().all(|item| item.index.is_some()) {
        items.sort_by_key(|item| item.index);
    }
    let counted: Usage = read.usage.unwrap_or_default().into();
    Ok(Vectors {
        rows: items.into_iter().map(|item| item.embedding.0).collect(),
        usage: Usage { completion: None, ..counted },
        timings: Timings::default(),
    })
}

// === impl Vector ===

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Floats;

        impl<'de> Visitor<'de> for Floats {
            type Value = Vector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of numbers, or base64")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut floats: A) -> Result<Vector, A::Error> {
                let mut vector = Vec::new();
                while let Some(float) = floats.next_element()? {
                    vector.push(float);
                }
                Ok(Vector(vector))
            }

            fn visit_str<E: Error>(self, base64: &str) -> Result<Vector, E> {
                let bytes = STANDARD.decode(base64).map_err(E::custom)?;
                let (floats, []) = bytes.as_chunks() else {
                    return Err(E::custom("the base64 of a vector holds a part of a number"));
                };
                Ok(Vector(floats.iter().copied().map(f32::from_le_bytes).collect()))
            }
        }

        deserializer.deserialize_any(Floats)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn vectors(data: &serde_json::Value) -> Vec<Vec<f32>> {
        read(json!({ "data": data }).to_string().as_bytes()).unwrap().rows
    }

    #[test]
    fn vectors_are_put_in_the_order_of_their_texts() {
        let body = br#"{"object":"list","data":[
            {"object":"embedding","index":1,"embedding":[1]},
            {"object":"embedding","index":0,"embedding":[0.5,-0.25]}
        ],"model":"m","usage":{"prompt_tokens":4,"total_tokens":4,"completion_tokens":0}}"#;
        let expected = Vectors {
            rows: vec![vec![0.5, -0.25], vec![1.0]],
            usage: Usage { prompt: Some(4), completion: None },
            timings: Timings::default(),
        };
        assert_eq!(read(body), Ok(expected));
        let unordered = json!([{"index": 7, "embedding": [1]}, {"embedding": [2]}]);
        assert_eq!(vectors(&unordered), [[1.0], [2.0]]);
    }

    #[test]
    fn base64_is_of_little_endian_floats() {
        assert_eq!(vectors(&json!([{"embedding": "AAAAPwAAgL4AAAA+"}])), [[0.5, -0.25, 0.125]]);
        assert_eq!(vectors(&json!([{"embedding": ""}, {"embedding": []}])), [[0.0; 0], [0.0; 0]]);
    }

    #[test]
    fn no_data_are_no_vectors() {
        assert_eq!(read(br#"{"data":null}"#), Ok(Vectors::default()));
        assert_eq!(read(br#"{"data":[],"usage":null}"#), Ok(Vectors::default()));
    }

    #[test]
    fn an_error_is_reported_in_the_backends_words() {
        for body in [r#"{"error":{"message":"boom"}}"#, r#"{"object":"error","message":"boom"}"#] {
            assert_eq!(read(body.as_bytes()), Err(Broken::Reported("boom".to_owned())), "{body}");
        }
    }

    #[test]
    fn what_holds_no_vectors_cannot_be_read() {
        for body in [
            "",
            "{}",
            r#"{"data":[{}]}"#,
            r#"{"data":[{"embedding":null}]}"#,
            r#"{"data":[{"embedding":[null]}]}"#,
            r#"{"data":[{"embedding":"AAAA"}]}"#,
            r#"{"data":[{"embedding":"=AAA"}]}"#,
        ] {
            assert!(matches!(read(body.as_bytes()), Err(Broken::Unreadable(_))), "{body}");
        }
    }

    proptest! {
        #[test]
        fn both_forms_of_a_vector_are_the_same_floats(
            floats in proptest::collection::vec(proptest::num::f32::NORMAL | proptest::num::f32::ZERO, 0..9)
        ) {
            let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
            let read = vectors(&json!([{"embedding": floats}, {"embedding": STANDARD.encode(bytes)}]));
            prop_assert_eq!(&read[0], &floats);
            prop_assert_eq!(&read[1], &floats);
        }
    }
}
