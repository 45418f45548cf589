use std::ops::ControlFlow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::translate::frames::{self, Frame};
use crate::translate::from_backend::ReadAnswer;
use crate::translate::piece::{Done, Timings};
use crate::wire::Usage;

const OCCASION: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 3 };
const NOW: Timestamp = Timestamp::from_micros(1000);

/// What comes of a stream whose bytes come in these parts.
fn read_parts(parts: &[&[u8]]) -> (Vec<Piece>, Result<(), Broken>) {
    let mut reader = Reader::new(OCCASION);
    let mut frames = frames::Reader::new(reader.framing());
    let (mut pieces, mut read) = (Vec::new(), Ok(()));
    let mut each = |frame: Frame<'_>| {
        if read.is_ok() {
            read = reader.frame(frame, NOW, &mut pieces);
        }
        let is_done = pieces.last().is_some_and(|piece: &Piece| piece.done.is_some());
        if read.is_err() || is_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    for part in parts {
        frames.push(part, &mut each).unwrap();
    }
    frames.finish(&mut each);
    if read.is_ok() && pieces.iter().all(|piece| piece.done.is_none()) {
        read = reader.end(NOW, &mut pieces);
    }
    (pieces, read)
}

fn read(stream: &str) -> (Vec<Piece>, Result<(), Broken>) {
    read_parts(&[stream.as_bytes()])
}

/// A complete stream as one piece.
fn folded(stream: &str) -> Piece {
    let (pieces, read) = read(stream);
    read.unwrap();
    let mut whole = Piece::default();
    for piece in pieces {
        whole.append(piece);
    }
    whole
}

fn chunk(delta: &Value, reason: Option<&str>) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}))
}

fn end(whole: &Piece) -> Done {
    whole.done.clone().unwrap()
}

fn whole(body: &str) -> Result<Piece, Broken> {
    Reader::new(OCCASION).whole(body.as_bytes(), NOW)
}

const FINISH: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn each_chunk_that_says_something_is_a_piece_and_the_end_is_the_last() {
    let stream = [
        chunk(&json!({"role": "assistant", "content": ""}), None),
        chunk(&json!({"content": "He"}), None),
        chunk(&json!({"content": "llo"}), None),
        FINISH.to_owned(),
        USAGE.to_owned(),
        DONE.to_owned(),
    ];
    let (pieces, read) = read(&stream.concat());
    assert_eq!(read, Ok(()));
    let text = |content: &str| Piece { content: content.to_owned(), ..Piece::default() };
    let done = Done {
        reason: Some("stop".to_owned()),
        usage: Usage { prompt: Some(3), completion: Some(2) },
        timings: Timings { total: Some(1_000_000), ..Timings::default() },
    };
    let last = Piece { done: Some(done), ..Piece::default() };
    assert_eq!(pieces, [text("He"), text("llo"), last]);
}

