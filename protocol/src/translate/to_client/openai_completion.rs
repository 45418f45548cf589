//! Writes the answers of `POST /v1/completions`.

use serde::Serialize;

use super::WriteAnswer;
use super::openai::{self, Echo, Tokens};
use crate::time::Timestamp;
use crate::translate::Occasion;
use crate::translate::piece::Piece;
use crate::wire::{StreamFormat, error_frame};

/// Writes one answer. If the usage of a stream is wanted, every chunk has one, and an additional last one the real one. As in Ollama's own layer, it has neither thinking nor log probabilities.
#[derive(Debug)]
pub(in crate::translate) struct Writer {
    echo: Echo,
    id: String,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    system_fingerprint: &'static str,
    choices: [Choice<'a>; 1],
    usage: Tokens,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    choices: &'a [Choice<'a>],
    model: &'a str,
    system_fingerprint: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Tokens>,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: u32,
    finish_reason: Option<&'a str>,
}

/// The type of whole answers and of chunks.
const OBJECT: &str = "text_completion";

// === impl Writer ===

impl Writer {
    pub(in crate::translate) fn new(echo: Echo, occasion: Occasion) -> Self {
        Self { echo, id: occasion.hex("cmpl-", 0, 24) }
    }

    fn chunk(&self, choices: &[Choice<'_>], usage: Tokens, now: Timestamp, out: &mut Vec<u8>) {
        let chunk = Chunk {
            id: &self.id,
            object: OBJECT,
            created: openai::seconds(now),
            choices,
            model: &self.echo.model,
            system_fingerprint: openai::FINGERPRINT,
            usage: self.echo.include_usage.then_some(usage),
        };
        openai::frame(&chunk, out);
    }
}

impl WriteAnswer for Writer {
    fn piece(&mut self, piece: Piece, now: Timestamp, out: &mut Vec<u8>) {
        self.chunk(&[Choice::of(&piece)], Tokens::default(), now, out);
        if let Some(done) = &piece.done {
            if self.echo.include_usage {
                self.chunk(&[], done.usage.into(), now, out);
            }
            out.extend_from_slice(openai::DONE);
        }
    }

    fn error(&mut self, message: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(error_frame(StreamFormat::OpenAiChunks, message).as_bytes());
    }

