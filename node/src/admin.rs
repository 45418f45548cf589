//! The admin API below `/v1.0`: what is configured and how the backends are.
//!
//! Handlers read the catalog and the published views, and wait for nothing: health is as quick as the list that
//! it belongs to. Changes come from the settings file in this version (see the README).

mod auth;
mod objects;

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{HttpServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::{Next, NormalizePath, from_fn};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use ollamaflow_protocol::error::{ApiError, ErrorKind};
use ollamaflow_protocol::object::Secret;

use crate::actors::Directory;
use crate::catalog::CatalogReader;
use crate::gateway::{self, RequestId};
use crate::listener::{Connection, Keeping};

/// What the handlers read.
pub struct AdminState {
    /// The configuration.
    pub catalog: CatalogReader,
    /// The live state.
    pub directory: Arc<Directory>,
    /// Tokens that open the API.
    pub tokens: Vec<Secret>,
    /// Headers for every response that does not have them; `Webserver.Headers.DefaultHeaders`.
    pub default_headers: Vec<(HeaderName, HeaderValue)>,
}

/// The routes, with authentication in front of each.
pub fn service(state: web::Data<AdminState>) -> impl HttpServiceFactory {
    let read = |path: &str| web::resource(path.to_owned()).default_service(web::to(method_not_allowed));
    web::scope("/v1.0")
        .app_data(state)
        .wrap(from_fn(guard))
        .wrap(NormalizePath::trim())
        .service(
            read("/frontends")
                .route(web::get().to(objects::list_frontends))
                .route(web::head().to(objects::list_frontends)),
        )
        .service(
            read("/frontends/{id}")
                .route(web::get().to(objects::get_frontend))
                .route(web::head().to(objects::get_frontend)),
        )
        .service(
            read("/backends")
                .route(web::get().to(objects::list_backends))
                .route(web::head().to(objects::list_backends)),
        )
        .service(
            read("/backends/health")
                .route(web::get().to(objects::list_health))
                .route(web::head().to(objects::list_health)),
        )
        .service(
            read("/backends/{id}")
                .route(web::get().to(objects::get_backend))
                .route(web::head().to(objects::get_backend)),
        )
        .service(
            read("/backends/{id}/health")
                .route(web::get().to(objects::get_health))
                .route(web::head().to(objects::get_health)),
        )
        .default_service(web::to(not_found))
}

/// Preflights, authentication, and the headers of every admin response.
async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let answer = Connection::answer(request.request());
    let payload = request.take_payload();
    let (payload, unread) = gateway::watch_unread(request.request(), payload);
    request.set_payload(payload);
    let mut response = if request.method() == actix_web::http::Method::OPTIONS {
        let response = gateway::preflight(request.request());
        request.into_response(response).map_into_right_body()
    } else if auth::is_authorized(&request) {
        next.call(request).await?.map_into_left_body()
    } else {
        let why = "the Authorization header must be 'Bearer' and an admin token of this node";
        let response = error(ErrorKind::AuthenticationFailed, why);
        request.into_response(response).map_into_right_body()
    };
    let state = response.request().app_data::<web::Data<AdminState>>().cloned();
    let defaults = state.as_ref().map_or(&[][..], |state| &state.default_headers);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    gateway::finish(headers, &RequestId::random(), defaults);
    Ok(response.map_body(|_, body| Keeping::new(Box::pin(body), (answer, unread))))
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    error(ErrorKind::NotFound, format!("there is no admin route {}", request.path()))
}

async fn method_not_allowed(request: HttpRequest) -> HttpResponse {
    let why = format!(
        "{} is not possible on {}: in this version the settings file is where objects are changed",
        request.method(),
        request.path()
    );
    let body = ApiError::new(ErrorKind::BadRequest, why);
    HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, "GET, HEAD")).json(body)
}

fn error(kind: ErrorKind, why: impl Into<String>) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(kind.status());
    HttpResponse::build(status.unwrap_or(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR))
        .json(ApiError::new(kind, why))
}
