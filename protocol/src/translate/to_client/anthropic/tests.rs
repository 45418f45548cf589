use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::translate::to_client::told::{self, call, done, text, thinking};
use crate::wire::{Ending, StreamWatch};

const NOW: Timestamp = Timestamp::EPOCH;

fn writer() -> Writer {
    Writer::new(Echo { model: "m".to_owned(), input_tokens: 3 }, Occasion { now: NOW, nonce: 7 })
}

fn stream(pieces: &[Piece]) -> String {
    told::stream(&mut writer(), pieces, NOW)
}

fn whole(pieces: &[Piece]) -> Value {
    let mut piece = Piece::default();
    for next in pieces {
        piece.append(next.clone());
    }
    serde_json::from_slice(&writer().whole(piece, NOW)).unwrap()
}

/// What the official SDK makes of a stream: its accumulated message.
fn folded(stream: &str) -> Value {
    let mut message = Value::Null;
    for frame in stream.split_terminator("\n\n") {
        let (name, data) = frame.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(event["type"], name);
        match name {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let blocks = message["content"].as_array_mut().unwrap();
                assert_eq!(event["index"], blocks.len());
                blocks.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let delta = &event["delta"];
                let block = message["content"].as_array_mut().unwrap().last_mut().unwrap();
                let mut append = |name: &str| {
                    let text = block[name].as_str().unwrap().to_owned() + delta[name].as_str().unwrap();
                    block[name] = text.into();
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => append("text"),
                    "thinking_delta" => append("thinking"),
                    _ => {
                        let arguments = delta["partial_json"].as_str().unwrap();
                        block["input"] = serde_json::from_str(arguments).unwrap();
                    }
                }
            }
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["usage"] = event["usage"].clone();
            }
            _ => {}
        }
    }
    message
}

#[test]
fn a_stream_has_the_frames_that_ollama_writes() {
    let id = writer().message_id();
    let expected = [
        &format!(
            r#"event: message_start
data: {{"type":"message_start","message":{{"id":"{id}","type":"message","role":"assistant","model":"m","content":[],"usage":{{"input_tokens":3,"output_tokens":0}}}}}}"#
        ),
        r#"event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"He"}}"#,
        r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"llo"}}"#,
        r#"event: content_block_stop
data: {"type":"content_block_stop","index":0}"#,
        r#"event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":11,"output_tokens":7}}"#,
        r#"event: message_stop
data: {"type":"message_stop"}"#,
        "",
    ];
    assert_eq!(stream(&[text("He"), text("llo"), done("stop")]), expected.join("\n\n"));
}

#[test]
fn thoughts_text_and_calls_are_blocks_with_a_rising_index() {
    let stream =
        stream(&[thinking("hm"), text("a"), call(Some("call_1"), json!({"b": 1, "a": 2.5})), done("stop")]);
    let starts: Vec<&str> = stream.lines().filter(|line| line.contains("content_block_start\"")).collect();
    assert_eq!(
        starts,
        [
            r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
            r#"data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
            r#"data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"call_1","name":"f","input":{}}}"#,
        ]
    );
    assert!(
        stream.contains(r#"{"type":"input_json_delta","partial_json":"{\"b\":1,\"a\":2.5}"}"#),
        "{stream}"
    );
    assert!(stream.contains(r#""delta":{"stop_reason":"tool_use"}"#));
    let stops = stream.matches("event: content_block_stop").count();
    assert_eq!(stops, 3);
}

#[test]
fn a_whole_answer_is_one_message() {
    let message = whole(&[thinking("hmm"), text("Hello"), done("stop")]);
    let id = writer().message_id();
    assert!(id.len() == 28 && id.starts_with("msg_"));
    assert_eq!(
        message.to_string(),
        json!({"id": id, "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "thinking", "thinking": "hmm"}, {"type": "text", "text": "Hello"}],
            "stop_reason": "end_turn", "usage": {"input_tokens": 11, "output_tokens": 7}})
        .to_string()
    );
}

#[test]
fn an_empty_answer_has_an_empty_content() {
    assert_eq!(whole(&[done("stop")])["content"], json!([]));
    let stream = stream(&[done("stop")]);
    assert_eq!(stream.matches("event: ").count(), 3);
    assert!(
        stream.contains(r#""content":[],"usage":{"input_tokens":11,"#),
        "counted before it starts: {stream}"
    );
}

#[test]
fn reasons_are_anthropics() {
    for (reason, expected) in [
        ("stop", "end_turn"),
        ("load", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("eos", "stop_sequence"),
    ] {
        assert_eq!(whole(&[text("x"), done(reason)])["stop_reason"], expected);
    }
    assert_eq!(whole(&[call(None, json!({})), done("length")])["stop_reason"], "tool_use");
    assert_eq!(whole(&[text("x"), done("")]).get("stop_reason"), None);
}

#[test]
fn a_call_without_an_id_gets_one_and_each_another() {
    let pieces = [call(None, json!({})), call(Some(""), json!({})), done("stop")];
    let whole = whole(&pieces);
    let id = |index: usize| whole["content"][index]["id"].as_str().unwrap();
    assert!(id(0).starts_with("toolu_") && id(0).len() == 30);
    assert_ne!(id(0), id(1));
    assert_eq!(folded(&stream(&pieces))["content"], whole["content"]);
}

#[test]
fn a_broken_stream_ends_with_an_error_event() {
    let (mut writer, mut out) = (writer(), Vec::new());
    writer.piece(text("He"), NOW, &mut out);
    writer.error("boom", &mut out);
    let mut watch = StreamWatch::new(StreamFormat::AnthropicMessages);
    watch.push(&out);
    assert_eq!(watch.ending(), Ending::Failed);
    let stream = String::from_utf8(out).unwrap();
    let frame = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"boom\"}}\n\n";
    assert!(stream.ends_with(frame), "{stream}");
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        "\\PC{0,5}".prop_map(|content| text(&content)),
        "\\PC{0,5}".prop_map(|thought| thinking(&thought)),
        proptest::option::of("[a-z]{0,3}").prop_map(|id| call(id.as_deref(), json!({"k": "v"}))),
    ];
    proptest::collection::vec(piece, 0..8)
}

proptest! {
    #[test]
    fn the_fold_of_a_stream_is_the_whole_answer(
        mut pieces in pieces(), reason in "stop|length|content_filter",
    ) {
        pieces.push(done(&reason));
        let stream = stream(&pieces);
        let (folded, whole) = (folded(&stream), whole(&pieces));
        for name in ["id", "type", "role", "model", "stop_reason", "usage"] {
            prop_assert_eq!(&folded[name], &whole[name]);
        }
        // In a stream, thoughts and texts may take turns: a whole answer has one of each.
        for (kind, member) in [("thinking", "thinking"), ("text", "text")] {
            let all = |message: &Value| -> String {
                let blocks = message["content"].as_array().unwrap().iter().filter(|block| block["type"] == kind);
                blocks.map(|block| block[member].as_str().unwrap()).collect()
            };
            prop_assert_eq!(all(&folded), all(&whole));
        }
        let calls = |message: &Value| -> Vec<Value> {
            let blocks = message["content"].as_array().unwrap().iter();
            blocks.filter(|block| block["type"] == "tool_use").cloned().collect()
        };
        prop_assert_eq!(calls(&folded), calls(&whole));
        let mut watch = StreamWatch::new(StreamFormat::AnthropicMessages);
        watch.push(stream.as_bytes());
        prop_assert_eq!(watch.ending(), Ending::Complete);
    }
}
