//! Attempts: get a backend, send, judge what came, and try another one while nothing has reached the client.

mod continuing;
mod exchange;
mod hedge;
mod shelf;

use std::sync::Arc;
use std::time::Instant;

use actix_web::HttpRequest;
use ollamaflow_protocol::route::Kind;
use ollamaflow_protocol::wire::fault::Fault;

pub(super) use self::continuing::Further;
use self::exchange::{Attempted, Exchange};
use self::shelf::{Next, Shelf};
use super::answer::Answer;
use super::forward::Asked;
use super::identity::RequestId;
use super::ingress::Admitted;
use super::intake::Intake;
use super::refusal::Refusal;
use super::resume;
use super::tally::Counted;
use super::trace::Trace;
use super::translating::Translating;
use crate::actors::{Denied, Pick, Query, Tried};
use crate::upstream::Client;

/// What an attempt needs besides the body.
#[derive(Clone, Copy)]
pub(super) struct Attempts<'a> {
    pub(super) client: &'a Client,
    pub(super) request: &'a HttpRequest,
    pub(super) admitted: &'a Admitted,
    pub(super) query: &'a Query,
    pub(super) id: &'a RequestId,
    pub(super) translating: &'a Translating<'a>,
}

// === impl Attempts ===

impl Attempts<'_> {
    /// The answer of one backend that was chosen already, whatever it is; there is no other attempt.
    pub(super) async fn at(self, body: Intake, pick: Pick) -> Result<Box<Answer>, Refusal> {
        let mut body = body;
        let exchange = Exchange { attempts: self, view: &pick.view, asked: Asked::ByClient };
        match exchange.run(&mut body, pick.permit).await {
            Attempted::Answered(answer) => Ok(answer),
            Attempted::Failed(failure) => failure.given,
            Attempted::Refused(refusal) | Attempted::Unsaid(refusal) => Err(refusal),
        }
    }

    /// Tries backends, each at most once, until one answers or no further attempt is allowed.
    pub(super) async fn run(
        self,
        mut body: Intake,
        trace: &mut Trace,
        counted: &mut Option<Counted>,
    ) -> Result<Answer, Refusal> {
        let frontend = &self.admitted.frontend;
        let config = &self.admitted.config;
        frontend.request_came(config);
        let operation = self.admitted.operation;
        trace.route();
        let mut tried = Tried::new();
        let mut failures = Shelf::default();
        let mut unsaid = None;
        let mut retry = false;
        loop {
            let pick = match frontend.acquire(self.query, &tried, &mut trace.queued).await {
                Ok(pick) => pick,
                Err(denied) => {
                    frontend.traffic().deny(denied.want());
                    return given(&mut failures).unwrap_or_else(|| match unsaid {
                        // Nobody else is there who might be told.
                        Some(refusal) if matches!(denied, Denied::Nobody(_)) => Err(refusal),
                        _ => Err(denied.into()),
                    });
                }
            };
            trace.attempt(pick.decision);
            if std::mem::take(&mut retry) {
                frontend.traffic().retry();
            }
            if let Some(counted) = counted {
                counted.goes_to(pick.permit.backend());
            }
            tried.push(Arc::clone(pick.permit.backend()));
            let attempted = match &mut body {
                Intake::Kept(bytes) if config.hedge_embeddings && operation.kind() == Kind::Embeddings => {
                    Box::pin(hedge::run(self, bytes, pick, &mut tried, trace)).await
                }
                body => {
                    let exchange = Exchange { attempts: self, view: &pick.view, asked: Asked::ByClient };
                    exchange.run(body, pick.permit).await
                }
            };
            let failure = match attempted {
                Attempted::Answered(mut answer) => {
                    // Of two that were asked at once, it may be the other one.
                    if let Some(counted) = counted {
                        counted.goes_to(&answer.backend);
                    }
                    if answer.status.is_success() {
                        failures.settle();
                        answer.resumable = resume::begin(self, &body, &answer, &tried, trace);
                    }
                    return Ok(*answer);
                }
                Attempted::Refused(refusal) => return Err(refusal),
                Attempted::Failed(failure) => failure,
                // No attempt was made, so the next one is free. Each backend is asked for once at most.
                Attempted::Unsaid(refusal) => {
                    trace.unsaid();
                    unsaid = Some(refusal);
                    continue;
                }
            };
            tracing::debug!(
                request = %self.id.as_str(), backend = %failure.backend.id(), fault = ?failure.fault,
                status = failure.status(), error = failure.label(), "attempt failed"
            );
            if failure.fault == Fault::ModelMissing {
                tried.lacks(&failure.backend);
            }
            let next = failures.put(failure);
            let another = next == Next::Another
                && config.allow_retries
                && trace.attempts() < config.max_attempts
                && body.can_be_sent_again()
                && frontend.may_retry(config, Instant::now());
            retry = another;
            if !another && let Some(given) = given(&mut failures) {
                return given;
            }
        }
    }
}

fn given(failures: &mut Shelf) -> Option<Result<Answer, Refusal>> {
    failures.take().map(|given| given.map(|answer| *answer))
}

// === impl Intake ===

impl Intake {
    /// Whether another backend can still get the whole body.
    fn can_be_sent_again(&self) -> bool {
        match self {
            Self::Kept(_) => true,
            Self::Once(_) => false,
            Self::Streaming(stream, ..) => stream.is_replayable(),
        }
    }
}
