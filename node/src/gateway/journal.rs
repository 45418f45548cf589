//! What frontends and backends want to have in the log of their requests: `LogRequestFull`, `LogRequestBody`,
//! `LogResponseBody`.
//!
//! A frontend logs what the client sent and got, a backend what it was sent and answered: pins, translation and names of
//! models lie between the two. Bodies are shown up to a bound, credentials never. Only what is asked for is looked at, and
//! what tells it is kept out of the code that each request runs through (`#[cold]`), for most want none of it.

use std::fmt::Write as _;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use ollamaflow_protocol::id::{BackendId, FrontendId};
use ollamaflow_protocol::object::Backend;
use tracing::Level;

use super::identity::RequestId;
use super::ingress::Admitted;
use super::intake::Intake;
use super::origin::is_secret;
use crate::telemetry::{EXCERPT_BYTES, Excerpt};
use crate::upstream::{RequestBody, RequestHead, Response};

/// What filters know these lines by.
const TARGET: &str = "ollamaflow::bodies";

/// What stands for a secret.
const HIDDEN: &str = "********";

/// Words in the names of headers and parameters whose values are secrets.
const SECRET_WORDS: [&str; 8] =
    ["token", "secret", "key", "auth", "password", "credential", "cookie", "signature"];

/// Who wants to know.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    Frontend(FrontendId),
    Backend(BackendId),
}

/// The body of an answer, as it passes. Logged when it has ended or was given up.
#[derive(Debug)]
pub(super) struct Heard {
    owner: Owner,
    id: RequestId,
    status: StatusCode,
    excerpt: Excerpt,
}

/// Logs what a frontend wants to have of the head of a request.
pub(super) fn came(request: &HttpRequest, admitted: &Admitted, id: &RequestId) {
    if admitted.config.log_request_full && is_heard() {
        tell_head(request, admitted, id);
    }
}

#[cold]
fn tell_head(request: &HttpRequest, admitted: &Admitted, id: &RequestId) {
    let mut text = format!("{} {}", request.method(), request.path());
    if !request.query_string().is_empty() {
        let _ = write!(text, "?{}", shown_query(request.query_string()));
    }
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        line(&mut text, name.as_str(), &value, false);
    }
    head(&Owner::of_frontend(admitted), id, &text);
}

/// Logs what a frontend wants to have of the body of a request.
pub(super) fn received(admitted: &Admitted, id: &RequestId, body: &Intake) {
    if admitted.config.log_request_body && is_heard() {
        tell_body(admitted, id, body);
    }
}

#[cold]
fn tell_body(admitted: &Admitted, id: &RequestId, body: &Intake) {
    let owner = Owner::of_frontend(admitted);
    match body {
        Intake::Kept(bytes) | Intake::Once(bytes) => request_body(&owner, id, &Excerpt::of(bytes), true),
        Intake::Streaming(_, _, Some(start)) => request_body(&owner, id, start, false),
        Intake::Streaming(..) => {}
    }
}

/// The beginning of a body that streams through, if anybody may want it in the log.
pub(super) fn start_of(admitted: &Admitted, read: &[u8]) -> Option<Box<Excerpt>> {
    let is_wanted = admitted.config.log_request_body
        || admitted.frontend.view().backends().any(|(_, view)| view.config.log_request_body);
    is_wanted.then(|| Box::new(Excerpt::of(&read[..read.len().min(EXCERPT_BYTES)])))
}

/// Logs what a backend wants to have of a request to it. `start` is the beginning of a body that streams through.
pub(super) fn sent(
    backend: &Backend,
    id: &RequestId,
    sent: &RequestHead,
    body: &RequestBody,
    start: Option<&Excerpt>,
) {
    if (backend.log_request_full || backend.log_request_body) && is_heard() {
        tell_sent(backend, id, sent, body, start);
    }
}

#[cold]
fn tell_sent(
    backend: &Backend,
    id: &RequestId,
    sent: &RequestHead,
    body: &RequestBody,
    start: Option<&Excerpt>,
) {
    let owner = Owner::Backend(backend.identifier.clone());
    if backend.log_request_full {
        head(&owner, id, &shown_head(backend, sent.lines()));
    }
    if !backend.log_request_body {
        return;
    }
    match (body, start) {
        (RequestBody::Full(bytes), _) => request_body(&owner, id, &Excerpt::of(bytes), true),
        (RequestBody::Stream(_), Some(start)) => request_body(&owner, id, start, false),
        (RequestBody::Stream(_) | RequestBody::Empty, _) => {}
    }
}

/// Lets a backend's answer be heard, if the backend wants it in the log.
pub(super) fn hear(backend: &Backend, id: &RequestId, response: &mut Response) {
    if backend.log_response_body && is_heard() {
        let owner = Owner::Backend(backend.identifier.clone());
        let mut heard = Heard::new(owner, id, response.status);
        response.body.watch(Box::new(move |piece| heard.push(piece)));
    }
}

