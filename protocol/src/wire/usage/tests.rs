use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{StreamFormat, StreamWatch};
use super::*;

/// Counts of the prompt and of the answer.
type Pair = (Option<u64>, Option<u64>);

fn pair(usage: Usage) -> Pair {
    (usage.prompt, usage.completion)
}

fn stream(format: StreamFormat, pieces: &[&[u8]]) -> Pair {
    let mut watch = StreamWatch::new(format);
    for piece in pieces {
        watch.push(piece);
    }
    pair(watch.usage())
}

fn body(operation: Operation, pieces: &[&[u8]]) -> Pair {
    let mut watch = UsageWatch::new(operation).unwrap();
    for piece in pieces {
        watch.push(piece);
    }
    pair(watch.usage())
}

/// What `count` finds, whichever way the text is cut in two or in equal pieces.
fn any_cut(text: &str, count: impl Fn(&[&[u8]]) -> Pair) -> Pair {
    let whole = count(&[text.as_bytes()]);
    for cut in 0..=text.len() {
        let (left, right) = text.as_bytes().split_at(cut);
        assert_eq!(count(&[left, right]), whole, "{text} cut at {cut}");
    }
    for size in 1..20 {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        assert_eq!(count(&pieces), whole, "{text} in pieces of {size}");
    }
    whole
}

fn in_stream(format: StreamFormat, text: &str) -> Pair {
    any_cut(text, |pieces| stream(format, pieces))
}

fn in_body(operation: Operation, text: &str) -> Pair {
    let counted = any_cut(text, |pieces| body(operation, pieces));
    assert_eq!(whole_body(operation, text), counted, "{text} as a whole");
    counted
}

fn whole_body(operation: Operation, text: &str) -> Pair {
    let mut watch = UsageWatch::new(operation).unwrap();
    watch.push_whole(text.as_bytes());
    pair(watch.usage())
}

#[test]
fn ollama_counts_in_the_object_that_is_done() {
    use StreamFormat::OllamaGeneration as F;
    let chunk = r#"{"model":"m","message":{"role":"assistant","content":"a"},"done":false}"#;
    let done = r#"{"model":"m","done":true,"done_reason":"stop","prompt_eval_count":26,"eval_count":290}"#;
    let both = (Some(26), Some(290));
    assert_eq!(in_stream(F, &format!("{chunk}\n{done}\n")), both);
    assert_eq!(in_stream(F, &format!("{chunk}\n{done}")), both, "without a newline");
    assert_eq!(in_stream(F, &format!("{chunk}\r\n{done}\r\n\r\n")), both);
    assert_eq!(in_stream(F, &format!("{done}\n{chunk}\n")), both, "what follows counts nothing");
    assert_eq!(in_stream(F, "{\"eval_count\":5,\"done\":true}\n"), (None, Some(5)), "a cached prompt");
    assert_eq!(in_stream(F, "{\"eval_count\":5,\"prompt_eval_count\":6,\"done\":false}\n"), (None, None));
    assert_eq!(
        in_stream(F, "{\"prompt_eval_count\":26,\"eval_count\":290,\"done\":true"),
        (None, None),
        "cut"
    );
}

#[test]
fn what_a_model_says_counts_nothing() {
    let fake = r#"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9},\"prompt_eval_count\":9}"#;
    let arguments = r#"{"prompt_eval_count":9,"eval_count":9,"done":true,"usage":{"prompt_tokens":9}}"#;
    let call = format!(
        r#"{{"message":{{"tool_calls":[{{"function":{{"arguments":{arguments}}}}}]}},"done":false}}"#
    );
    let done = format!(r#"{{"response":"{fake}","x":{arguments},"done":true,"eval_count":2}}"#);
    assert_eq!(in_stream(StreamFormat::OllamaGeneration, &format!("{call}\n{done}\n")), (None, Some(2)));
    assert_eq!(
        in_body(Operation::OllamaChat, &format!("{{\"message\":{arguments},\"eval_count\":3}}")),
        (None, Some(3))
    );

    let chunk =
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{fake}\"}},\"usage\":{arguments}}}]}}\n\n");
    let text = "event: {\"usage\":{\"prompt_tokens\":9}}\nx: \"usage\":{\"prompt_tokens\":9}\n: {\"usage\":{\"prompt_tokens\":9}}\n\n";
    for other in [&chunk, text, "data: \"usage\"\n\n", "data: [{\"usage\":{\"prompt_tokens\":9}}]\n\n"] {
        assert_eq!(in_stream(StreamFormat::OpenAiChunks, other), (None, None), "{other}");
    }
    let body = format!(
        r#"{{"choices":[{{"message":{{"content":"{fake}"}}}}],"prompt_tokens":9,"usage":{{"x":{arguments}}}}}"#
    );
    assert_eq!(in_body(Operation::OpenAiChat, &body), (None, None));
    let body = r#"{"content":[{"type":"tool_use","input":{"usage":{"input_tokens":9}}}],"usage":{"input_tokens":1}}"#;
    assert_eq!(in_body(Operation::AnthropicMessages, body), (Some(1), None));
}

