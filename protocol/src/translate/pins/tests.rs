use proptest::prelude::*;
use serde_json::json;

use super::*;

const OPERATIONS: [Operation; 8] = [
    Operation::OllamaChat,
    Operation::OllamaGenerate,
    Operation::OllamaEmbed,
    Operation::OpenAiChat,
    Operation::OpenAiCompletion,
    Operation::OpenAiEmbeddings,
    Operation::OpenAiResponses,
    Operation::AnthropicMessages,
];

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

/// The pins that a backend gets, and what is lost.
fn mapped(pins: Value, operation: Operation, format: ApiFormat) -> (Value, Vec<String>) {
    let pins = map(pins);
    let Mapped { pins, lost } = for_operation(&pins, operation, format);
    (Value::Object(pins.into_owned()), lost)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[track_caller]
fn native(pins: Value, expected: Value) {
    assert_eq!(mapped(pins, Operation::OllamaChat, ApiFormat::Ollama), (expected, Vec::new()));
}

#[track_caller]
fn openai(operation: Operation, pins: Value, expected: Value, lost: &[&str]) {
    assert_eq!(mapped(pins, operation, ApiFormat::OpenAI), (expected, names(lost)));
}

#[track_caller]
fn layer(operation: Operation, pins: Value, expected: Value, lost: &[&str]) {
    assert_eq!(mapped(pins, operation, ApiFormat::Ollama), (expected, names(lost)));
}

#[test]
fn pins_in_the_form_of_the_api_are_borrowed() {
    for (operation, format, pins) in [
        (
            Operation::OllamaChat,
            ApiFormat::Ollama,
            json!({"model": "m", "options": {"num_ctx": 1}, "keep_alive": -1, "think": "low", "format": "json"}),
        ),
        (
            Operation::OpenAiChat,
            ApiFormat::OpenAI,
            json!({"model": "m", "temperature": 0, "max_tokens": 5, "max_completion_tokens": 6, "stop": "x",
                   "response_format": {"type": "json_object"}, "reasoning_effort": "none", "seed": -1,
                   "guided_json": {}, "chat_template_kwargs": {}, "top_k": 3, "min_p": 0.1, "repetition_penalty": 1}),
        ),
        (
            Operation::OpenAiChat,
            ApiFormat::Ollama,
            json!({"temperature": 0, "max_tokens": 5, "tool_choice": "none"}),
        ),
        (Operation::OpenAiCompletion, ApiFormat::OpenAI, json!({"max_tokens": 5, "response_format": {}})),
        (Operation::OpenAiEmbeddings, ApiFormat::Ollama, json!({"dimensions": 5, "input": "x"})),
        (
            Operation::OpenAiResponses,
            ApiFormat::Ollama,
            json!({"max_output_tokens": 5, "text": {}, "reasoning": {}}),
        ),
        (
            Operation::AnthropicMessages,
            ApiFormat::OpenAI,
            json!({"top_k": 1, "stop_sequences": [], "thinking": {}}),
        ),
        (Operation::OllamaShow, ApiFormat::Ollama, json!({"temperature": 1})),
    ] {
        let pins = map(pins);
        let Mapped { pins: mapped, lost } = for_operation(&pins, operation, format);
        assert!(matches!(mapped, Cow::Borrowed(_)) && lost.is_empty(), "{operation:?} {mapped:?} {lost:?}");
    }
}

#[test]
fn an_ollama_gets_sampling_below_its_options() {
    native(
        json!({"model": "m", "temperature": 0.5, "top_k": 4, "stop": "x", "max_tokens": 5, "user": "u"}),
        json!({"model": "m", "user": "u",
               "options": {"temperature": 0.5, "top_k": 4, "stop": ["x"], "num_predict": 5}}),
    );
    native(
        json!({"options": {"num_ctx": 8, "temperature": 0.1}, "temperature": 0.5, "seed": 7}),
        json!({"options": {"num_ctx": 8, "temperature": 0.1, "seed": 7}}),
    );
    native(json!({"seed": null}), json!({"options": {"seed": null}}));
}

#[test]
fn an_ollama_gets_forms_and_efforts_in_its_words() {
    let schema = json!({"type": "object", "properties": {}});
    for (format, expected) in [
        (json!({"type": "json_object"}), json!("json")),
        (
            json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}}),
            schema,
        ),
        (json!({"type": "text"}), json!(null)),
        (json!(null), json!(null)),
    ] {
        native(json!({ "response_format": format }), json!({ "format": expected }));
    }
    for (effort, think) in [
        (json!("none"), json!(false)),
        (json!("minimal"), json!("low")),
        (json!("high"), json!("high")),
        (json!("xhigh"), json!("max")),
        (json!(null), json!(null)),
    ] {
        native(json!({ "reasoning_effort": effort }), json!({ "think": think }));
        native(json!({"reasoning": {"effort": effort}}), json!({ "think": think }));
    }
    native(json!({"think": true, "reasoning_effort": "none"}), json!({"think": true}));
}

