//! The request as a backend gets it: path, query, end-to-end headers, the backend's own credentials.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderName};
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::object::{Backend, Secret};
use ollamaflow_protocol::route::Operation;

use super::hop::Hop;
use super::identity::{RequestId, traceparent};
use crate::upstream::{InvalidHead, RequestHead};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID: HeaderName = HeaderName::from_static(names::REQUEST_ID);
const COMMON_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How this node appears in `Via`.
const VIA: &[u8] = b"1.1 ollamaflow";

/// Builds the head for one backend.
pub(super) fn head(
    request: &HttpRequest,
    operation: Operation,
    backend: &Backend,
    id: &RequestId,
) -> Result<RequestHead, InvalidHead> {
    let mut head = RequestHead::new(request.method(), &path_and_query(request, operation, backend))?;
    let received = request.headers();
    let hop = Hop::of(received.get_all(header::CONNECTION));
    let own_authorization =
        backend.bearer_token.is_some() || overrides(backend, header::AUTHORIZATION.as_str());
    for (name, value) in received {
        let forwarded = match *name {
            // Written by the upstream client, or below.
            header::HOST | header::CONTENT_LENGTH | header::VIA => false,
            header::AUTHORIZATION => !own_authorization,
            _ => {
                !matches!(name.as_str(), "x-forwarded-for" | "traceparent" | names::REQUEST_ID)
                    && !hop.ends(name)
                    && !overrides(backend, name.as_str())
            }
        };
        if forwarded {
            head.header(name, value.as_bytes())?;
        }
    }
    let text = |name: &HeaderName| received.get(name).and_then(|value| value.to_str().ok());
    append(&mut head, request, &FORWARDED_FOR, peer(request).as_bytes())?;
    if !received.contains_key(&FORWARDED_PROTO) {
        head.header(&FORWARDED_PROTO, b"http")?;
    }
    if let Some(host) = received.get(header::HOST)
        && !received.contains_key(&FORWARDED_HOST)
    {
        head.header(&FORWARDED_HOST, host.as_bytes())?;
    }
    append(&mut head, request, &header::VIA, VIA)?;
    head.header(&TRACEPARENT, traceparent(text(&TRACEPARENT)).as_bytes())?;
    head.header(&REQUEST_ID, id.as_bytes())?;
    if !received.contains_key(&COMMON_REQUEST_ID) {
        head.header(&COMMON_REQUEST_ID, id.as_bytes())?;
    }
    if let Some(token) = &backend.bearer_token {
        let mut value = b"Bearer ".to_vec();
        value.extend_from_slice(token.expose().as_bytes());
        head.header(&header::AUTHORIZATION, &value)?;
    }
    for (name, value) in backend.sent_headers() {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        head.header(&name, value.as_bytes())?;
    }
    Ok(head)
}

/// The operation's canonical path (or the client's own), the client's query, then the backend's.
fn path_and_query(request: &HttpRequest, operation: Operation, backend: &Backend) -> String {
    let path = operation.upstream_path().unwrap_or_else(|| request.uri().path());
    let own = backend.querystring.as_ref().map(Secret::expose).unwrap_or_default();
    let queries = [request.query_string(), own];
    let mut target = String::with_capacity(path.len() + queries.iter().map(|q| q.len() + 1).sum::<usize>());
    target.push_str(path);
    let mut separator = '?';
    for query in queries.into_iter().filter(|query| !query.is_empty()) {
        target.push(separator);
        target.push_str(query);
        separator = '&';
    }
    target
}

/// Whether the backend's own `Headers` set this one.
fn overrides(backend: &Backend, name: &str) -> bool {
    backend.headers.keys().any(|own| own.eq_ignore_ascii_case(name))
}

/// Writes one header line of the received values, in order, and one more.
fn append(
    head: &mut RequestHead,
    request: &HttpRequest,
    name: &HeaderName,
    last: &[u8],
) -> Result<(), InvalidHead> {
    let mut values = request.headers().get_all(name).peekable();
    if values.peek().is_none() {
        return head.header(name, last).map(|_| ());
    }
    let mut line = Vec::new();
    for value in values {
        line.extend_from_slice(value.as_bytes());
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(last);
    head.header(name, &line).map(|_| ())
}

fn peer(request: &HttpRequest) -> String {
    request.peer_addr().map_or_else(|| "unknown".to_owned(), |peer| peer.ip().to_canonical().to_string())
}
