//! `/__sim/`: faults, knobs, statistics and received requests over HTTP, for demos and for tests in other languages.
//! These requests are neither counted nor remembered, and no fault touches them.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::answer::{Answer, ErrorStyle, Refusal};
use super::exchange::{Ending, Exchange, Terms};
use super::fault::Fault;
use super::fault_book::Plan;
use super::knobs::Knobs;
use super::link::Link;
use super::request::{Head, ReadError, read_body};
use super::state::{Order, Shared};

/// What all paths of this API begin with.
pub(super) const PREFIX: &str = "/__sim/";

/// A larger body of a control request is refused.
const BODY_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Serves one control request.
pub(super) async fn serve(link: &mut Link, shared: &Arc<Shared>, head: &Head) -> Ending {
    let body = match read_body(link, head.framing, BODY_LIMIT_BYTES).await {
        Ok(body) => body,
        Err(ReadError::Gone | ReadError::Refused { .. }) => return Ending::Close,
    };
    let answer = match respond(shared, head, &body).await {
        Ok(value) => Answer::native(&value),
        Err(refusal) => Answer::error(ErrorStyle::Native, &refusal),
    };
    let terms = Terms { minor: head.minor, head_only: head.method == "HEAD", keep_alive: head.keeps_alive() };
    let mut exchange = Exchange::new(link, Arc::new(Knobs::default()), Plan::default(), terms);
    match exchange.answer(answer).await {
        Ok(()) => exchange.ending(),
        Err(_) => Ending::Close,
    }
}

async fn respond(shared: &Shared, head: &Head, body: &Bytes) -> Result<Value, Refusal> {
    let path = head.path.strip_prefix(PREFIX).unwrap_or_default();
    match (head.method.as_str(), path) {
        ("GET", "faults") => Ok(json!(shared.faults.list())),
        ("POST", "faults") => {
            shared.set_faults(faults_of(body)?);
            apply_faults(shared).await?;
            Ok(json!(shared.faults.list()))
        }
        ("DELETE", "faults") => {
            shared.set_faults(Vec::new());
            apply_faults(shared).await?;
            Ok(json!([]))
        }
        ("GET", "knobs") => Ok(json!(*shared.knobs())),
        ("PATCH", "knobs") => {
            let knobs = patched(&shared.knobs(), body)?;
            shared.set_knobs(knobs.clone());
            Ok(json!(knobs))
        }
        ("GET", "stats") => Ok(json!(shared.stats.snapshot())),
        ("GET", "requests") => Ok(json!(shared.ring.list())),
        ("POST", "reset") => {
            shared.reset();
            apply_faults(shared).await?;
            Ok(json!({}))
        }
        _ => Err(Refusal::new(404, "no such control path; see /__sim/{faults,knobs,stats,requests,reset}")),
    }
}

/// Lets the listener follow the faults, and waits until it has.
async fn apply_faults(shared: &Shared) -> Result<(), Refusal> {
    let (done, applied) = oneshot::channel();
    let ordered = shared.order(Order::ApplyFaults, move || done.send(()).unwrap_or_default());
    if !ordered || applied.await.is_err() {
        return Err(Refusal::new(503, "the simulated backend is shutting down"));
    }
    Ok(())
}

/// A list of faults, or one.
fn faults_of(body: &[u8]) -> Result<Vec<Fault>, Refusal> {
    let value: Value = serde_json::from_slice(body).map_err(|e| bad_request(&e))?;
    let list = if value.is_array() { value } else { json!([value]) };
    serde_json::from_value(list).map_err(|e| bad_request(&e))
}

/// The knobs with the body's members replaced.
fn patched(knobs: &Knobs, body: &[u8]) -> Result<Knobs, Refusal> {
    let patch: Value = serde_json::from_slice(body).map_err(|e| bad_request(&e))?;
    let Value::Object(patch) = patch else { return Err(Refusal::new(400, "expected an object of knobs")) };
    let mut value = json!(knobs);
    if let Some(members) = value.as_object_mut() {
        members.extend(patch);
    }
    serde_json::from_value(value).map_err(|e| bad_request(&e))
}

fn bad_request(e: &serde_json::Error) -> Refusal {
    Refusal::new(400, e.to_string())
}
