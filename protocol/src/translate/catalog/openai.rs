//! OpenAI's answers about models, from those of an Ollama.

use serde::{Deserialize, Serialize};

use super::written;
use crate::time::Timestamp;

/// The namespace of names without one.
const LIBRARY: &str = "library";

/// The answer of `GET /api/tags`.
#[derive(Debug, Deserialize)]
pub(super) struct Tags {
    /// Null where there is none; without it, the answer is no list.
    #[serde(deserialize_with = "Deserialize::deserialize")]
    models: Option<Vec<Tag>>,
}

#[derive(Debug, Deserialize)]
struct Tag {
    model: Option<String>,
    name: Option<String>,
    modified_at: Option<String>,
}

/// The answer of `POST /api/show`.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    modified_at: Option<String>,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    /// In seconds since 1970; 0 where it is not known.
    created: i64,
    owned_by: &'a str,
}

/// The answer to `GET /v1/models`, in the order of the tags.
pub(super) fn models(tags: &Tags) -> Vec<u8> {
    let tags = tags.models.as_deref().unwrap_or_default();
    written(&List { object: "list", data: tags.iter().filter_map(Tag::as_model).collect() })
}

/// The answer to `GET /v1/models/:id`.
pub(super) fn model(id: &str, shown: &Shown) -> Vec<u8> {
    written(&Model::new(id, shown.modified_at.as_deref()))
}

// === impl Tag ===

impl Tag {
    fn as_model(&self) -> Option<Model<'_>> {
        let id = [&self.model, &self.name].into_iter().flatten().find(|id| !id.is_empty())?;
        Some(Model::new(id, self.modified_at.as_deref()))
    }
}

// === impl Model ===

impl<'a> Model<'a> {
    fn new(id: &'a str, modified_at: Option<&str>) -> Self {
        let modified_at = modified_at.and_then(|text| text.parse().ok()).unwrap_or(Timestamp::EPOCH);
        let created = modified_at.as_micros().div_euclid(1_000_000);
        Self { id, object: "model", created, owned_by: namespace(id) }
    }
}

/// The namespace of `[[host/]namespace/]model[:tag]`.
fn namespace(name: &str) -> &str {
    name.rsplit('/').nth(1).filter(|namespace| !namespace.is_empty()).unwrap_or(LIBRARY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn answer(models: &Value) -> Value {
        let tags = serde_json::from_value(json!({ "models": models })).unwrap();
        serde_json::from_slice(&super::models(&tags)).unwrap()
    }

    fn listed_as(id: &str, created: i64, owned_by: &str) -> Value {
        json!({"id": id, "object": "model", "created": created, "owned_by": owned_by})
    }

    #[test]
    fn tags_become_a_list() {
        let modified_at = "2026-01-02T03:04:05.123456Z";
        let listed = answer(&json!([
            {"name": "llama3.2:latest", "model": "llama3.2:latest", "modified_at": modified_at, "size": 1},
            {"name": "bob/m:7b", "model": "", "modified_at": modified_at},
            {"name": "x", "model": "hf.co/u/r:Q4", "modified_at": "2026-01-02T05:04:05+02:00"},
            {"name": "undated"},
            {"model": ""},
        ]));
        assert_eq!(
            listed,
            json!({"object": "list", "data": [
                listed_as("llama3.2:latest", 1_767_323_045, "library"),
                listed_as("bob/m:7b", 1_767_323_045, "bob"),
                listed_as("hf.co/u/r:Q4", 1_767_323_045, "u"),
                listed_as("undated", 0, "library"),
            ]})
        );
    }

    #[test]
    fn an_empty_list_is_empty_and_not_null() {
        for models in [json!([]), json!(null)] {
            assert_eq!(answer(&models), json!({"object": "list", "data": []}));
        }
    }

    #[test]
    fn a_model_has_the_name_by_which_it_was_asked_for() {
        let shown: Shown =
            serde_json::from_value(json!({"modified_at": "2026-01-02T03:04:05.123456Z", "model_info": {}}))
                .unwrap();
        assert_eq!(
            model("Bob/M", &shown),
            br#"{"id":"Bob/M","object":"model","created":1767323045,"owned_by":"Bob"}"#
        );
        let shown: Shown = serde_json::from_value(json!({"modified_at": "soon"})).unwrap();
        assert_eq!(model("m", &shown), br#"{"id":"m","object":"model","created":0,"owned_by":"library"}"#);
    }

    proptest! {
        #[test]
        fn every_model_is_listed_with_an_owner(names in proptest::collection::vec("[a-z/:.]{1,10}", 0..6)) {
            let listed = answer(&names.iter().map(|name| json!({"name": name})).collect());
            let data = listed["data"].as_array().unwrap();
            prop_assert!(data.iter().map(|model| model["id"].as_str().unwrap()).eq(names.iter().map(String::as_str)));
            prop_assert!(data.iter().all(|model| model["owned_by"] != ""));
        }
    }
}
