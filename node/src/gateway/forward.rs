//! The request as a backend gets it: path, query, end-to-end headers, the backend's own credentials.

use std::borrow::Cow;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName};
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::object::{Backend, Secret};
use ollamaflow_protocol::route::{self, Operation};

use super::hop::Hop;
use super::identity::{self, RequestId, Traceparent, traceparent};
use super::ingress::Admitted;
use super::intake;
use super::keyed;
use super::naming::Named;
use super::origin::{self, AddressText, FORWARDED_FOR};
use crate::keys::resembles_a_key;
use crate::listener::Connection;
use crate::upstream::{InvalidHead, RequestHead};

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID: HeaderName = HeaderName::from_static(names::REQUEST_ID);
const COMMON_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How this node appears in `Via`.
const VIA: &[u8] = b"1.1 ollamaflow";

/// Whose a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The client's own.
    ByClient,
    /// One made from the client's, that continues an answer. The frontend's pins are in it.
    ToContinue,
    /// The client's own, one of several: their answers are read here and made one.
    OfMany,
    /// One made from the client's, in another API, or to find out something about the backend.
    Translated,
}

/// Builds the head for one backend. `named` is the model that it gets, if that is not what the client has written.
pub(super) fn head(
    request: &HttpRequest,
    admitted: &Admitted,
    backend: &Backend,
    id: &RequestId,
    operation: Operation,
    asked: Asked,
    named: Option<&Named>,
) -> Result<RequestHead, InvalidHead> {
    let method = match asked {
        // For `HEAD` too: the head of the answer follows from its body.
        Asked::Translated => operation.method().parse().unwrap_or_default(),
        _ => request.method().clone(),
    };
    let path = match (operation.upstream_path(), named) {
        (Some(path), _) => Cow::Borrowed(path),
        (None, Some(named)) if operation == Operation::OpenAiModel => {
            Cow::Owned(route::path_of_model(&named.sent))
        }
        (None, _) => Cow::Borrowed(request.uri().path()),
    };
    built(request, admitted, backend, id, (&method, &path), asked, named)
}

/// Builds the head of a request by which this node finds out something that the client's request depends on.
pub(super) fn look(
    request: &HttpRequest,
    admitted: &Admitted,
    backend: &Backend,
    id: &RequestId,
    method: &Method,
    path: &str,
) -> Result<RequestHead, InvalidHead> {
    built(request, admitted, backend, id, (method, path), Asked::Translated, None)
}

/// Puts the request into its trace: as a part of `span`, if it is recorded here, else of the client's.
pub(super) fn traced(
    mut head: RequestHead,
    request: &HttpRequest,
    span: Option<Traceparent>,
) -> Result<RequestHead, InvalidHead> {
    head.header(&TRACEPARENT, &span.unwrap_or_else(|| traceparent(received_trace(request))))?;
    Ok(head)
}

fn received_trace(request: &HttpRequest) -> Option<&str> {
    request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok())
}

