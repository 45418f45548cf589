//! Writes the answers of `POST /api/chat`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::WriteAnswer;
use super::ollama::{self, End};
use crate::time::Timestamp;
use crate::translate::Occasion;
use crate::translate::chat::{Chat, ToolCall};
use crate::translate::piece::Piece;

/// What the answer repeats of the request.
#[derive(Clone, Debug, Default)]
pub(in crate::translate) struct Echo {
    pub(in crate::translate) model: String,
}

/// Writes one answer.
#[derive(Debug)]
pub(in crate::translate) struct Writer {
    echo: Echo,
    occasion: Occasion,
    /// Tool calls so far.
    calls: u32,
}

/// One object of an answer.
#[derive(Serialize)]
struct Object<'a> {
    model: &'a str,
    created_at: Timestamp,
    message: Message<'a>,
    #[serde(flatten)]
    end: End,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    logprobs: &'a [Value],
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: String,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    index: u32,
    name: &'a str,
    arguments: &'a Map<String, Value>,
}

// === impl Writer ===

impl Writer {
    pub(in crate::translate) fn new(echo: Echo, occasion: Occasion) -> Self {
        Self { echo, occasion, calls: 0 }
    }

    fn object<'a>(&'a mut self, piece: &'a Piece, now: Timestamp) -> Object<'a> {
        let tool_calls = piece.tool_calls.iter().map(|call| self.call(call)).collect();
        Object {
            model: &self.echo.model,
            created_at: now,
            message: Message {
                role: "assistant",
                content: &piece.content,
                thinking: &piece.thinking,
                tool_calls,
            },
            end: End::of(piece.done.as_ref(), self.occasion, now),
            logprobs: &piece.logprobs,
        }
    }

    fn call<'a>(&mut self, call: &'a ToolCall) -> Call<'a> {
        let index = call.place(&mut self.calls);
        Call {
            id: call.id.clone().unwrap_or_else(|| self.occasion.call(index)),
            function: Function { index, name: &call.name, arguments: &call.arguments },
        }
    }
}

