//! Cross-origin access, for dashboards and explorers in browsers: any origin, no credentials.
//!
//! Requested headers are echoed and not answered by `*`, which excludes `Authorization` in the Fetch standard.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::respond::add;

/// Seconds for which a browser may keep a preflight's answer.
const MAX_AGE: &str = "600";

/// Methods of all routes together.
const METHODS: &str = "OPTIONS, HEAD, GET, PUT, POST, DELETE, PATCH";

/// Adds what every response carries. What a backend said of its own origin has been left out.
pub(super) fn add_headers(headers: &mut HeaderMap) {
    add(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    add(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
}

/// Whether this node speaks for itself there, whatever a backend says: of origins that may read its answers.
pub(super) fn is_answered_here(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::ACCESS_CONTROL_ALLOW_ORIGIN
            | header::ACCESS_CONTROL_EXPOSE_HEADERS
            | header::ACCESS_CONTROL_ALLOW_CREDENTIALS
    )
}

/// The answer to `OPTIONS` on any path, without authentication.
pub(crate) fn preflight(request: &HttpRequest) -> HttpResponse<BoxBody> {
    let mut response = HttpResponse::NoContent();
    response
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE))
        .insert_header((header::VARY, "Access-Control-Request-Headers"));
    match request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        Some(requested) => response.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, requested.clone())),
        None => response.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "*")),
    };
    response.finish()
}
