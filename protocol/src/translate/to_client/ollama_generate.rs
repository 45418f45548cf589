//! Writes the answers of `POST /api/generate`.

use serde::Serialize;
use serde_json::Value;

use super::WriteAnswer;
use super::ollama::{self, End};
use crate::time::Timestamp;
use crate::translate::Occasion;
use crate::translate::completion::Completion;
use crate::translate::piece::Piece;

/// What the answer repeats of the request.
#[derive(Clone, Debug, Default)]
pub(in crate::translate) struct Echo {
    pub(in crate::translate) model: String,
}

/// Writes one answer. Tool calls are none of it: no tools can be given to `/api/generate`.
#[derive(Debug)]
pub(in crate::translate) struct Writer {
    echo: Echo,
    occasion: Occasion,
}

/// One object of an answer.
#[derive(Serialize)]
struct Object<'a> {
    model: &'a str,
    created_at: Timestamp,
    response: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    #[serde(flatten)]
    end: End,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    logprobs: &'a [Value],
}

// === impl Writer ===

impl Writer {
    pub(in crate::translate) fn new(echo: Echo, occasion: Occasion) -> Self {
        Self { echo, occasion }
    }

    fn object<'a>(&'a self, piece: &'a Piece, now: Timestamp) -> Object<'a> {
        Object {
            model: &self.echo.model,
            created_at: now,
            response: &piece.content,
            thinking: &piece.thinking,
            end: End::of(piece.done.as_ref(), self.occasion, now),
            logprobs: &piece.logprobs,
        }
    }
}

impl WriteAnswer for Writer {
    fn piece(&mut self, piece: Piece, now: Timestamp, out: &mut Vec<u8>) {
        let says = !piece.content.is_empty() || !piece.thinking.is_empty() || !piece.logprobs.is_empty();
        if says || piece.done.is_some() {
            ollama::write_line(&self.object(&piece, now), out);
        }
    }

    fn error(&mut self, message: &str, out: &mut Vec<u8>) {
        ollama::write_error(message, out);
    }

    fn whole(&mut self, piece: Piece, now: Timestamp) -> Vec<u8> {
        ollama::to_vec(&self.object(&piece, now))
    }
}

/// The answer to a request that only loads or unloads the model.
pub(in crate::translate) fn loaded(echo: &Echo, completion: &Completion, occasion: Occasion) -> Vec<u8> {
    ollama::to_vec(&Object {
        model: &echo.model,
        created_at: occasion.now,
        response: "",
        thinking: "",
        end: End::of_load(completion.keep_alive.as_ref()),
        logprobs: &[],
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::translate::piece::Done;
    use crate::wire::Usage;

    const START: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 1 };
    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn echo() -> Echo {
        Echo { model: "M".to_owned() }
    }

    fn lines(pieces: Vec<Piece>) -> Vec<Value> {
        let (mut writer, mut out) = (Writer::new(echo(), START), Vec::new());
        for piece in pieces {
            writer.piece(piece, NOW, &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_stream_is_objects_by_line_and_the_last_one_is_done() {
        let usage = Usage { prompt: Some(3), completion: Some(2) };
        let done = Done { reason: Some("length".to_owned()), usage, ..Done::default() };
        let written = lines(vec![
            Piece { thinking: "hm".to_owned(), ..Piece::default() },
            Piece::default(),
            Piece { content: "a".to_owned(), done: Some(done), ..Piece::default() },
        ]);
        let created_at = "1970-01-01T00:00:01.000000Z";
        assert_eq!(
            written,
            [
                json!({"model": "M", "created_at": created_at, "response": "", "thinking": "hm", "done": false}),
                json!({"model": "M", "created_at": created_at, "response": "a", "done": true, "done_reason": "length",
                    "total_duration": 1_000_000_000, "prompt_eval_count": 3, "eval_count": 2}),
            ]
        );
    }

    #[test]
    fn loading_is_one_object() {
        let load: Value = serde_json::from_slice(&loaded(&echo(), &Completion::default(), START)).unwrap();
        assert_eq!(
            load,
            json!({"model": "M", "created_at": "1970-01-01T00:00:00.000000Z", "response": "", "done": true,
                "done_reason": "load"})
        );
        let completion = Completion { keep_alive: Some(json!("0s")), ..Completion::default() };
        let unload: Value = serde_json::from_slice(&loaded(&echo(), &completion, START)).unwrap();
        assert_eq!(unload["done_reason"], "unload");
    }

    proptest! {
        #[test]
        fn the_lines_of_a_stream_together_are_the_whole_answer(
            texts in proptest::collection::vec(("[a\n\"]{0,4}", "[b\n]{0,3}", 0..3_usize), 0..6)
        ) {
            let mut pieces: Vec<Piece> = texts
                .into_iter()
                .map(|(content, thinking, tokens)| Piece {
                    content,
                    thinking,
                    logprobs: vec![json!({"token": "t"}); tokens],
                    ..Piece::default()
                })
                .collect();
            pieces.push(Piece { done: Some(Done::default()), ..Piece::default() });
            let mut piece = Piece::default();
            pieces.iter().cloned().for_each(|next| piece.append(next));
            let whole = Writer::new(echo(), START).whole(piece, NOW);
            let whole: Value = serde_json::from_slice(&whole).unwrap();

            let written = lines(pieces);
            let join = |field: &str| written.iter().filter_map(|line| line[field].as_str()).collect::<String>();
            prop_assert_eq!(join("response"), whole["response"].as_str().unwrap());
            prop_assert_eq!(join("thinking"), whole["thinking"].as_str().unwrap_or_default());
            let tokens: usize = written.iter().filter_map(|line| line["logprobs"].as_array()).map(Vec::len).sum();
            prop_assert_eq!(tokens, whole["logprobs"].as_array().map_or(0, Vec::len));
            let done: Vec<bool> = written.iter().map(|line| line["done"] == true).collect();
            prop_assert_eq!(done.iter().position(|done| *done), Some(written.len() - 1));
        }
    }
}
