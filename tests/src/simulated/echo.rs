//! `/api/echo/*` and `/v1/echo/*`: shows what arrived, so that a test sees what a proxy made of its request.

use serde_json::json;

use super::answer::Answer;
use super::inference::{Call, Stop};
use super::payload::Payload;

/// Answers `{method, path, query, http_minor, headers: [[name, value]..], framing, body: {text|base64}}`.
pub(super) async fn answer(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let head = call.head;
    let seen = json!({
        "method": head.method,
        "path": head.path,
        "query": head.query,
        "http_minor": head.minor,
        "headers": head.headers,
        "framing": head.framing,
        "body": Payload::of(call.body),
    });
    Ok(call.exchange.answer(Answer::native(&seen)).await?)
}
