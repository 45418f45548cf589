//! One attempt at one backend: the request goes out, as it came or in the backend's own API, and the answer is read as
//! far as it takes to judge it.

mod incoming;
mod outgoing;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate::Native;
use ollamaflow_protocol::wire::Usage;
use ollamaflow_protocol::wire::fault::Fault;

use self::outgoing::{Body, Outgoing, Prepared};
use super::Attempts;
use super::shelf::Failure;
use crate::actors::{BackendHandle, BackendView, Outcome, Permit};
use crate::clock;
use crate::gateway::answer::{Answer, AnswerBody, Held, Live};
use crate::gateway::forward::{self, Asked};
use crate::gateway::intake::{self, Intake};
use crate::gateway::journal;
use crate::gateway::patience::{Progress, limit, within_turn};
use crate::gateway::refusal::Refusal;
use crate::gateway::spans::Attempt;
use crate::gateway::translating::{Reason, Told, Way};
use crate::upstream::{Client, RequestBody, RequestHead, Response, SendError, Target};

/// One attempt.
pub(super) struct Exchange<'a> {
    pub(super) attempts: Attempts<'a>,
    pub(super) view: &'a BackendView,
    pub(super) asked: Asked,
}

/// What became of it.
pub(super) enum Attempted {
    /// The client gets this.
    Answered(Box<Answer>),
    /// The request cannot be sent, here or elsewhere.
    Refused(Refusal),
    /// Another backend may do better.
    Failed(Failure),
    /// Nothing was sent: the request cannot be said in this backend's API. One that speaks the client's may take it.
    Unsaid(Refusal),
}

/// An answer that was judged, or that says that the request has to be made otherwise.
enum Verdict {
    Judged(Attempted),
    /// The backend does not know the path: it does not speak the client's API.
    NotSpoken(Permit),
}

// === impl Exchange ===

