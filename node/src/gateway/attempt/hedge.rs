//! Hedging, for embeddings: a request that takes longer than 95 % of them gets a second chance at another backend. The
//! first answer wins; dropping the other one ends its work.
//!
//! See Dean and Barroso, "The Tail at Scale" (2013): one request in twenty is sent twice, and the slowest ones gain most.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::sleep;

use super::Attempts;
use super::exchange::{Attempted, Exchange};
use crate::actors::{Pick, Tried};
use crate::gateway::forward::Asked;
use crate::gateway::intake::Intake;
use crate::gateway::trace::Trace;

/// Sends the request to `pick`, and to one more backend if that takes long.
pub(super) async fn run(
    attempts: Attempts<'_>,
    body: &Bytes,
    pick: Pick,
    tried: &mut Tried,
    trace: &mut Trace,
) -> Attempted {
    let frontend = &attempts.admitted.frontend;
    let started = Instant::now();
    let attempted = match frontend.usual_embedding_time() {
        Some(usual) => hedged(attempts, body, pick, usual, tried, trace).await,
        None => send(attempts, body, pick).await,
    };
    if matches!(&attempted, Attempted::Answered(answer) if answer.status.is_success()) {
        frontend.embedding_took(started.elapsed());
    }
    attempted
}

async fn hedged(
    attempts: Attempts<'_>,
    body: &Bytes,
    pick: Pick,
    usual: Duration,
    tried: &mut Tried,
    trace: &mut Trace,
) -> Attempted {
    let mut first = pin!(send(attempts, body, pick));
    tokio::select! {
        biased;
        attempted = &mut first => return attempted,
        () = sleep(usual) => {}
    }
    let Some(other) = second(attempts, tried, trace) else { return first.await };
    trace.attempt(other.decision);
    attempts.admitted.frontend.traffic().hedge();
    tried.push(Arc::clone(other.permit.backend()));
    let mut second = pin!(send(attempts, body, other));
    // One that fails leaves the field to the other.
    tokio::select! {
        attempted = &mut first => if has_answered(&attempted) {
            attempted
        } else {
            match second.await {
                // The failure of the first one tells more.
                Attempted::Unsaid(_) => attempted,
                other => other,
            }
        },
        attempted = &mut second => if has_answered(&attempted) { attempted } else { first.await },
    }
}

/// Another backend that is free, if another attempt is allowed.
fn second(attempts: Attempts<'_>, tried: &Tried, trace: &Trace) -> Option<Pick> {
    let frontend = &attempts.admitted.frontend;
    let config = &attempts.admitted.config;
    if !config.allow_retries || trace.attempts() >= config.max_attempts {
        return None;
    }
    let pick = frontend.acquire_now(attempts.query, tried)?;
    frontend.may_retry(config, Instant::now()).then_some(pick)
}

async fn send(attempts: Attempts<'_>, body: &Bytes, pick: Pick) -> Attempted {
    let Pick { permit, view, .. } = pick;
    Exchange { attempts, view: &view, asked: Asked::ByClient }
        .run(&mut Intake::Kept(body.clone()), permit)
        .await
}

fn has_answered(attempted: &Attempted) -> bool {
    !matches!(attempted, Attempted::Failed(_) | Attempted::Unsaid(_))
}
