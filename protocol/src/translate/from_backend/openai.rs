//! What the readers of OpenAI's answers share: the frame of an object, how far an answer is, and errors.

use std::time::Duration;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::ReadAnswer;
use crate::time::Timestamp;
use crate::translate::frames::{Frame, Framing};
use crate::translate::piece::{Done, Piece, Timings};
use crate::translate::{Broken, Occasion};
use crate::wire::{Usage, fault};

/// A chunk of a stream, or a whole answer.
#[derive(Debug, Deserialize)]
pub(super) struct Object<C> {
    choices: Option<Vec<C>>,
    usage: Option<Tokens>,
    timings: Option<Measured>,
    error: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tokens {
    // Numbers of any kind: a count that is out of range is none, and no reason to lose an answer.
    prompt_tokens: Option<Number>,
    completion_tokens: Option<Number>,
}

/// What llama.cpp has measured itself, in milliseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Measured {
    prompt_ms: Option<f64>,
    predicted_ms: Option<f64>,
}

/// How likely a token was, in the form that both APIs share. What else engines say of it is left out.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Logprob {
    #[serde(flatten)]
    pub(super) token: Alternative,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_logprobs: Option<Vec<Alternative>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Alternative {
    pub(super) token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprob: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<Vec<u8>>,
}

/// How far an answer is.
#[derive(Debug)]
pub(super) struct Progress {
    sent: Timestamp,
    /// When something of the answer came, for the first and the last time.
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    has_begun: bool,
    reason: Option<String>,
    usage: Usage,
    measured: Timings,
}

/// Reads an answer whose stream is one of chunks.
pub(super) trait ReadChunks {
    fn progress(&self) -> &Progress;

    /// Reads a chunk or a whole answer; may keep back what is not complete.
    fn read(&mut self, bytes: &[u8], now: Timestamp) -> Result<Piece, Broken>;

    /// Gives what was held back, and then the end.
    fn finish(&mut self, now: Timestamp, pieces: &mut Vec<Piece>) -> Result<(), Broken>;
}

/// The data behind the last chunk of a stream.
const DONE: &[u8] = b"[DONE]";

/// The longest error, in bytes, that is passed on although it has no words that could be told from the rest.
const MAX_ERROR: usize = 1024;

/// The end of a stream is held back until `[DONE]`, as the usage may come behind the finish reason. A stream that ends
/// without `[DONE]` is complete if there was a reason; one that ends with it is complete in any case, but for one that had
/// no chunk at all, since the backend itself says so.
impl<R: ReadChunks> ReadAnswer for R {
    fn framing(&self) -> Framing {
        Framing::Events
    }

    fn frame(&mut self, frame: Frame<'_>, now: Timestamp, pieces: &mut Vec<Piece>) -> Result<(), Broken> {
        if frame.event == "error" {
            return Err(reported(frame.data));
        }
        if frame.data == DONE {
            return if self.progress().has_begun() { self.finish(now, pieces) } else { Err(Broken::Ended) };
        }
        let piece = self.read(frame.data, now)?;
        if !piece.is_silent() {
            pieces.push(piece);
        }
        Ok(())
    }

    fn end(&mut self, now: Timestamp, pieces: &mut Vec<Piece>) -> Result<(), Broken> {
        if self.progress().has_reason() { self.finish(now, pieces) } else { Err(Broken::Ended) }
    }

    fn whole(&mut self, body: &[u8], now: Timestamp) -> Result<Piece, Broken> {
        let mut whole = self.read(body.trim_ascii(), now)?;
        if !self.progress().has_begun() {
            return Err(Broken::Unreadable("it has no choices".to_owned()));
        }
        let mut rest = Vec::new();
        self.finish(now, &mut rest)?;
        for piece in rest {
            whole.append(piece);
        }
        Ok(whole)
    }
}

/// The backend's report of an error, in its words.
pub(super) fn reported(data: &[u8]) -> Broken {
    let unknown = || String::from_utf8_lossy(&data[..data.len().min(MAX_ERROR)]).trim().to_owned();
    Broken::Reported(fault::error_text(data).unwrap_or_else(unknown))
}

// === impl Object ===