#[test]
fn the_usage_may_be_in_the_chunk_that_finishes_or_behind_it() {
    let finish = json!({
        "choices": [{"delta": {}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    });
    for stream in
        [format!("data: {finish}\n\n{DONE}"), format!("{FINISH}{USAGE}{DONE}"), format!("{FINISH}{USAGE}")]
    {
        assert_eq!(end(&folded(&stream)).usage, Usage { prompt: Some(3), completion: Some(2) }, "{stream}");
    }
}

#[test]
fn a_stream_is_complete_by_its_reason_or_by_its_last_line() {
    let hello = chunk(&json!({"content": "hello"}), None);
    assert_eq!(end(&folded(&format!("{hello}{FINISH}"))).reason.as_deref(), Some("stop"));
    let unreasoned = folded(&format!("{hello}{DONE}"));
    assert_eq!((unreasoned.content.as_str(), end(&unreasoned).reason), ("hello", None));
    for cut in [String::new(), hello.clone(), DONE.to_owned(), USAGE.to_owned(), format!("{USAGE}{DONE}")] {
        assert_eq!(read(&cut).1, Err(Broken::Ended), "{cut}");
    }
    assert_eq!(read(&hello).0.len(), 1);
}

#[test]
fn what_comes_behind_the_end_is_not_read() {
    let (pieces, read) = read(&format!("{FINISH}{DONE}data: nonsense\n\n"));
    assert_eq!((pieces.len(), read), (1, Ok(())));
}

#[test]
fn comments_and_other_line_ends_change_nothing() {
    let stream = format!("{}{FINISH}{USAGE}{DONE}", chunk(&json!({"content": "a"}), None));
    let commented = stream.replace("data: ", ": processing\n\ndata:");
    for end in ["\r\n", "\r"] {
        assert_eq!(folded(&stream.replace('\n', end)), folded(&stream));
    }
    assert_eq!(folded(&commented), folded(&stream));
}

#[test]
fn thinking_has_many_names_and_is_not_doubled() {
    for delta in [
        json!({"reasoning": "hm"}),
        json!({"reasoning_content": "hm", "content": null}),
        json!({"thinking": "hm"}),
        json!({"reasoning": "hm", "reasoning_content": "hm"}),
        json!({"reasoning": "", "reasoning_content": "hm"}),
    ] {
        let piece = folded(&format!("{}{FINISH}", chunk(&delta, None)));
        assert_eq!((piece.thinking.as_str(), piece.content.as_str()), ("hm", ""), "{delta}");
    }
}

#[test]
fn calls_are_held_back_until_they_are_whole_and_come_before_the_end() {
    let delta = |fragment: Value| chunk(&json!({ "tool_calls": [fragment] }), None);
    let mut stream = delta(json!({"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}));
    for byte in "{\"x\": 1}".chars() {
        stream.push_str(&delta(json!({"index": 0, "function": {"arguments": byte.to_string()}})));
    }
    stream.push_str(&chunk(&json!({}), Some("tool_calls")));
    stream.push_str(DONE);
    let (pieces, read) = read(&stream);
    assert_eq!((pieces.len(), read), (2, Ok(())));
    let [call] = &pieces[0].tool_calls[..] else { panic!("{pieces:?}") };
    assert_eq!((call.id.as_deref(), call.name.as_str()), (Some("call_1"), "f"));
    assert_eq!(Value::Object(call.arguments.clone()), json!({"x": 1}));
    assert_eq!(end(&pieces[1]).reason.as_deref(), Some("stop"));
}

#[test]
fn a_call_that_is_cut_off_is_an_error_behind_what_came_before() {
    let call = json!({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]});
    let stream = format!("{}{}{FINISH}{DONE}", chunk(&json!({"content": "a"}), None), chunk(&call, None));
    let (pieces, read) = read(&stream);
    assert_eq!(pieces.len(), 1);
    assert!(matches!(&read, Err(Broken::Unreadable(why)) if why.contains("\"f\"")), "{read:?}");
}

#[test]
fn a_function_call_of_the_old_form_is_a_call() {
    let stream = [
        chunk(&json!({"function_call": {"name": "f", "arguments": "{\"x\""}}), None),
        chunk(&json!({"function_call": {"arguments": ":1}"}}), None),
        chunk(&json!({}), Some("function_call")),
    ];
    let piece = folded(&stream.concat());
    assert_eq!(piece.tool_calls[0].name, "f");
    assert_eq!(Value::Object(piece.tool_calls[0].arguments.clone()), json!({"x": 1}));
}

#[test]
fn log_probabilities_take_the_form_of_ollama() {
    let logprobs = json!({"content": [{
        "id": 7, "token": "a", "logprob": -0.5, "bytes": null,
        "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]}, {"token": "b", "logprob": -1, "rank": 2}],
    }], "refusal": null});
    let chunk = json!({"choices": [{"delta": {"content": "a"}, "logprobs": logprobs}]});
    let expected = json!({
        "token": "a", "logprob": -0.5,
        "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]}, {"token": "b", "logprob": -1}],
    });
    assert_eq!(folded(&format!("data: {chunk}\n\n{FINISH}")).logprobs, [expected]);
}

#[test]
fn errors_in_the_stream_are_the_backends_own() {
    let hello = chunk(&json!({"content": "hello"}), None);
    for error in [
        r#"data: {"error":{"message":"boom","type":"server_error"}}"#,
        r#"data: {"error":"boom"}"#,
        r#"data: {"object":"error","message":"boom","code":500}"#,
        "event: error\ndata: {\"message\":\"boom\"}",
        "event: error\ndata: boom",
    ] {
        let (pieces, read) = read(&format!("{hello}{error}\n\n{DONE}"));
        assert_eq!((pieces.len(), read), (1, Err(Broken::Reported("boom".to_owned()))), "{error}");
    }
    assert!(matches!(read("data: nonsense\n\n").1, Err(Broken::Unreadable(_))));
}

#[test]
fn a_whole_answer_is_one_piece_with_the_end() {
    let body = r#" {"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",
        "content":null,"reasoning_content":"hm","tool_calls":[
            {"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
            {"type":"function","function":{"name":"f","arguments":""}}
        ]},"logprobs":null,"finish_reason":"tool_calls"}],
        "usage":{"prompt_tokens":3,"completion_tokens":2},"timings":{"prompt_ms":1,"predicted_ms":2}} "#;
    let piece = whole(body).unwrap();
    assert_eq!((piece.content.as_str(), piece.thinking.as_str()), ("", "hm"));
    let ids: Vec<_> = piece.tool_calls.iter().map(|call| call.id.clone().unwrap()).collect();
    assert_eq!(ids, ["a".to_owned(), OCCASION.call(1)]);
    assert_eq!(Value::Object(piece.tool_calls[0].arguments.clone()), json!({"x": 1}));
    let timings =
        Timings { total: Some(1_000_000), load: None, prompt: Some(1_000_000), completion: Some(2_000_000) };
    let usage = Usage { prompt: Some(3), completion: Some(2) };
    assert_eq!(piece.done, Some(Done { reason: Some("stop".to_owned()), usage, timings }));
}

#[test]
fn a_refusal_of_the_model_is_what_it_says() {
    let body = r#"{"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}]}"#;
    assert_eq!(whole(body).unwrap().content, "No.");
    let delta = |text: &str| chunk(&json!({ "refusal": text }), None);
    let (pieces, _) = read(&format!("{}{}{DONE}", delta("N"), delta("o.")));
    let said: String = pieces.into_iter().map(|piece| piece.content).collect();
    assert_eq!(said, "No.");
}

#[test]
fn a_whole_answer_without_an_answer_cannot_be_read() {
    for body in ["", "[]", "{}", r#"{"choices":[]}"#, r#"{"choices":null}"#] {
        assert!(matches!(whole(body), Err(Broken::Unreadable(_))), "{body}");
    }
    assert_eq!(whole(r#"{"error":{"message":"boom"}}"#), Err(Broken::Reported("boom".to_owned())));
    assert_eq!(end(&whole(r#"{"choices":[{"message":{"content":"a"}}]}"#).unwrap()).reason, None);
}

/// Any of the things that a chunk may say.
fn any_chunk() -> impl Strategy<Value = String> {
    let delta = prop_oneof![
        "\\PC{0,6}".prop_map(|text| json!({ "content": text })),
        "\\PC{0,6}".prop_map(|text| json!({ "reasoning": text })),
        (0u8..3, "[a-z]{0,3}", "[{}\":a1]{0,3}").prop_map(|(index, name, arguments)| {
            json!({"tool_calls": [{"index": index, "function": {"name": name, "arguments": arguments}}]})
        }),
    ];
    (delta, proptest::option::of(prop_oneof![Just("stop"), Just("length")]))
        .prop_map(|(delta, reason)| chunk(&delta, reason))
}

proptest! {
    #[test]
    fn pieces_do_not_depend_on_how_the_bytes_come(chunks in proptest::collection::vec(any_chunk(), 0..6)) {
        let stream = format!("{}{DONE}", chunks.concat());
        let single: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        prop_assert_eq!(read_parts(&single), read(&stream));
    }

    #[test]
    fn a_stream_is_the_same_answer_as_a_whole_one(texts in proptest::collection::vec("\\PC{0,6}", 0..6), thought in "\\PC{0,6}") {
        let mut stream = chunk(&json!({ "reasoning": thought }), None);
        for text in &texts {
            stream.push_str(&chunk(&json!({ "content": text }), None));
        }
        stream.push_str(FINISH);
        let message = json!({"content": texts.concat(), "reasoning": thought});
        let body = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
        prop_assert_eq!(folded(&stream), whole(&body.to_string()).unwrap());
    }

    #[test]
    fn no_frame_makes_the_reader_panic(data in "\\PC{0,60}") {
        let _ = read(&format!("data: {data}\n\n"));
        let _ = whole(&data);
    }
}
