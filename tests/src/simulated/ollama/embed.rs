//! `/api/embed` and the older `/api/embeddings`.

use serde_json::{Value, json};

use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::embedding::{truncated, vector};
use crate::simulated::inference::{Call, Fields, Stop};
use crate::simulated::text::count_tokens;

/// A batch.
pub(super) async fn embed(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let inputs = inputs(fields.get("input"))?;
    let model = call.model(&name, "embedding")?;
    let load = call.admit(&model, &fields).await?;
    call.compute().await?;
    let dimensions = fields.get("dimensions").and_then(Value::as_u64);
    let length = call.knobs.embedding_dimensions;
    let vectors: Vec<_> = inputs.iter().map(|input| truncated(vector(input, length), dimensions)).collect();
    let load = u64::try_from(load.as_nanos()).unwrap_or(u64::MAX);
    let answer = json!({
        "model": name,
        "embeddings": vectors,
        "total_duration": load.max(1),
        "load_duration": load.max(1),
        "prompt_eval_count": inputs.iter().map(|input| count_tokens(input)).sum::<u64>(),
    });
    Ok(call.exchange.answer(Answer::native(&answer)).await?)
}

/// One prompt.
pub(super) async fn embeddings(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let model = call.model(&name, "embedding")?;
    call.admit(&model, &fields).await?;
    let prompt = fields.text("prompt").unwrap_or_default();
    let embedding = if prompt.is_empty() {
        Vec::new()
    } else {
        call.compute().await?;
        vector(prompt, call.knobs.embedding_dimensions)
    };
    Ok(call.exchange.answer(Answer::native(&json!({ "embedding": embedding }))).await?)
}

/// The texts of an `input`: one or many.
fn inputs(input: Option<&Value>) -> Result<Vec<String>, Refusal> {
    let invalid = || Refusal::new(400, "invalid input type");
    match input {
        None => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(texts)) => {
            let texts = texts.iter().map(|text| text.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(invalid)
        }
        Some(_) => Err(invalid()),
    }
}
