//! The calls by which models are pulled, loaded and deleted at one backend: control traffic, by `awc`.
//!
//! Each ends in success or in a reason in the backend's words. Dropping a call closes its connection, upon which the
//! backend gives up.

use std::time::Duration;

use actix_rt::time::timeout;
use awc::ClientResponse;
use awc::http::Method;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use ollamaflow_protocol::models::progress::Progress;
use ollamaflow_protocol::object::Backend;
use serde_json::{Value, json};

use super::claim::Holding;
use super::load::Load;
use crate::actors::control_request;

/// Longest wait for the head of an answer to a pull or delete.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest silence within a pull: a backend says nothing while it checks what it has pulled.
const SILENCE: Duration = Duration::from_secs(600);
/// Longest time that a load may take.
const LOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// Longest body of a refusal that is read.
const MAX_REFUSAL: usize = 64 * 1024;

/// Pulls a model, and tells how far it is.
pub(super) async fn pull(config: &Backend, model: &str, holding: &Holding) -> Result<(), String> {
    // Old releases read `name`, later ones `model`.
    let body = json!({ "model": model, "name": model, "stream": true });
    let mut answer = send(config, Method::POST, "/api/pull", &body, HEAD_TIMEOUT).await?;
    let mut progress = Progress::new([(config.identifier.clone(), true)]);
    let mut told = Vec::new();
    while !progress.is_over() {
        match timeout(SILENCE, answer.next()).await {
            Ok(Some(Ok(bytes))) => progress.push(0, &bytes, &mut told),
            Ok(Some(Err(e))) => return Err(format!("the answer broke off: {e}")),
            // An answer without a success is a failure, however cleanly it ends.
            Ok(None) => progress.end(0, &mut told),
            Err(_) => return Err(format!("the backend was silent for {SILENCE:?} while it pulled")),
        }
        // Nobody reads the merged stream.
        told.clear();
        if let Some(percent) = progress.percent(0) {
            holding.progressed(percent);
        }
    }
    match progress.failure(0) {
        Some(failed) => Err(failed.message.clone()),
        None => Ok(()),
    }
}

/// Loads a model, or keeps it loaded.
pub(super) async fn load(config: &Backend, model: &str, load: &Load) -> Result<(), String> {
    match finish(config, Method::POST, "/api/generate", &load.generate(model)).await {
        // A model for embeddings is loaded by the call that it has.
        Err(message) if message.contains("does not support") => {
            finish(config, Method::POST, "/api/embed", &load.embed(model)).await
        }
        ended => ended,
    }
}

/// Deletes a model. One that is not there is deleted.
pub(super) async fn delete(config: &Backend, model: &str) -> Result<(), String> {
    let body = json!({ "model": model, "name": model });
    match finish(config, Method::DELETE, "/api/delete", &body).await {
        Err(message) if message.contains("not found") => Ok(()),
        ended => ended,
    }
}

/// A call whose answer's body does not matter.
async fn finish(config: &Backend, method: Method, path: &str, body: &Value) -> Result<(), String> {
    let mut answer = send(config, method, path, body, LOAD_TIMEOUT).await?;
    // Read to its end, so that the backend sees a whole exchange.
    match timeout(HEAD_TIMEOUT, answer.body().limit(MAX_REFUSAL)).await {
        Ok(Ok(body)) => error_in(&body).map_or(Ok(()), Err),
        Ok(Err(e)) => Err(format!("the answer broke off: {e}")),
        Err(_) => Err("the answer did not end".to_owned()),
    }
}

/// The answer, if it is a success; otherwise the reason that it gives.
async fn send(
    config: &Backend,
    method: Method,
    path: &str,
    body: &Value,
    wait: Duration,
) -> Result<ClientResponse<impl Stream<Item = Result<Bytes, awc::error::PayloadError>> + Unpin + use<>>, String>
{
    let request = control_request(config, method, path, wait).map_err(|e| e.to_string())?;
    let sent = timeout(wait, request.send_json(body)).await;
    let mut answer = match sent {
        Ok(Ok(answer)) => answer,
        Ok(Err(e)) => return Err(format!("the backend cannot be asked: {e}")),
        Err(_) => return Err(format!("the backend did not answer within {wait:?}")),
    };
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let told = match timeout(HEAD_TIMEOUT, answer.body().limit(MAX_REFUSAL)).await {
        Ok(Ok(body)) => error_in(&body),
        Ok(Err(_)) | Err(_) => None,
    };
    Err(told.unwrap_or_else(|| format!("the backend answered {status}")))
}

/// The error that a body tells.
fn error_in(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    match document.get("error")? {
        Value::Null => None,
        Value::String(message) => Some(message.clone()).filter(|message| !message.is_empty()),
        error => {
            let message = error.get("message").and_then(Value::as_str);
            Some(message.map_or_else(|| error.to_string(), str::to_owned))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_in_any_shape() {
        assert_eq!(error_in(br#"{"error":"no"}"#).as_deref(), Some("no"));
        assert_eq!(error_in(br#"{"error":{"message":"no"}}"#).as_deref(), Some("no"));
        assert_eq!(error_in(br#"{"error":{"code":1}}"#).as_deref(), Some(r#"{"code":1}"#));
        for none in [&b"{}"[..], b"", b"[]", br#"{"error":null}"#, br#"{"error":""}"#, b"<html>"] {
            assert_eq!(error_in(none), None);
        }
    }
}
