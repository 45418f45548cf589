use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::wire::Usage;

const OCCASION: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 7 };
const CREATED: Timestamp = Timestamp::from_micros(1_767_323_045_123_456);
const NOW: Timestamp = Timestamp::from_micros(1_999_999_999_000_000);

fn writer(include_usage: bool) -> Writer {
    let echo = Echo { model: "llama3.2".to_owned(), include_usage };
    Writer { id: "chatcmpl-0123".to_owned(), ..Writer::new(echo, OCCASION) }
}

fn text(content: &str) -> Piece {
    Piece { created: Some(CREATED), content: content.to_owned(), ..Piece::default() }
}

fn thinking(thinking: &str) -> Piece {
    Piece { thinking: thinking.to_owned(), ..text("") }
}

fn call(id: Option<&str>) -> ToolCall {
    let arguments = json!({"city": "Paris", "n": 1}).as_object().unwrap().clone();
    ToolCall { id: id.map(str::to_owned), name: "get_weather".to_owned(), arguments, ..ToolCall::default() }
}

fn done(reason: &str) -> Piece {
    let usage = Usage { prompt: Some(11), completion: Some(7) };
    let done = Done { reason: Some(reason.to_owned()), usage, ..Done::default() };
    Piece { done: Some(done), ..text("") }
}

fn stream(mut writer: Writer, pieces: impl IntoIterator<Item = Piece>) -> String {
    let mut out = Vec::new();
    pieces.into_iter().for_each(|piece| writer.piece(piece, NOW, &mut out));
    String::from_utf8(out).unwrap()
}

fn whole(piece: Piece) -> String {
    String::from_utf8(writer(true).whole(piece, NOW)).unwrap()
}

