//! Attempts: choose a backend, send, judge what came, and try another one while nothing has reached the client.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use bytes::Bytes;
use ollamaflow_protocol::json::merge_pins;
use smallvec::SmallVec;

use super::identity::RequestId;
use super::ingress::{self, Admitted};
use super::intake::{self, Intake};
use super::patience::{limit, within, within_turn};
use super::refusal::Refusal;
use super::{forward, relay};
use crate::actors::{BackendHandle, Lease, NoCandidate, Outcome, Pick, Query, select};
use crate::upstream::{BodyKind, Client, RequestBody, Response, SendError};

/// A backend's answer whose head, and first bytes if it has any, have arrived.
pub(super) struct Answer {
    pub(super) response: Response,
    /// What has been read of the body.
    pub(super) first: Option<Bytes>,
    pub(super) lease: Lease,
    pub(super) idle: Option<Duration>,
}

/// Tries backends until one answers, each at most once.
pub(super) async fn run(
    client: &Client,
    request: &HttpRequest,
    admitted: &Admitted,
    mut body: Intake,
    id: &RequestId,
) -> Result<Answer, Refusal> {
    let labels: SmallVec<[&[u8]; 4]> = ingress::labels(request).collect();
    let mut tried: SmallVec<[Arc<BackendHandle>; 4]> = SmallVec::new();
    // The last answer that another backend might better; it is given if none does.
    let mut fallback: Option<Result<Answer, Refusal>> = None;
    loop {
        let query = Query { operation: admitted.operation, labels: &labels, tried: &tried };
        let pick = match select(&admitted.frontend.view(), query) {
            Ok(pick) => pick,
            Err(nobody) => return fallback.unwrap_or_else(|| Err(refuse(&nobody))),
        };
        tried.push(pick.backend.clone());
        let attempt = Attempt { client, request, admitted, id, pick: &pick };
        let result = attempt.run(&mut body).await;
        let retryable = match &result {
            Ok(answer) => is_retryable(answer.response.status),
            Err(refusal) => matches!(
                refusal,
                Refusal::Unreachable { .. } | Refusal::Failed { .. } | Refusal::TimedOut { .. }
            ),
        };
        if !(retryable && admitted.config.allow_retries && body.can_be_sent_again()) {
            return result;
        }
        if let Err(refusal) = &result {
            tracing::debug!(request = %id.as_str(), reason = %refusal, "attempt failed; trying another backend");
        }
        fallback = Some(match (fallback, result) {
            // A backend's own words are worth more than ours about another one's silence.
            (Some(Ok(answer)), Err(_)) => Ok(answer),
            (_, result) => result,
        });
    }
}

/// One attempt at one backend.
struct Attempt<'a> {
    client: &'a Client,
    request: &'a HttpRequest,
    admitted: &'a Admitted,
    id: &'a RequestId,
    pick: &'a Pick,
}

// === impl Attempt ===

impl Attempt<'_> {
    async fn run(&self, body: &mut Intake) -> Result<Answer, Refusal> {
        let config = &self.pick.view.config;
        let target = self.pick.view.target().map_err(|e| self.unreachable(e.to_string()))?;
        let head = forward::head(self.request, self.admitted.operation, config, self.id)
            .map_err(|e| self.failed(e.to_string()))?;
        let mut whole;
        let (sent, progress) = match body {
            Intake::Kept(bytes) | Intake::Once(bytes) => {
                whole = self.pinned(bytes)?;
                (&mut whole, None)
            }
            Intake::Streaming(stream, progress) => (stream, Some(&*progress)),
        };
        let mut lease = self.pick.backend.lease();
        let first_byte = limit(self.admitted.config.timeout_ms);
        let sending = self.client.send(target, &head, sent);
        let response = match within_turn(first_byte, progress, sending).await {
            Some(Ok(response)) => response,
            Some(Err(e)) => {
                lease.finish(if e.is_body_source() { Outcome::Cancelled } else { Outcome::Failed });
                return Err(self.judge(e));
            }
            None => {
                lease.finish(Outcome::Failed);
                return Err(self.timed_out(first_byte));
            }
        };
        let idle = limit(self.admitted.config.stream_idle_timeout_ms);
        let mut answer = Answer { response, first: None, lease, idle };
        match self.first_bytes(&mut answer).await {
            Ok(()) => Ok(answer),
            Err(refusal) => {
                answer.lease.finish(Outcome::Failed);
                Err(refusal)
            }
        }
    }

    /// The body with the pins of frontend and backend in it.
    fn pinned(&self, body: &Bytes) -> Result<RequestBody, Refusal> {
        let config = &self.pick.view.config;
        let pins = intake::pins(self.admitted.operation, &self.admitted.config, config);
        let body = match merge_pins(body, &pins)? {
            Cow::Borrowed(_) => body.clone(),
            Cow::Owned(merged) => Bytes::from(merged),
        };
        Ok(if body.is_empty() { RequestBody::Empty } else { RequestBody::Full(body) })
    }

    /// Waits for the first bytes of the body: until they are there another backend can still answer.
    async fn first_bytes(&self, answer: &mut Answer) -> Result<(), Refusal> {
        if matches!(answer.response.body.kind(), BodyKind::Empty | BodyKind::Sized(0)) {
            return Ok(());
        }
        let reading = relay::next(&mut answer.response.body);
        match within(answer.idle, reading).await {
            Some(Some(Ok(bytes))) => {
                answer.first = Some(bytes);
                Ok(())
            }
            Some(Some(Err(e))) => Err(self.failed(e.to_string())),
            // An empty body; the relay knows whether that is an end.
            Some(None) => Ok(()),
            None => Err(self.timed_out(answer.idle)),
        }
    }

    /// What a failed exchange means, and whom it is reported to.
    fn judge(&self, e: SendError) -> Refusal {
        if e.is_connect() {
            self.pick.backend.connection_failed(&self.pick.view);
            return self.unreachable(e.to_string());
        }
        match e {
            SendError::BodySource(source) => intake::refusal_of(source),
            SendError::BodyLength(_) => Refusal::BodyBroken,
            e => self.failed(e.to_string()),
        }
    }

    fn unreachable(&self, why: String) -> Refusal {
        Refusal::Unreachable { backend: self.pick.backend.id().clone(), why }
    }

    fn failed(&self, why: String) -> Refusal {
        Refusal::Failed { backend: self.pick.backend.id().clone(), why }
    }

    fn timed_out(&self, waited: Option<Duration>) -> Refusal {
        let waited_ms = waited.map_or(0, |waited| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        Refusal::TimedOut { backend: self.pick.backend.id().clone(), waited_ms }
    }
}

// === impl Intake ===

impl Intake {
    /// Whether another backend can still get the whole body.
    fn can_be_sent_again(&self) -> bool {
        match self {
            Self::Kept(_) => true,
            Self::Once(_) => false,
            Self::Streaming(stream, _) => stream.is_replayable(),
        }
    }
}

/// Statuses by which a backend says that another one, or a later try, may succeed.
fn is_retryable(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

fn refuse(nobody: &NoCandidate) -> Refusal {
    Refusal::NoCandidate(nobody.to_string())
}
