//! The answers to merged reads: their heads, conditional requests, and what is said of backends that are missing.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue, IfNoneMatch};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::wire;

use super::lists::Made;
use crate::gateway::refusal::Refusal;
use crate::gateway::translating::Told;

const MISSING: HeaderName = HeaderName::from_static(names::MISSING);

/// Longest value of the header, in bytes.
const MOST_TOLD: usize = 1000;
/// Stands for the names that have no room.
const MORE: &str = "...";

/// The backends of which the newest is not known.
#[derive(Debug, Default)]
pub(super) struct Missing {
    names: Vec<BackendId>,
    has_healthy: bool,
}

// === impl Missing ===

impl Missing {
    pub(super) fn add(&mut self, backend: &BackendId, is_down: bool) {
        self.names.push(backend.clone());
        self.has_healthy |= !is_down;
    }

    /// Whether none of them could be asked for more than is known.
    pub(super) fn all_are_down(&self) -> bool {
        !self.has_healthy
    }

    fn write(&self, headers: &mut HeaderMap) {
        if !self.names.is_empty()
            && let Ok(value) = HeaderValue::from_str(&listed(&self.names))
        {
            headers.insert(MISSING, value);
        }
    }
}

impl From<Missing> for Refusal {
    fn from(missing: Missing) -> Self {
        Self::ModelsUnknown { backends: listed(&missing.names) }
    }
}

/// As many of the names as have room.
fn listed(names: &[BackendId]) -> String {
    let mut text = String::new();
    for name in names {
        let name: &str = name.as_ref();
        // Identifiers are free text: what cannot stand in a header is escaped.
        let name: String = name.chars().flat_map(char::escape_default).collect();
        let separator = if text.is_empty() { "" } else { ", " };
        if text.len() + separator.len() + name.len() + ", ".len() + MORE.len() > MOST_TOLD {
            text.push_str(separator);
            text.push_str(MORE);
            break;
        }
        text.push_str(separator);
        text.push_str(&name);
    }
    text
}

/// A list or one model, unless the client has the same already (RFC 9110 13.1.2).
pub(super) fn list(
    request: &HttpRequest,
    operation: Operation,
    made: &Made,
    missing: &Missing,
) -> HttpResponse<BoxBody> {
    let mut response = if is_known(request, &made.etag) {
        HttpResponse::new(StatusCode::NOT_MODIFIED)
    } else {
        json(StatusCode::OK).set_body(made.body.clone()).map_into_boxed_body()
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, made.etag.clone());
    // Another list for other labels.
    headers.insert(header::VARY, HeaderValue::from_static(names::LABEL));
    finished(response, operation, missing)
}

/// An answer that changes so rarely that it has no tag.
pub(super) fn plain(operation: Operation, body: Vec<u8>, missing: &Missing) -> HttpResponse<BoxBody> {
    finished(json(StatusCode::OK).set_body(body).map_into_boxed_body(), operation, missing)
}

/// No backend is known to have the model.
pub(super) fn unknown_model(operation: Operation, id: &str, missing: &Missing) -> HttpResponse<BoxBody> {
    let status = StatusCode::NOT_FOUND;
    let message = format!("model '{id}' not found");
    let body = wire::error_body(operation.protocol(), status.as_u16(), &message).unwrap_or_default();
    finished(json(status).set_body(body).map_into_boxed_body(), operation, missing)
}

fn json(status: StatusCode) -> HttpResponse<BoxBody> {
    let mut response = HttpResponse::new(status);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn finished(
    mut response: HttpResponse<BoxBody>,
    operation: Operation,
    missing: &Missing,
) -> HttpResponse<BoxBody> {
    missing.write(response.headers_mut());
    Told::here().write(operation, response.headers_mut());
    response
}

/// Whether one of the client's tags is this one, compared weakly as the RFC has it.
fn is_known(request: &HttpRequest, etag: &HeaderValue) -> bool {
    let ours = etag.to_str().ok().and_then(|etag| etag.parse::<header::EntityTag>().ok());
    match (request.get_header::<IfNoneMatch>(), ours) {
        (Some(IfNoneMatch::Any), _) => true,
        (Some(IfNoneMatch::Items(theirs)), Some(ours)) => theirs.iter().any(|tag| tag.weak_eq(&ours)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn names_of_missing_backends_are_told_up_to_a_bound() {
        let ids = |count: usize| -> Vec<BackendId> {
            (0..count).map(|number| format!("backend-{number:04}").parse().unwrap()).collect()
        };
        assert_eq!(listed(&ids(2)), "backend-0000, backend-0001");
        let many = listed(&ids(1000));
        assert!(many.len() <= MOST_TOLD && many.ends_with(", ..."), "{many}");
    }

    #[test]
    fn tags_are_compared_weakly() {
        let etag = HeaderValue::from_static("\"abc\"");
        for (condition, known) in [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("*", true),
            ("\"x\"", false),
            ("abc", false),
        ] {
            let request =
                TestRequest::get().insert_header((header::IF_NONE_MATCH, condition)).to_http_request();
            assert_eq!(is_known(&request, &etag), known, "{condition}");
        }
        assert!(!is_known(&TestRequest::get().to_http_request(), &etag));
    }
}