impl WriteAnswer for Writer {
    fn piece(&mut self, piece: Piece, now: Timestamp, out: &mut Vec<u8>) {
        if !piece.is_silent() || piece.done.is_some() {
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
pub(in crate::translate) fn loaded(echo: &Echo, chat: &Chat, occasion: Occasion) -> Vec<u8> {
    ollama::to_vec(&Object {
        model: &echo.model,
        created_at: occasion.now,
        message: Message { role: "assistant", content: "", thinking: "", tool_calls: Vec::new() },
        end: End::of_load(chat.keep_alive.as_ref()),
        logprobs: &[],
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::translate::piece::Done;

    const START: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 1 };
    const NOW: Timestamp = Timestamp::from_micros(1_759_944_278_120_000);

    fn writer() -> Writer {
        Writer::new(Echo { model: "M".to_owned() }, START)
    }

    fn lines(pieces: Vec<Piece>) -> Vec<Value> {
        let (mut writer, mut out) = (writer(), Vec::new());
        for piece in pieces {
            writer.piece(piece, NOW, &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn call(id: Option<&str>, name: &str, arguments: &Value) -> ToolCall {
        ToolCall {
            id: id.map(str::to_owned),
            name: name.to_owned(),
            arguments: arguments.as_object().unwrap().clone(),
            index: None,
        }
    }

    #[test]
    fn a_stream_is_objects_by_line_and_the_last_one_is_done() {
        let done = Done { reason: Some("stop".to_owned()), ..Done::default() };
        let written = lines(vec![
            Piece { thinking: "hm".to_owned(), ..Piece::default() },
            Piece::default(),
            Piece {
                content: "two\nlines".to_owned(),
                logprobs: vec![json!({"token": "a"})],
                ..Piece::default()
            },
            Piece { done: Some(done), ..Piece::default() },
        ]);
        let created_at = "2025-10-08T17:24:38.120000Z";
        assert_eq!(
            written,
            [
                json!({"model": "M", "created_at": created_at, "done": false,
                    "message": {"role": "assistant", "content": "", "thinking": "hm"}}),
                json!({"model": "M", "created_at": created_at, "done": false, "logprobs": [{"token": "a"}],
                    "message": {"role": "assistant", "content": "two\nlines"}}),
                json!({"model": "M", "created_at": created_at, "done": true, "done_reason": "stop",
                    "message": {"role": "assistant", "content": ""}, "total_duration": 1_759_944_278_120_000_000_u64}),
            ]
        );
    }

    #[test]
    fn calls_are_counted_over_the_answer_and_those_without_an_id_get_one() {
        let first = vec![call(Some("call_x"), "f", &json!({"z": 1, "a": 2}))];
        let second = vec![call(None, "g", &json!({})), call(None, "h", &json!({}))];
        let written = lines(vec![
            Piece { tool_calls: first, ..Piece::default() },
            Piece { tool_calls: second, done: Some(Done::default()), ..Piece::default() },
        ]);
        assert_eq!(
            written[0]["message"]["tool_calls"].to_string(),
            r#"[{"id":"call_x","function":{"index":0,"name":"f","arguments":{"z":1,"a":2}}}]"#
        );
        let calls = &written[1]["message"]["tool_calls"];
        assert_eq!(
            calls[0],
            json!({"id": START.call(1), "function": {"index": 1, "name": "g", "arguments": {}}})
        );
        assert_eq!(calls[1]["id"], START.call(2));
        assert_eq!(written[1]["done"], true);
    }

    #[test]
    fn a_broken_stream_ends_with_an_error_line() {
        let mut out = Vec::new();
        writer().error("gone", &mut out);
        assert_eq!(out, b"{\"error\":\"gone\"}\n");
    }

    #[test]
    fn loading_is_one_object() {
        let echo = Echo { model: "M".to_owned() };
        let load: Value = serde_json::from_slice(&loaded(&echo, &Chat::default(), START)).unwrap();
        assert_eq!(
            load,
            json!({"model": "M", "created_at": "1970-01-01T00:00:00.000000Z", "done": true, "done_reason": "load",
                "message": {"role": "assistant", "content": ""}})
        );
        let chat = Chat { keep_alive: Some(json!(0)), ..Chat::default() };
        let unload: Value = serde_json::from_slice(&loaded(&echo, &chat, START)).unwrap();
        assert_eq!(unload["done_reason"], "unload");
    }

    fn any_piece() -> impl Strategy<Value = Piece> {
        let calls = proptest::collection::vec(proptest::option::of("call_[a-z]{3}"), 0..3);
        ("[a\n\u{e9}\"]{0,4}", "[b\r\n]{0,3}", calls, 0..3_usize).prop_map(
            |(content, thinking, ids, tokens)| Piece {
                content,
                thinking,
                tool_calls: ids.iter().map(|id| call(id.as_deref(), "f", &json!({"a": 1}))).collect(),
                logprobs: vec![json!({"token": "t", "logprob": -0.5}); tokens],
                ..Piece::default()
            },
        )
    }

    proptest! {
        #[test]
        fn the_lines_of_a_stream_together_are_the_whole_answer(pieces in proptest::collection::vec(any_piece(), 0..6)) {
            let mut pieces = pieces;
            pieces.push(Piece { done: Some(Done::default()), ..Piece::default() });
            let mut piece = Piece::default();
            pieces.iter().cloned().for_each(|next| piece.append(next));
            let whole: Value = serde_json::from_slice(&writer().whole(piece, NOW)).unwrap();

            let written = lines(pieces);
            let join = |field: &str| {
                written.iter().filter_map(|line| line["message"][field].as_str()).collect::<String>()
            };
            let all = |read: fn(&Value) -> &Value| {
                written.iter().filter_map(|line| read(line).as_array()).flatten().cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(join("content"), whole["message"]["content"].as_str().unwrap());
            prop_assert_eq!(join("thinking"), whole["message"]["thinking"].as_str().unwrap_or_default());
            let calls = whole["message"]["tool_calls"].as_array().cloned().unwrap_or_default();
            prop_assert_eq!(all(|line| &line["message"]["tool_calls"]), calls);
            prop_assert_eq!(all(|line| &line["logprobs"]), whole["logprobs"].as_array().cloned().unwrap_or_default());
            let done: Vec<bool> = written.iter().map(|line| line["done"] == true).collect();
            prop_assert_eq!(done.iter().position(|done| *done), Some(written.len() - 1));
        }
    }
}
