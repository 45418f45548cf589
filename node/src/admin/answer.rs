//! Answers of the admin API: indented JSON, as the original writes it, with the revision as its entity tag.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use ollamaflow_protocol::header as names;
use serde::Serialize;

use super::conditions::etag;
use super::failure::Failure;

const VALIDATED: HeaderName = HeaderName::from_static(names::VALIDATED);

/// An answer with this body.
pub(super) fn json(status: StatusCode, value: &(impl Serialize + ?Sized)) -> Result<HttpResponse, Failure> {
    let body = serde_json::to_vec_pretty(value).map_err(|e| {
        tracing::error!(error = %e, "an answer could not be written as json");
        Failure::Unwritable
    })?;
    Ok(HttpResponse::build(status).insert_header((header::CONTENT_TYPE, "application/json")).body(body))
}

/// 200 with this body.
pub(super) fn ok(value: &(impl Serialize + ?Sized)) -> Result<HttpResponse, Failure> {
    json(StatusCode::OK, value)
}

/// What a reader has already.
pub(super) fn not_modified() -> HttpResponse {
    HttpResponse::NotModified().finish()
}

/// The same answer with the revision of what it shows.
pub(super) fn tagged(mut response: HttpResponse, revision: u64) -> HttpResponse {
    if let Some(etag) = etag(revision) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// The same answer, marked as one to a write that was not made. Its revision is one that never was.
pub(super) fn validated(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().remove(header::ETAG);
    response.headers_mut().insert(VALIDATED, HeaderValue::from_static("true"));
    response
}