/// What upstream writes for these chunks, given as what comes behind the fingerprint.
fn frames(chunks: &[&str]) -> String {
    let head = r#"data: {"id":"chatcmpl-0123","object":"chat.completion.chunk","created":1767323045,"model":"llama3.2","system_fingerprint":"fp_ollama","#;
    chunks.iter().map(|chunk| format!("{head}{chunk}}}\n\n")).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

/// One choice of a chunk, by its delta.
fn delta(delta: &str) -> String {
    format!(r#""choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]"#)
}

fn finish(reason: &str) -> String {
    format!(r#""choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]"#)
}

const CALL: &str = r#"[{"id":"call_aaaa1111","index":0,"type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Paris\",\"n\":1}"}}]"#;

#[test]
fn only_the_first_chunk_has_the_role_and_the_last_has_the_reason() {
    let pieces = [text("He"), text("llo"), done("stop")];
    let expected =
        [&delta(r#"{"role":"assistant","content":"He"}"#), &delta(r#"{"content":"llo"}"#), &finish("stop")];
    assert_eq!(stream(writer(false), pieces), frames(&expected.map(String::as_str)));
}

#[test]
fn a_last_piece_with_content_is_two_chunks_and_one_without_is_one() {
    let last = Piece { content: "llo".to_owned(), ..done("length") };
    let expected =
        [&delta(r#"{"role":"assistant","content":"He"}"#), &delta(r#"{"content":"llo"}"#), &finish("length")];
    assert_eq!(stream(writer(false), [text("He"), last]), frames(&expected.map(String::as_str)));
    let expected = [&delta(r#"{"role":"assistant","content":""}"#), &finish("stop")];
    assert_eq!(stream(writer(false), [done("load")]), frames(&expected.map(String::as_str)));
}

#[test]
fn thinking_is_reasoning_beside_an_empty_content() {
    let pieces = [thinking("hmm"), thinking(" ok"), text("Answer"), done("stop")];
    let expected = [
        &delta(r#"{"role":"assistant","content":"","reasoning":"hmm"}"#),
        &delta(r#"{"content":"","reasoning":" ok"}"#),
        &delta(r#"{"content":"Answer"}"#),
        &finish("stop"),
    ];
    assert_eq!(stream(writer(false), pieces), frames(&expected.map(String::as_str)));
}

#[test]
fn thinking_is_split_from_what_comes_behind_it() {
    let both =
        Piece { content: "Answer".to_owned(), logprobs: vec![json!({"token": "A"})], ..thinking("hmm") };
    let first = r#""choices":[{"index":0,"delta":{"role":"assistant","reasoning":"hmm"},"finish_reason":null,"logprobs":{"content":[{"token":"A"}]}}]"#;
    let expected = [first, &delta(r#"{"content":"Answer"}"#), &finish("stop")];
    assert_eq!(stream(writer(false), [both, done("stop")]), frames(&expected));
    let calls = Piece { tool_calls: vec![call(Some("call_aaaa1111"))], ..thinking("t") };
    let expected = [
        &delta(r#"{"role":"assistant","reasoning":"t"}"#),
        &delta(&format!(r#"{{"content":"","tool_calls":{CALL}}}"#)),
        &finish("tool_calls"),
    ];
    assert_eq!(stream(writer(false), [calls, done("stop")]), frames(&expected.map(String::as_str)));
}

#[test]
fn calls_change_a_stop_and_no_other_reason() {
    let calls = Piece { tool_calls: vec![call(Some("call_aaaa1111"))], ..text("") };
    let first = delta(&format!(r#"{{"role":"assistant","content":"","tool_calls":{CALL}}}"#));
    for (reason, expected) in
        [("stop", "tool_calls"), ("length", "length"), ("content_filter", "content_filter")]
    {
        let expected = frames(&[&first, &finish(expected)]);
        assert_eq!(stream(writer(false), [calls.clone(), done(reason)]), expected);
    }
}

#[test]
fn calls_are_numbered_through_the_stream_and_a_missing_id_is_made() {
    let calls =
        |ids: &[Option<&str>]| Piece { tool_calls: ids.iter().map(|id| call(*id)).collect(), ..text("") };
    let out = stream(writer(false), [calls(&[Some("a"), None]), calls(&[None]), done("stop")]);
    let seen: Vec<(String, u64)> = chunks(&out)
        .iter()
        .flat_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array().cloned().unwrap_or_default())
        .map(|call| (call["id"].as_str().unwrap().to_owned(), call["index"].as_u64().unwrap()))
        .collect();
    assert_eq!(seen, [("a".to_owned(), 0), (OCCASION.call(1), 1), (OCCASION.call(2), 2)]);
}

#[test]
fn logprobs_are_wrapped() {
    let logprobs = vec![json!({"token": "He", "logprob": -0.5, "bytes": [72, 101]})];
    let piece = Piece { logprobs, ..text("He") };
    let expected =
        r#""finish_reason":null,"logprobs":{"content":[{"token":"He","logprob":-0.5,"bytes":[72,101]}]}}]}"#;
    assert!(stream(writer(false), [piece.clone()]).contains(expected));
    let answer = whole(Piece { done: done("stop").done, ..piece });
    assert!(answer.contains(r#""finish_reason":"stop","logprobs":{"content":[{"token":"He""#), "{answer}");
}

#[test]
fn the_usage_is_a_chunk_of_its_own_if_it_is_wanted() {
    let usage = r#""choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}"#;
    let expected = [&delta(r#"{"role":"assistant","content":"He"}"#), &finish("stop"), usage];
    assert_eq!(stream(writer(true), [text("He"), done("stop")]), frames(&expected));
}

#[test]
fn the_time_is_that_of_the_first_piece() {
    let later = Piece { created: Some(NOW), ..text("llo") };
    assert!(
        chunks(&stream(writer(false), [text("He"), later]))
            .iter()
            .all(|chunk| chunk["created"] == 1_767_323_045)
    );
    let unknown = Piece { created: None, ..text("He") };
    assert_eq!(chunks(&stream(writer(false), [unknown]))[0]["created"], 1_999_999_999);
}

#[test]
fn a_whole_answer_is_upstreams() {
    let tool_calls = vec![call(Some("call_aaaa1111"))];
    let piece =
        Piece { content: "let me see".to_owned(), thinking: "hmm".to_owned(), tool_calls, ..done("stop") };
    let expected = format!(
        concat!(
            r#"{{"id":"chatcmpl-0123","object":"chat.completion","created":1767323045,"model":"llama3.2","#,
            r#""system_fingerprint":"fp_ollama","choices":[{{"index":0,"message":{{"role":"assistant","#,
            r#""content":"let me see","reasoning":"hmm","tool_calls":{}}},"finish_reason":"tool_calls"}}],"#,
            r#""usage":{{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}}}"#
        ),
        CALL
    );
    assert_eq!(whole(piece), expected);
}

#[test]
fn a_whole_answer_without_a_reason_or_counts_says_so() {
    let piece = Piece { done: Some(Done::default()), ..text("x") };
    let answer: Value = serde_json::from_str(&whole(piece)).unwrap();
    assert_eq!(answer["choices"][0]["finish_reason"], Value::Null);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}));
    assert_eq!(answer["choices"][0]["message"], json!({"role": "assistant", "content": "x"}));
}

#[test]
fn a_broken_stream_ends_with_an_error_and_without_done() {
    let (mut writer, mut out) = (writer(true), Vec::new());
    writer.piece(text("He"), NOW, &mut out);
    writer.error("it \"broke\"", &mut out);
    let out = String::from_utf8(out).unwrap();
    let error = r#"data: {"error":{"message":"it \"broke\"","type":"api_error","param":null,"code":null}}"#;
    assert!(out.ends_with(&format!("{error}\n\n")) && !out.contains("[DONE]"));
}

#[test]
fn ids_are_of_the_occasion() {
    let id = |nonce| Writer::new(Echo::default(), Occasion { nonce, ..OCCASION }).id;
    assert!(id(1).starts_with("chatcmpl-") && id(1).len() == 33);
    assert_ne!(id(1), id(2));
}

fn chunks(out: &str) -> Vec<Value> {
    let frames = out.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").unwrap());
    frames.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// What an SDK makes of the chunks: the message, and its choice's and answer's other members.
fn folded(chunks: &[Value]) -> Value {
    let mut message = Map::new();
    let mut answer = json!({"finish_reason": null, "logprobs": []});
    for chunk in chunks {
        if let Some(usage) = chunk.get("usage") {
            answer["usage"] = usage.clone();
        }
        let choice = &chunk["choices"][0];
        for (name, value) in choice["delta"].as_object().into_iter().flatten() {
            match (value, message.entry(name).or_insert(Value::Null)) {
                (Value::String(text), Value::String(sum)) => sum.push_str(text),
                (Value::Array(calls), Value::Array(sum)) => sum.extend(calls.iter().cloned()),
                (value, slot) => *slot = value.clone(),
            }
        }
        let logprobs = choice["logprobs"]["content"].as_array().cloned().unwrap_or_default();
        answer["logprobs"].as_array_mut().unwrap().extend(logprobs);
        if let Some(reason) = choice.get("finish_reason") {
            answer["finish_reason"] = reason.clone();
        }
    }
    // A stream may leave out what is empty.
    message.entry("content").or_insert_with(|| "".into());
    answer["message"] = message.into();
    answer
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let text = || prop_oneof![Just(String::new()), ".{1,4}"];
    let tool_call = proptest::option::of("[a-z]{1,4}").prop_map(|id| call(id.as_deref()));
    let piece = (
        text(),
        text(),
        proptest::collection::vec(tool_call, 0..2),
        proptest::collection::vec(any::<i8>().prop_map(|token| json!({ "logprob": token })), 0..2),
    );
    let piece = piece.prop_map(|(content, thinking, tool_calls, logprobs)| Piece {
        created: Some(CREATED),
        content,
        thinking,
        tool_calls,
        logprobs,
        done: None,
    });
    let reason = prop_oneof![Just("stop"), Just("length"), Just("load"), Just("content_filter")];
    (proptest::collection::vec(piece, 1..6), reason).prop_map(|(mut pieces, reason)| {
        if let Some(last) = pieces.last_mut() {
            last.done = done(reason).done;
        }
        pieces
    })
}

proptest! {
    #[test]
    fn the_fold_of_a_stream_is_the_whole_answer(pieces in pieces()) {
        let mut all = Piece::default();
        pieces.iter().cloned().for_each(|piece| all.append(piece));
        let whole: Value = serde_json::from_str(&whole(all)).unwrap();
        let choice = &whole["choices"][0];
        let logprobs = choice["logprobs"]["content"].as_array().cloned().unwrap_or_default();
        let expected = json!({
            "finish_reason": choice["finish_reason"], "logprobs": logprobs, "usage": whole["usage"],
            "message": choice["message"],
        });
        prop_assert_eq!(folded(&chunks(&stream(writer(true), pieces))), expected);
    }
}
