//! Deterministic embedding vectors: the same text gives the same vector on each backend.

use super::library::fingerprint;

/// A vector of length 1.
pub(super) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut dice = fastrand::Rng::with_seed(fingerprint(text));
    normalised((0..dimensions).map(|_| dice.f32() - 0.5).collect())
}

/// The first `dimensions` numbers, brought back to length 1; larger or no `dimensions` change nothing.
pub(super) fn truncated(vector: Vec<f32>, dimensions: Option<u64>) -> Vec<f32> {
    let keep = dimensions.and_then(|dimensions| usize::try_from(dimensions).ok());
    match keep.filter(|keep| *keep > 0 && *keep < vector.len()) {
        Some(keep) => normalised(vector[..keep].to_vec()),
        None => vector,
    }
}

/// Little-endian floats as base64, which `OpenAI`'s clients ask for.
pub(super) fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    super::payload::to_base64(&bytes)
}

fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length > 0.0 {
        for number in &mut vector {
            *number /= length;
        }
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_little_endian_floats() {
        assert_eq!(base64(&[0.5, -0.25, 0.125]), "AAAAPwAAgL4AAAA+");
    }

    #[test]
    fn a_truncated_vector_has_length_one_again() {
        let vector = truncated(vector("text", 16), Some(4));
        let length: f32 = vector.iter().map(|number| number * number).sum();
        assert!(vector.len() == 4 && (length - 1.0).abs() < 1e-5);
    }
}
