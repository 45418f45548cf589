use proptest::prelude::*;

use super::*;
use crate::wire::error_frame;

const EVERY: [StreamFormat; 5] = [
    StreamFormat::OllamaGeneration,
    StreamFormat::OllamaProgress,
    StreamFormat::OpenAiChunks,
    StreamFormat::OpenAiResponses,
    StreamFormat::AnthropicMessages,
];

/// What the whole stream says, the same at every cut.
fn read(format: StreamFormat, stream: &str) -> (bool, Option<String>) {
    let pushed = |pieces: &[&[u8]]| {
        let mut first = FirstContent::new(format);
        let found = pieces.iter().fold(false, |_, piece| first.push(piece));
        (found, first.is_error())
    };
    let whole = pushed(&[stream.as_bytes()]);
    for cut in 0..=stream.len() {
        let (left, right) = stream.as_bytes().split_at(cut);
        assert_eq!(pushed(&[left, right]), whole, "cut at {cut} of {stream}");
    }
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert!(bytes.is_empty() || pushed(&bytes) == whole, "byte by byte: {stream}");
    whole
}

fn is_silent(format: StreamFormat, stream: &str) -> bool {
    read(format, stream) == (false, None)
}

fn is_content(format: StreamFormat, stream: &str) -> bool {
    read(format, stream) == (true, None)
}

fn error(format: StreamFormat, stream: &str) -> Option<String> {
    read(format, stream).1
}

#[test]
fn empty_objects_of_a_generation_are_held_back() {
    use StreamFormat::OllamaGeneration as F;
    for line in [
        "",
        " \r",
        r#"{"model":"m","created_at":"2026-01-02T03:04:05Z","response":"","done":false}"#,
        r#"{"model":"m","message":{"role":"assistant","content":"","thinking":"","tool_calls":[]},"done":false}"#,
        r#"{"model":"m","message":null,"prompt_eval_count":3,"load_duration":7,"error":null,"done":false}"#,
        r#"{ "done" : false }"#,
    ] {
        assert!(is_silent(F, &format!("{line}\n")), "{line}");
        assert!(is_silent(F, &format!("{line}\n{line}\r\n")), "{line}");
    }
}

#[test]
fn content_of_a_generation_is_text_thinking_tools_the_end_and_what_is_not_understood() {
    use StreamFormat::OllamaGeneration as F;
    let empty = r#"{"message":{"role":"assistant","content":""},"done":false}"#;
    for line in [
        r#"{"response":" ","done":false}"#,
        r#"{"response":"","thinking":"hm","done":false}"#,
        r#"{"message":{"role":"assistant","content":"a"},"done":false}"#,
        r#"{"message":{"role":"assistant","content":"","thinking":"hm"},"done":false}"#,
        r#"{"message":{"content":"","tool_calls":[{"function":{}}]},"done":false}"#,
        r#"{"response":"","done":true,"done_reason":"stop"}"#,
        r#"{"response":""}"#,
        r#"{"response":"","done":false,"image":"aGk="}"#,
        r#"{"done":false}{"done":false}"#,
        "not json",
        r#"{"error":"x""#,
    ] {
        assert!(is_content(F, &format!("{empty}\n{line}\n")), "{line}");
        assert!(is_silent(F, &format!("{empty}\n{line}")), "{line}, not complete");
    }
}

#[test]
fn progress_is_content() {
    use StreamFormat::OllamaProgress as F;
    assert!(is_content(F, "{\"status\":\"pulling manifest\"}\n"));
    assert_eq!(error(F, "{\"error\":\"file does not exist\"}\n").as_deref(), Some("file does not exist"));
}

#[test]
fn role_only_chunks_are_held_back() {
    use StreamFormat::OpenAiChunks as F;
    for frame in [
        ": OPENROUTER PROCESSING\n\n",
        "\n\r\n",
        "id: 1\nretry: 5\nevent: message\n",
        "data:\n\n",
        "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\
         \"delta\":{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":null},\"logprobs\":null,\
         \"finish_reason\":null}],\"usage\":null,\"prompt_token_ids\":null}\n\n",
        "data:{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[ ]}},{\"text\":\"\"}]}\r\n\r\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
    ] {
        assert!(is_silent(F, frame), "{frame}");
    }
}

#[test]
fn content_of_chunks_is_what_a_client_would_show_or_act_on() {
    use StreamFormat::OpenAiChunks as F;
    for data in [
        r#"{"choices":[{"delta":{"role":"assistant","content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"a"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning_content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
        r#"{"choices":[{"delta":{"refusal":"no"}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"text":"a","finish_reason":null}]}"#,
        r#"{"choices":[7]}"#,
        r#"{"choices":null}"#,
        r#"{"choices":[],"prompt_progress":{"total":1}}"#,
        "{}",
        "[DONE]",
        "{",
    ] {
        assert!(is_content(F, &format!(": c\n\ndata: {data}\n\n")), "{data}");
    }
    assert!(is_content(F, "hello\n"));
    assert!(is_content(F, "{\"error\":\"not an event\"}\n"));
}

