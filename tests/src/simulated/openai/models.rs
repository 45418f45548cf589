//! `/v1/models`, `/v1/models/:id` and the health path.

use serde_json::{Value, json};

use super::Flavour;
use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::inference::{Call, Stop};
use crate::simulated::library::Installed;
use crate::simulated::operation::Operation;

/// The answers that depend on nothing in the request.
pub(super) async fn listing(call: &mut Call<'_, '_>, operation: Operation) -> Result<(), Stop> {
    let answer = match operation {
        Operation::Health => Answer::empty(200),
        Operation::V1Models => {
            let models = call.shared.library.list();
            let data: Vec<_> = models.iter().map(|model| entry(call, &id(call, model), model)).collect();
            Answer::openai(&json!({ "object": "list", "data": data }))
        }
        _ => return Err(Refusal::new(404, "no such operation").into()),
    };
    Ok(call.exchange.answer(answer).await?)
}

/// One model, under the name it was asked by.
pub(super) async fn model(call: &mut Call<'_, '_>, name: &str) -> Result<(), Stop> {
    let model = call.model(name, "completion").or_else(|_| call.model(name, "embedding"))?;
    let answer = entry(call, name, &model);
    Ok(call.exchange.answer(Answer::openai(&answer)).await?)
}

/// Ollama always shows the tag; other engines have no tags and show the name they were started with.
fn id(call: &Call<'_, '_>, model: &Installed) -> String {
    let name = &model.spec.name;
    match Flavour::of(call) {
        Flavour::Ollama => name.clone(),
        Flavour::Vllm => name.strip_suffix(":latest").unwrap_or(name).to_owned(),
    }
}

fn entry(call: &Call<'_, '_>, id: &str, model: &Installed) -> Value {
    let owner = match Flavour::of(call) {
        Flavour::Ollama => "library",
        Flavour::Vllm => "vllm",
    };
    json!({ "id": id, "object": "model", "created": model.modified_at.as_second(), "owned_by": owner })
}
