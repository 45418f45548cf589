//! Writes the answers of `POST /api/embed` and of the legacy `POST /api/embeddings`.

use serde::Serialize;

use super::ollama;
use crate::time::Timestamp;
use crate::translate::Occasion;
use crate::translate::embedding::Vectors;

/// What the answer repeats of the request.
#[derive(Clone, Debug, Default)]
pub(in crate::translate) struct Echo {
    pub(in crate::translate) model: String,
    /// `POST /api/embeddings`: one vector, not normalised.
    pub(in crate::translate) is_legacy: bool,
    /// How long the vectors shall be at most: backends that do not know `dimensions` give longer ones.
    pub(in crate::translate) dimensions: Option<u64>,
}

#[derive(Serialize)]
struct Normalised<'a> {
    model: &'a str,
    embeddings: Vec<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_count: Option<u64>,
}

#[derive(Serialize)]
struct Legacy {
    embedding: Vec<f32>,
}

/// Writes an answer.
pub(in crate::translate) fn write(
    vectors: Vectors,
    echo: &Echo,
    occasion: Occasion,
    now: Timestamp,
) -> Vec<u8> {
    let Vectors { mut rows, usage, timings } = vectors;
    if echo.is_legacy {
        return ollama::to_vec(&Legacy { embedding: rows.into_iter().next().unwrap_or_default() });
    }
    for vector in &mut rows {
        cut(vector, echo.dimensions);
        normalise(vector);
    }
    ollama::to_vec(&Normalised {
        model: &echo.model,
        embeddings: rows,
        total_duration: ollama::elapsed(occasion, now),
        load_duration: timings.load,
        prompt_eval_count: usage.prompt,
    })
}

/// The answer to a request that only loads the model.
pub(in crate::translate) fn loaded(echo: &Echo) -> Vec<u8> {
    if echo.is_legacy {
        return ollama::to_vec(&Legacy { embedding: Vec::new() });
    }
    ollama::to_vec(&Normalised {
        model: &echo.model,
        embeddings: Vec::new(),
        total_duration: None,
        load_duration: None,
        prompt_eval_count: None,
    })
}

/// Ollama's `dimensions` takes off what is too much, and adds nothing.
fn cut(vector: &mut Vec<f32>, dimensions: Option<u64>) {
    if let Some(dimensions) = dimensions.and_then(|dimensions| usize::try_from(dimensions).ok()) {
        vector.truncate(dimensions);
    }
}

/// Makes the length of a vector 1, as Ollama does it with all of them. The zero vector stays.
#[expect(clippy::cast_possible_truncation, reason = "a part of a vector is not larger than its length")]
fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::translate::piece::Timings;
    use crate::wire::Usage;

    const START: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 1 };

    fn written(vectors: &[&[f32]], echo: &Echo) -> Value {
        let vectors = Vectors {
            rows: vectors.iter().map(|vector| vector.to_vec()).collect(),
            usage: Usage { prompt: Some(7), completion: None },
            timings: Timings::default(),
        };
        serde_json::from_slice(&write(vectors, echo, START, Timestamp::from_micros(2_000))).unwrap()
    }

    fn echo(dimensions: Option<u64>) -> Echo {
        Echo { model: "M".to_owned(), is_legacy: false, dimensions }
    }

    #[test]
    fn vectors_are_normalised_and_the_time_is_measured() {
        let answer = written(&[&[3.0, 4.0], &[0.0, 0.0], &[1e30, 0.0]], &echo(None));
        let [first, zero, large] = &answer["embeddings"].as_array().unwrap()[..] else {
            panic!("three vectors")
        };
        assert!(
            (first[0].as_f64().unwrap() - 0.6).abs() < 1e-6
                && (first[1].as_f64().unwrap() - 0.8).abs() < 1e-6
        );
        assert_eq!((zero, large), (&json!([0.0, 0.0]), &json!([1.0, 0.0])));
        assert_eq!(answer["model"], "M");
        assert_eq!(answer["total_duration"], 2_000_000);
        assert_eq!(answer["prompt_eval_count"], 7);
        assert_eq!(answer.get("load_duration"), None);
    }

    #[test]
    fn vectors_that_are_too_long_are_cut_before() {
        assert_eq!(written(&[&[2.0, 0.0, 9.0]], &echo(Some(2)))["embeddings"], json!([[1.0, 0.0]]));
        assert_eq!(written(&[&[2.0, 0.0]], &echo(Some(9)))["embeddings"], json!([[1.0, 0.0]]));
    }

    #[test]
    fn the_legacy_answer_is_the_backends_vector() {
        let legacy = Echo { is_legacy: true, ..echo(None) };
        assert_eq!(written(&[&[3.0, 4.5]], &legacy), json!({"embedding": [3.0, 4.5]}));
        assert_eq!(written(&[], &legacy), json!({"embedding": []}));
    }

    #[test]
    fn loading_gives_no_vector() {
        assert_eq!(loaded(&echo(None)), br#"{"model":"M","embeddings":[]}"#);
        assert_eq!(loaded(&Echo { is_legacy: true, ..echo(None) }), br#"{"embedding":[]}"#);
    }

    proptest! {
        #[test]
        fn the_direction_stays_and_the_length_is_1(vector in proptest::collection::vec(-1e6_f32..1e6, 1..50)) {
            let mut unit = vector.clone();
            normalise(&mut unit);
            let length = |vector: &[f32]| vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            let before = length(&vector);
            prop_assume!(before > 0.0);
            prop_assert!((length(&unit) - 1.0).abs() < 1e-5);
            for (value, unit) in vector.iter().zip(&unit) {
                prop_assert!((f64::from(*value) / before - f64::from(*unit)).abs() < 1e-6);
            }
        }
    }
}
