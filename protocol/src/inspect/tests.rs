use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::json::merge_pins;

const EVERY: [Operation; 11] = [
    Operation::OllamaGenerate,
    Operation::OllamaChat,
    Operation::OllamaEmbed,
    Operation::OllamaPull,
    Operation::OllamaOther,
    Operation::OpenAiChat,
    Operation::OpenAiCompletion,
    Operation::OpenAiEmbeddings,
    Operation::OpenAiResponses,
    Operation::AnthropicMessages,
    Operation::OpenAiTranscription,
];

fn facts(operation: Operation, body: &str) -> RequestFacts {
    inspect_with_prefix(operation, body.as_bytes())
}

fn model(operation: Operation, body: &str) -> Option<String> {
    facts(operation, body).model
}

fn prefix(operation: Operation, body: &Value) -> Option<u64> {
    let facts = facts(operation, &body.to_string());
    assert!(facts.whole);
    facts.prefix
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

#[test]
fn the_model_is_found_as_the_client_wrote_it() {
    use Operation::{OllamaChat, OllamaShow, OpenAiChat};
    assert_eq!(model(OpenAiChat, r#"{"model":"Qwen/Qwen2.5-3B"}"#).as_deref(), Some("Qwen/Qwen2.5-3B"));
    assert_eq!(model(OpenAiChat, r#"{"model":"a\"\u00e9"}"#).as_deref(), Some("a\"é"));
    assert_eq!(model(OpenAiChat, r#"{"\u006dodel":"m"}"#).as_deref(), Some("m"));
    assert_eq!(
        model(OpenAiChat, r#"{"model":null,"model":"","model":"m","model":"n"}"#).as_deref(),
        Some("m")
    );
    assert_eq!(model(OpenAiChat, r#"{"model":7}"#), None);
    assert_eq!(model(OpenAiChat, r#"{"x":{"model":"m"},"messages":[{"model":"m"}]}"#), None);
    // Go matches keys in any case, and the older `name` stands in for `model`.
    assert_eq!(model(OllamaChat, r#"{"MODEL":"m"}"#).as_deref(), Some("m"));
    assert_eq!(model(OpenAiChat, r#"{"MODEL":"m"}"#), None);
    assert_eq!(model(OllamaShow, r#"{"name":"n"}"#).as_deref(), Some("n"));
    assert_eq!(model(OllamaShow, r#"{"name":"n","model":"m"}"#).as_deref(), Some("m"));
    assert_eq!(model(OllamaShow, r#"{"name":"n","model":""}"#).as_deref(), Some("n"));
    assert_eq!(model(OpenAiChat, r#"{"name":"n"}"#), None);
}

#[test]
fn stream_is_known_only_where_it_is_a_boolean() {
    let stream = |body| facts(Operation::OllamaChat, body).stream;
    assert_eq!(stream(r#"{"stream":true}"#), Some(true));
    assert_eq!(stream(r#"{"stream" : false }"#), Some(false));
    assert_eq!(stream("{\"\u{17f}tream\":false}"), Some(false));
    for body in [r#"{"stream":null}"#, r#"{"stream":"true"}"#, r#"{"stream":1}"#, "{}"] {
        assert_eq!(stream(body), None, "{body}");
    }
}

#[test]
fn runner_options_are_those_that_reload_a_model() {
    let runner = |body| facts(Operation::OllamaChat, body).runner;
    assert_eq!(runner(r#"{"options":{"temperature":1,"stop":["a"]}}"#).key(), 0);
    assert_eq!(runner(r#"{"options":{"num_ctx":null},"shift":null}"#).key(), 0);
    assert_eq!(runner(r#"{"options":{"num_ctx":"8192"}}"#).key(), 0);
    let long = runner(r#"{"options":{"temperature":1,"num_ctx":8192}}"#);
    assert_eq!(long.num_ctx(), Some(8192));
    assert_eq!(long, runner(r#"{"Options":{"num_ctx":8192.9}}"#));
    assert_eq!(long.key(), runner(r#"{"options":{"num_ctx":8192,"x":{"num_ctx":1}}}"#).key());
    let mut keys: Vec<u64> = [
        r#"{"options":{"num_ctx":8192}}"#,
        r#"{"options":{"num_ctx":4096}}"#,
        r#"{"options":{"num_batch":4096}}"#,
        r#"{"options":{"num_gpu":0}}"#,
        r#"{"options":{"main_gpu":0}}"#,
        r#"{"options":{"use_mmap":true}}"#,
        r#"{"options":{"use_mmap":false}}"#,
        r#"{"options":{"num_thread":1}}"#,
        r#"{"options":{"draft_num_predict":1}}"#,
        r#"{"shift":true}"#,
        r#"{"shift":false}"#,
        "{}",
    ]
    .map(|body| runner(body).key())
    .to_vec();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 12);
    assert_eq!(facts(Operation::OpenAiChat, r#"{"options":{"num_ctx":1}}"#).runner.key(), 0);
    assert_eq!(runner(r#"{"options":{"num_ctx":-1}}"#).num_ctx(), None);
}

#[test]
fn pins_win_over_the_runner_options_of_the_body() {
    let body =
        facts(Operation::OllamaChat, r#"{"options":{"num_ctx":4096,"num_gpu":1},"shift":true}"#).runner;
    let frontend = map(json!({"options": {"num_ctx": 8192}, "shift": null}));
    let backend = map(json!({"options": {"NUM_CTX": 16384}, "model": "m"}));
    assert_eq!(body.overlaid(&[]), body);
    assert_eq!(body.overlaid(&[&frontend, &backend]).num_ctx(), Some(16384));
    assert_eq!(
        body.overlaid(&[&frontend]),
        facts(Operation::OllamaChat, r#"{"options":{"num_ctx":8192,"num_gpu":1}}"#).runner
    );
}

fn chat(turns: usize, system: &str, question: &str) -> Value {
    let mut messages = vec![json!({"role": "system", "content": system})];
    messages.push(json!({"content": question, "role": "user"}));
    for turn in 1..turns {
        messages.push(json!({"role": "assistant", "content": format!("answer {turn}")}));
        messages.push(json!({"role": "user", "content": format!("question {turn}")}));
    }
    json!({"messages": messages, "model": "m"})
}

#[test]
fn all_turns_of_a_conversation_have_one_prefix_and_other_conversations_another() {
    for operation in [Operation::OllamaChat, Operation::OpenAiChat, Operation::AnthropicMessages] {
        let first = prefix(operation, &chat(1, "Be kind.", "Why?"));
        assert!(first.is_some());
        assert_eq!(first, prefix(operation, &chat(7, "Be kind.", "Why?")));
        assert_ne!(first, prefix(operation, &chat(1, "Be kind.", "How?")));
        assert_ne!(first, prefix(operation, &chat(1, "Be terse.", "Why?")));
        let mut other = chat(1, "Be kind.", "Why?");
        other["model"] = json!("M:latest");
        assert_eq!(first, prefix(operation, &other));
        other["model"] = json!("n");
        assert_ne!(first, prefix(operation, &other));
    }
}

#[test]
fn each_api_has_its_beginning_where_it_keeps_it() {
    let anthropic = |system: Value, question: &str| json!({"model": "m", "messages": [{"role": "user", "content": question}], "system": system});
    let blocks = json!([{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]);
    let of = |body: &Value| prefix(Operation::AnthropicMessages, body);
    assert_eq!(of(&anthropic(json!("Be kind."), "Why?")), of(&anthropic(blocks, "Why?")));
    assert_ne!(of(&anthropic(json!("Be kind."), "Why?")), of(&anthropic(json!("Be terse."), "Why?")));

    let of = |body: Value| prefix(Operation::OpenAiResponses, &body);
    let question = json!([{"type": "input_text", "text": "Why?"}]);
    let first = of(json!({"model": "m", "instructions": "Be kind.", "input": "Why?"}));
    assert_eq!(
        first,
        of(json!({"model": "m", "instructions": "Be kind.", "input": [
            {"type": "message", "role": "user", "content": question}, {"type": "reasoning"}, {"role": "user"}
        ]}))
    );
    assert_ne!(first, of(json!({"model": "m", "instructions": "Be kind.", "input": "How?"})));

    let of = |body: Value| prefix(Operation::OllamaGenerate, &body);
    let long = "x".repeat(2000);
    assert_eq!(
        of(json!({"model": "m", "prompt": format!("{long}a")})),
        of(json!({"model": "m", "prompt": format!("{long}b")}))
    );
    assert_ne!(
        of(json!({"model": "m", "prompt": "Why?"})),
        of(json!({"model": "m", "prompt": "Why?", "system": "s"}))
    );
}

#[test]
fn only_text_at_the_beginning_counts() {
    let of = |messages: Value| prefix(Operation::OpenAiChat, &json!({"model": "m", "messages": messages}));
    let plain = of(json!([{"role": "user", "content": "Why?"}]));
    let image = json!({"type": "image_url", "image_url": {"url": "data:,x"}});
    assert_eq!(plain, of(json!([{"role": "User", "content": [{"type": "text", "text": "Why?"}, image]}])));
    assert_eq!(
        plain,
        of(json!([{"role": "user", "content": "Why?"}, {"role": "system", "content": "later"}]))
    );
    assert_ne!(
        plain,
        of(json!([{"role": "developer", "content": "s"}, {"role": "user", "content": "Why?"}]))
    );
    // Which text belongs to which message matters.
    assert_ne!(
        of(json!([{"role": "system", "content": "a"}, {"role": "user", "content": "b"}])),
        of(json!([{"role": "system", "content": "b"}, {"role": "user", "content": "a"}]))
    );
    let long = "x".repeat(9000);
    assert_eq!(
        of(json!([{"role": "user", "content": format!("{long}a")}])),
        of(json!([{"role": "user", "content": format!("{long}b")}]))
    );
}

#[test]
fn what_is_no_conversation_has_no_prefix() {
    for operation in [Operation::OllamaEmbed, Operation::OpenAiEmbeddings, Operation::OllamaShow] {
        assert_eq!(prefix(operation, &chat(1, "s", "u")), None);
    }
    assert_eq!(prefix(Operation::OllamaChat, &json!({"model": "m", "messages": []})), None);
    assert_eq!(prefix(Operation::OllamaGenerate, &json!({"model": "m", "prompt": ""})), None);
    assert_eq!(prefix(Operation::OllamaChat, &json!({"model": "m"})), None);
}

#[test]
fn prefixes_and_keys_are_the_same_in_every_version() {
    assert_eq!(prefix(Operation::OllamaChat, &chat(1, "Be kind.", "Why?")), Some(FROZEN_PREFIX));
    assert_eq!(facts(Operation::OllamaChat, r#"{"options":{"num_ctx":8192}}"#).runner.key(), FROZEN_KEY);
}

/// Nodes of two versions work side by side during an update: a change of these would move every conversation.
const FROZEN_PREFIX: u64 = 1_841_988_601_280_448_416;
const FROZEN_KEY: u64 = 1_196_263_669_284_140_949;

#[test]
fn a_cut_body_gives_what_came_before_the_cut() {
    let long = "x".repeat(10_000);
    let body =
        json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": long}]}).to_string();
    let whole = facts(Operation::OpenAiChat, &body);
    assert!(whole.whole);
    let cut = facts(Operation::OpenAiChat, &body[..9000]);
    assert_eq!(cut, RequestFacts { whole: false, ..whole.clone() });
    let early = facts(Operation::OpenAiChat, &body[..100]);
    assert_eq!(early, RequestFacts { whole: false, prefix: None, beginning: None, ..whole });
    for broken in ["", " ", "[]", "\"x\"", "{\"model\":\"m\"}x", "{\"model\":\"m\",}", "{\"model\":\"m\""] {
        assert!(!facts(Operation::OpenAiChat, broken).whole, "{broken}");
    }
}

#[test]
fn deep_nesting_is_no_stack_overflow() {
    for inside in ["[", "{\"a\":"] {
        let deep = format!("{{\"model\":\"m\",\"messages\":{}", inside.repeat(1_000_000));
        for operation in EVERY {
            assert!(!facts(operation, &deep).whole);
        }
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c\"\\\\é\n{}\\[\\]]{0,6}".prop_map(Value::from),
        Just(json!("user")),
        Just(json!("system")),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop_oneof![
            Just("role".to_owned()),
            Just("content".to_owned()),
            Just("text".to_owned()),
            "[a-c\"]{0,2}"
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_body() -> impl Strategy<Value = Map<String, Value>> {
    let key = prop_oneof![
        Just("model"),
        Just("name"),
        Just("stream"),
        Just("messages"),
        Just("input"),
        Just("prompt"),
        Just("system"),
        Just("other"),
    ];
    proptest::collection::btree_map(key, any_value(), 0..6)
        .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn any_options() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!("x")),
        Just(json!([1])),
    ];
    let key = prop_oneof![Just("num_ctx"), Just("num_gpu"), Just("use_mmap"), Just("seed")];
    let options = proptest::collection::btree_map(key, value.clone(), 0..4).prop_map(|map| json!(map));
    (proptest::option::of(prop_oneof![4 => options, 1 => value.clone()]), proptest::option::of(value))
        .prop_map(|(options, shift)| {
            let members = [("options", options), ("shift", shift)];
            members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
        })
}

proptest! {
    #[test]
    fn facts_equal_those_of_the_parsed_tree(body in any_body()) {
        let text = |key: &str| {
            body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        for spelling in [serde_json::to_string(&body).unwrap(), serde_json::to_string_pretty(&body).unwrap()] {
            for operation in EVERY {
                let facts = facts(operation, &spelling);
                let name = if operation.format() == ApiFormat::Ollama { text("name") } else { None };
                let without_prefix = RequestFacts { prefix: None, beginning: None, ..facts.clone() };
                prop_assert_eq!(inspect(operation, spelling.as_bytes()), without_prefix);
                prop_assert!(facts.whole);
                prop_assert_eq!(facts.model, text("model").or(name));
                prop_assert_eq!(facts.stream, body.get("stream").and_then(Value::as_bool));
            }
        }
    }

    #[test]
    fn no_beginning_of_a_body_is_whole(body in any_body(), cut in any::<prop::sample::Index>()) {
        let text = serde_json::to_string(&body).unwrap();
        let cut = &text.as_bytes()[..cut.index(text.len())];
        for operation in EVERY {
            prop_assert!(!inspect(operation, cut).whole);
        }
    }

    #[test]
    fn a_prefix_of_a_cut_body_is_that_of_the_whole(
        question in "[a-c\"\n]{0,20}", turns in 1usize..4, cut in any::<prop::sample::Index>(),
    ) {
        let text = format!(r#"{{"model":"m",{}"#, &chat(turns, "s", &question).to_string()[1..]);
        let cut = &text.as_bytes()[..cut.index(text.len())];
        if let Some(prefix) = inspect_with_prefix(Operation::OllamaChat, cut).prefix {
            prop_assert_eq!(Some(prefix), facts(Operation::OllamaChat, &text).prefix);
        }
    }

    #[test]
    fn overlaid_options_are_those_of_the_merged_body(
        body in any_options(), frontend in any_options(), backend in any_options(),
    ) {
        let body = serde_json::to_string(&body).unwrap();
        let merged = merge_pins(body.as_bytes(), &[&frontend, &backend]).unwrap();
        let of_merged = inspect(Operation::OllamaChat, &merged).runner;
        prop_assert_eq!(facts(Operation::OllamaChat, &body).runner.overlaid(&[&frontend, &backend]), of_merged);
    }

    #[test]
    fn no_bytes_make_the_inspection_panic(bytes in proptest::collection::vec(prop_oneof![
        Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b':'), Just(b','), any::<u8>()
    ], 0..80), inside in "(|\\{\"(messages|options|prompt|system|input)\":)") {
        let mut body = inside.into_bytes();
        body.extend(bytes);
        for operation in EVERY {
            let _ = (inspect(operation, &body), inspect_with_prefix(operation, &body));
        }
    }
}

#[test]
fn a_load_asks_for_the_runner_options_that_are_set_and_for_nothing_else() {
    let pins = |value: Value| value.as_object().cloned().unwrap();
    let frontend =
        pins(json!({"options": {"num_ctx": 8192, "temperature": 0.1}, "system": "x", "keep_alive": "1m"}));
    let backend = pins(json!({"options": {"num_gpu": 20, "use_mmap": false}, "shift": false}));
    let options = RunnerOptions::default().overlaid(&[&frontend, &backend]);
    let expected = json!({"options": {"num_ctx": 8192, "num_gpu": 20, "use_mmap": false}, "shift": false});
    assert_eq!(Value::Object(options.members()), expected);
    let read = inspect(Operation::OllamaGenerate, expected.to_string().as_bytes());
    assert_eq!(read.runner.key(), options.key(), "it is read as it was meant");
    assert_eq!(options.with_num_ctx(4096).members()["options"]["num_ctx"], 4096);
    assert!(RunnerOptions::default().members().is_empty());
}