#[test]
fn counts_at_the_end_of_a_body_are_found_from_there() {
    let from_end = |operation, text: &str| tail::counts(text.as_bytes(), Places::of_body(operation)?);
    let long = "\\\"eval_count\\\": 9 } \\\\";
    let ollama = format!(
        "{{\"eval_count\":8,\"response\":\"{long}\",\"done\":true,\"prompt_eval_count\": 26 ,\n\"eval_count\":290,\"x\":1e-3}}\n"
    );
    assert_eq!(from_end(Operation::OllamaGenerate, &ollama).map(pair), Some((Some(26), Some(290))));
    assert_eq!(in_body(Operation::OllamaGenerate, &ollama), (Some(26), Some(290)));
    let openai = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6,"x":null},"id":"x","timings":{"a":1}}"#;
    assert_eq!(from_end(Operation::OpenAiChat, openai).map(pair), Some((Some(5), Some(6))));
    assert_eq!(in_body(Operation::OpenAiChat, openai), (Some(5), Some(6)));
    for elsewhere in [
        r#"{"prompt_eval_count":1,"eval_count":2,"message":{"content":["x"]}}"#,
        r#"{"prompt_eval_count":1,"eval_count":2,"a\"b":3}"#,
        r#"{"prompt_eval_count":1,"x":3}"#,
        r#"{"prompt_eval_count":1,"eval_count":"2"}"#,
        r#"{"message":{"prompt_eval_count":1,"eval_count":2}}"#,
    ] {
        assert_eq!(from_end(Operation::OllamaChat, elsewhere), None, "{elsewhere}");
        in_body(Operation::OllamaChat, elsewhere);
    }
}

#[test]
fn the_last_usage_of_openai_chunks_counts_unless_it_is_null() {
    use StreamFormat::OpenAiChunks as F;
    let last = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34,\"total_tokens\":46}}\n\n";
    let null = "data: {\"choices\":[{}],\"usage\":null}\n\n";
    let zero = "data: {\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n";
    let done = "data: [DONE]\n\n";
    let both = (Some(12), Some(34));
    assert_eq!(in_stream(F, &format!("{null}{last}{done}")), both);
    assert_eq!(in_stream(F, &format!("{zero}{last}{done}")), both);
    assert_eq!(in_stream(F, &format!("{last}{null}{done}")), both);
    assert_eq!(in_stream(F, &last.replace(": {", ":{").replace('\n', "\r\n")), both);
    assert_eq!(in_stream(F, null), (None, None));
    let unknown = "data: {\"usage\":{\"prompt_tokens\":null,\"completion_tokens\":\"\"}}\n\n";
    assert_eq!(in_stream(F, &format!("{last}{unknown}")), both);
    assert_eq!(in_stream(F, zero), (Some(0), Some(0)));
    let growing = "data: {\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":1}}\n\n";
    assert_eq!(in_stream(F, &format!("{growing}{last}")), both);
}

#[test]
fn the_last_event_of_a_response_counts() {
    use StreamFormat::OpenAiResponses as F;
    let created = "event: response.created\ndata: {\"response\":{\"usage\":null}}\n\n";
    let delta = "event: response.output_text.delta\ndata: {\"delta\":\"\\\"usage\\\":{\"}\n\n";
    for event in ["response.completed", "response.incomplete"] {
        let end = format!(
            "event: {event}\ndata: {{\"type\":\"{event}\",\"response\":{{\"id\":\"r\",\"usage\":{{\"input_tokens\":7,\
             \"input_tokens_details\":{{\"cached_tokens\":3}},\"output_tokens\":8,\"total_tokens\":15}}}}}}\n\n"
        );
        assert_eq!(in_stream(F, &format!("{created}{delta}{end}")), (Some(7), Some(8)));
    }
}

