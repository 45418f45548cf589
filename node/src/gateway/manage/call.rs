//! One call at one backend, on behalf of a client's change of models.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use bytes::{Bytes, BytesMut};
use ollamaflow_protocol::models::progress::Failed;
use ollamaflow_protocol::wire::fault;

use super::Managing;
use super::targets::Site;
use crate::actors::{BackendHandle, BackendView};
use crate::gateway::forward::{self, Asked};
use crate::gateway::identity::{RequestId, Traceparent};
use crate::gateway::journal;
use crate::gateway::patience::{Progress, limit, within, within_turn};
use crate::gateway::relay;
use crate::gateway::spans::Spans;
use crate::upstream::{Client, InvalidHead, RequestBody, RequestHead, Response, ResponseBody, SendError};

/// Most bytes that are read of an answer that is no stream; more are of no use to anybody.
const MAX_ANSWER: usize = 256 * 1024;

/// A call that is to be made.
pub(super) struct Call {
    client: Client,
    id: RequestId,
    pub(super) backend: Arc<BackendHandle>,
    view: Arc<BackendView>,
    head: RequestHead,
    body: RequestBody,
    /// Longest wait for the head of the answer.
    first_byte: Option<Duration>,
    /// Longest silence after that.
    idle: Option<Duration>,
}

/// An answer that was read as a whole.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

// === impl Managing ===

impl Managing<'_> {
    /// The client's request with this body, to be sent to one of several backends.
    pub(super) fn call(&self, site: &Site, body: RequestBody) -> Result<Call, Failed> {
        let operation = self.admitted.operation;
        let config = &site.view.config;
        let head =
            forward::head(self.request, self.admitted, config, self.id, operation, Asked::OfMany, None);
        self.prepared(site, head, body)
    }

    /// A look at something that the request depends on.
    pub(super) fn look(&self, site: &Site, method: &Method, path: &str, body: Bytes) -> Result<Call, Failed> {
        let config = &site.view.config;
        let head = forward::look(self.request, self.admitted, config, self.id, method, path);
        self.prepared(site, head, if body.is_empty() { RequestBody::Empty } else { RequestBody::Full(body) })
    }

    /// All calls are parts of the client's request.
    fn traceparent(&self) -> Option<Traceparent> {
        self.admitted.traced.as_ref()?.spans().map(Spans::traceparent)
    }

    fn prepared(
        &self,
        site: &Site,
        head: Result<RequestHead, InvalidHead>,
        body: RequestBody,
    ) -> Result<Call, Failed> {
        let config = &self.admitted.config;
        Ok(Call {
            client: self.gateway.upstream.clone(),
            id: self.id.clone(),
            backend: site.backend.clone(),
            view: site.view.clone(),
            head: head
                .and_then(|head| forward::traced(head, self.request, self.traceparent()))
                .map_err(|e| failed(502, format!("it cannot be asked: {e}")))?,
            body,
            first_byte: limit(config.timeout_ms),
            idle: limit(config.stream_idle_timeout_ms),
        })
    }
}

// === impl Call ===

impl Call {
    /// Sends it and waits for the head of the answer. `progress` tells whose turn it is while a body streams through.
    pub(super) async fn send(&mut self, progress: Option<&Progress>) -> Result<Response, Failed> {
        let target = self.view.target().map_err(|e| failed(502, format!("it could not be reached: {e}")))?;
        journal::sent(&self.view.config, &self.id, &self.head, &self.body, None);
        // Pinned here: passed on by value it would be copied, and held several times.
        let sending = pin!(self.client.send(target, &self.head, &mut self.body));
        match within_turn(self.first_byte, progress, sending).await {
            Some(Ok(mut response)) => {
                journal::hear(&self.view.config, &self.id, &mut response);
                Ok(response)
            }
            Some(Err(e)) if e.is_connect() => {
                self.backend.connection_failed(&self.view);
                Err(failed(502, format!("it could not be reached: {e}")))
            }
            Some(Err(e @ (SendError::BodySource(_) | SendError::BodyLength(_)))) => {
                Err(failed(400, format!("the request body did not arrive: {e}")))
            }
            Some(Err(e)) => Err(failed(502, format!("it failed before it answered: {e}"))),
            None => Err(Self::silent(self.first_byte)),
        }
    }

    /// Sends it and reads the whole answer.
    pub(super) async fn whole(&mut self, progress: Option<&Progress>) -> Result<Said, Failed> {
        let Response { status, mut body, .. } = self.send(progress).await?;
        let body = self.read(&mut body).await?;
        Ok(Said { status, body })
    }

    /// The next piece of an answer.
    pub(super) async fn next(&self, body: &mut ResponseBody) -> Result<Option<Bytes>, Failed> {
        match within(self.idle, relay::next(body)).await {
            Some(piece) => piece.transpose().map_err(|e| failed(502, format!("its answer broke off: {e}"))),
            None => Err(Self::silent(self.idle)),
        }
    }

    /// All of an answer, up to a bound.
    pub(super) async fn read(&self, body: &mut ResponseBody) -> Result<Bytes, Failed> {
        let mut read = BytesMut::new();
        while let Some(piece) = self.next(body).await? {
            if read.len() + piece.len() > MAX_ANSWER {
                break;
            }
            read.extend_from_slice(&piece);
        }
        Ok(read.freeze())
    }

    fn silent(waited: Option<Duration>) -> Failed {
        failed(504, format!("it was silent for {} ms", waited.unwrap_or_default().as_millis()))
    }
}

// === impl Said ===

impl Said {
    /// Success, or the failure that the answer tells of.
    pub(super) fn verdict(&self) -> Result<(), Failed> {
        if self.status.is_success() {
            return Ok(());
        }
        let words = fault::error_text(&self.body).or_else(|| String::from_utf8(self.body.to_vec()).ok());
        let words = words.filter(|words| !words.trim().is_empty());
        Err(failed(self.status.as_u16(), words.unwrap_or_else(|| format!("it answered {}", self.status))))
    }
}

pub(super) fn failed(status: u16, message: String) -> Failed {
    Failed { status, message }
}
