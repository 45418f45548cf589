//! What a load asks for: the runner options with which clients will ask for the model, or with which it is in memory.
//! Otherwise the next request would have the model loaded again, or the load would take it from who uses it.

use ollamaflow_protocol::catalog::Catalog;
use ollamaflow_protocol::inspect::RunnerOptions;
use ollamaflow_protocol::models::desired::Action;
use ollamaflow_protocol::models::inventory::LoadedModel;
use ollamaflow_protocol::models::satisfies;
use ollamaflow_protocol::object::{Backend, Frontend};
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate::pins;
use serde_json::{Map, Value};

/// How long a loaded model stays in memory, unless it is asked for or kept there anew. A pinned `keep_alive` is for
/// clients: with a short one the model would have to be loaded all the time.
const KEEP_ALIVE: &str = "10m";

/// The options of one load, by the call that makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    generate: RunnerOptions,
    embed: RunnerOptions,
}

// === impl Load ===

impl Load {
    /// Of a load that frontends want: the pins of the first one that wants the model there, and of the backend over them,
    /// as a request would have them. What is in memory keeps its context.
    pub(super) fn of(action: &Action, catalog: &Catalog, loaded: Option<&LoadedModel>) -> Self {
        let Some(backend) = catalog.backends.get(&action.backend) else { return Self::default() };
        let wants = |frontend: &&Frontend| {
            let mut preloaded = frontend.preload_models.iter();
            frontend.active
                && frontend.backends.contains(&action.backend)
                && preloaded.any(|model| satisfies(model, &action.model))
        };
        let frontend = catalog.frontends.values().map(AsRef::as_ref).find(wants);
        let load = Self {
            generate: options(Operation::OllamaGenerate, frontend, backend, |pins| pins.completions),
            embed: options(Operation::OllamaEmbed, frontend, backend, |pins| pins.embeddings),
        };
        match loaded.map(|loaded| loaded.context_length).filter(|tokens| *tokens > 0) {
            Some(tokens) => {
                Self { generate: load.generate.with_num_ctx(tokens), embed: load.embed.with_num_ctx(tokens) }
            }
            None => load,
        }
    }

    /// The body of `POST /api/generate`.
    pub(super) fn generate(&self, model: &str) -> Value {
        body(model, "stream", Value::Bool(false), &self.generate)
    }

    /// The body of `POST /api/embed`.
    pub(super) fn embed(&self, model: &str) -> Value {
        body(model, "input", Value::String(String::new()), &self.embed)
    }
}

/// The pinned properties of a frontend or backend.
struct Pins<'a> {
    completions: &'a Map<String, Value>,
    embeddings: &'a Map<String, Value>,
}

fn options(
    operation: Operation,
    frontend: Option<&Frontend>,
    backend: &Backend,
    of_kind: impl for<'a> Fn(Pins<'a>) -> &'a Map<String, Value>,
) -> RunnerOptions {
    let frontend = frontend.map(|frontend| Pins {
        completions: &frontend.pinned_completions_properties,
        embeddings: &frontend.pinned_embeddings_properties,
    });
    let own = Pins {
        completions: &backend.pinned_completions_properties,
        embeddings: &backend.pinned_embeddings_properties,
    };
    let mapped: Vec<_> = frontend
        .into_iter()
        .chain([own])
        .map(|pins| pins::for_operation(of_kind(pins), operation, backend.api_format).pins)
        .collect();
    let pins: Vec<_> = mapped.iter().map(AsRef::as_ref).collect();
    RunnerOptions::default().overlaid(&pins)
}

fn body(model: &str, key: &str, value: Value, options: &RunnerOptions) -> Value {
    let mut body = options.members();
    body.insert("model".to_owned(), Value::from(model));
    body.insert("keep_alive".to_owned(), Value::from(KEEP_ALIVE));
    body.insert(key.to_owned(), value);
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use ollamaflow_protocol::models::desired::ActionKind;
    use ollamaflow_protocol::models::inventory::Memory;
    use serde_json::json;

    use super::*;

    fn pinned(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn catalog() -> Catalog {
        let mut backend = Backend::new("b1".parse().unwrap());
        backend.pinned_completions_properties = pinned(&json!({ "options": { "num_gpu": 20 } }));
        let mut other = Frontend::new("a".parse().unwrap());
        other.backends = vec!["b1".parse().unwrap()];
        other.pinned_completions_properties = pinned(&json!({ "options": { "num_ctx": 512 } }));
        let mut frontend = Frontend { identifier: "f".parse().unwrap(), ..other.clone() };
        frontend.preload_models = vec!["m".to_owned()];
        frontend.pinned_completions_properties =
            pinned(&json!({ "num_ctx": 8192, "keep_alive": "1s", "options": { "temperature": 0 } }));
        frontend.pinned_embeddings_properties = pinned(&json!({ "options": { "num_ctx": 2048 } }));
        let mut catalog = Catalog::default();
        catalog.backends.insert(backend.identifier.clone(), Arc::new(backend));
        for frontend in [other, frontend] {
            catalog.frontends.insert(frontend.identifier.clone(), Arc::new(frontend));
        }
        catalog
    }

    #[test]
    fn a_load_has_the_pinned_options_of_the_frontend_that_wants_it_and_of_the_backend() {
        let action =
            Action { backend: "b1".parse().unwrap(), kind: ActionKind::Load, model: "m:7b".to_owned() };
        let load = Load::of(&action, &catalog(), None);
        assert_eq!(
            load.generate("m:7b"),
            json!({
                "model": "m:7b", "keep_alive": "10m", "stream": false,
                "options": { "num_ctx": 8192, "num_gpu": 20 },
            })
        );
        assert_eq!(
            load.embed("m:7b"),
            json!({ "model": "m:7b", "keep_alive": "10m", "input": "", "options": { "num_ctx": 2048 } })
        );
        let body = Bytes::from_static(br#"{"models":[{"name":"m:7b","context_length":4096}]}"#);
        let memory = Memory::read(&body).unwrap();
        let kept = Load::of(&action, &catalog(), memory.models().first());
        assert_eq!(kept.generate("m:7b")["options"], json!({ "num_ctx": 4096, "num_gpu": 20 }));
        let plain = Load::of(&action, &Catalog::default(), None);
        assert_eq!(plain.generate("m"), json!({ "model": "m", "keep_alive": "10m", "stream": false }));
    }
}
