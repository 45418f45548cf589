//! Answers that need no backend: the home page and the icon.

use actix_web::body::{BodySize, BoxBody, MessageBody as _};
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse};

/// What Ollama answers at `/`; clients look for this text.
const RUNNING: &str = "Ollama is running";

/// For people who open the address in a browser.
const PAGE: &str = include_str!("statics/index.html");

/// A 16x16 icon.
const ICON: &[u8] = include_bytes!("statics/favicon.png");

/// `GET /` and `HEAD /`.
pub(super) fn root(request: &HttpRequest) -> HttpResponse<BoxBody> {
    let browser = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if request.method() == Method::HEAD {
        return HttpResponse::Ok().content_type("text/plain; charset=utf-8").finish();
    }
    if browser {
        HttpResponse::Ok().content_type("text/html; charset=utf-8").body(PAGE)
    } else {
        HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(RUNNING)
    }
}

/// `GET` and `HEAD /favicon.ico`; the server leaves the body out for `HEAD`.
pub(super) fn favicon() -> HttpResponse<BoxBody> {
    let response = HttpResponse::Ok()
        .content_type("image/png")
        .insert_header((header::CACHE_CONTROL, "public, max-age=86400"))
        .body(ICON);
    debug_assert_eq!(response.body().size(), BodySize::Sized(ICON.len() as u64));
    response
}
