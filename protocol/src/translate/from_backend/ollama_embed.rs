//! Reads the answers of `POST /api/embed`.

use serde::Deserialize;
use serde_json::Number;

use crate::translate::Broken;
use crate::translate::embedding::Vectors;
use crate::translate::piece::Timings;
use crate::wire::{Usage, fault};

/// `EmbedResponse` of `api/types.go`.
#[derive(Debug, Deserialize)]
struct Body {
    /// Must be there; null is no vectors, as Go writes an empty list.
    #[serde(deserialize_with = "Option::deserialize")]
    embeddings: Option<Vec<Vec<f32>>>,
    total_duration: Option<Number>,
    load_duration: Option<Number>,
    prompt_eval_count: Option<Number>,
}

/// Reads an answer.
pub(in crate::translate) fn read(body: &[u8]) -> Result<Vectors, Broken> {
    let read: Body = serde_json::from_slice(body).map_err(|error| match fault::error_text(body) {
        Some(words) => Broken::Reported(words),
        None => Broken::Unreadable(error.to_string()),
    })?;
    let count = |number: Option<Number>| number.and_then(|number| number.as_u64());
    Ok(Vectors {
        rows: read.embeddings.unwrap_or_default(),
        usage: Usage { prompt: count(read.prompt_eval_count), completion: None },
        timings: Timings {
            total: count(read.total_duration),
            load: count(read.load_duration),
            ..Timings::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_counts_and_times_are_read() {
        let body = concat!(
            r#"{"model":"m","embeddings":[[0.5,-0.25],[1]],"#,
            r#""total_duration":3,"load_duration":2,"prompt_eval_count":4}"#
        );
        let expected = Vectors {
            rows: vec![vec![0.5, -0.25], vec![1.0]],
            usage: Usage { prompt: Some(4), completion: None },
            timings: Timings { total: Some(3), load: Some(2), ..Timings::default() },
        };
        assert_eq!(read(body.as_bytes()), Ok(expected));
        assert_eq!(read(br#"{"embeddings":[]}"#), Ok(Vectors::default()));
    }

    #[test]
    fn every_float_comes_back_as_it_was() {
        for bits in (0..u32::MAX).step_by(999_983) {
            let value = f32::from_bits(bits);
            if value.is_finite() {
                let vectors = read(format!(r#"{{"embeddings":[[{value:e}]]}}"#).as_bytes()).unwrap().rows;
                assert_eq!(vectors[0][0].to_bits(), bits, "{value:e}");
            }
        }
    }

    #[test]
    fn an_error_is_reported_in_the_backends_words() {
        assert_eq!(read(br#"{"error":"boom"}"#), Err(Broken::Reported("boom".to_owned())));
    }

    #[test]
    fn null_is_no_vectors() {
        assert_eq!(read(br#"{"embeddings":null}"#), Ok(Vectors::default()));
    }

    #[test]
    fn what_holds_no_vectors_cannot_be_read() {
        for body in ["", "[]", "{}", r#"{"embeddings":[["x"]]}"#, r#"{"embeddings":[0.5]}"#] {
            assert!(matches!(read(body.as_bytes()), Err(Broken::Unreadable(_))), "{body}");
        }
    }
}
