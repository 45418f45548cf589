//! `/v1/embeddings`, as floats or base64.

use serde_json::{Value, json};

use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::embedding::{base64, truncated, vector};
use crate::simulated::inference::{Call, Fields, Stop};
use crate::simulated::text::count_tokens;

/// Embeds one text or many.
pub(super) async fn embeddings(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let inputs = inputs(fields.get("input"))?;
    let as_base64 = match fields.text("encoding_format").map(str::to_lowercase).as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            let supported = "Supported values: ['float', 'base64'].";
            let message = format!("Invalid value for 'encoding_format' = {other}. {supported}");
            return Err(Refusal::new(400, message).into());
        }
    };
    let model = call.model(&name, "embedding")?;
    call.admit(&model, &fields).await?;
    call.compute().await?;
    let dimensions = fields.get("dimensions").and_then(Value::as_u64);
    let length = call.knobs.embedding_dimensions;
    let one = |(index, input): (usize, &String)| {
        let vector = truncated(vector(input, length), dimensions);
        let embedding = if as_base64 { json!(base64(&vector)) } else { json!(vector) };
        json!({ "object": "embedding", "embedding": embedding, "index": index })
    };
    let tokens: u64 = inputs.iter().map(|input| count_tokens(input)).sum();
    let answer = json!({
        "object": "list",
        "data": inputs.iter().enumerate().map(one).collect::<Vec<_>>(),
        "model": name,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    });
    Ok(call.exchange.answer(Answer::openai(&answer)).await?)
}

fn inputs(input: Option<&Value>) -> Result<Vec<String>, Refusal> {
    match input {
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(texts)) if !texts.is_empty() => {
            let texts = texts.iter().map(|text| text.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(|| Refusal::new(400, "invalid input type"))
        }
        _ => Err(Refusal::new(400, "invalid input")),
    }
}