    fn whole(&mut self, piece: Piece, now: Timestamp) -> Vec<u8> {
        let usage = piece.done.as_ref().map(|done| done.usage).unwrap_or_default();
        openai::body(&Completion {
            id: &self.id,
            object: OBJECT,
            created: openai::seconds(piece.created.unwrap_or(now)),
            model: &self.echo.model,
            system_fingerprint: openai::FINGERPRINT,
            choices: [Choice::of(&piece)],
            usage: usage.into(),
        })
    }
}

// === impl Choice ===

impl<'p> Choice<'p> {
    fn of(piece: &'p Piece) -> Self {
        let finish_reason = piece.done.as_ref().and_then(openai::finish_reason);
        Self { text: &piece.content, index: 0, finish_reason }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::translate::piece::Done;
    use crate::wire::Usage;

    const ID: &str = "cmpl-0123";
    const NOW: Timestamp = Timestamp::from_micros(1_767_323_045_123_456);

    fn writer(include_usage: bool) -> Writer {
        Writer { echo: Echo { model: "llama3.2".to_owned(), include_usage }, id: ID.to_owned() }
    }

    fn text(content: &str) -> Piece {
        Piece { content: content.to_owned(), ..Piece::default() }
    }

    fn done(reason: Option<&str>) -> Piece {
        let usage = Usage { prompt: Some(11), completion: Some(7) };
        let done = Done { reason: reason.map(str::to_owned), usage, ..Done::default() };
        Piece { done: Some(done), ..Piece::default() }
    }

    fn stream(include_usage: bool, pieces: Vec<Piece>) -> String {
        let (mut writer, mut out) = (writer(include_usage), Vec::new());
        for piece in pieces {
            writer.piece(piece, NOW, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    /// A frame as upstream writes it: `rest` is what comes behind the fingerprint.
    fn frame(choices: &str, rest: &str) -> String {
        format!(
            "data: {{\"id\":\"{ID}\",\"object\":\"text_completion\",\"created\":1767323045,\"choices\":[{choices}],\
             \"model\":\"llama3.2\",\"system_fingerprint\":\"fp_ollama\"{rest}}}\n\n"
        )
    }

    #[test]
    fn every_object_becomes_a_chunk() {
        let expected = [
            frame(r#"{"text":"4","index":0,"finish_reason":null}"#, ""),
            frame(r#"{"text":"","index":0,"finish_reason":null}"#, ""),
            frame(r#"{"text":"","index":0,"finish_reason":"stop"}"#, ""),
            "data: [DONE]\n\n".to_owned(),
        ];
        let thinking = Piece { thinking: "hmm".to_owned(), logprobs: vec![json!({})], ..Piece::default() };
        assert_eq!(stream(false, vec![text("4"), thinking, done(Some("stop"))]), expected.concat());
    }

    #[test]
    fn with_usage_every_chunk_has_one_and_the_real_one_comes_last() {
        let zero = r#","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#;
        let real = r#","usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}"#;
        let expected = [
            frame(r#"{"text":"4","index":0,"finish_reason":null}"#, zero),
            frame(r#"{"text":"","index":0,"finish_reason":"length"}"#, zero),
            frame("", real),
            "data: [DONE]\n\n".to_owned(),
        ];
        assert_eq!(stream(true, vec![text("4"), done(Some("length"))]), expected.concat());
    }

    #[test]
    fn a_whole_answer_has_the_backends_time_and_the_usage() {
        let created = Some(Timestamp::from_micros(1_000_000));
        let thinking = "hmm".to_owned();
        let piece = Piece { content: "4 is it".to_owned(), thinking, created, ..done(Some("stop")) };
        let expected = concat!(
            r#"{"id":"cmpl-0123","object":"text_completion","created":1,"model":"llama3.2","#,
            r#""system_fingerprint":"fp_ollama","choices":[{"text":"4 is it","index":0,"finish_reason":"stop"}],"#,
            r#""usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}"#
        );
        assert_eq!(String::from_utf8(writer(true).whole(piece, NOW)).unwrap(), expected);
    }

    #[test]
    fn loading_is_a_stop_and_no_reason_is_null() {
        for (reason, expected) in
            [(Some("load"), json!("stop")), (None, Value::Null), (Some(""), Value::Null)]
        {
            let whole: Value = serde_json::from_slice(&writer(false).whole(done(reason), NOW)).unwrap();
            assert_eq!(whole["choices"][0]["finish_reason"], expected);
            assert_eq!(whole["created"], 1_767_323_045);
        }
    }

    #[test]
    fn a_broken_stream_ends_with_an_error_and_without_done() {
        let (mut writer, mut out) = (writer(false), Vec::new());
        writer.piece(text("4"), NOW, &mut out);
        writer.error("it \"broke\"", &mut out);
        let out = String::from_utf8(out).unwrap();
        let error =
            r#"data: {"error":{"message":"it \"broke\"","type":"api_error","param":null,"code":null}}"#;
        assert!(out.ends_with(&format!("{error}\n\n")));
        assert!(!out.contains("[DONE]"));
    }

    #[test]
    fn ids_are_of_the_occasion() {
        let occasion = Occasion { now: NOW, nonce: 7 };
        let id = |writer: &Writer| writer.id.clone();
        let first = id(&Writer::new(Echo::default(), occasion));
        assert!(first.starts_with("cmpl-") && first.len() == 29);
        assert_ne!(first, id(&Writer::new(Echo::default(), Occasion { nonce: 8, ..occasion })));
    }

    proptest! {
        #[test]
        fn the_fold_of_a_stream_is_the_whole_answer(
            texts in proptest::collection::vec(".{0,6}", 0..5),
            reason in proptest::option::of(prop_oneof![Just("stop"), Just("length"), Just("load"), Just("")]),
        ) {
            let mut pieces: Vec<Piece> = texts.iter().map(|content| text(content)).collect();
            pieces.push(done(reason));
            let mut all = Piece::default();
            pieces.iter().cloned().for_each(|piece| all.append(piece));
            let whole: Value = serde_json::from_slice(&writer(true).whole(all, NOW)).unwrap();
            let (mut folded, mut last) = (String::new(), Value::Null);
            for frame in stream(true, pieces).split_terminator("\n\n") {
                let data = frame.strip_prefix("data: ").unwrap();
                if data == "[DONE]" {
                    break;
                }
                let chunk: Value = serde_json::from_str(data).unwrap();
                folded.push_str(chunk["choices"][0]["text"].as_str().unwrap_or_default());
                if chunk["choices"][0].is_object() {
                    last = chunk["choices"][0]["finish_reason"].clone();
                } else {
                    prop_assert_eq!(&chunk["usage"], &whole["usage"]);
                }
            }
            prop_assert_eq!(&folded, &whole["choices"][0]["text"]);
            prop_assert_eq!(&last, &whole["choices"][0]["finish_reason"]);
        }
    }
}
