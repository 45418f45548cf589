use serde_json::json;

use super::*;
use crate::translate::frames::Frame;
use crate::translate::from_backend::ReadAnswer;
use crate::wire::Usage;

const OCCASION: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 3 };

/// What comes of a stream of events with these data, each a millisecond after the one before.
fn read(events: &[&str]) -> (Vec<Piece>, Result<(), Broken>) {
    let mut reader = Reader::new(OCCASION);
    let mut pieces = Vec::new();
    for (millis, data) in (1..).zip(events) {
        let frame = Frame { event: "", data: data.as_bytes() };
        let read = reader.frame(frame, Timestamp::from_micros(millis * 1000), &mut pieces);
        if read.is_err() || pieces.last().is_some_and(|piece| piece.done.is_some()) {
            return (pieces, read);
        }
    }
    let read = reader.end(Timestamp::from_micros(9000), &mut pieces);
    (pieces, read)
}

fn logprobs(logprobs: &Value) -> Vec<Value> {
    let body = json!({"choices": [{"text": "ab", "logprobs": logprobs}]}).to_string();
    Reader::new(OCCASION).whole(body.as_bytes(), OCCASION.now).unwrap().logprobs
}

const A: &str = r#"{"choices":[{"text":"a","index":0,"finish_reason":null}]}"#;
const FINISH: &str = r#"{"choices":[{"text":"","finish_reason":"length"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;

#[test]
fn texts_are_pieces_and_the_end_waits_for_the_usage() {
    let (pieces, read) = read(&[A, A, FINISH, USAGE, "[DONE]", "nonsense"]);
    assert_eq!(read, Ok(()));
    let [first, second, last] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!((first.content.as_str(), second.content.as_str(), last.content.as_str()), ("a", "a", ""));
    let done = last.done.as_ref().unwrap();
    assert_eq!(done.reason.as_deref(), Some("length"));
    assert_eq!(done.usage, Usage { prompt: Some(3), completion: Some(2) });
    let (timings, millis) = (done.timings, 1_000_000);
    assert_eq!(
        (timings.total, timings.prompt, timings.completion),
        (Some(5 * millis), Some(millis), Some(millis))
    );
}

#[test]
fn a_stream_is_complete_by_its_reason_or_by_its_last_line() {
    assert_eq!(read(&[A, FINISH]).1, Ok(()));
    assert_eq!(read(&[A, "[DONE]"]).1, Ok(()));
    for cut in [&[][..], &[A], &["[DONE]"], &[USAGE, "[DONE]"]] {
        assert_eq!(read(cut).1, Err(Broken::Ended), "{cut:?}");
    }
}

#[test]
fn errors_in_the_stream_are_the_backends_own() {
    let (pieces, failed) = read(&[A, r#"{"error":{"message":"boom"}}"#, "[DONE]"]);
    assert_eq!((pieces.len(), failed), (1, Err(Broken::Reported("boom".to_owned()))));
    let frame = Frame { event: "error", data: b"boom" };
    let failed = Reader::new(OCCASION).frame(frame, OCCASION.now, &mut Vec::new());
    assert_eq!(failed, Err(Broken::Reported("boom".to_owned())));
}

#[test]
fn a_whole_answer_is_one_piece_with_the_end() {
    let body = br#"{"object":"text_completion","choices":[{"text":"ab","index":0,"finish_reason":"stop"}],
        "usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let piece = Reader::new(OCCASION).whole(body, OCCASION.now).unwrap();
    let done = piece.done.unwrap();
    assert_eq!((piece.content.as_str(), done.reason.as_deref()), ("ab", Some("stop")));
    assert_eq!(done.usage, Usage { prompt: Some(3), completion: Some(2) });
    for body in ["", "{}", r#"{"choices":[]}"#] {
        let read = Reader::new(OCCASION).whole(body.as_bytes(), OCCASION.now);
        assert!(matches!(read, Err(Broken::Unreadable(_))), "{body}");
    }
}

#[test]
fn log_probabilities_in_columns_become_rows() {
    let columns = json!({
        "tokens": ["a", "b"], "token_logprobs": [null, -0.5], "text_offset": [0, 1],
        "top_logprobs": [null, {"c": -2, "b": -0.5, "d": null}],
    });
    let top = json!([{"token": "b", "logprob": -0.5}, {"token": "c", "logprob": -2}, {"token": "d"}]);
    let rows = [json!({"token": "a"}), json!({"token": "b", "logprob": -0.5, "top_logprobs": top})];
    assert_eq!(logprobs(&columns), rows);
    let row = json!({"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []});
    assert_eq!(logprobs(&json!({ "content": [row] })), [row]);
    for none in [json!(null), json!({}), json!({"tokens": null})] {
        assert!(logprobs(&none).is_empty(), "{none}");
    }
}
