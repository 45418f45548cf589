//! The admin API below `/v1.0`: what is configured, how it is changed, and how the backends and the cluster are.
//!
//! Reads come from the state that this node has applied and from the published views, and wait for nothing: health
//! is as quick as the list that it belongs to. Writes go through the cluster and answer when this node has applied
//! them, so that the next read here shows them. What a change means is `protocol`'s to say; what becomes of a
//! failure is said in `failure`, once.

mod answer;
mod auth;
mod backup;
mod body;
mod catalog;
mod conditions;
mod explain;
mod failure;
mod frame;
mod health;
mod history;
mod keys;
mod limiter;
mod logging;
mod membership;
mod metrics;
mod models;
mod objects;
mod probes;
mod query;
mod sessions;
mod tokens;
mod usage;
mod write;

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::HttpServiceFactory;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::{NormalizePath, from_fn};
use actix_web::{HttpRequest, HttpResponse, Resource, web};
use ollamaflow_protocol::object::{Backend, Frontend, Key};

pub use self::auth::Authority;
use self::failure::Failure;
pub use self::probes::{Readiness, probes};
use crate::actors::Directory;
use crate::cluster::Cluster;
use crate::gateway::{GatewaySettings, Tally};
use crate::keys::{Keys, Usage};
use crate::telemetry::{Logs, Traces};

/// What the handlers work with.
pub struct AdminState {
    /// What is configured, and the way to change it.
    pub cluster: Cluster,
    /// The live state.
    pub directory: Arc<Directory>,
    /// Whether clients should be sent to this node.
    pub readiness: Arc<Readiness>,
    /// Who may use the API.
    pub authority: Authority,
    /// Longest pause between two pieces of a request body; `Webserver.IO.ReadTimeoutMs`.
    pub read_timeout: Duration,
    /// How requests of clients ended.
    pub tally: Arc<Tally>,
    /// The virtual keys as requests see them.
    pub keys: Arc<Keys>,
    /// What they have used.
    pub usage: Arc<Usage>,
    /// The log of this node.
    pub logs: Logs,
    /// Where the spans of requests go; none if none are traced.
    pub traces: Option<Traces>,
    /// How clients are told apart.
    pub gateway: Arc<GatewaySettings>,
    /// Headers for every response that does not have them; `Webserver.Headers.DefaultHeaders`.
    pub default_headers: Vec<(HeaderName, HeaderValue)>,
}

/// The routes, with authentication in front of each.
pub fn service(state: web::Data<AdminState>) -> impl HttpServiceFactory {
    web::scope("/v1.0")
        .app_data(state)
        .wrap(from_fn(auth::guard))
        .wrap(from_fn(frame::frame))
        .wrap(NormalizePath::trim())
        .service(
            path("/frontends", "GET, HEAD, PUT")
                .route(web::get().to(objects::list::<Frontend>))
                .route(web::head().to(objects::list::<Frontend>))
                .route(web::put().to(objects::create::<Frontend>)),
        )
        .service(
            path("/frontends/{id}", "GET, HEAD, PUT, DELETE")
                .route(web::get().to(objects::get::<Frontend>))
                .route(web::head().to(objects::exists::<Frontend>))
                .route(web::put().to(objects::update::<Frontend>))
                .route(web::delete().to(objects::delete::<Frontend>)),
        )
        .service(path("/frontends/{id}/explain", "POST").route(web::post().to(explain::explain)))
        .service(
            path("/backends", "GET, HEAD, PUT")
                .route(web::get().to(objects::list::<Backend>))
                .route(web::head().to(objects::list::<Backend>))
                .route(web::put().to(objects::create::<Backend>)),
        )
        .service(
            path("/backends/health", "GET, HEAD")
                .route(web::get().to(health::list))
                .route(web::head().to(health::list)),
        )
        .service(
            path("/backends/{id}", "GET, HEAD, PUT, DELETE")
                .route(web::get().to(objects::get::<Backend>))
                .route(web::head().to(objects::exists::<Backend>))
                .route(web::put().to(objects::update::<Backend>))
                .route(web::delete().to(objects::delete::<Backend>)),
        )
        .service(
            path("/backends/{id}/health", "GET, HEAD")
                .route(web::get().to(health::get))
                .route(web::head().to(health::get)),
        )
        .configure(register_keys)
        .service(
            path("/catalog", "GET, HEAD, PUT")
                .route(web::get().to(catalog::get))
                .route(web::head().to(catalog::get))
                .route(web::put().to(catalog::replace)),
        )
        .service(
            path("/sessions", "GET, HEAD, DELETE")
                .route(web::get().to(sessions::list))
                .route(web::head().to(sessions::list))
                .route(web::delete().to(sessions::clear)),
        )
        .service(
            path("/models", "GET, HEAD")
                .route(web::get().to(models::list))
                .route(web::head().to(models::list)),
        )
        .service(
            path("/logging", "GET, HEAD, PUT")
                .route(web::get().to(logging::show))
                .route(web::head().to(logging::show))
                .route(web::put().to(logging::change)),
        )
        .service(path("/models/{name:.+}/roll", "POST").route(web::post().to(models::roll)))
        .service(path("/models/reconcile", "POST").route(web::post().to(models::reconcile)))
        .configure(register_cluster)
        .default_service(web::to(not_found))
}

