//! Ollama's answers about models, from the list of a backend of OpenAI's API.
//!
//! Such a list tells names, dates and, with some engines, the length of the context. What it does not tell is empty, 0
//! or left out: nothing is made up. Capabilities are left out for that reason, and not said to be `completion`: the
//! model may be one for embeddings. Ollama's own clients take that as nothing known.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::written;
use crate::model::same_model;
use crate::time::Timestamp;
use crate::translate::number::truncated;
use crate::translate::{Occasion, keep_alive};

/// The version of Ollama's API that this node speaks: the release whose conversions translation is made after.
const VERSION: &str = "0.33.0";

/// The answer of `GET /v1/models`.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    /// Null where there is none; without it, the answer is no list.
    #[serde(deserialize_with = "Deserialize::deserialize")]
    data: Option<Vec<Entry>>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    /// In seconds since 1970; some engines write fractions, and some nothing.
    #[serde(default)]
    created: Value,
    /// The length of the context in vLLM's list.
    #[serde(default)]
    max_model_len: Value,
    /// llama.cpp's, with the length of the context as it is configured and as the model was trained.
    #[serde(default)]
    meta: Value,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

#[derive(Serialize)]
struct Models<T> {
    models: Vec<T>,
}

#[derive(Serialize)]
struct Tag<'a> {
    name: &'a str,
    model: &'a str,
    modified_at: Timestamp,
    size: u64,
    digest: String,
    details: Details,
}

#[derive(Serialize)]
struct Process<'a> {
    name: &'a str,
    model: &'a str,
    size: u64,
    digest: String,
    details: Details,
    expires_at: Timestamp,
    size_vram: u64,
    context_length: u64,
}

#[derive(Serialize)]
struct Shown {
    details: Details,
    model_info: Map<String, Value>,
    modified_at: Timestamp,
}

#[derive(Default, Serialize)]
struct Details {
    parent_model: &'static str,
    format: &'static str,
    family: &'static str,
    families: Option<()>,
    parameter_size: &'static str,
    quantization_level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u64>,
}

/// The answer to `GET /api/version`.
pub fn version_answer() -> Vec<u8> {
    written(&Version { version: VERSION })
}

/// The answer to `GET /api/tags`, in the order of the list.
pub(super) fn tags(list: &List) -> Vec<u8> {
    let tags = list.entries().iter().map(|entry| Tag {
        name: &entry.id,
        model: &entry.id,
        modified_at: entry.created(),
        size: 0,
        digest: entry.digest(),
        details: entry.details(),
    });
    written(&Models { models: tags.collect() })
}

/// The answer to `GET /api/ps`: the backend has in memory what it serves, and for ever.
pub(super) fn ps(list: &List, occasion: Occasion) -> Vec<u8> {
    let forever = occasion.now.as_micros().saturating_add(keep_alive::FOREVER / 1000);
    let processes = list.entries().iter().map(|entry| Process {
        name: &entry.id,
        model: &entry.id,
        size: 0,
        digest: entry.digest(),
        details: entry.details(),
        expires_at: Timestamp::from_micros(forever),
        size_vram: 0,
        context_length: entry.context_length().unwrap_or_default(),
    });
    written(&Models { models: processes.collect() })
}

/// The answer to `POST /api/show`; `None` if the model is not in the list.
pub(super) fn show(list: &List, model: &str) -> Option<Vec<u8>> {
    let entry = list.find(model)?;
    // Ollama has the architecture's name before the dot, which is not known here. Clients look for the end of the key.
    let context_length =
        entry.context_length().map(|length| ("general.context_length".to_owned(), length.into()));
    let model_info = context_length.into_iter().collect();
    Some(written(&Shown { details: entry.details(), model_info, modified_at: entry.created() }))
}

// === impl List ===

impl List {
    fn entries(&self) -> &[Entry] {
        self.data.as_deref().unwrap_or_default()
    }

    /// The model of this very name, or else of another spelling of it.
    fn find(&self, model: &str) -> Option<&Entry> {
        let exact = self.entries().iter().find(|entry| entry.id == model);
        exact.or_else(|| self.entries().iter().find(|entry| same_model(&entry.id, model)))
    }
}

// === impl Entry ===

impl Entry {
    fn created(&self) -> Timestamp {
        Timestamp::from_micros(truncated(self.created.as_f64().unwrap_or_default() * 1e6))
    }

