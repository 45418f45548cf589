//! What the answers of Ollama's own API have in common.

use serde::Serialize;
use serde_json::Value;

use crate::time::Timestamp;
use crate::translate::Occasion;
use crate::translate::keep_alive;
use crate::translate::piece::Done;

/// Whether an object is the last one of its answer, and what that one says. Durations are in nanoseconds.
#[derive(Debug, Default, Serialize)]
pub(super) struct End {
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    done_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_duration: Option<u64>,
}

/// The error line of a stream.
#[derive(Serialize)]
struct ErrorLine<'a> {
    error: &'a str,
}

// === impl End ===

impl End {
    /// Of an object of an answer; `done` is that of its piece.
    pub(super) fn of(done: Option<&Done>, occasion: Occasion, now: Timestamp) -> Self {
        let Some(done) = done else { return Self::default() };
        Self {
            done: true,
            done_reason: Some(reason(done.reason.as_deref())),
            total_duration: done.timings.total.or_else(|| elapsed(occasion, now)),
            load_duration: done.timings.load,
            prompt_eval_count: done.usage.prompt,
            prompt_eval_duration: done.timings.prompt,
            eval_count: done.usage.completion,
            eval_duration: done.timings.completion,
        }
    }

    /// Of the answer to a request that generates nothing: it loads the model, or unloads it if that shall not stay.
    pub(super) fn of_load(keep_alive: Option<&Value>) -> Self {
        let unloads = keep_alive.and_then(keep_alive::nanoseconds) == Some(0);
        Self { done: true, done_reason: Some(if unloads { "unload" } else { "load" }), ..Self::default() }
    }
}

/// Ollama knows four reasons.
fn reason(reason: Option<&str>) -> &'static str {
    match reason {
        Some("length") => "length",
        Some("load") => "load",
        Some("unload") => "unload",
        _ => "stop",
    }
}

/// The time since the request was sent, in nanoseconds; `None` if the clock went back.
pub(super) fn elapsed(occasion: Occasion, now: Timestamp) -> Option<u64> {
    u64::try_from(now.since(occasion.now).as_micros()).ok()?.checked_mul(1000)
}

/// Writes an object of a stream.
pub(super) fn write_line<T: Serialize>(object: &T, out: &mut Vec<u8>) {
    let start = out.len();
    match serde_json::to_writer(&mut *out, object) {
        Ok(()) => out.push(b'\n'),
        // Only keys that are no text could do that, and there are none: half a line must not stay.
        Err(_) => out.truncate(start),
    }
}

/// Writes an object that is a whole answer.
pub(super) fn to_vec<T: Serialize>(object: &T) -> Vec<u8> {
    serde_json::to_vec(object).unwrap_or_default()
}

/// Writes the error line, the last one of a stream.
pub(super) fn write_error(message: &str, out: &mut Vec<u8>) {
    write_line(&ErrorLine { error: message }, out);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::translate::piece::Timings;
    use crate::wire::Usage;

    const START: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 1 };

    fn ends(done: &Done) -> Value {
        json!(End::of(Some(done), START, Timestamp::from_micros(1_500_000)))
    }

    #[test]
    fn every_measure_is_written_and_what_is_unknown_is_not() {
        let done = Done {
            reason: Some("length".to_owned()),
            usage: Usage { prompt: Some(11), completion: Some(0) },
            timings: Timings { total: Some(5), load: Some(1), prompt: Some(2), completion: Some(3) },
        };
        assert_eq!(
            ends(&done),
            json!({
                "done": true, "done_reason": "length", "total_duration": 5, "load_duration": 1, "prompt_eval_count": 11,
                "prompt_eval_duration": 2, "eval_count": 0, "eval_duration": 3
            })
        );
        assert_eq!(
            ends(&Done::default()),
            json!({"done": true, "done_reason": "stop", "total_duration": 1_500_000_000})
        );
        assert_eq!(json!(End::of(None, START, Timestamp::EPOCH)), json!({"done": false}));
    }

    #[test]
    fn a_clock_that_goes_back_measures_nothing() {
        assert_eq!(elapsed(START, Timestamp::from_micros(-1)), None);
    }

    #[test]
    fn reasons_are_those_that_ollama_knows() {
        for (theirs, ours) in [
            ("stop", "stop"),
            ("length", "length"),
            ("load", "load"),
            ("unload", "unload"),
            ("tool_calls", "stop"),
            ("content_filter", "stop"),
            ("eos", "stop"),
        ] {
            assert_eq!(reason(Some(theirs)), ours);
        }
    }

    #[test]
    fn a_model_that_shall_not_stay_is_unloaded() {
        let reason = |keep_alive: Value| json!(End::of_load(Some(&keep_alive)))["done_reason"].clone();
        assert_eq!(reason(json!(0)), "unload");
        assert_eq!(reason(json!("0s")), "unload");
        assert_eq!(reason(json!("5m")), "load");
        assert_eq!(reason(json!(-1)), "load");
        assert_eq!(json!(End::of_load(None)), json!({"done": true, "done_reason": "load"}));
    }

    #[test]
    fn an_error_is_one_line_whatever_it_says() {
        let mut out = b"x\n".to_vec();
        write_error("two\nlines", &mut out);
        assert_eq!(out, b"x\n{\"error\":\"two\\nlines\"}\n");
    }
}
