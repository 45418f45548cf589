use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::inspect::inspect;
use crate::route::Operation;

fn aliases(value: &Value) -> ModelAliases {
    serde_json::from_value(value.clone()).unwrap()
}

fn id(id: &str) -> BackendId {
    id.parse().unwrap()
}

#[test]
fn an_alias_is_resolved_by_backend_and_in_one_step() {
    let aliases = aliases(&json!({
        "gpt-4o": "llama3.1:70b",
        "Small": {"vllm": "Qwen/Qwen2.5-3B", "*": "qwen2.5:3b"},
        "here-only": {"b1": "X"},
        "llama3.1:70b": "another",
    }));
    let renaming = |asked| aliases.renaming(Some(asked), Some("small")).unwrap();
    let at = |asked, backend| renaming(asked).target(&id(backend)).map(str::to_owned);
    assert_eq!(at("GPT-4o:latest", "b1").as_deref(), Some("llama3.1:70b"));
    assert_eq!(renaming("GPT-4o:latest").asked(), "GPT-4o:latest", "as the client wrote it");
    assert_eq!(renaming("GPT-4o:latest").alias().unwrap().name, "gpt-4o", "as the operator wrote it");
    assert_eq!(at("small", "vllm").as_deref(), Some("Qwen/Qwen2.5-3B"));
    assert_eq!(at("small", "b1").as_deref(), Some("qwen2.5:3b"));
    assert_eq!(at("here-only", "b1").as_deref(), Some("X"));
    assert_eq!(renaming("here-only").canonical_target(&id("b1")), Some("x:latest"));
    assert_eq!(at("here-only", "b2"), None, "it cannot be asked");
    assert_eq!(at("LLAMA3.1:70b", "b1").as_deref(), Some("another"), "and not for what gpt-4o means");
    assert_eq!(aliases.renaming(Some("unknown"), None), None);
    assert_eq!(aliases.renaming(Some("unknown"), Some("small")), None);
}

#[test]
fn requests_without_a_model_get_the_default() {
    let aliases = aliases(&json!({"fast": "qwen2.5:3b"}));
    for asked in [None, Some(""), Some(" ")] {
        let renaming = aliases.renaming(asked, Some("fast")).unwrap();
        assert_eq!((renaming.target(&id("b")), renaming.asked()), (Some("qwen2.5:3b"), "fast"));
        assert!(renaming.is_default() && renaming.alias().is_some());
        assert_eq!(aliases.renaming(asked, None), None);
        let none = ModelAliases::default();
        let plain = none.renaming(asked, Some("M")).unwrap();
        assert_eq!((plain.target(&id("b")), plain.canonical_target(&id("b"))), (Some("M"), Some("m:latest")));
        assert!(plain.is_default() && plain.alias().is_none());
        assert_eq!(none.renaming(asked, None), None);
    }
    assert!(!aliases.renaming(Some("fast"), Some("m")).unwrap().is_default());
}

#[test]
fn errors_name_the_alias_and_the_place() {
    for (value, expected) in [
        (json!({"a": ""}), "must have the name of a model for \"a\", but has \"\""),
        (json!({"": "a"}), "must have the name of a model as a key, but has \"\""),
        (json!({"a": {"b c": "m"}}), "as keys for \"a\", but has \"b c\""),
        (json!({"a": {"b": "x\ny"}}), "for \"a\" at \"b\", but has \"x\\ny\""),
        (json!({"a": {}}), "must have a model for \"a\""),
        (json!({"a": 7}), "expected the name of a model for \"a\""),
        (json!({"a": "x", "A:latest": "y"}), "but \"a\" has a second spelling"),
        (json!([]), "an object with names of models"),
    ] {
        let error = serde_json::from_value::<ModelAliases>(value).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let many: serde_json::Map<_, _> = (0..=MAX_ALIASES).map(|n| (format!("a{n}"), json!("m"))).collect();
    assert!(serde_json::from_value::<ModelAliases>(many.into()).is_err());
}

#[test]
fn aliases_are_written_as_they_were_read() {
    let written = json!({"B": {"b1": "x", "*": "y"}, "gpt-4o": "llama3.1:70b"});
    assert_eq!(serde_json::to_value(aliases(&written)).unwrap(), written);
    assert!(aliases(&json!(null)).is_empty());
}

#[test]
fn the_lenient_reader_of_objects_puts_the_path_in_front() {
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    #[derive(Default)]
    struct Holder {
        model_aliases: ModelAliases,
        #[serde(deserialize_with = "default_model")]
        default_model: Option<String>,
    }
    let read = crate::object::lenient::read::<Holder>;
    let error = read(&json!({"ModelAliases": {"a": ""}})).unwrap_err().to_string();
    assert!(error.contains("ModelAliases") && error.contains("\"a\""), "{error}");
    let error = read(&json!({"DefaultModel": "\u{1}"})).unwrap_err().to_string();
    assert!(error.contains("DefaultModel"), "{error}");
    assert_eq!(read(&json!({"DefaultModel": "m"})).unwrap().value.default_model.as_deref(), Some("m"));
    assert_eq!(read(&json!({"DefaultModel": ""})).unwrap().value.default_model, None);
    assert!(read(&json!({"modelaliases": {"a": {"b": "m", "*": "n"}}})).is_ok());
}

#[test]
fn the_name_is_replaced_in_place() {
    let named = |operation, body: &str, name| {
        named(operation, body.as_bytes(), name).map(|body| String::from_utf8(body).unwrap())
    };
    assert_eq!(
        named(Operation::OpenAiChat, r#"{ "model" : "gpt-4o", "n":1.50,"messages":[{"model":"x"}]}"#, "a\"b"),
        Ok(r#"{ "model" : "a\"b", "n":1.50,"messages":[{"model":"x"}]}"#.to_owned())
    );
    assert_eq!(
        named(Operation::OllamaChat, r#"{"MODEL":"x","Name":"y","model":null}"#, "m"),
        Ok(r#"{"MODEL":"m","Name":"m","model":"m"}"#.to_owned())
    );
    assert_eq!(
        named(Operation::OpenAiChat, r#"{"name":"y","Model":"z"}"#, "m"),
        Ok(r#"{"name":"y","Model":"z","model":"m"}"#.to_owned())
    );
    assert_eq!(named(Operation::OllamaShow, " {} ", "m"), Ok(r#" {"model":"m"} "#.to_owned()));
    assert_eq!(named(Operation::OllamaShow, "", "m"), Ok(r#"{"model":"m"}"#.to_owned()));
    for body in ["[]", "{", "{}x", "\"m\"", "{\"model\":\"m"] {
        assert_eq!(named(Operation::OllamaShow, body, "m"), Err(AliasError::NotAnObject), "{body}");
    }
}

proptest! {
    #[test]
    fn the_backend_reads_the_target_whatever_the_client_wrote(
        members in proptest::collection::vec(("(model|Model|name|NAME|m\u{17f}|x)", "(\"[a-z]{0,3}\"|null|7|\\{\"model\":\"y\"\\})"), 0..6),
        target in "[a-z\"\\\\:é]{1,8}",
    ) {
        let members: Vec<_> = members.into_iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        let body = format!("{{{}}}", members.join(" ,"));
        for operation in [Operation::OllamaGenerate, Operation::OpenAiChat] {
            let named = named(operation, body.as_bytes(), &target).unwrap();
            serde_json::from_slice::<Value>(&named).unwrap();
            let facts = inspect(operation, &named);
            prop_assert_eq!(facts.model.as_deref(), Some(&*target));
            prop_assert!(facts.whole);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = named(Operation::OllamaChat, &body, "m");
    }
}