#[test]
fn the_end_of_a_message_corrects_its_start() {
    use StreamFormat::AnthropicMessages as F;
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":5,\
                 \"cache_read_input_tokens\":2,\"output_tokens\":1}}}\n\n";
    let block = "event: content_block_start\ndata: {\"content_block\":{\"input\":{\"usage\":{\"input_tokens\":9}}}}\n\n";
    let delta = |usage| format!("event: message_delta\ndata: {{\"delta\":{{}},\"usage\":{usage}}}\n\n");
    assert_eq!(in_stream(F, &format!("{start}{block}")), (Some(5), Some(1)));
    let end = delta("{\"output_tokens\":20}");
    assert_eq!(in_stream(F, &format!("{start}{end}")), (Some(5), Some(20)));
    let end = delta("{\"input_tokens\":6,\"output_tokens\":20}");
    assert_eq!(in_stream(F, &format!("{start}{end}")), (Some(6), Some(20)));
}

#[test]
fn bodies_are_counted_as_their_operation_says() {
    use Operation::{
        AnthropicMessages, OllamaChat, OllamaEmbed, OllamaGenerate, OpenAiChat, OpenAiCompletion,
        OpenAiEmbeddings, OpenAiResponses,
    };
    let ollama = json!({"done": true, "context": [1, 2], "prompt_eval_count": 3, "eval_count": 4});
    let openai = json!({"choices": [{"usage": {"prompt_tokens": 9}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 9}}});
    let typed =
        json!({"usage": {"input_tokens": 3, "output_tokens": 4}, "message": {"usage": {"input_tokens": 9}}});
    for (operation, answer) in [
        (OllamaGenerate, &ollama),
        (OllamaChat, &ollama),
        (OpenAiChat, &openai),
        (OpenAiCompletion, &openai),
        (OpenAiResponses, &typed),
        (AnthropicMessages, &typed),
    ] {
        for text in [answer.to_string(), serde_json::to_string_pretty(answer).unwrap()] {
            assert_eq!(in_body(operation, &text), (Some(3), Some(4)), "{operation:?}");
        }
    }
    let embed = "{\"embeddings\":[[0.1,-2e-3]],\"prompt_eval_count\":5}";
    assert_eq!(in_body(OllamaEmbed, embed), (Some(5), None));
    let embed = "{\"data\":[{\"embedding\":[0.1]}],\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}";
    assert_eq!(in_body(OpenAiEmbeddings, embed), (Some(5), None));
}

#[test]
fn operations_that_count_nothing_have_no_watch() {
    for operation in [
        Operation::OllamaEmbeddings,
        Operation::OllamaPull,
        Operation::OllamaTags,
        Operation::OpenAiModels,
        Operation::OpenAiTranscription,
        Operation::OpenAiOther,
    ] {
        assert!(UsageWatch::new(operation).is_none(), "{operation:?}");
    }
}

#[test]
fn only_whole_numbers_of_tokens_count() {
    for odd in
        ["-1", "1.5", "1e3", "+1", "null", "true", "\"7\"", "[7]", "{}", "18446744073709551616", "1 2", ""]
    {
        let text = format!("{{\"usage\":{{\"prompt_tokens\":{odd},\"completion_tokens\":4}}}}");
        assert_eq!(in_body(Operation::OpenAiChat, &text), (None, Some(4)), "{odd}");
    }
    let text = "{\"usage\":{\"prompt_tokens\":18446744073709551615,\"completion_tokens\":4";
    assert_eq!(in_body(Operation::OpenAiChat, text), (Some(u64::MAX), None), "the second may go on");
}

#[test]
fn memory_does_not_depend_on_the_answer() {
    assert!(size_of::<StreamWatch>() < 512 && size_of::<UsageWatch>() < 512);
}

/// Answers with the keys that count, at the right places and at others.
fn any_answer() -> impl Strategy<Value = Value> {
    let key = || {
        proptest::sample::select(vec![
            "usage",
            "prompt_tokens",
            "completion_tokens",
            "input_tokens",
            "output_tokens",
            "message",
            "response",
            "prompt_eval_count",
            "eval_count",
            "done",
            "x",
        ])
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0u64..1000).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        key().prop_map(Value::from),
        "(\"usage\":|\\{|\\}|\\\\|\"|\n|é|true){0,6}".prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => proptest::collection::vec((key(), inner), 0..5)
                .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    });
    proptest::collection::vec((key(), inner), 0..6)
        .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The counts of one parsed object, over those of earlier ones.
