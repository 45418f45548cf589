//! The response head: the backend's status and end-to-end headers, and what this node adds.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Version};
use actix_web::{HttpRequest, HttpResponse};
use ollamaflow_protocol::end::End;
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::route::Kind;

use super::answer::{Answer, AnswerBody};
use super::cors;
use super::hop::Hop;
use super::identity::RequestId;
use super::ingress::Admitted;
use super::relay::{Ending, Relay, Streaming};
use super::tally::Counted;

/// By which Anthropic's API names a request, and its SDKs in what they return and raise.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static(names::REQUEST_ID);
const BACKEND: HeaderName = HeaderName::from_static(names::BACKEND);
const MODEL: HeaderName = HeaderName::from_static(names::MODEL);
const STICKY: HeaderName = HeaderName::from_static(names::STICKY);
const RESUMED: HeaderName = HeaderName::from_static(names::RESUMED);

/// What [`relay`], the request's [`Trace`](super::trace::Trace) and [`finish`] write of each answer of a backend.
const WRITTEN: [&str; 7] = [
    names::STICKY,
    names::BACKEND,
    names::ATTEMPTS,
    names::QUEUE_MS,
    names::DECISION,
    names::TRANSLATION,
    names::REQUEST_ID,
];

/// The answer of a backend as the client gets it.
pub(super) fn relay(
    request: &HttpRequest,
    admitted: &Admitted,
    mut answer: Answer,
    counted: Option<Counted>,
) -> HttpResponse<BoxBody> {
    let is_told = matches!(answer.body, AnswerBody::Whole(_));
    let named = answer.named.take();
    let echo = named.as_ref().and_then(|named| named.echo(&answer));
    if echo.is_some() {
        answer.is_rewritten();
    }
    let bill = if is_told || answer.format.is_some() { None } else { answer.bill() };
    let headers = std::mem::take(&mut answer.headers);
    let mut response = HttpResponse::new(answer.status);
    let connection = headers.iter().filter(|(name, _)| name == header::CONNECTION).map(|(_, value)| value);
    let hop = Hop::of(connection);
    // The server writes the length of bodies; an answer to HEAD and 304 keep the one that the backend named.
    let keeps_length = answer.has_no_body();
    let mut length = None;
    for (name, value) in headers {
        if name == header::CONTENT_LENGTH {
            length = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        }
        let is_length = name == header::CONTENT_LENGTH && !keeps_length;
        if !is_length && !hop.ends(&name) && !is_written_here(&name) {
            response.headers_mut().append(name, value);
        }
    }
    mark(response.headers_mut(), admitted, Some(answer.backend.id()));
    if let Some(model) = named.as_ref().and_then(|named| named.told())
        && let Ok(model) = HeaderValue::from_bytes(model.as_bytes())
    {
        response.headers_mut().insert(MODEL, model);
    }
    let resumable = answer.resumable.take();
    if admitted.config.resume_streams {
        let may_be = if resumable.is_some() { "true" } else { "false" };
        response.headers_mut().insert(RESUMED, HeaderValue::from_static(may_be));
    }
    unchunk(request, &mut response);
    let is_error = answer.status.is_client_error() || answer.status.is_server_error();
    let whole = if is_error { End::Error } else { End::Complete };
    answer.told.write(admitted.operation, response.headers_mut());
    let streaming =
        Streaming { format: answer.format, bill, translation: answer.translation, echo, resumable };
    let usage = is_told.then_some(answer.usage);
    let is_generation = answer.format.is_some()
        && answer.status.is_success()
        && admitted.operation.kind() == Kind::Completions;
    let first = is_generation.then(Instant::now);
    if let (Some(first), Some(counted)) = (first, &counted) {
        counted.first_token(first);
    }
    let relay = Relay::new(answer.body, streaming, Ending { counted, whole, usage }, first);
    match length {
        Some(length) if request.method() == Method::HEAD => response.set_body(HeadOnly { length }.boxed()),
        _ => response.set_body(relay.boxed()),
    }
}

/// What every answer of backends has: whether the frontend keeps clients, and whose answer it is.
pub(super) fn mark(headers: &mut HeaderMap, admitted: &Admitted, backend: Option<&BackendId>) {
    add(headers, STICKY, sticky(admitted));
    if let Some(Ok(backend)) = backend.map(|id| HeaderValue::from_str(id.as_ref())) {
        add(headers, BACKEND, backend);
    }
}

/// Adds a header that is not there yet, which is half the work of replacing one that may be.
pub(super) fn add(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    debug_assert!(!headers.contains_key(&name), "{name} is there already");
    headers.append(name, value);
}

/// Whether every answer has this header from this node: what a backend says there, another node maybe or a server that
/// speaks of its own origin, goes no further.
fn is_written_here(name: &HeaderName) -> bool {
    WRITTEN.contains(&name.as_str()) || cors::is_answered_here(name)
}

/// HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
pub(super) fn unchunk<B>(request: &HttpRequest, response: &mut HttpResponse<B>) {
    if request.version() < Version::HTTP_11 {
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
}

/// What every response has, errors included.
pub(crate) fn finish(headers: &mut HeaderMap, id: &RequestId, defaults: &[(HeaderName, HeaderValue)]) {
    cors::add_headers(headers);
    if let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) {
        add(headers, REQUEST_ID, id);
    }
    for (name, value) in defaults {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// Names the request to Anthropic's clients, unless the backend has.
pub(super) fn name(headers: &mut HeaderMap, id: &RequestId) {
    if !headers.contains_key(ANTHROPIC_REQUEST_ID)
        && let Ok(id) = HeaderValue::from_bytes(id.as_bytes())
    {
        headers.insert(ANTHROPIC_REQUEST_ID, id);
    }
}

fn sticky(admitted: &Admitted) -> HeaderValue {
    HeaderValue::from_static(if admitted.config.use_sticky_sessions { "True" } else { "False" })
}

/// A body that is only announced: the answer to `HEAD`.
struct HeadOnly {
    length: u64,
}

// === impl HeadOnly ===

impl actix_web::body::MessageBody for HeadOnly {
    type Error = std::convert::Infallible;

    fn size(&self) -> actix_web::body::BodySize {
        actix_web::body::BodySize::Sized(self.length)
    }

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<bytes::Bytes, Self::Error>>> {
        std::task::Poll::Ready(None)
    }
}