impl<C: DeserializeOwned> Object<C> {
    /// Reads JSON text. What reports an error is [`Broken::Reported`].
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Broken> {
        // Of an array, serde would take the elements for the members.
        if bytes.first() != Some(&b'{') {
            return Err(Broken::Unreadable("not a JSON object".to_owned()));
        }
        let object: Self = serde_json::from_slice(bytes).map_err(|e| Broken::Unreadable(e.to_string()))?;
        // vLLM has reported errors as objects of their own, without a member for it.
        let is_foreign = object.choices.is_none() && object.usage.is_none();
        if object.error.is_some() || (is_foreign && fault::error_text(bytes).is_some()) {
            return Err(reported(bytes));
        }
        Ok(object)
    }

    /// The answer: the first choice, as no more than one is ever asked for. Notes in `progress` what stands beside it.
    pub(super) fn choice(self, progress: &mut Progress) -> Option<C> {
        progress.count(self.usage, self.timings);
        let choice = self.choices?.into_iter().next()?;
        progress.has_begun = true;
        Some(choice)
    }
}

// === impl Progress ===

impl Progress {
    pub(super) fn new(occasion: Occasion) -> Self {
        Self {
            sent: occasion.now,
            first: None,
            last: None,
            has_begun: false,
            reason: None,
            usage: Usage::default(),
            measured: Timings::default(),
        }
    }

    /// Something of the answer has come.
    pub(super) fn heard(&mut self, now: Timestamp) {
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// Notes why the answer ended, if it did: in the words that both APIs know. Many engines have more, for calls of tools
    /// and for ends that are no different to a client.
    pub(super) fn note_reason(&mut self, reason: Option<String>) {
        let Some(reason) = reason.filter(|reason| !reason.is_empty()) else { return };
        let is_known = matches!(reason.as_str(), "length" | "content_filter");
        self.reason = Some(if is_known { reason } else { "stop".to_owned() });
    }

    /// Whether there was an answer at all, if only an empty one.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether the backend has said why the answer ended.
    pub(super) fn has_reason(&self) -> bool {
        self.reason.is_some()
    }

    /// The end. How long the parts took is known only if they came one by one.
    pub(super) fn done(&mut self, now: Timestamp) -> Done {
        let (first, last) = (self.first.unwrap_or(now), self.last.unwrap_or(now));
        let is_stream = last.as_micros() > first.as_micros();
        let between = |from, to| is_stream.then(|| nanos(from, to));
        Done {
            reason: self.reason.take(),
            usage: self.usage,
            timings: Timings {
                total: Some(nanos(self.sent, now)),
                load: None,
                prompt: self.measured.prompt.or_else(|| between(self.sent, first)),
                completion: self.measured.completion.or_else(|| between(first, last)),
            },
        }
    }

    /// Notes counts: the latest ones, for some engines count along.
    fn count(&mut self, usage: Option<Tokens>, timings: Option<Measured>) {
        if let Some(tokens) = usage {
            self.usage = tokens.into();
        }
        if let Some(measured) = timings {
            let nanos = |ms: Option<f64>| {
                let time = Duration::try_from_secs_f64(ms? / 1000.0).ok()?;
                u64::try_from(time.as_nanos()).ok()
            };
            self.measured.prompt = nanos(measured.prompt_ms).or(self.measured.prompt);
            self.measured.completion = nanos(measured.predicted_ms).or(self.measured.completion);
        }
    }
}

/// Nanoseconds; zero if the clock went backwards.
fn nanos(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.since(from).as_micros()).unwrap_or_default().saturating_mul(1000)
}

// === impl Tokens ===

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        let count = |number: Option<Number>| number.and_then(|number| number.as_u64());
        Self { prompt: count(tokens.prompt_tokens), completion: count(tokens.completion_tokens) }
    }
}

// === impl Logprob ===