#[test]
fn what_makes_no_sense_is_lost() {
    let pins = json!({"response_format": {"type": "json_schema"}, "reasoning_effort": "7", "reasoning": {}});
    let lost = names(&["response_format", "reasoning", "reasoning_effort"]);
    assert_eq!(mapped(pins, Operation::OllamaChat, ApiFormat::Ollama), (json!({}), lost));
    let pins = json!({"options": 7, "temperature": 1});
    let expected = (json!({"options": 7}), names(&["temperature"]));
    assert_eq!(mapped(pins, Operation::OllamaChat, ApiFormat::Ollama), expected);
    openai(
        Operation::OpenAiChat,
        json!({"options": [], "think": 7, "format": "xml"}),
        json!({}),
        &["options", "think", "format"],
    );
}

#[test]
fn other_backends_get_the_options_that_they_have_a_word_for() {
    openai(
        Operation::OpenAiChat,
        json!({"options": {"temperature": 0.5, "seed": -1, "stop": ["x"], "num_ctx": 8, "foo": 1, "top_k": null},
               "keep_alive": "5m", "truncate": null, "guided_json": {}}),
        json!({"temperature": 0.5, "seed": null, "stop": ["x"], "guided_json": {}}),
        &["options.num_ctx", "options.foo", "keep_alive"],
    );
    openai(
        Operation::OpenAiCompletion,
        json!({"options": {"temperature": 0.5, "num_predict": 5}, "format": "json", "think": false, "max_completion_tokens": 6}),
        json!({"temperature": 0.5, "max_tokens": 5}),
        &["format", "think"],
    );
    openai(
        Operation::OpenAiEmbeddings,
        json!({"options": {"num_ctx": 8}, "temperature": 1, "truncate": false, "dimensions": 3}),
        json!({"dimensions": 3}),
        &["options.num_ctx", "temperature", "truncate"],
    );
}

#[test]
fn a_limit_holds_whatever_word_the_client_has_for_it() {
    for (num_predict, limit) in [(json!(5), json!(5)), (json!(-1), json!(null)), (json!(null), json!(null))] {
        openai(
            Operation::OpenAiChat,
            json!({"options": {"num_predict": num_predict}}),
            json!({ "max_tokens": limit }),
            &[],
        );
        layer(
            Operation::OpenAiChat,
            json!({"options": {"num_predict": num_predict}}),
            json!({ "max_tokens": limit }),
            &[],
        );
    }
    openai(
        Operation::OpenAiChat,
        json!({"options": {"num_predict": 0}}),
        json!({}),
        &["options.num_predict"],
    );
    openai(
        Operation::AnthropicMessages,
        json!({"options": {"num_predict": -1}}),
        json!({}),
        &["options.num_predict"],
    );
    let both = json!({"options": {"num_predict": 5}, "max_completion_tokens": 6});
    openai(Operation::OpenAiChat, both.clone(), json!({"max_completion_tokens": 6}), &[]);
    layer(Operation::OpenAiChat, both, json!({"max_tokens": 5}), &[]);
    native(json!({"max_completion_tokens": 6, "max_tokens": 5}), json!({"options": {"num_predict": 5}}));
}

#[test]
fn forms_and_thinking_are_said_in_each_apis_words() {
    let schema = json!({"type": "object"});
    let pins = json!({"format": schema, "think": "max"});
    openai(
        Operation::OpenAiChat,
        pins.clone(),
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "schema", "schema": schema}},
               "reasoning_effort": "high"}),
        &[],
    );
    openai(
        Operation::OpenAiResponses,
        pins.clone(),
        json!({"text": {"format": {"type": "json_schema", "name": "schema", "schema": schema}},
               "reasoning": {"effort": "high"}}),
        &[],
    );
    openai(Operation::AnthropicMessages, pins, json!({"output_config": {"effort": "max"}}), &["format"]);
    for (think, effort, kind) in [(true, json!(null), "enabled"), (false, json!("none"), "disabled")] {
        let pins = json!({ "think": think });
        openai(Operation::OpenAiChat, pins.clone(), json!({ "reasoning_effort": effort }), &[]);
        openai(Operation::AnthropicMessages, pins, json!({"thinking": {"type": kind}}), &[]);
    }
    openai(
        Operation::OpenAiChat,
        json!({"format": "json"}),
        json!({"response_format": {"type": "json_object"}}),
        &[],
    );
    openai(Operation::OpenAiChat, json!({"format": ""}), json!({"response_format": null}), &[]);
}

