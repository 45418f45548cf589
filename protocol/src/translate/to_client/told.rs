//! Answers for the tests of the writers.

use serde_json::Value;

use super::WriteAnswer;
use crate::time::Timestamp;
use crate::translate::chat::ToolCall;
use crate::translate::piece::{Done, Piece};
use crate::wire::Usage;

pub(super) fn text(content: &str) -> Piece {
    Piece { content: content.to_owned(), ..Piece::default() }
}

pub(super) fn thinking(thinking: &str) -> Piece {
    Piece { thinking: thinking.to_owned(), ..Piece::default() }
}

pub(super) fn call(id: Option<&str>, arguments: Value) -> Piece {
    let Value::Object(arguments) = arguments else { panic!("no object") };
    let call = ToolCall { id: id.map(str::to_owned), name: "f".to_owned(), arguments, ..ToolCall::default() };
    Piece { tool_calls: vec![call], ..Piece::default() }
}

pub(super) fn done(reason: &str) -> Piece {
    let usage = Usage { prompt: Some(11), completion: Some(7) };
    Piece {
        done: Some(Done { reason: Some(reason.to_owned()), usage, ..Done::default() }),
        ..Piece::default()
    }
}

/// What a writer makes of a stream of pieces.
pub(super) fn stream(writer: &mut impl WriteAnswer, pieces: &[Piece], now: Timestamp) -> String {
    let mut out = Vec::new();
    for piece in pieces {
        writer.piece(piece.clone(), now, &mut out);
    }
    String::from_utf8(out).unwrap()
}