impl Exchange<'_> {
    pub(super) async fn run(&self, body: &mut Intake, permit: Permit) -> Attempted {
        let admitted = self.attempts.admitted;
        let way = match self.asked {
            // It is in an API that the backend speaks already.
            Asked::ToContinue => Way::Untouched(Native::Yes),
            _ => Way::to(permit.backend(), self.view, admitted.operation, &admitted.config),
        };
        match self.go(&way, body, permit).await {
            Verdict::Judged(attempted) => attempted,
            Verdict::NotSpoken(permit) => {
                permit.backend().does_not_speak(admitted.operation);
                match Box::pin(self.go(&Way::Translated(Reason::Api), body, permit)).await {
                    Verdict::Judged(attempted) => attempted,
                    Verdict::NotSpoken(permit) => {
                        let refusal = failed(&permit, "it knows neither API's path".to_owned());
                        lost(permit, Outcome::Declined, refusal)
                    }
                }
            }
        }
    }

    async fn go(&self, way: &Way, body: &mut Intake, mut permit: Permit) -> Verdict {
        let Attempts { client, request, admitted, query, id, .. } = self.attempts;
        let started = clock::turn();
        let target = match self.view.target() {
            Ok(target) => target,
            Err(e) => {
                let refusal = unreachable(&permit, e.to_string());
                return Verdict::Judged(lost(permit, Outcome::Unreachable, refusal));
            }
        };
        let prepared = match way {
            Way::Untouched(_) => self.untouched(body),
            Way::Translated(reason) => Box::pin(self.translated(body, reason)).await,
        };
        let Outgoing { operation, asked, mut body, told, translation, written, named } = match prepared {
            Ok(Prepared::Outgoing(outgoing)) => outgoing,
            Ok(Prepared::Here(answer)) => return Verdict::Judged(self.answered_here(answer, permit)),
            Err(refusal) => return Verdict::Judged(unsaid(refusal, permit)),
        };
        let mut span =
            admitted.traced.as_ref().and_then(|account| Attempt::begin(account, operation, self.view));
        let traceparent = span.as_ref().and_then(|span| span.traceparent());
        let head =
            forward::head(request, admitted, &self.view.config, id, operation, asked, named.as_deref());
        let head = match head.and_then(|head| forward::traced(head, request, traceparent)) {
            Ok(head) => head,
            Err(e) => {
                let refusal = failed(&permit, e.to_string());
                return Verdict::Judged(lost(permit, Outcome::Declined, refusal));
            }
        };
        if matches!(way, Way::Translated(_)) {
            permit.backend().traffic().translate(admitted.operation);
        }
        let loading = admitted.frontend.model_started(permit.backend(), self.view, query, started);
        let (sent, progress, start) = match &mut body {
            Body::Whole(body) => (body, None, None),
            Body::Arriving(body, progress, start) => (&mut **body, Some(&**progress), *start),
        };
        journal::sent(&self.view.config, id, &head, sent, start);
        let attempted = match self.send(client, target, &head, sent, progress, &mut permit).await {
            Ok(response) => {
                if let Some(span) = &mut span {
                    span.answered(response.status);
                }
                let mut answer = self.answer(response, permit, operation);
                answer.told = told;
                answer.translation = translation;
                answer.written = written;
                answer.named = named;
                match self.judge(answer, way, started, loading.is_some()).await {
                    Verdict::Judged(attempted) => attempted,
                    not_spoken @ Verdict::NotSpoken(_) => return not_spoken,
                }
            }
            Err(SendFailure::Client(refusal)) => Attempted::Refused(refusal),
            Err(SendFailure::Backend(outcome, refusal)) => lost(permit, outcome, refusal),
        };
        if let Some(mut span) = span {
            match &attempted {
                Attempted::Answered(_) => {}
                Attempted::Refused(refusal) | Attempted::Unsaid(refusal) => span.failed(refusal.label()),
                Attempted::Failed(failure) => span.failed(failure.label().unwrap_or("error_answer")),
            }
        }
        if let Some(model) = &loading {
            match &attempted {
                Attempted::Answered(answer) if answer.status.is_success() => {
                    answer.backend.model_ready(model);
                }
                Attempted::Answered(answer) => answer.backend.model_failed(model),
                Attempted::Failed(failure) => failure.backend.model_failed(model),
                Attempted::Refused(_) | Attempted::Unsaid(_) => {}
            }
        }
        Verdict::Judged(attempted)
    }

    async fn send(
        &self,
        client: &Client,
        target: &Arc<Target>,
        head: &RequestHead,
        body: &mut RequestBody,
        progress: Option<&Progress>,
        permit: &mut Permit,
    ) -> Result<Response, SendFailure> {
        let first_byte = limit(self.attempts.admitted.config.timeout_ms);
        // Pinned here: passed on by value it would be copied, and held several times.
        let sending = pin!(client.send(target, head, body));
        match within_turn(first_byte, progress, sending).await {
            Some(Ok(mut response)) => {
                journal::hear(&self.view.config, self.attempts.id, &mut response);
                Ok(response)
            }
            Some(Err(e)) if e.is_connect() => {
                permit.backend().connection_failed(self.view);
                Err(SendFailure::Backend(Outcome::Unreachable, unreachable(permit, e.to_string())))
            }
            Some(Err(SendError::BodySource(source))) => Err(SendFailure::Client(intake::refusal_of(source))),
            Some(Err(SendError::BodyLength(_))) => Err(SendFailure::Client(Refusal::BodyBroken)),
            Some(Err(e)) => Err(SendFailure::Backend(Outcome::Failed, failed(permit, e.to_string()))),
            None => Err(SendFailure::Backend(Outcome::Failed, timed_out(permit, first_byte))),
        }
    }

    /// An answer whose head has come.
    fn answer(&self, response: Response, permit: Permit, operation: Operation) -> Box<Answer> {
        let idle = limit(self.attempts.admitted.config.stream_idle_timeout_ms);
        let mut answer = Box::new(Answer {
            backend: permit.backend().clone(),
            status: response.status,
            headers: response.headers,
            body: AnswerBody::Live(Live { held: Held::new(), rest: response.body, permit, idle }),
            operation,
            format: None,
            resumable: None,
            translation: None,
            written: None,
            told: Told::default(),
            named: None,
            usage: Usage::default(),
        });
        answer.format = answer.stream_format();
        answer
    }
}

/// Why nothing was answered.
enum SendFailure {
    Client(Refusal),
    Backend(Outcome, Refusal),
}

/// The attempt ends without an answer; the slot is free again.
#[cold]
fn lost(mut permit: Permit, outcome: Outcome, refusal: Refusal) -> Attempted {
    permit.finish(outcome);
    unanswered(permit.backend().clone(), refusal)
}

#[cold]
fn unanswered(backend: Arc<BackendHandle>, refusal: Refusal) -> Attempted {
    Attempted::Failed(Failure { backend, fault: Fault::Backend, words: None, given: Err(refusal) })
}

/// The request cannot be said in the backend's API. One that speaks the client's may take it.
#[cold]
fn unsaid(refusal: Refusal, mut permit: Permit) -> Attempted {
    permit.finish(Outcome::Declined);
    if !matches!(refusal, Refusal::Translation(_)) {
        return Attempted::Refused(refusal);
    }
    tracing::debug!(backend = %permit.backend().id(), reason = refusal.label(), "request cannot be said to this backend");
    Attempted::Unsaid(refusal)
}

#[cold]
fn unreachable(permit: &Permit, why: String) -> Refusal {
    Refusal::Unreachable { backend: permit.backend().id().clone(), why }
}

#[cold]
fn failed(permit: &Permit, why: String) -> Refusal {
    Refusal::Failed { backend: permit.backend().id().clone(), why }
}

#[cold]
fn timed_out(permit: &Permit, waited: Option<Duration>) -> Refusal {
    let waited_ms = waited.map_or(0, |waited| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
    Refusal::TimedOut { backend: permit.backend().id().clone(), waited_ms }
}
