use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::translate::to_client::told::{self, call, done, text, thinking};
use crate::wire::{Ending, StreamFormat, StreamWatch};

const REQUESTED: Timestamp = Timestamp::from_micros(5_900_000);
const NOW: Timestamp = Timestamp::from_micros(7_900_000);

fn writer() -> Writer {
    let echo = Echo { model: "m".to_owned(), ..Echo::default() };
    Writer::new(echo, Occasion { now: REQUESTED, nonce: 7 })
}

fn stream(pieces: &[Piece]) -> String {
    told::stream(&mut writer(), pieces, NOW)
}

/// The events of a stream, whose names and numbers are right.
fn events(stream: &str) -> Vec<Value> {
    let frames = stream.split_terminator("\n\n").enumerate();
    frames
        .map(|(number, frame)| {
            let (name, data) = frame.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            let event: Value = serde_json::from_str(data).unwrap();
            assert_eq!((&event["type"], &event["sequence_number"]), (&json!(name), &json!(number)));
            event
        })
        .collect()
}

fn names(stream: &str) -> Vec<String> {
    events(stream)
        .iter()
        .map(|event| event["type"].as_str().unwrap()["response.".len()..].to_owned())
        .collect()
}

fn whole(pieces: &[Piece]) -> Value {
    let mut piece = Piece::default();
    for next in pieces {
        piece.append(next.clone());
    }
    serde_json::from_slice(&writer().whole(piece, NOW)).unwrap()
}

/// What a client makes of a stream: the output as the deltas tell it, and the response at the end.
fn folded(stream: &str) -> (Vec<Value>, Value) {
    let (mut output, mut response) = (Vec::new(), Value::Null);
    for event in events(stream) {
        let at = event["output_index"].as_u64().and_then(|at| usize::try_from(at).ok());
        let append = |text: &mut Value| {
            *text = (text.as_str().unwrap_or("").to_owned() + event["delta"].as_str().unwrap()).into();
        };
        match event["type"].as_str().unwrap() {
            "response.output_item.added" => {
                assert_eq!(at, Some(output.len()));
                output.push(event["item"].clone());
            }
            "response.content_part.added" => output[at.unwrap()]["content"] = json!([event["part"]]),
            "response.output_text.delta" => append(&mut output[at.unwrap()]["content"][0]["text"]),
            "response.function_call_arguments.delta" => append(&mut output[at.unwrap()]["arguments"]),
            "response.reasoning_summary_text.delta" => {
                let item = &mut output[at.unwrap()];
                append(&mut item["encrypted_content"]);
                item["summary"] = json!([{"type": "summary_text", "text": item["encrypted_content"]}]);
            }
            "response.output_item.done" => {
                let mut item = output[at.unwrap()].clone();
                if item["type"] != "reasoning" {
                    item["status"] = "completed".into();
                }
                assert_eq!(event["item"], item, "the item is what its deltas said");
                output[at.unwrap()] = item;
            }
            "response.completed" | "response.incomplete" => response = event["response"].clone(),
            _ => {}
        }
    }
    (output, response)
}

