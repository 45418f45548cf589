//! What can be read of an Ollama without making a model work: liveness, version, installed and loaded models.

use serde_json::{Value, json};

use super::VERSION;
use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::inference::{Call, Fields, Stop};
use crate::simulated::library::Installed;
use crate::simulated::operation::Operation;
use crate::simulated::scheduler::LoadedModel;

/// The answers that depend on nothing in the request.
pub(super) async fn listing(call: &mut Call<'_, '_>, operation: Operation) -> Result<(), Stop> {
    let answer = match operation {
        Operation::Root => Answer::text(200, "Ollama is running"),
        Operation::Version => Answer::native(&json!({ "version": VERSION })),
        Operation::Status => Answer::native(&json!({ "cloud": { "disabled": true, "source": "config" } })),
        Operation::Tags => {
            let models: Vec<_> = call.shared.library.list().iter().map(list_entry).collect();
            Answer::native(&json!({ "models": models }))
        }
        Operation::Ps => {
            let loaded = call.shared.scheduler.loaded();
            let models: Vec<_> = loaded.iter().map(|model| ps_entry(call, model)).collect();
            Answer::native(&json!({ "models": models }))
        }
        _ => return Err(Refusal::new(404, "no such operation").into()),
    };
    Ok(call.exchange.answer(answer).await?)
}

/// `/api/show`.
pub(super) async fn show(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?;
    let Some(model) = call.shared.library.find(name) else {
        return Err(Refusal::new(404, format!("model '{name}' not found")).into());
    };
    let family = &model.spec.family;
    let answer = json!({
        "modelfile": format!("# Modelfile of the simulated model\nFROM {}\n", model.spec.name),
        "template": "{{ .Prompt }}",
        "details": model.spec.details(),
        "model_info": {
            "general.architecture": family,
            "general.basename": model.spec.name,
            (format!("{family}.context_length")): call.knobs.context_length,
            (format!("{family}.embedding_length")): call.knobs.embedding_dimensions,
        },
        "capabilities": model.spec.capabilities,
        "modified_at": model.modified_at.to_string(),
    });
    Ok(call.exchange.answer(Answer::native(&answer)).await?)
}

fn list_entry(model: &Installed) -> Value {
    json!({
        "name": model.spec.name,
        "model": model.spec.name,
        "modified_at": model.modified_at.to_string(),
        "size": model.spec.size,
        "digest": model.digest,
        "details": model.spec.details(),
        "capabilities": model.spec.capabilities,
    })
}

fn ps_entry(call: &Call<'_, '_>, loaded: &LoadedModel) -> Value {
    let installed = call.shared.library.find(&loaded.name);
    json!({
        "name": installed.as_ref().map_or(&loaded.name, |model| &model.spec.name),
        "model": installed.as_ref().map_or(&loaded.name, |model| &model.spec.name),
        "size": loaded.size,
        "digest": loaded.digest,
        "details": installed.as_ref().map(|model| model.spec.details()),
        "expires_at": loaded.expires_at.to_string(),
        "size_vram": loaded.size_vram,
        "context_length": loaded.context_length,
    })
}
