//! Ollama's native API: which handler serves which operation.

mod chat;
mod embed;
mod generate;
mod inventory;
mod manage;
mod progress;
mod pull;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::generation::Summary;
use super::inference::{Call, Fields, Stop};
use super::operation::Operation;

/// The version the simulated Ollama claims to be.
const VERSION: &str = "0.33.0";

/// Content type of native streams.
const NDJSON: &str = "application/x-ndjson";

/// Serves a native operation; `variable` is the path's variable part.
pub(super) async fn handle(
    call: &mut Call<'_, '_>,
    operation: Operation,
    variable: &str,
) -> Result<(), Stop> {
    match operation {
        Operation::Chat => chat::chat(call).await,
        Operation::Generate => generate::generate(call).await,
        Operation::Embed => embed::embed(call).await,
        Operation::Embeddings => embed::embeddings(call).await,
        Operation::Show => inventory::show(call).await,
        Operation::Pull => pull::pull(call).await,
        Operation::Push => pull::push(call).await,
        Operation::Create => manage::create(call).await,
        Operation::Copy => manage::copy(call).await,
        Operation::Delete => manage::delete(call).await,
        Operation::BlobHead => manage::blob_head(call, variable).await,
        Operation::BlobPost => manage::blob_post(call, variable).await,
        other => inventory::listing(call, other).await,
    }
}

/// Whether a request for nothing means to unload rather than to load.
fn unloads(fields: &Fields) -> Result<bool, Stop> {
    let now = super::scheduler::KeepAlive::For(std::time::Duration::ZERO);
    Ok(super::demand::keep_alive(fields)? == Some(now))
}

/// The most tokens to say: `num_predict`, negative for no limit.
fn token_limit(fields: &Fields) -> Option<u64> {
    fields.option("num_predict").and_then(Value::as_u64)
}

/// `model` and `created_at`, with which each object begins.
fn beginning(model: &str) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("model".to_owned(), json!(model));
    object.insert("created_at".to_owned(), json!(Timestamp::now().to_string()));
    object
}

/// Adds what the last object has: `done:true` and the figures.
fn complete(object: &mut Map<String, Value>, summary: &Summary) {
    let nanoseconds = |time: std::time::Duration| json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let fields = [
        ("done", json!(true)),
        ("done_reason", json!(summary.done_reason)),
        ("total_duration", nanoseconds(summary.total)),
        ("load_duration", nanoseconds(summary.load)),
        ("prompt_eval_count", json!(summary.prompt_tokens)),
        ("prompt_eval_duration", nanoseconds(summary.prompt)),
        ("eval_count", json!(summary.tokens)),
        ("eval_duration", nanoseconds(summary.eval)),
    ];
    object.extend(fields.map(|(name, value)| (name.to_owned(), value)));
}