#[test]
fn a_stream_has_the_events_that_ollama_writes() {
    let stream = stream(&[thinking("t"), text("He"), Piece { content: "llo".to_owned(), ..done("stop") }]);
    assert_eq!(
        names(&stream),
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    let occasion = writer().occasion;
    let (rs, msg) = (occasion.hex("rs_", 0, 24), occasion.hex("msg_", 1, 24));
    let frames: Vec<&str> = stream.split("\n\n").collect();
    let created = format!(
        r#"event: response.created
data: {{"response":{{"background":false,"completed_at":null,"created_at":5,"error":null,"frequency_penalty":0,"id":"{}","incomplete_details":null,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"metadata":{{}},"model":"m","object":"response","output":[],"parallel_tool_calls":true,"presence_penalty":0,"previous_response_id":null,"prompt_cache_key":null,"reasoning":null,"safety_identifier":null,"service_tier":"default","status":"in_progress","store":false,"temperature":1,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1,"truncation":"disabled","usage":null}},"sequence_number":0,"type":"response.created"}}"#,
        writer().id()
    );
    assert_eq!(frames[0], created);
    for (at, expected) in [
        (
            2,
            format!(
                r#"{{"item":{{"id":"{rs}","summary":[],"type":"reasoning"}},"output_index":0,"sequence_number":2,"type":"response.output_item.added"}}"#
            ),
        ),
        (
            3,
            format!(
                r#"{{"delta":"t","item_id":"{rs}","output_index":0,"sequence_number":3,"summary_index":0,"type":"response.reasoning_summary_text.delta"}}"#
            ),
        ),
        (
            4,
            format!(
                r#"{{"item_id":"{rs}","output_index":0,"sequence_number":4,"summary_index":0,"text":"t","type":"response.reasoning_summary_text.done"}}"#
            ),
        ),
        (
            5,
            format!(
                r#"{{"item":{{"encrypted_content":"t","id":"{rs}","summary":[{{"text":"t","type":"summary_text"}}],"type":"reasoning"}},"output_index":0,"sequence_number":5,"type":"response.output_item.done"}}"#
            ),
        ),
        (
            6,
            format!(
                r#"{{"item":{{"content":[],"id":"{msg}","role":"assistant","status":"in_progress","type":"message"}},"output_index":1,"sequence_number":6,"type":"response.output_item.added"}}"#
            ),
        ),
        (
            7,
            format!(
                r#"{{"content_index":0,"item_id":"{msg}","output_index":1,"part":{{"annotations":[],"logprobs":[],"text":"","type":"output_text"}},"sequence_number":7,"type":"response.content_part.added"}}"#
            ),
        ),
        (
            9,
            format!(
                r#"{{"content_index":0,"delta":"llo","item_id":"{msg}","logprobs":[],"output_index":1,"sequence_number":9,"type":"response.output_text.delta"}}"#
            ),
        ),
        (
            10,
            format!(
                r#"{{"content_index":0,"item_id":"{msg}","logprobs":[],"output_index":1,"sequence_number":10,"text":"Hello","type":"response.output_text.done"}}"#
            ),
        ),
        (
            12,
            format!(
                r#"{{"item":{{"content":[{{"annotations":[],"logprobs":[],"text":"Hello","type":"output_text"}}],"id":"{msg}","role":"assistant","status":"completed","type":"message"}},"output_index":1,"sequence_number":12,"type":"response.output_item.done"}}"#
            ),
        ),
    ] {
        assert_eq!(frames[at].split_once("\ndata: ").unwrap().1, expected);
    }
}

#[test]
fn a_call_is_an_item_with_its_arguments_at_once() {
    let stream = stream(&[call(Some("call_1"), json!({"b": 1, "a": "x"})), done("stop")]);
    let item = [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ];
    assert_eq!(names(&stream), [&["created", "in_progress"][..], &item[..], &["completed"][..]].concat());
    let fc = writer().occasion.hex("fc_", 0, 24);
    assert_eq!(
        stream.split("\n\n").nth(5).unwrap(),
        format!(
            r#"event: response.output_item.done
data: {{"item":{{"arguments":"{{\"b\":1,\"a\":\"x\"}}","call_id":"call_1","id":"{fc}","name":"f","status":"completed","type":"function_call"}},"output_index":0,"sequence_number":5,"type":"response.output_item.done"}}"#
        )
    );
}

#[test]
fn a_whole_answer_has_thoughts_and_text_and_repeats_the_request() {
    let Value::Object(metadata) = json!({"k": "v"}) else { unreachable!() };
    let echo = Echo {
        model: "m".to_owned(),
        instructions: Some("sys".to_owned()),
        max_output_tokens: Some(5),
        max_tool_calls: Some(3),
        metadata,
        prompt_cache_key: Some("p".to_owned()),
        reasoning: Some(Reasoning { effort: Some("high".to_owned()), summary: None }),
        safety_identifier: Some("s".to_owned()),
        temperature: serde_json::from_str("0.1").ok(),
        text_format: Some(json!({"type": "json_object"})),
        tools: vec![json!({"type": "function", "name": "f"})],
        top_p: serde_json::from_str("0.9").ok(),
        truncation: Some("auto".to_owned()),
    };
    let mut writer = Writer::new(echo, Occasion { now: REQUESTED, nonce: 7 });
    let created = Some(Timestamp::from_micros(6_000_000));
    let piece = Piece { created, thinking: "hm".to_owned(), content: "Hello".to_owned(), ..done("stop") };
    let response: Value = serde_json::from_slice(&writer.whole(piece, NOW)).unwrap();
    let id = |prefix, number| writer.occasion.hex(prefix, number, 24);
    let head = format!(
        r#"{{"background":false,"completed_at":7,"created_at":6,"error":null,"frequency_penalty":0,"id":"{}","incomplete_details":null,"instructions":"sys","max_output_tokens":5,"max_tool_calls":3,"metadata":{{"k":"v"}},"model":"m","object":"response","#,
        id("resp_", 0)
    );
    let output = format!(
        r#""output":[{{"encrypted_content":"hm","id":"{}","summary":[{{"text":"hm","type":"summary_text"}}],"type":"reasoning"}},{{"content":[{{"annotations":[],"logprobs":[],"text":"Hello","type":"output_text"}}],"id":"{}","role":"assistant","status":"completed","type":"message"}}],"#,
        id("rs_", 0),
        id("msg_", 1)
    );
    let tail = r#""parallel_tool_calls":true,"presence_penalty":0,"previous_response_id":null,"prompt_cache_key":"p","reasoning":{"effort":"high"},"safety_identifier":"s","service_tier":"default","status":"completed","store":false,"temperature":0.1,"text":{"format":{"type":"json_object"}},"tool_choice":"auto","tools":[{"type":"function","name":"f"}],"top_logprobs":0,"top_p":0.9,"truncation":"auto","usage":{"input_tokens":11,"input_tokens_details":{"cached_tokens":0},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":18}}"#;
    assert_eq!(response.to_string(), head + &output + tail);
}

#[test]
fn text_beside_a_call_is_left_out_but_never_what_a_stream_has_told() {
    let kinds = |output: &Value| -> Vec<String> {
        output.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap().to_owned()).collect()
    };
    let (said, called) = (text("I look"), call(Some("c"), json!({})));
    let pieces = [said, called, text("not this"), done("stop")];
    assert_eq!(kinds(&whole(&pieces)["output"]), ["function_call"]);
    let (output, response) = folded(&stream(&pieces));
    assert_eq!(kinds(&response["output"]), ["message", "function_call"]);
    assert_eq!(response["output"], json!(output));
    assert_eq!(response["output"][0]["content"][0]["text"], "I look");
}

