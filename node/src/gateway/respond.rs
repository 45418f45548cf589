//! The response head: the backend's status and end-to-end headers, and what this node adds.

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Version};
use actix_web::{HttpRequest, HttpResponse};
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::wire::StreamFormat;

use super::attempt::Answer;
use super::cors;
use super::hop::Hop;
use super::identity::RequestId;
use super::ingress::Admitted;
use super::relay::Relay;
use crate::upstream::BodyKind;

const REQUEST_ID: HeaderName = HeaderName::from_static(names::REQUEST_ID);
const BACKEND: HeaderName = HeaderName::from_static(names::BACKEND);
const STICKY: HeaderName = HeaderName::from_static(names::STICKY);

/// The answer of a backend as the client gets it.
pub(super) fn relay(request: &HttpRequest, admitted: &Admitted, mut answer: Answer) -> HttpResponse<BoxBody> {
    let upstream = &mut answer.response;
    let headers = std::mem::take(&mut upstream.headers);
    let mut response = HttpResponse::new(upstream.status);
    let connection = headers.iter().filter(|(name, _)| name == header::CONNECTION).map(|(_, value)| value);
    let hop = Hop::of(connection);
    let mut readable = true;
    let mut format = None;
    // The server writes the length of bodies; an answer to HEAD and 304 keep the one that the backend named.
    let keeps_length = upstream.body.kind() == BodyKind::Empty;
    let mut length = None;
    for (name, value) in headers {
        match name {
            header::CONTENT_LENGTH => length = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()),
            header::CONTENT_ENCODING => readable = value.as_bytes().eq_ignore_ascii_case(b"identity"),
            header::CONTENT_TYPE => {
                format = value.to_str().ok().and_then(|kind| StreamFormat::of(admitted.operation, kind));
            }
            _ => {}
        }
        let is_length = name == header::CONTENT_LENGTH && !keeps_length;
        if !is_length && !hop.ends(&name) {
            response.headers_mut().append(name, value);
        }
    }
    response.headers_mut().insert(STICKY, sticky(admitted));
    if let Ok(backend) = HeaderValue::from_str(answer.lease.backend().id().as_ref()) {
        response.headers_mut().insert(BACKEND, backend);
    }
    if request.version() < Version::HTTP_11 {
        // HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
    let relay = Relay::new(answer, format.filter(|_| readable));
    match length {
        Some(length) if request.method() == Method::HEAD => response.set_body(HeadOnly { length }.boxed()),
        _ => response.set_body(relay.boxed()),
    }
}

/// What every response has, errors included.
pub(crate) fn finish(headers: &mut HeaderMap, id: &RequestId, defaults: &[(HeaderName, HeaderValue)]) {
    cors::add_headers(headers);
    for (name, value) in defaults {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    if let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) {
        headers.insert(REQUEST_ID, id);
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
