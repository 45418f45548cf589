use serde_json::json;

use super::*;

const OCCASION: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 7 };

fn read(frames: &[&str]) -> Result<Vec<Piece>, Broken> {
    let mut reader = Reader::new(OCCASION);
    let mut pieces = Vec::new();
    for frame in frames {
        let frame = Frame { event: "", data: frame.as_bytes() };
        reader.frame(frame, Timestamp::EPOCH, &mut pieces)?;
    }
    Ok(pieces)
}

fn one(frame: &str) -> Piece {
    read(&[frame]).unwrap().remove(0)
}

#[test]
fn a_chat_says_content_thinking_and_when() {
    let piece = one(concat!(
        r#"{"model":"m","created_at":"2026-01-02T03:04:05.123456789Z","message":{"role":"assistant","#,
        r#""content":"He","thinking":"hm","images":null},"done":false,"remote_host":"x","unknown":{"a":[1]}}"#
    ));
    assert_eq!(
        piece,
        Piece {
            created: Some("2026-01-02T03:04:05.123456Z".parse().unwrap()),
            content: "He".to_owned(),
            thinking: "hm".to_owned(),
            ..Piece::default()
        }
    );
}

#[test]
fn a_completion_says_the_same_at_the_top_level() {
    let piece = one(concat!(
        r#"{"response":"4","thinking":"hm","done":false,"#,
        r#""tool_calls":[{"id":"call_1","function":{"index":0,"name":"f","arguments":{"a":1}}}]}"#
    ));
    assert_eq!((piece.content.as_str(), piece.thinking.as_str()), ("4", "hm"));
    assert_eq!(piece.tool_calls[0].name, "f");
    assert_eq!(piece.created, None);
}

#[test]
fn the_end_has_its_reason_counts_and_times() {
    let piece = one(concat!(
        r#"{"message":{"role":"assistant","content":""},"done":true,"done_reason":"length","total_duration":50,"#,
        r#""load_duration":10,"prompt_eval_count":11,"prompt_eval_duration":1,"eval_count":7,"eval_duration":2}"#
    ));
    let done = Done {
        reason: Some("length".to_owned()),
        usage: Usage { prompt: Some(11), completion: Some(7) },
        timings: Timings { total: Some(50), load: Some(10), prompt: Some(1), completion: Some(2) },
    };
    assert_eq!(piece, Piece { done: Some(done), ..Piece::default() });
}

#[test]
fn what_the_end_does_not_say_is_not_made_up() {
    let done =
        one(r#"{"response":"","done":true,"done_reason":"","eval_count":-1,"eval_duration":1.5}"#).done;
    assert_eq!(done, Some(Done::default()));
}

#[test]
fn calls_keep_their_ids_and_get_one_if_they_have_none() {
    let first =
        r#"{"message":{"tool_calls":[{"id":"call_a","function":{"name":"f","arguments":{"b":1,"a":2.0}}}]}}"#;
    let second = concat!(
        r#"{"message":{"tool_calls":[{"function":{"name":"g","arguments":null}},"#,
        r#"{"id":"","function":{"name":"h"}}]}}"#
    );
    let pieces = read(&[first, second]).unwrap();
    let calls: Vec<_> = pieces.into_iter().flat_map(|piece| piece.tool_calls).collect();
    let ids: Vec<_> = calls.iter().map(|call| call.id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["call_a", &OCCASION.call(1), &OCCASION.call(2)]);
    assert_eq!(serde_json::to_string(&calls[0].arguments).unwrap(), r#"{"b":1,"a":2.0}"#);
    assert!(calls[1].arguments.is_empty() && calls[2].arguments.is_empty());
}

#[test]
fn log_probabilities_pass_as_they_are() {
    let piece = one(r#"{"response":"He","logprobs":[{"token":"He","logprob":-0.5,"bytes":[72,101]}]}"#);
    assert_eq!(piece.logprobs, [json!({"token": "He", "logprob": -0.5, "bytes": [72, 101]})]);
}

#[test]
fn an_error_is_reported_in_the_backends_words() {
    for (frame, words) in [
        (r#"{"error":"boom"}"#, "boom"),
        (r#"{"error":"boom","message":{"content":"x"},"done":true}"#, "boom"),
        (r#"{"error":{"message":"boom","type":"api_error"}}"#, "boom"),
        (r#"{"error":""}"#, "an error without words"),
        (r#"{"error":7}"#, "an error without words"),
    ] {
        assert_eq!(read(&[frame]), Err(Broken::Reported(words.to_owned())), "{frame}");
    }
    assert_eq!(one(r#"{"error":null,"response":"x"}"#).content, "x");
}

#[test]
fn what_is_no_object_of_the_api_cannot_be_read() {
    let deep = format!(
        r#"{{"message":{{"tool_calls":[{{"function":{{"name":"f","arguments":{{"a":{}{}}}}}}}]}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for frame in [
        "[]",
        "7",
        "{",
        "{}x",
        "{} {}",
        r#"{"message":"x"}"#,
        r#"{"message":{"content":["x"]}}"#,
        r#"{"response":7}"#,
        r#"{"done":"true"}"#,
        r#"{"message":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}"#,
        r#"{"message":{"tool_calls":[{"function":{}}]}}"#,
        r#"{"message":{"tool_calls":[{}]}}"#,
        &deep,
    ] {
        assert!(matches!(read(&[frame]), Err(Broken::Unreadable(_))), "{}", &frame[..frame.len().min(80)]);
    }
}

#[test]
fn nesting_in_what_nobody_reads_does_no_harm() {
    let frame = format!(r#"{{"unknown":{}{},"response":"x"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(one(&frame).content, "x");
}

#[test]
fn an_answer_is_whole_only_with_its_end() {
    let whole = |body: &str| Reader::new(OCCASION).whole(body.as_bytes(), Timestamp::EPOCH);
    assert_eq!(whole("{\"response\":\"4\",\"done\":true}\n").unwrap().content, "4");
    assert_eq!(whole(r#"{"response":"4","done":false}"#), Err(Broken::Ended));
    assert_eq!(whole("{}"), Err(Broken::Ended));
    assert!(matches!(whole(""), Err(Broken::Unreadable(_))));
    assert_eq!(Reader::new(OCCASION).end(Timestamp::EPOCH, &mut Vec::new()), Err(Broken::Ended));
}