impl From<Logprob> for Value {
    fn from(logprob: Logprob) -> Self {
        // Names, numbers and texts are always JSON.
        serde_json::to_value(logprob).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Timestamp = Timestamp::from_micros(1_000_000);

    fn progress() -> Progress {
        Progress::new(Occasion { now: SENT, nonce: 0 })
    }

    fn after(micros: i64) -> Timestamp {
        Timestamp::from_micros(SENT.as_micros() + micros)
    }

    fn parse(json: &str) -> Result<Object<IgnoredAny>, Broken> {
        Object::parse(json.as_bytes())
    }

    #[test]
    fn times_are_those_between_the_parts() {
        let mut progress = progress();
        for micros in [20, 25, 50] {
            progress.heard(after(micros));
        }
        let timings = progress.done(after(60)).timings;
        let expected =
            Timings { total: Some(60_000), load: None, prompt: Some(20_000), completion: Some(30_000) };
        assert_eq!(timings, expected);
    }

    #[test]
    fn an_answer_that_came_at_once_has_only_its_whole_time() {
        let mut progress = progress();
        progress.heard(after(50));
        let total = Timings { total: Some(50_000), ..Timings::default() };
        assert_eq!(progress.done(after(50)).timings, total);
        let backwards = Timings { total: Some(0), ..Timings::default() };
        assert_eq!(progress.done(after(-1)).timings, backwards);
    }

    #[test]
    fn what_an_engine_has_measured_itself_wins() {
        let mut progress = progress();
        progress.heard(after(1));
        progress.heard(after(9));
        let json = r#"{"choices":[],"timings":{"prompt_n":1,"prompt_ms":1.5,"predicted_ms":0.25}}"#;
        assert!(parse(json).unwrap().choice(&mut progress).is_none());
        assert!(
            parse(r#"{"timings":{"prompt_ms":-1,"predicted_ms":1e300}}"#)
                .unwrap()
                .choice(&mut progress)
                .is_none()
        );
        let timings = progress.done(after(10)).timings;
        assert_eq!((timings.prompt, timings.completion), (Some(1_500_000), Some(250_000)));
        assert!(!progress.has_begun());
    }

    #[test]
    fn the_latest_counts_count_and_odd_ones_are_none() {
        let mut progress = progress();
        for usage in
            [r#"{"prompt_tokens":1,"completion_tokens":1}"#, r#"{"prompt_tokens":3,"completion_tokens":-1}"#]
        {
            parse(&format!(r#"{{"choices":[{{}}],"usage":{usage}}}"#))
                .unwrap()
                .choice(&mut progress)
                .unwrap();
        }
        parse(r#"{"choices":[{}],"usage":null,"timings":null,"error":null}"#)
            .unwrap()
            .choice(&mut progress)
            .unwrap();
        assert_eq!(progress.done(SENT).usage, Usage { prompt: Some(3), completion: None });
        assert!(progress.has_begun());
    }

    #[test]
    fn reasons_are_those_that_both_apis_know() {
        for (said, expected) in [
            ("length", "length"),
            ("content_filter", "content_filter"),
            ("stop", "stop"),
            ("tool_calls", "stop"),
            ("function_call", "stop"),
            ("eos", "stop"),
        ] {
            let mut progress = progress();
            progress.note_reason(Some(said.to_owned()));
            progress.note_reason(None);
            progress.note_reason(Some(String::new()));
            assert!(progress.has_reason());
            assert_eq!(progress.done(SENT).reason.as_deref(), Some(expected), "{said}");
        }
    }

    #[test]
    fn errors_are_reported_in_the_backends_words() {
        for json in [
            r#"{"error":"boom"}"#,
            r#"{"error":{"message":"boom","code":500}}"#,
            r#"{"choices":[{}],"error":{"message":"boom"}}"#,
            r#"{"object":"error","message":"boom","code":500}"#,
        ] {
            assert_eq!(parse(json).unwrap_err(), Broken::Reported("boom".to_owned()), "{json}");
        }
        let Err(Broken::Reported(words)) = parse(r#"{"error":{"code":7}}"#) else { panic!("not reported") };
        assert_eq!(words, r#"{"error":{"code":7}}"#);
        let long = format!(r#"{{"error":{{"x":"{}"}}}}"#, "y".repeat(100_000));
        assert!(parse(&long).unwrap_err().to_string().len() <= MAX_ERROR);
    }

    #[test]
    fn what_is_no_object_cannot_be_read() {
        for json in ["", "[]", "[null,null,null,null]", "7", "{", "ping", r#"{"choices":7}"#] {
            assert!(matches!(parse(json), Err(Broken::Unreadable(_))), "{json}");
        }
    }
}
