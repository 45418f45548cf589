use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn pushed(operation: Operation, framing: Framing, pieces: &[&[u8]], name: &str) -> Vec<u8> {
    let mut echo = Echo::new(operation, framing, name);
    pieces.iter().flat_map(|piece| echo.push(Bytes::copy_from_slice(piece))).collect()
}

/// The answer with another name, whatever it is cut into.
fn echoed(framing: Framing, answer: &str) -> String {
    let echoed = |pieces: &[&[u8]]| {
        String::from_utf8(pushed(Operation::OpenAiChat, framing, pieces, "gpt-4o")).unwrap()
    };
    let whole = echoed(&[answer.as_bytes()]);
    for cut in 0..=answer.len() {
        let (left, right) = answer.as_bytes().split_at(cut);
        assert_eq!(echoed(&[left, right]), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = answer.as_bytes().chunks(1).collect();
    assert_eq!(echoed(&bytes), whole, "byte by byte");
    whole
}

#[test]
fn answers_of_every_api_show_the_clients_name() {
    for (answer, expected) in [
        (r#"{"model":"m","done":true}"#, r#"{"model":"gpt-4o","done":true}"#),
        (r#"{ "model" : "m\"\\" ,"x":1.50}"#, r#"{ "model" : "gpt-4o" ,"x":1.50}"#),
        (r#"{"model":"","a":{},"b":[]}"#, r#"{"model":"gpt-4o","a":{},"b":[]}"#),
        (r#"{"\u006dodel":"m"}"#, r#"{"\u006dodel":"gpt-4o"}"#),
        (r#"{"model":"m","model":"n"}"#, r#"{"model":"gpt-4o","model":"gpt-4o"}"#),
        (
            r#"{"id":"1","choices":[{"model":"m"}],"model":"m"}"#,
            r#"{"id":"1","choices":[{"model":"m"}],"model":"gpt-4o"}"#,
        ),
        (
            r#"{"type":"message_start","message":{"id":"1","model":"m"},"model":"m"}"#,
            r#"{"type":"message_start","message":{"id":"1","model":"gpt-4o"},"model":"gpt-4o"}"#,
        ),
        (r#"{"response":{"x":[],"model":"m"}}"#, r#"{"response":{"x":[],"model":"gpt-4o"}}"#),
    ] {
        for framing in [Framing::Whole, Framing::Lines] {
            assert_eq!(echoed(framing, answer), expected, "{answer}");
        }
    }
}

#[test]
fn what_names_no_model_stays_as_it_is() {
    for answer in [
        r#"{"error":"model 'm' not found"}"#,
        r#"{"model":7,"model":null,"model":["m"],"model":{"model":"m"}}"#,
        r#"{"message":{"message":{"model":"m"},"a":[{"model":"m"}]}}"#,
        r#"{"message":[{"model":"m"}],"response":"\"model\":\"m\""}"#,
        r#"[{"model":"m"}]"#,
        r#"{"Model":"m","modelx":"m","a":"model","b":"\\","c":"m"}"#,
        r#""model""#,
        "[DONE]",
        "}]}{",
        "",
    ] {
        assert_eq!(echoed(Framing::Whole, answer), answer);
    }
    let long = format!("{{\"{}model\":\"m\"}}", "x".repeat(1000));
    assert_eq!(echoed(Framing::Whole, &long), long);
}

#[test]
fn each_line_is_a_text_of_its_own() {
    assert_eq!(
        echoed(Framing::Lines, "{\"model\":\"m\"\n{\"model\":\"m\"}\r\n\n{\"x\":\"\\\n{\"model\":\"m\"}"),
        "{\"model\":\"gpt-4o\"\n{\"model\":\"gpt-4o\"}\r\n\n{\"x\":\"\\\n{\"model\":\"gpt-4o\"}"
    );
}

#[test]
fn only_the_data_of_events_is_read() {
    for (events, expected) in [
        ("data: {\"model\":\"m\"}\n\ndata: [DONE]\n\n", "data: {\"model\":\"gpt-4o\"}\n\ndata: [DONE]\n\n"),
        ("data:{\"model\":\"m\"}\r\n\r\n", "data:{\"model\":\"gpt-4o\"}\r\n\r\n"),
        // The lines of one event are one text.
        (
            "data: {\"a\":1,\ndata: \"model\":\ndata: \"m\"}\n\n",
            "data: {\"a\":1,\ndata: \"model\":\ndata: \"gpt-4o\"}\n\n",
        ),
        (
            "data: {\"a\":1,\r\ndata: \"model\":\"m\"}\r\n\r\n",
            "data: {\"a\":1,\r\ndata: \"model\":\"gpt-4o\"}\r\n\r\n",
        ),
        ("data: {\"a\":1,\n\ndata: \"model\":\"m\"}\n\n", "data: {\"a\":1,\n\ndata: \"model\":\"m\"}\n\n"),
        (
            "event: message_start\ndata: {\"message\":{\"model\":\"m\"}}\r\rdata: {\"model\":\"m\"}\n\n",
            "event: message_start\ndata: {\"message\":{\"model\":\"gpt-4o\"}}\r\rdata: {\"model\":\"gpt-4o\"}\n\n",
        ),
        (
            ": {\"model\":\"m\"}\nid: {\"model\":\"m\"}\ndat\ndata\ndatax: {\"model\":\"m\"}\n\n",
            ": {\"model\":\"m\"}\nid: {\"model\":\"m\"}\ndat\ndata\ndatax: {\"model\":\"m\"}\n\n",
        ),
    ] {
        assert_eq!(echoed(Framing::Events, events), expected, "{events}");
    }
}

#[test]
fn the_model_of_openais_catalogue_is_its_id() {
    let answer = br#"{"id":"m","object":"model","model":"m"}"#;
    let echoed = pushed(Operation::OpenAiModel, Framing::Whole, &[answer], "a\"b");
    assert_eq!(echoed, br#"{"id":"a\"b","object":"model","model":"m"}"#);
}

#[test]
fn what_is_not_changed_is_not_copied_and_nothing_waits() {
    let mut echo = Echo::new(Operation::OllamaChat, Framing::Lines, "alias");
    let piece = Bytes::from_static(b"{\"message\":{\"content\":\"a");
    assert_eq!(echo.push(piece.clone()).as_ptr(), piece.as_ptr());
    assert_eq!(echo.push(Bytes::from_static(b"\"},\"model\":\"m")), &b"\"},\"model\":\"alias\""[..]);
    assert_eq!(echo.push(Bytes::from_static(b"mmm")), "");
    assert_eq!(echo.push(Bytes::from_static(b"\"}\n")), "}\n");
}

#[test]
fn framing_follows_from_the_media_type() {
    assert_eq!(Framing::of("application/json; charset=utf-8"), Some(Framing::Whole));
    assert_eq!(Framing::of("Application/X-NDJSON"), Some(Framing::Lines));
    assert_eq!(Framing::of("text/event-stream;charset=utf-8"), Some(Framing::Events));
    assert_eq!(Framing::of("text/plain"), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = "(model|message|response|[a\"\\\\é,:{}]{0,4})";
    let leaf = prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from), text.prop_map(Value::from)];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(text, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same by a tree.
fn renamed(mut value: Value) -> Value {
    let rename = |value: &mut Value| {
        if let Some(model) = value.get_mut("model").filter(|model| model.is_string()) {
            *model = json!("gpt-4o");
        }
    };
    rename(&mut value);
    for holder in ["message", "response"] {
        if let Some(inner) = value.get_mut(holder) {
            rename(inner);
        }
    }
    value
}

proptest! {
    #[test]
    fn any_text_in_any_pieces_names_the_client_s_model(
        values in proptest::collection::vec(any_json(), 1..4),
        cuts in proptest::collection::vec(0usize..200, 0..6),
    ) {
        let texts = |values: &[Value], before: &str, after: &str| -> String {
            values.iter().flat_map(|value| [before.to_owned(), value.to_string(), after.to_owned()]).collect()
        };
        let expected: Vec<Value> = values.iter().cloned().map(renamed).collect();
        for (framing, before, after) in [
            (Framing::Whole, "", ""), (Framing::Lines, "", "\n"), (Framing::Events, "event: x\ndata: ", "\n\n"),
        ] {
            let count = if framing == Framing::Whole { 1 } else { values.len() };
            let answer = texts(&values[..count], before, after);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| (*cut).min(answer.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&answer.as_bytes()[from..cut]);
                from = cut;
            }
            pieces.push(&answer.as_bytes()[from..]);
            let echoed = pushed(Operation::OpenAiChat, framing, &pieces, "gpt-4o");
            prop_assert_eq!(String::from_utf8(echoed).unwrap(), texts(&expected[..count], before, after));
        }
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same(
        bytes in proptest::collection::vec(prop_oneof![
            Just(b"\"model\":".to_vec()), Just(b"\"m\"".to_vec()), Just(b"data:".to_vec()), Just(b"\"message\":{".to_vec()),
            proptest::sample::select(b"{}[],:\"\\\n\r dx\xc3".to_vec()).prop_map(|byte| vec![byte]),
        ], 0..40),
        size in 1usize..9,
    ) {
        let bytes = bytes.concat();
        for framing in [Framing::Whole, Framing::Lines, Framing::Events] {
            let whole = pushed(Operation::OllamaChat, framing, &[&bytes], "alias");
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(pushed(Operation::OllamaChat, framing, &pieces, "alias"), whole);
        }
    }
}
