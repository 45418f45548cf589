//! `/explorer`: Swagger UI over the description of the API. All of it is in this program: nothing is loaded from
//! elsewhere, and the page is told to let nothing be.

use std::sync::LazyLock;

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;

use super::failure::Failure;
use super::packed::Packed;
use super::route::path;

/// What the page may load and do. `data:` is for the pictures in Swagger UI's own style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const REFERRER_POLICY: HeaderName = header::REFERRER_POLICY;

static PAGE: LazyLock<Packed> =
    LazyLock::new(|| Packed::new(include_bytes!("explorer/index.html").to_vec(), "text/html; charset=utf-8"));

/// By their names. Those of Swagger UI are made by the build script.
static FILES: LazyLock<[(&str, Packed); 5]> = LazyLock::new(|| {
    let made = |gzip: &'static [u8], content_type| Packed::of_gzip(Bytes::from_static(gzip), content_type);
    let text = "text/plain; charset=utf-8";
    [
        (
            "start.js",
            Packed::new(include_bytes!("explorer/start.js").to_vec(), "text/javascript; charset=utf-8"),
        ),
        (
            "swagger-ui-bundle.js",
            made(
                include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")),
                "text/javascript; charset=utf-8",
            ),
        ),
        (
            "swagger-ui.css",
            made(include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz")), "text/css; charset=utf-8"),
        ),
        ("LICENSE", made(include_bytes!(concat!(env!("OUT_DIR"), "/LICENSE.gz")), text)),
        ("NOTICE", made(include_bytes!(concat!(env!("OUT_DIR"), "/NOTICE.gz")), text)),
    ]
});

/// Its paths, below its own.
pub(super) fn register(config: &mut web::ServiceConfig) {
    config
        .service(path("", "GET, HEAD").route(web::get().to(page)).route(web::head().to(page)).resource)
        .service(path("/", "GET, HEAD").route(web::get().to(moved)).route(web::head().to(moved)).resource)
        .service(path("/{file}", "GET, HEAD").route(web::get().to(file)).route(web::head().to(file)).resource)
        .default_service(web::to(nothing));
}

/// `GET /explorer`.
async fn page(request: HttpRequest) -> HttpResponse {
    answer(&PAGE, &request)
}

/// `GET /explorer/`: the page's links are relative to the path without the slash.
async fn moved() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "../explorer")).finish()
}

/// `GET /explorer/{file}`.
async fn file(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, Failure> {
    let found = FILES.iter().find(|(known, _)| *known == name.as_str());
    let (_, file) = found.ok_or_else(|| missing(&name))?;
    Ok(answer(file, &request))
}

async fn nothing(request: HttpRequest) -> Result<HttpResponse, Failure> {
    Err(missing(request.path()))
}

fn missing(name: &str) -> Failure {
    Failure::Missing { kind: "file", id: name.to_owned() }
}

fn answer(file: &Packed, request: &HttpRequest) -> HttpResponse {
    file.answer(request)
        .with(header::CONTENT_SECURITY_POLICY, POLICY)
        .with(REFERRER_POLICY, "no-referrer")
        .finish()
}
