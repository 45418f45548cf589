//! Requests that change the models of backends: they go to all backends of a frontend that they concern, and are answered
//! as one server would.
//!
//! ```text
//! permission -> targets -> body (change, residence) -> call, at each target -> progress | everywhere | upload -> one answer
//!                                                                \-> wishes: what the frontend requires from then on
//! ```
//!
//! - Targets are the frontend's backends of Ollama's API, narrowed by `X-OllamaFlow-Backend-Filter` and the labels. Those
//!   that are active and healthy when the request comes have to succeed; others are passed over, and the answer says why.
//! - None of it takes a slot of `MaxParallelRequests`, since nothing is generated, but for loading a model.
//! - A pull that has succeeded adds to the frontend's `RequiredModels`, a deletion removes from them first: in the catalog
//!   of the whole cluster, so that nobody undoes what the user did. Requests that were narrowed change nothing there, for a
//!   frontend requires a model of all its backends.

mod call;
mod everywhere;
mod holders;
mod outlook;
mod permission;
mod progress;
mod refusal;
mod residence;
mod roll;
mod stream;
mod targets;
mod upload;
mod wishes;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use ollamaflow_protocol::end::End;
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::models::change::Change;
use ollamaflow_protocol::models::wishes::forbidding;
use ollamaflow_protocol::route::Operation;

pub(crate) use self::outlook::{Outlook, outlook};
use self::permission::is_allowed;
use self::progress::Pull;
pub(super) use self::refusal::ManageError;
use self::roll::Roll;
use self::stream::Stream;
use self::targets::{Purpose, Targets};
use super::Gateway;
use super::identity::RequestId;
use super::ingress::Admitted;
use super::intake::{self, Intake};
use super::journal;
use super::keyed;
use super::refusal::Refusal;
use super::respond;
use super::tally::Counted;
use super::trace::Trace;
use crate::actors::Decision;

const BACKENDS: HeaderName = HeaderName::from_static(names::BACKENDS);
const UNRECORDED: HeaderName = HeaderName::from_static(names::UNRECORDED);

/// What decides where such a request goes.
const EACH: Decision = Decision { by: "EachBackend", why: "" };
/// The same for what takes one of them.
const ONE: Decision = Decision { by: "OneBackend", why: "least in flight" };

/// What the parts of one change have in common.
#[derive(Clone, Copy)]
struct Managing<'a> {
    gateway: &'a Gateway,
    request: &'a HttpRequest,
    admitted: &'a Admitted,
    id: &'a RequestId,
}

/// The answer to a change.
pub(super) struct Answered {
    content: Content,
    roll: Roll,
    /// The backend, if it is the answer of one.
    backend: Option<BackendId>,
    /// Why a model that was pulled is not among those that the frontend requires.
    unrecorded: Option<String>,
}

enum Content {
    Whole { status: StatusCode, body: Vec<u8> },
    Stream(Stream),
}

/// Whether the operation changes models by its path alone.
pub(super) fn is_change(operation: Operation) -> bool {
    is_read_whole(operation) || operation == Operation::OllamaBlob
}

/// Whether it does, and its body tells how.
pub(super) fn is_read_whole(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::OllamaPull
            | Operation::OllamaPush
            | Operation::OllamaCreate
            | Operation::OllamaCopy
            | Operation::OllamaDelete
    )
}

// === impl Gateway ===

impl Gateway {
    /// The way of a request that changes models, top to bottom.
    pub(super) async fn change(
        &self,
        request: &HttpRequest,
        payload: Payload,
        admitted: &Admitted,
        id: &RequestId,
        trace: &mut Trace,
        counted: &mut Option<Counted>,
    ) -> Result<HttpResponse<BoxBody>, Refusal> {
        let managing = Managing { gateway: self, request, admitted, id };
        // All that can be said before the body is read is said then: it may be gigabytes.
        if !is_allowed(request, admitted, &self.settings) {
            return Err(ManageError::NotAllowed { frontend: admitted.config.identifier.clone() }.into());
        }
        let purpose = Purpose::of(admitted.operation);
        let targets = Targets::of(request, &admitted.frontend, purpose)?;
        let mut received = intake::read(request, payload, admitted, &self.settings).await?;
        journal::received(admitted, id, &received.body);
        trace.model(received.facts.model.as_deref());
        keyed::check(request, admitted, &mut received, counted.as_ref())?;
        trace.route();
        let answer = match admitted.operation {
            Operation::OllamaBlob if request.method() == Method::HEAD => {
                trace.attempts_at(targets.sites.len(), EACH);
                managing.has_blob(targets).await
            }
            Operation::OllamaBlob => {
                trace.attempts_at(targets.sites.len(), EACH);
                managing.upload(targets, received.body).await?
            }
            operation => {
                let (Intake::Kept(body) | Intake::Once(body)) = received.body else {
                    return Err(Refusal::NotWhole);
                };
                let change = Change::read(operation, &body).ok_or(Refusal::NotFound)?;
                let change = change.map_err(ManageError::Change)?;
                let streams = received.facts.stream != Some(false);
                managing.changed(change, targets, body, streams, trace).await?
            }
        };
        Ok(self::answer(request, admitted, answer, counted))
    }
}

