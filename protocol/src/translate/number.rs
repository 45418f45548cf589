//! Numbers as Go's decoder and Ollama convert them.

/// The whole number of a float, its fraction cut off.
#[expect(clippy::cast_possible_truncation, reason = "that is the rule; what is out of range saturates")]
pub(super) fn truncated(number: f64) -> i64 {
    number as i64
}