/// The routes of virtual keys.
fn register_keys(config: &mut web::ServiceConfig) {
    config
        .service(
            path("/keys", "GET, HEAD, PUT")
                .route(web::get().to(objects::list::<Key>))
                .route(web::head().to(objects::list::<Key>))
                .route(web::put().to(keys::create)),
        )
        .service(
            path("/keys/{id}", "GET, HEAD, PUT, DELETE")
                .route(web::get().to(objects::get::<Key>))
                .route(web::head().to(objects::exists::<Key>))
                .route(web::put().to(objects::update::<Key>))
                .route(web::delete().to(objects::delete::<Key>)),
        )
        .service(path("/keys/{id}/rotate", "POST").route(web::post().to(keys::rotate)))
        .service(
            path("/usage", "GET, HEAD").route(web::get().to(usage::list)).route(web::head().to(usage::list)),
        );
}

/// The routes that are about the cluster and not about its objects.
fn register_cluster(config: &mut web::ServiceConfig) {
    config
        .service(
            path("/history", "GET, HEAD")
                .route(web::get().to(history::list))
                .route(web::head().to(history::list)),
        )
        .service(path("/rollback/{revision}", "POST").route(web::post().to(history::rollback)))
        .service(
            path("/tokens", "GET, HEAD, PUT")
                .route(web::get().to(tokens::list))
                .route(web::head().to(tokens::list))
                .route(web::put().to(tokens::create)),
        )
        .service(path("/tokens/{name}", "DELETE").route(web::delete().to(tokens::delete)))
        .service(
            path("/cluster", "GET, HEAD")
                .route(web::get().to(membership::status))
                .route(web::head().to(membership::status)),
        )
        .service(
            path("/cluster/members", "GET, HEAD, POST")
                .route(web::get().to(membership::members))
                .route(web::head().to(membership::members))
                .route(web::post().to(membership::add)),
        )
        .service(path("/cluster/members/{id}", "DELETE").route(web::delete().to(membership::remove)))
        .service(path("/cluster/transfer-leader", "POST").route(web::post().to(membership::transfer_leader)))
        .service(path("/cluster/snapshot", "POST").route(web::post().to(membership::snapshot)))
        .service(
            path("/cluster/backup", "GET, HEAD")
                .route(web::get().to(backup::take))
                .route(web::head().to(backup::take)),
        )
        .service(path("/cluster/restore", "POST").route(web::post().to(backup::restore)));
}

/// A path that answers other methods than those of its routes with 405 and `allow`.
fn path(path: &str, allow: &'static str) -> Resource {
    web::resource(path.to_owned()).default_service(web::to(move |request: HttpRequest| async move {
        let (method, path) = (request.method().to_string(), request.path().to_owned());
        Err::<HttpResponse, _>(Failure::Method { method, path, allow })
    }))
}

async fn not_found(request: HttpRequest) -> Result<HttpResponse, Failure> {
    Err(Failure::NoRoute(request.path().to_owned()))
}