fn parsed(before: Pair, counts: &Value, prompt: &str, completion: &str) -> Pair {
    let count = |key: &str| counts.get(key).and_then(Value::as_u64);
    (count(prompt).or(before.0), count(completion).or(before.1))
}

fn expected(format: StreamFormat, answers: &[Value]) -> Pair {
    answers.iter().fold((None, None), |before, answer| match format {
        StreamFormat::OllamaGeneration if answer["done"] == true => {
            parsed((None, None), answer, "prompt_eval_count", "eval_count")
        }
        StreamFormat::OllamaGeneration => before,
        StreamFormat::OpenAiChunks => parsed(before, &answer["usage"], "prompt_tokens", "completion_tokens"),
        // Duplicate keys do not survive parsing, so that the order of `usage` and its envelope is the order of the keys.
        format => {
            let envelope = if format == StreamFormat::OpenAiResponses { "response" } else { "message" };
            let mut found = before;
            for (key, value) in answer.as_object().into_iter().flatten() {
                let counts = if key == envelope { &value["usage"] } else { value };
                if key == envelope || key == "usage" {
                    found = parsed(found, counts, "input_tokens", "output_tokens");
                }
            }
            found
        }
    })
}

fn framed(format: StreamFormat, answers: &[Value]) -> String {
    answers.iter().fold(String::new(), |text, answer| match format {
        StreamFormat::OllamaGeneration => text + &format!("{answer}\n"),
        _ => text + &format!("event: x\ndata: {answer}\n\n"),
    })
}

fn cut<'a>(text: &'a str, cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.sort_unstable();
    let ends = cuts.iter().copied().chain([text.len()]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    starts.zip(ends).map(|(start, end)| &text.as_bytes()[start..end]).collect()
}

proptest! {
    #[test]
    fn streams_count_what_a_parser_finds_however_they_are_cut(
        answers in proptest::collection::vec(any_answer(), 0..5),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        for format in [
            StreamFormat::OllamaGeneration, StreamFormat::OpenAiChunks, StreamFormat::OpenAiResponses,
            StreamFormat::AnthropicMessages,
        ] {
            let text = framed(format, &answers);
            let expected = expected(format, &answers);
            prop_assert_eq!(stream(format, &[text.as_bytes()]), expected, "{:?} {}", format, text);
            prop_assert_eq!(stream(format, &cut(&text, &cuts)), expected, "{:?} {} cut", format, text);
        }
    }

    #[test]
    fn bodies_count_what_a_parser_finds_however_they_are_cut(
        answer in any_answer(),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        for (operation, counts, prompt, completion) in [
            (Operation::OllamaChat, &answer, "prompt_eval_count", "eval_count"),
            (Operation::OpenAiChat, &answer["usage"], "prompt_tokens", "completion_tokens"),
            (Operation::AnthropicMessages, &answer["usage"], "input_tokens", "output_tokens"),
        ] {
            let expected = parsed((None, None), counts, prompt, completion);
            for text in [answer.to_string(), serde_json::to_string_pretty(&answer).unwrap()] {
                prop_assert_eq!(body(operation, &[text.as_bytes()]), expected, "{:?} {}", operation, text);
                prop_assert_eq!(body(operation, &cut(&text, &cuts)), expected, "{:?} {} cut", operation, text);
                prop_assert_eq!(whole_body(operation, &text), expected, "{:?} {} as a whole", operation, text);
            }
        }
    }

    #[test]
    fn no_bytes_panic_and_no_cut_changes_what_they_count(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "[", "]", ":", ",", "\"", "\\", "\n", " ", "data:", "\"usage\":", "{\"prompt_tokens\":", "12",
            "\"eval_count\":", "\"done\":", "true", "tr", "ue", "\u{fffd}", "\0", "\"response\":{",
        ]), 0..40),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let text = parts.concat();
        for format in [StreamFormat::OllamaGeneration, StreamFormat::OpenAiChunks, StreamFormat::OpenAiResponses] {
            prop_assert_eq!(stream(format, &[text.as_bytes()]), stream(format, &cut(&text, &cuts)));
        }
        prop_assert_eq!(
            body(Operation::OpenAiChat, &[text.as_bytes()]), body(Operation::OpenAiChat, &cut(&text, &cuts))
        );
        for operation in [Operation::OpenAiChat, Operation::OllamaChat] {
            whole_body(operation, &text);
            whole_body(operation, &format!("{{{text}}}"));
        }
    }
}