    /// Stable, and in the form of Ollama's: the SHA-256 of the name, for want of the model's own.
    fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.id))
    }

    fn details(&self) -> Details {
        Details { context_length: self.context_length(), ..Details::default() }
    }

    fn context_length(&self) -> Option<u64> {
        let lengths = [Some(&self.max_model_len), self.meta.get("n_ctx"), self.meta.get("n_ctx_train")];
        lengths.into_iter().flatten().find_map(Value::as_u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn list(data: &Value) -> List {
        serde_json::from_value(json!({"object": "list", "data": data})).unwrap()
    }

    fn read(answer: &[u8]) -> Value {
        serde_json::from_slice(answer).unwrap()
    }

    fn no_details() -> Value {
        json!({
            "parent_model": "", "format": "", "family": "", "families": null, "parameter_size": "",
            "quantization_level": ""
        })
    }

    #[test]
    fn the_version_is_that_of_the_api() {
        assert_eq!(version_answer(), br#"{"version":"0.33.0"}"#);
    }

    #[test]
    fn a_list_becomes_tags() {
        let models = list(&json!([
            {"id": "Qwen/Qwen2.5-3B", "created": 1_767_323_045, "owned_by": "vllm", "max_model_len": 32768},
            {"id": "b", "created": null},
        ]));
        let [first, second] = &read(&tags(&models))["models"].as_array().unwrap().clone()[..] else {
            panic!("two")
        };
        assert_eq!(first["name"], "Qwen/Qwen2.5-3B");
        assert_eq!(first["model"], "Qwen/Qwen2.5-3B");
        assert_eq!(first["modified_at"], "2026-01-02T03:04:05.000000Z");
        assert_eq!(first["size"], 0);
        assert_eq!(first["details"]["context_length"], 32768);
        assert_eq!(second["modified_at"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(second["digest"], "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d");
        assert_eq!(second["details"], no_details());
        assert_eq!(read(&tags(&list(&json!(null)))), json!({"models": []}));
    }

    #[test]
    fn what_is_served_is_in_memory_for_ever() {
        let models = list(
            &json!([{"id": "a", "meta": {"n_ctx": 2048, "n_ctx_train": 4096}}, {"id": "b", "meta": null}]),
        );
        let now = Occasion { now: "2026-01-02T03:04:05Z".parse().unwrap(), nonce: 1 };
        let answer = read(&ps(&models, now));
        let [first, second] = &answer["models"].as_array().unwrap()[..] else { panic!("two") };
        assert_eq!(
            (&first["name"], &first["size"], &first["size_vram"]),
            (&json!("a"), &json!(0), &json!(0))
        );
        assert_eq!(first["context_length"], 2048);
        assert_eq!(second["context_length"], 0);
        let expires: Timestamp = first["expires_at"].as_str().unwrap().parse().unwrap();
        assert!(expires.to_string().starts_with("2318-"), "{expires}");
    }

    #[test]
    fn a_model_is_shown_by_any_spelling_and_the_exact_one_first() {
        let models = list(&json!([
            {"id": "A", "created": 1}, {"id": "a", "created": 2, "meta": {"n_ctx_train": 4096}},
        ]));
        let shown = |model: &str| show(&models, model).map(|answer| read(&answer));
        let exact = shown("a").unwrap();
        assert_eq!(exact["modified_at"], "1970-01-01T00:00:02.000000Z");
        assert_eq!(exact["model_info"], json!({"general.context_length": 4096}));
        let other = shown("A:latest").unwrap();
        assert_eq!(other["modified_at"], "1970-01-01T00:00:01.000000Z");
        assert_eq!(other["model_info"], json!({}));
        assert_eq!(other["details"], no_details());
        assert_eq!(other.get("capabilities"), None);
        assert_eq!(shown("b"), None);
    }

    #[test]
    fn dates_are_read_as_far_as_they_are_numbers() {
        for (created, expected) in [
            (json!(1.5), "1970-01-01T00:00:01.500000Z"),
            (json!(0), "1970-01-01T00:00:00.000000Z"),
            (json!("yesterday"), "1970-01-01T00:00:00.000000Z"),
            (json!(1e300), "9999-12-30T22:00:00.000000Z"),
        ] {
            let models = list(&json!([{"id": "a", "created": created}]));
            assert_eq!(read(&tags(&models))["models"][0]["modified_at"], expected);
        }
    }

    proptest! {
        #[test]
        fn every_model_is_in_all_three_answers(ids in proptest::collection::vec("[a-zA-Z/:.-]{1,12}", 0..6)) {
            let models = list(&ids.iter().map(|id| json!({"id": id})).collect());
            let now = Occasion { now: Timestamp::EPOCH, nonce: 1 };
            for answer in [tags(&models), ps(&models, now)] {
                let answer = read(&answer);
                let names = answer["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap());
                prop_assert!(names.eq(ids.iter().map(String::as_str)));
            }
            for id in &ids {
                prop_assert!(show(&models, id).is_some());
            }
        }
    }
}