#[test]
fn an_answer_that_was_cut_is_incomplete() {
    for (reason, detail) in [("length", "max_output_tokens"), ("content_filter", "content_filter")] {
        let pieces = [text("x"), done(reason)];
        let (_, streamed) = folded(&stream(&pieces));
        for response in [whole(&pieces), streamed] {
            assert_eq!(response["status"], "incomplete");
            assert_eq!(response["incomplete_details"], json!({"reason": detail}));
        }
        assert_eq!(names(&stream(&pieces)).last().unwrap(), "incomplete");
    }
}

#[test]
fn an_answer_that_says_nothing_is_whole() {
    assert_eq!(names(&stream(&[done("stop")])), ["created", "in_progress", "completed"]);
    assert_eq!(whole(&[done("stop")])["output"][0]["content"][0]["text"], "");
}

#[test]
fn a_call_without_an_id_gets_one_and_each_another() {
    let pieces = [call(None, json!({})), call(Some(""), json!({})), done("stop")];
    let whole = whole(&pieces);
    let ids = |name: &str| -> Vec<String> {
        let output = whole["output"].as_array().unwrap().iter();
        output.map(|item| item[name].as_str().unwrap().to_owned()).collect()
    };
    assert!(ids("call_id").iter().all(|id| id.starts_with("call_") && id.len() == 13));
    assert_ne!(ids("call_id")[0], ids("call_id")[1]);
    assert_ne!(ids("id")[0], ids("id")[1]);
    assert_eq!(folded(&stream(&pieces)).1["output"], whole["output"]);
}

#[test]
fn a_broken_stream_ends_with_a_failed_response() {
    for pieces in [&[][..], &[thinking("t"), text("He")][..]] {
        let (mut writer, mut out) = (writer(), Vec::new());
        for piece in pieces {
            writer.piece(piece.clone(), NOW, &mut out);
        }
        writer.error("boom", &mut out);
        let mut watch = StreamWatch::new(StreamFormat::OpenAiResponses);
        watch.push(&out);
        assert_eq!(watch.ending(), Ending::Failed);
        let stream = String::from_utf8(out).unwrap();
        let events = events(&stream);
        assert_eq!(events[0]["type"], "response.created");
        let failed = events.last().unwrap();
        assert_eq!(failed["type"], "response.failed");
        let response = &failed["response"];
        assert_eq!(response["status"], "failed");
        assert_eq!(response["error"], json!({"code": "server_error", "message": "boom"}));
        assert_eq!(response["output"].as_array().unwrap().len(), pieces.len());
        if !pieces.is_empty() {
            assert_eq!(response["output"][1]["status"], "incomplete");
        }
    }
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
    fn the_fold_of_a_stream_is_its_last_response(mut pieces in pieces(), reason in "stop|length") {
        pieces.push(done(&reason));
        let stream = stream(&pieces);
        let (output, response) = folded(&stream);
        prop_assert_eq!(&response["output"], &json!(output));
        let mut watch = StreamWatch::new(StreamFormat::OpenAiResponses);
        watch.push(stream.as_bytes());
        prop_assert_eq!(watch.ending(), Ending::Complete);
    }

    #[test]
    fn the_fold_of_a_stream_is_the_whole_answer(
        thoughts in proptest::collection::vec("\\PC{0,5}", 0..3), said in proptest::collection::vec("\\PC{1,5}", 1..4),
        calls in proptest::collection::vec(proptest::option::of("[a-z]{1,3}"), 0..3), reason in "stop|length",
    ) {
        let mut pieces: Vec<Piece> = thoughts.iter().map(|thought| thinking(thought)).collect();
        // In this order a whole answer keeps all that a stream tells.
        if calls.is_empty() {
            pieces.extend(said.iter().map(|said| text(said)));
        }
        pieces.extend(calls.iter().map(|id| call(id.as_deref(), json!({"k": [1, 2.5]}))));
        pieces.push(done(&reason));
        prop_assert_eq!(folded(&stream(&pieces)).1, whole(&pieces));
    }
}