#[test]
fn typed_events_before_the_first_text_are_held_back() {
    use StreamFormat::{AnthropicMessages, OpenAiResponses};
    let mut opening = String::new();
    for event in ["created", "in_progress", "output_item.added", "content_part.added"] {
        opening.push_str("event: response.");
        opening.push_str(event);
        opening.push_str("\ndata: {\"type\":\"response.");
        opening.push_str(event);
        opening.push_str("\",\"response\":{\"error\":null,\"output\":[]}}\n\n");
    }
    assert!(is_silent(OpenAiResponses, &opening));
    for event in ["output_text.delta", "reasoning_summary_text.delta", "completed", "other"] {
        let stream = format!("{opening}event: response.{event}\ndata: {{}}\n\n");
        assert!(is_content(OpenAiResponses, &stream), "{event}");
    }

    let opening = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\n\
         event: ping\ndata: {\"type\": \"ping\"}\n\ndata: {\"type\":\"content_block_start\",\"index\":0,\
         \"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_start\ndata: {\"content_block\":\
         {\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n";
    assert!(is_silent(AnthropicMessages, opening));
    for data in [
        r#"{"type":"content_block_start","content_block":{"type":"text","text":"a"}}"#,
        r#"{"type":"content_block_start","content_block":{"type":"tool_use","id":"1","name":"f","input":{}}}"#,
        r#"{"type":"content_block_start"}"#,
        r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
        r#"{"type":"message_stop"}"#,
        "{}",
    ] {
        assert!(is_content(AnthropicMessages, &format!("{opening}data: {data}\n\n")), "{data}");
    }
}

#[test]
fn an_error_before_any_content_is_told_with_its_message() {
    use StreamFormat::{AnthropicMessages, OllamaGeneration, OpenAiChunks, OpenAiResponses};
    for format in EVERY {
        assert_eq!(
            error(format, &error_frame(format, "no \"x\"")).as_deref(),
            Some("no \"x\""),
            "{format:?}"
        );
    }
    for (format, stream, message) in [
        (OllamaGeneration, "{\"done\":false}\n{\"error\":\"a\\nb\"}\n", "a\nb"),
        (OpenAiChunks, "data: {\"error\":\"x\"}\n\n", "x"),
        (OpenAiChunks, "data: {\"error\":{\"code\":7}}\n\n", "{\"code\":7}"),
        (OpenAiChunks, "event: error\ndata: {\"message\":\"x\"}\n\n", "x"),
        (OpenAiChunks, "event: error\ndata: oh\n\n", "oh"),
        (OpenAiResponses, "data: {\"type\":\"error\",\"code\":null,\"message\":\"x\"}\n\n", "x"),
        (
            OpenAiResponses,
            "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"message\":\"x\"}}}\n\n",
            "x",
        ),
        (OpenAiResponses, "data: {\"error\":{\"message\":\"x\"}}\n\n", "x"),
        (AnthropicMessages, "data: {\"type\":\"error\",\"error\":{\"message\":\"x\"}}\n\n", "x"),
    ] {
        assert_eq!(error(format, stream).as_deref(), Some(message), "{stream}");
    }
    let after = "{\"response\":\"a\",\"done\":false}\n{\"error\":\"x\"}\n";
    assert!(is_content(OllamaGeneration, after));
}

#[test]
fn what_is_held_back_is_bounded() {
    let push = |format, stream: &str, piece: usize| {
        let mut first = FirstContent::new(format);
        let found = stream.as_bytes().chunks(piece).fold(false, |_, piece| first.push(piece));
        assert!(first.line.len() <= MAX_FRAME);
        (found, first.is_error())
    };
    let long = "x".repeat(MAX_FRAME);
    let comments = ": keep-alive\n\n".repeat(MAX_HELD / 13);
    for piece in [1000, MAX_FRAME, usize::MAX] {
        for format in EVERY {
            assert_eq!(push(format, &long, piece), (false, None), "{format:?}");
            assert_eq!(push(format, &format!("{long}x"), piece), (true, None), "{format:?}");
        }
        let error = format!("{{\"error\":\"{long}\"}}\n");
        assert_eq!(push(StreamFormat::OllamaGeneration, &error, piece), (true, None));
        assert_eq!(push(StreamFormat::OpenAiChunks, &comments, piece), (true, None));
    }
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\n"),
        Just("\r\n"),
        Just("data: "),
        Just("event: error"),
        Just("event: ping"),
        Just("{\"done\":false}\n"),
        Just("{\"error\":\"x\"}\n"),
        Just("{\"choices\":[]}\n"),
        Just("{\"type\":\"ping\"}\n"),
        Just(": c\n"),
        Just("{\""),
        Just("}"),
    ];
    let bytes = prop_oneof![
        4 => piece.prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(bytes, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_of_any_bytes_says_the_same(
        bytes in any_stream(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        for format in EVERY {
            let mut whole = FirstContent::new(format);
            let expected = whole.push(&bytes);
            let mut split = FirstContent::new(format);
            let mut from = 0;
            let mut found = false;
            for &cut in cuts.iter().chain([&bytes.len()]) {
                let now = split.push(&bytes[from..cut]);
                prop_assert!(now || !found, "content is never taken back");
                found = now;
                from = cut;
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(split.is_error(), whole.is_error());
        }
    }
}