#[test]
fn words_of_chats_are_said_in_newer_apis() {
    let pins = json!({"max_tokens": 5, "stop": "x", "seed": 7, "temperature": 1, "top_p": 0.5, "user": "u",
                      "reasoning_effort": "low", "response_format": {"type": "json_object"}});
    openai(
        Operation::OpenAiResponses,
        pins.clone(),
        json!({"temperature": 1, "top_p": 0.5, "user": "u", "max_output_tokens": 5,
               "text": {"format": {"type": "json_object"}}, "reasoning": {"effort": "low"}}),
        &["stop", "seed"],
    );
    openai(
        Operation::AnthropicMessages,
        pins,
        json!({"max_tokens": 5, "temperature": 1, "top_p": 0.5, "user": "u", "stop_sequences": ["x"],
               "output_config": {"effort": "low"}}),
        &["seed", "response_format"],
    );
    let own = json!({"text": {"verbosity": "low"}, "format": "json", "reasoning": {"effort": "high"}, "think": false});
    let expected = json!({"text": {"verbosity": "low", "format": {"type": "json_object"}}, "reasoning": {"effort": "high"}});
    openai(Operation::OpenAiResponses, own, expected, &[]);
}

#[test]
fn ollamas_layer_loses_what_it_passes_over() {
    layer(
        Operation::OpenAiChat,
        json!({"options": {"num_ctx": 8, "temperature": 0.5}, "keep_alive": -1, "think": false, "top_k": 4,
               "format": "json", "max_completion_tokens": 5, "guided_json": {}}),
        json!({"guided_json": {}, "temperature": 0.5, "response_format": {"type": "json_object"}, "max_tokens": 5}),
        &["options.num_ctx", "keep_alive", "think", "top_k"],
    );
    layer(
        Operation::OpenAiCompletion,
        json!({"response_format": {"type": "json_object"}, "reasoning_effort": "low", "seed": 7}),
        json!({"seed": 7}),
        &["response_format", "reasoning_effort"],
    );
    layer(
        Operation::OpenAiResponses,
        json!({"format": "json", "seed": 7, "min_p": 0.5}),
        json!({}),
        &["format", "seed", "min_p"],
    );
    layer(Operation::AnthropicMessages, json!({"think": true, "top_k": 4}), json!({"top_k": 4}), &["think"]);
    layer(Operation::OpenAiEmbeddings, json!({"truncate": false}), json!({}), &["truncate"]);
    // By the way on which all of it is kept.
    native(
        json!({"options": {"num_ctx": 8}, "keep_alive": -1, "think": false, "top_k": 4}),
        json!({"options": {"num_ctx": 8, "top_k": 4}, "keep_alive": -1, "think": false}),
    );
}

fn any_pins() -> impl Strategy<Value = Map<String, Value>> {
    let top: Vec<&str> = OPTIONS
        .iter()
        .chain(&NATIVE)
        .chain(&SECOND)
        .copied()
        .chain([
            "max_tokens",
            "max_output_tokens",
            "response_format",
            "reasoning",
            "text",
            "thinking",
            "model",
        ])
        .chain(["stop_sequences", "output_config", "guided_json"])
        .collect();
    let value = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-2i32..9).prop_map(Value::from),
        prop_oneof![Just("json"), Just("low"), Just("max"), Just("none"), Just("")].prop_map(Value::from),
        Just(json!(["x"])),
        Just(json!({"type": "json_object"})),
        Just(json!({"effort": "high"})),
        Just(json!({"format": 1})),
        proptest::collection::btree_map(prop::sample::select(OPTIONS), -2i32..9, 0..4)
            .prop_map(|options| json!(options)),
    ];
    proptest::collection::vec((prop::sample::select(top), value), 0..6)
        .prop_map(|pins| pins.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn any_form() -> impl Strategy<Value = (Operation, ApiFormat)> {
    (prop::sample::select(&OPERATIONS[..]), prop_oneof![Just(ApiFormat::Ollama), Just(ApiFormat::OpenAI)])
}

proptest! {
    #[test]
    fn mapping_what_is_mapped_changes_nothing(pins in any_pins(), (operation, format) in any_form()) {
        let once = for_operation(&pins, operation, format);
        let twice = for_operation(&once.pins, operation, format);
        prop_assert!(matches!(twice.pins, Cow::Borrowed(_)));
        prop_assert_eq!(twice.lost, Vec::<String>::new());
    }

    #[test]
    fn what_is_in_the_apis_own_form_is_kept_as_it_is(pins in any_pins(), (operation, format) in any_form()) {
        let form = Form::of(operation, format).unwrap();
        let mapped = for_operation(&pins, operation, format).pins;
        for (name, value) in pins.iter().filter(|(name, _)| form.takes(name)) {
            match (value, &mapped[name]) {
                (Value::Object(own), Value::Object(mapped)) => {
                    prop_assert!(own.iter().all(|(name, value)| mapped.get(name) == Some(value)));
                }
                (own, mapped) => prop_assert_eq!(own, mapped),
            }
        }
        prop_assert!(mapped.keys().all(|name| form.takes(name)));
    }

    #[test]
    fn an_ollama_loses_nothing_but_what_makes_no_sense(temperature in -2i32..9, limit in 1u32..9, effort in "low|high|none") {
        let pins = map(json!({"temperature": temperature, "max_tokens": limit, "reasoning_effort": effort}));
        for operation in [Operation::OllamaChat, Operation::OllamaGenerate] {
            prop_assert!(for_operation(&pins, operation, ApiFormat::Ollama).lost.is_empty());
        }
    }
}
