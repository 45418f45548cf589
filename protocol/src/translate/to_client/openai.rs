//! What the writers of OpenAI's answers share.

use serde::Serialize;

use crate::time::Timestamp;
use crate::translate::piece::Done;
use crate::wire::Usage;

/// What an answer to a chat or a completion repeats of the request.
#[derive(Clone, Debug, Default)]
pub(in crate::translate) struct Echo {
    pub(in crate::translate) model: String,
    /// Whether a stream tells its usage.
    pub(in crate::translate) include_usage: bool,
}

/// What Ollama's own layer calls itself: some clients expect that there is a name.
pub(super) const FINGERPRINT: &str = "fp_ollama";

/// The frame behind the last one of a complete stream.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

const MICROS_PER_SECOND: i64 = 1_000_000;

/// `usage`: zero where the backend has counted nothing, since clients take no null.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Tokens {
    #[serde(rename = "prompt_tokens")]
    prompt: u64,
    #[serde(rename = "completion_tokens")]
    completion: u64,
    #[serde(rename = "total_tokens")]
    total: u64,
}

/// Puts a frame of a stream behind `out`.
pub(super) fn frame<T: Serialize>(data: &T, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    json(data, out);
    out.extend_from_slice(b"\n\n");
}

/// A whole body.
pub(super) fn body<T: Serialize>(data: &T) -> Vec<u8> {
    let mut out = Vec::new();
    json(data, &mut out);
    out
}

/// Seconds since the epoch, as in `created`.
pub(super) fn seconds(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(MICROS_PER_SECOND)
}

/// Why the answer ended, in OpenAI's words, which has none for models that are loaded or unloaded; `None` if the backend
/// does not say.
pub(super) fn finish_reason(done: &Done) -> Option<&str> {
    match done.reason.as_deref() {
        None | Some("") => None,
        Some("load" | "unload") => Some("stop"),
        reason => reason,
    }
}

fn json<T: Serialize>(data: &T, out: &mut Vec<u8>) {
    // Neither a buffer nor what is written here can fail: all keys are strings.
    let written = serde_json::to_writer(out, data);
    debug_assert!(written.is_ok(), "{written:?}");
}

// === impl Tokens ===

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        let prompt = usage.prompt.unwrap_or_default();
        let completion = usage.completion.unwrap_or_default();
        Self { prompt, completion, total: prompt.saturating_add(completion) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_counted_is_zero_and_sums_do_not_overflow() {
        let tokens = |prompt, completion| {
            String::from_utf8(body(&Tokens::from(Usage { prompt, completion }))).unwrap()
        };
        assert_eq!(tokens(None, None), r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#);
        assert_eq!(
            tokens(Some(11), Some(7)),
            r#"{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}"#
        );
        assert!(tokens(Some(u64::MAX), Some(1)).ends_with(&format!("{}}}", u64::MAX)));
    }

    #[test]
    fn loading_and_unloading_are_a_stop() {
        let reason = |reason: Option<&str>| {
            let done = Done { reason: reason.map(str::to_owned), ..Done::default() };
            finish_reason(&done).map(str::to_owned)
        };
        for (said, expected) in
            [(Some("load"), Some("stop")), (Some("unload"), Some("stop")), (Some("length"), Some("length"))]
        {
            assert_eq!(reason(said).as_deref(), expected);
        }
        assert_eq!((reason(None), reason(Some(""))), (None, None));
    }

    #[test]
    fn seconds_are_cut_and_not_rounded() {
        assert_eq!(seconds(Timestamp::from_micros(1_999_999)), 1);
        assert_eq!(seconds(Timestamp::from_micros(-1)), -1);
    }
}