/// Who hears the answer of a frontend's request, if the frontend wants it in the log.
pub(super) fn listener(admitted: &Admitted, id: &RequestId, status: StatusCode) -> Option<Box<Heard>> {
    let is_wanted = admitted.config.log_response_body && is_heard();
    is_wanted.then(|| Box::new(Heard::new(Owner::of_frontend(admitted), id, status)))
}

/// Whether what is logged here gets anywhere.
fn is_heard() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO)
}

fn head(owner: &Owner, id: &RequestId, text: &str) {
    let (frontend, backend) = owner.names();
    tracing::info!(target: TARGET, request = %id.as_str(), frontend, backend, head = text, "request head");
}

fn request_body(owner: &Owner, id: &RequestId, excerpt: &Excerpt, is_whole: bool) {
    if excerpt.total() == 0 {
        return;
    }
    let (frontend, backend) = owner.names();
    let bytes = is_whole.then_some(excerpt.total());
    let cut = !is_whole || excerpt.is_cut();
    tracing::info!(
        target: TARGET, request = %id.as_str(), frontend, backend, bytes, cut, body = excerpt.text(), "request body"
    );
}

/// The head of a request as it was sent, without secrets: those of the backend are known, others are by their names.
fn shown_head(backend: &Backend, lines: &[u8]) -> String {
    let lines = String::from_utf8_lossy(lines);
    let mut lines = lines.lines();
    let first = lines.next().unwrap_or_default();
    let first = first.strip_suffix(" HTTP/1.1").unwrap_or(first);
    let mut text = match first.split_once('?') {
        // Its own query is a secret, and which part of it that is cannot be told.
        Some((path, _)) if backend.querystring.is_some() => format!("{path}?{HIDDEN}"),
        Some((path, query)) => format!("{path}?{}", shown_query(query)),
        None => first.to_owned(),
    };
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let is_own = backend.headers.keys().any(|own| own.eq_ignore_ascii_case(name));
        line(&mut text, name, value, is_own);
    }
    text
}

fn line(text: &mut String, name: &str, value: &str, is_hidden: bool) {
    let is_hidden = is_hidden || is_secret(name) || sounds_secret(name);
    let _ = write!(text, "\n{name}: {}", if is_hidden { HIDDEN } else { value });
}

/// A query without the values that sound like secrets.
fn shown_query(query: &str) -> String {
    let shown = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if sounds_secret(name) => format!("{name}={HIDDEN}"),
        _ => parameter.to_owned(),
    });
    shown.collect::<Vec<_>>().join("&")
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

// === impl Owner ===

impl Owner {
    fn of_frontend(admitted: &Admitted) -> Self {
        Self::Frontend(admitted.config.identifier.clone())
    }

    /// Frontend and backend: one of them.
    fn names(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Frontend(id) => (Some(id.as_ref()), None),
            Self::Backend(id) => (None, Some(id.as_ref())),
        }
    }
}

// === impl Heard ===

impl Heard {
    fn new(owner: Owner, id: &RequestId, status: StatusCode) -> Self {
        Self { owner, id: id.clone(), status, excerpt: Excerpt::default() }
    }

    /// The next piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.excerpt.push(piece);
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let (frontend, backend) = self.owner.names();
        tracing::info!(
            target: TARGET, request = %self.id.as_str(), frontend, backend, status = self.status.as_u16(),
            bytes = self.excerpt.total(), cut = self.excerpt.is_cut(), body = self.excerpt.text(), "response body"
        );
    }
}

#[cfg(test)]
mod tests {
    use ollamaflow_protocol::object::Secret;

    use super::*;

    #[test]
    fn the_head_to_a_backend_is_shown_without_secrets() {
        let lines = b"POST /api/chat?stream=1&api_key=abc HTTP/1.1\r\naccept: */*\r\nauthorization: Bearer abc\r\nx-site: abc\r\nx-lab: 7\r\n";
        let mut backend = Backend::new("b".parse().unwrap());
        backend.headers.insert("X-Site".to_owned(), Secret::new("abc"));
        let shown = shown_head(&backend, lines);
        assert_eq!(
            shown,
            "POST /api/chat?stream=1&api_key=********\naccept: */*\nauthorization: ********\nx-site: ********\nx-lab: 7"
        );
        backend.querystring = Some(Secret::new("x=abc"));
        assert!(shown_head(&backend, lines).starts_with("POST /api/chat?********\n"));
    }

    #[test]
    fn names_of_secrets_are_known_by_their_words() {
        for name in ["X-Api-Key", "my-token", "Set-Cookie", "proxy-authorization", "X-Amz-Signature"] {
            assert!(sounds_secret(name), "{name}");
        }
        for name in ["accept", "x-conversation-id", "content-type", "stream"] {
            assert!(!sounds_secret(name), "{name}");
        }
    }
}