// === impl Managing ===

impl Managing<'_> {
    async fn changed(
        self,
        change: Change,
        targets: Targets,
        body: Bytes,
        streams: bool,
        trace: &mut Trace,
    ) -> Result<Answered, ManageError> {
        let config = &self.admitted.config;
        let makes_one = !matches!(change, Change::Push { .. } | Change::Delete { .. });
        if makes_one && let Some(wish) = forbidding(config, change.model()) {
            return Err(ManageError::Forbidden {
                frontend: config.identifier.clone(),
                model: change.model().to_owned(),
                wish: wish.to_owned(),
            });
        }
        match change {
            Change::Pull { model } => {
                trace.attempts_at(targets.sites.len(), EACH);
                let wishes = (!targets.is_narrowed).then(|| self.wishes());
                Ok(self.merged(targets, &body, streams, Some(Pull { model, wishes })).await)
            }
            Change::Create { model, from, blobs } => {
                let targets = self.able_to_create(targets, from.as_deref(), &blobs).await?;
                targets.must_agree_on(&model, from.as_deref().unwrap_or("the blobs"))?;
                trace.attempts_at(targets.sites.len(), EACH);
                Ok(self.merged(targets, &body, streams, None).await)
            }
            Change::Push { model } => {
                let targets = self.one_with(targets, &model).await?;
                trace.attempts_at(targets.sites.len(), ONE);
                Ok(self.merged(targets, &body, streams, None).await)
            }
            Change::Copy { source, destination } => {
                let targets = self.able_to_create(targets, Some(&source), &[]).await?;
                targets.must_agree_on(&destination, &source)?;
                trace.attempts_at(targets.sites.len(), EACH);
                self.everywhere(targets, &source, &body).await
            }
            Change::Delete { model } => {
                let wishes = (!targets.is_narrowed).then(|| self.wishes());
                if let Some(wishes) = &wishes {
                    self.must_not_be_required_elsewhere(&targets, &model)?;
                    wishes.forget(&model).await?;
                    self.until_given_up(&targets, &model).await;
                }
                trace.attempts_at(targets.sites.len(), EACH);
                let answered = self.everywhere(targets, &model, &body).await;
                if let Some(wishes) = &wishes
                    && let Err(error) = wishes.forget(&model).await
                {
                    // A pull that has ended meanwhile may have recorded it again.
                    tracing::warn!(model, %error, "a model was deleted, and its frontend may require it still");
                }
                answered
            }
        }
    }
}

/// The answer as the client gets it.
pub(super) fn answer(
    request: &HttpRequest,
    admitted: &Admitted,
    answer: Answered,
    counted: &mut Option<Counted>,
) -> HttpResponse<BoxBody> {
    let Answered { content, roll, backend, unrecorded } = answer;
    let mut response = match content {
        Content::Whole { status, body } => {
            Counted::settle(counted, if status.is_success() { End::Complete } else { End::Error });
            let mut response = HttpResponse::build(status);
            if !body.is_empty() {
                response.insert_header((header::CONTENT_TYPE, "application/json; charset=utf-8"));
            }
            response.body(body)
        }
        Content::Stream(stream) => {
            let mut response =
                HttpResponse::new(StatusCode::OK).set_body(stream.counted(counted.take()).boxed());
            let media_type = HeaderValue::from_static("application/x-ndjson");
            response.headers_mut().insert(header::CONTENT_TYPE, media_type);
            respond::unchunk(request, &mut response);
            response
        }
    };
    let backend = backend.as_ref().or_else(|| roll.only());
    respond::mark(response.headers_mut(), admitted, backend);
    if let Some(told) = roll.header() {
        response.headers_mut().insert(BACKENDS, told);
    }
    // What is no header value has no reason that could be told in one.
    if let Some(Ok(why)) = unrecorded.map(HeaderValue::try_from) {
        response.headers_mut().insert(UNRECORDED, why);
    }
    response
}
