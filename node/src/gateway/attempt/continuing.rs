//! More attempts, for a stream whose backend died: another one is asked to continue the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use bytes::Bytes;
use ollamaflow_protocol::object::{Backend, Frontend};
use ollamaflow_protocol::resume::{Continuation, Transcript};
use ollamaflow_protocol::translate::pins::for_operation;

use super::Attempts;
use super::exchange::{Attempted, Exchange};
use super::shelf::{Next, Shelf};
use crate::actors::{Query, Tried};
use crate::gateway::answer::{Answer, AnswerBody, Live};
use crate::gateway::forward::Asked;
use crate::gateway::identity::RequestId;
use crate::gateway::ingress::Admitted;
use crate::gateway::intake::{self, Intake};
use crate::gateway::trace::Trace;
use crate::gateway::translating::Translating;
use crate::upstream::Client;

/// What more attempts need. Owned: the request's own way is over when its answer is relayed.
pub(in crate::gateway) struct Further {
    client: Client,
    request: HttpRequest,
    admitted: Admitted,
    query: Query,
    id: RequestId,
    tried: Tried,
    /// Backends that the request was sent to.
    attempts: u32,
    /// Time in the queue.
    queued: Duration,
}

// === impl Further ===

impl Further {
    /// What comes after `attempts`.
    pub(in crate::gateway) fn of(attempts: Attempts<'_>, tried: &Tried, trace: &Trace) -> Self {
        let Attempts { client, request, admitted, query, id, .. } = attempts;
        Self {
            client: client.clone(),
            request: request.clone(),
            admitted: admitted.clone(),
            query: query.clone(),
            id: id.clone(),
            tried: tried.clone(),
            attempts: trace.attempts(),
            queued: trace.queued,
        }
    }

    /// The frontend's configuration when the request came.
    pub(in crate::gateway) fn config(&self) -> &Frontend {
        &self.admitted.config
    }

    /// The request's id.
    pub(in crate::gateway) fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Whether `MaxAttempts` allows for more.
    pub(in crate::gateway) fn are_allowed(&self) -> bool {
        self.attempts < self.admitted.config.max_attempts
    }

    /// Asks other backends, one after the other, until one continues the answer; `None` when none is left or no further
    /// attempt is allowed.
    pub(in crate::gateway) async fn run(&mut self, transcript: &Transcript) -> Option<(Live, Continuation)> {
        let frontend = Arc::clone(&self.admitted.frontend);
        let mut failed = Shelf::default();
        while self.are_allowed() && frontend.may_retry(&self.admitted.config, Instant::now()) {
            let waited = self.queued;
            let pick = frontend.acquire(&self.query, &self.tried, &mut self.queued).await.ok()?;
            if let Some(account) = &self.admitted.traced {
                if self.queued > waited {
                    account.queued(self.queued.saturating_sub(waited));
                }
                account.decided(pick.decision);
            }
            self.tried.push(Arc::clone(pick.permit.backend()));
            let Some(mut continuation) = transcript.resumption(pick.view.config.api_format) else { continue };
            let body = Bytes::from(std::mem::take(&mut continuation.body));
            if !is_continued_by(&continuation, &body, &pick.view.config) {
                continue;
            }
            self.attempts += 1;
            // Not always the client's: there is no way to continue a generate but a chat.
            self.admitted.operation = continuation.operation;
            let attempts = Attempts {
                client: &self.client,
                request: &self.request,
                admitted: &self.admitted,
                query: &self.query,
                id: &self.id,
                translating: &Translating::default(),
            };
            let exchange = Exchange { attempts, view: &pick.view, asked: Asked::ToContinue };
            match exchange.run(&mut Intake::Kept(body), pick.permit).await {
                Attempted::Answered(answer) => {
                    let backend = Arc::clone(&answer.backend);
                    if let Some(live) = stream(*answer) {
                        failed.settle();
                        return Some((live, continuation));
                    }
                    tracing::debug!(
                        request = self.id.as_str(), backend = %backend.id(), "backend cannot continue a stream"
                    );
                }
                Attempted::Refused(_) | Attempted::Unsaid(_) => return None,
                Attempted::Failed(failure) => {
                    tracing::debug!(
                        request = self.id.as_str(), backend = %failure.backend.id(), fault = ?failure.fault,
                        status = failure.status(), error = failure.label(), "attempt to continue failed"
                    );
                    if failed.put(failure) == Next::Enough {
                        return None;
                    }
                }
            }
        }
        None
    }
}

/// Whether the pins of a backend leave the continuation what it is.
fn is_continued_by(continuation: &Continuation, body: &Bytes, backend: &Backend) -> bool {
    let pins = &backend.pinned_completions_properties;
    let operation = continuation.operation;
    let asked = |pins| Transcript::begin(operation, intake::merged(body, &[pins]).ok()?);
    pins.is_empty() || asked(&*for_operation(pins, operation, backend.api_format).pins).is_some()
}

/// The body of an answer that can be joined to another one.
fn stream(answer: Answer) -> Option<Live> {
    if !answer.status.is_success() {
        return None;
    }
    answer.format?;
    match answer.body {
        AnswerBody::Live(live) => Some(live),
        AnswerBody::Whole(_) => None,
    }
}