fn built(
    request: &HttpRequest,
    admitted: &Admitted,
    backend: &Backend,
    id: &RequestId,
    (method, path): (&Method, &str),
    asked: Asked,
    named: Option<&Named>,
) -> Result<RequestHead, InvalidHead> {
    let mut head = RequestHead::new(method, &path_and_query(request, path, backend, asked))?;
    let received = request.headers();
    let is_trusted = admitted.origin.trusted_peer;
    let hop = Hop::of(received.get_all(header::CONNECTION));
    let own_authorization =
        backend.bearer_token.is_some() || overrides(backend, header::AUTHORIZATION.as_str());
    for (name, value) in received {
        let forwarded = match *name {
            // Written by the upstream client, or below.
            header::HOST | header::CONTENT_LENGTH | header::VIA => false,
            // A virtual key is for this node, also when it is none any more.
            header::AUTHORIZATION => {
                !own_authorization && !admitted.shown.authorization && !resembles_a_key(value.as_bytes())
            }
            _ if name == keyed::API_KEY && (admitted.shown.api_key || resembles_a_key(value.as_bytes())) => {
                false
            }
            // The body goes on without it.
            header::CONTENT_ENCODING if intake::is_decoded(admitted.operation) => false,
            // These speak of the client's own body, and an answer in a coding cannot go on where another one ended.
            header::CONTENT_TYPE if !matches!(asked, Asked::ByClient | Asked::OfMany) => false,
            header::ACCEPT_ENCODING if asked != Asked::ByClient => false,
            // Nor can another name be put into it.
            header::ACCEPT_ENCODING if named.is_some_and(|named| named.echo.is_some()) => false,
            // Nor do these mean anything in another API, and a key is for those whose API the client speaks.
            header::ACCEPT if asked == Asked::Translated => false,
            _ if asked == Asked::Translated && is_of_an_api(name) => false,
            _ => {
                !matches!(name.as_str(), "x-forwarded-for" | "traceparent" | names::REQUEST_ID)
                    // Only a proxy of our own knows more about the client than we do.
                    && (is_trusted || !matches!(name.as_str(), "x-forwarded-proto" | "x-forwarded-host"))
                    // It means nothing without a trace that goes on.
                    && (name.as_str() != "tracestate" || identity::parent(received_trace(request)).is_some())
                    && !hop.ends(name)
                    && !overrides(backend, name.as_str())
            }
        };
        if forwarded {
            head.received(name, value)?;
        }
    }
    let peer = origin::peer(request).map_or_else(|| AddressText::from_slice(b"unknown"), origin::text);
    if is_trusted {
        append(&mut head, request, &FORWARDED_FOR, &peer)?;
    } else {
        head.header(&FORWARDED_FOR, &peer)?;
    }
    let said = |name: &HeaderName| is_trusted && received.contains_key(name);
    if !said(&FORWARDED_PROTO) {
        let scheme: &[u8] = if Connection::is_secure(request) { b"https" } else { b"http" };
        head.header(&FORWARDED_PROTO, scheme)?;
    }
    if let Some(host) = received.get(header::HOST)
        && !said(&FORWARDED_HOST)
    {
        head.received(&FORWARDED_HOST, host)?;
    }
    let is_made_here = matches!(asked, Asked::ToContinue | Asked::Translated);
    if is_made_here && method == Method::POST && !overrides(backend, header::CONTENT_TYPE.as_str()) {
        head.header(&header::CONTENT_TYPE, b"application/json")?;
    }
    append(&mut head, request, &header::VIA, VIA)?;
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

/// Whether a header belongs to one API: versions and features of Anthropic's, its key, what OpenAI's and Stainless's
/// clients tell of themselves.
fn is_of_an_api(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == keyed::API_KEY
        || ["anthropic-", "openai-", "x-stainless-"].iter().any(|prefix| name.starts_with(prefix))
}

/// The operation's canonical path (or the client's own), the client's query, then the backend's. A query of the client's
/// means nothing in another API.
fn path_and_query<'a>(
    request: &'a HttpRequest,
    path: &'a str,
    backend: &Backend,
    asked: Asked,
) -> Cow<'a, str> {
    let own = backend.querystring.as_ref().map(Secret::expose).unwrap_or_default();
    let clients = if asked == Asked::Translated { "" } else { request.query_string() };
    let queries = [clients, own];
    if queries.iter().all(|query| query.is_empty()) {
        return Cow::Borrowed(path);
    }
    let mut target = String::with_capacity(path.len() + queries.iter().map(|q| q.len() + 1).sum::<usize>());
    target.push_str(path);
    let mut separator = '?';
    for query in queries.into_iter().filter(|query| !query.is_empty()) {
        target.push(separator);
        target.push_str(query);
        separator = '&';
    }
    Cow::Owned(target)
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
