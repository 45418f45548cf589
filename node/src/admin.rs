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
mod explorer;
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
mod openapi;
mod packed;
mod probes;
mod query;
mod route;
mod sessions;
mod tokens;
mod usage;
mod write;

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::HttpServiceFactory;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::{NormalizePath, from_fn};
use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::object::{Backend, BackendStatus, Frontend, Key};

pub use self::auth::Authority;
use self::failure::Failure;
pub use self::openapi::document;
pub use self::probes::{Readiness, probes};
use self::route::{Routed, path};
use crate::actors::Directory;
use crate::cluster::Cluster;
use crate::description::Api;
use crate::gateway::{GatewaySettings, Tally};
use crate::keys::{Keys, Usage};
use crate::telemetry::{Logs, Traces};

/// What the paths of the API begin with.
const PREFIX: &str = "/v1.0";

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
    let scope = web::scope(PREFIX)
        .app_data(state)
        .wrap(from_fn(auth::guard))
        .wrap(from_fn(frame::frame))
        .wrap(NormalizePath::trim())
        .default_service(web::to(not_found));
    routes().into_iter().fold(scope, |scope, routed| scope.service(routed.resource))
}

/// All routes below the prefix, in the order in which they are tried.
fn routes() -> Vec<Routed> {
    let mut routes = object_routes();
    routes.extend(key_routes());
    routes.extend(model_routes());
    routes.extend(cluster_routes());
    routes
}

/// Those of frontends and backends.
fn object_routes() -> Vec<Routed> {
    vec![
        path("/frontends", "GET, HEAD, PUT")
            .route(web::get().to(objects::list::<Frontend>))
            .route(web::head().to(objects::list::<Frontend>))
            .route(web::put().to(objects::create::<Frontend>)),
        path("/frontends/{id}", "GET, HEAD, PUT, DELETE")
            .route(web::get().to(objects::get::<Frontend>))
            .route(web::head().to(objects::exists::<Frontend>))
            .route(web::put().to(objects::update::<Frontend>))
            .route(web::delete().to(objects::delete::<Frontend>)),
        path("/frontends/{id}/explain", "POST").route(web::post().to(explain::explain)),
        path("/backends", "GET, HEAD, PUT")
            .route(web::get().to(objects::list::<Backend>))
            .route(web::head().to(objects::list::<Backend>))
            .route(web::put().to(objects::create::<Backend>)),
        path("/backends/health", "GET, HEAD")
            .route(web::get().to(health::list))
            .route(web::head().to(health::list)),
        path("/backends/{id}", "GET, HEAD, PUT, DELETE")
            .route(web::get().to(objects::get::<Backend>))
            .route(web::head().to(objects::exists::<Backend>))
            .route(web::put().to(objects::update::<Backend>))
            .route(web::delete().to(objects::delete::<Backend>)),
        path("/backends/{id}/health", "GET, HEAD")
            .route(web::get().to(health::get))
            .route(web::head().to(health::get)),
    ]
}

/// Those of virtual keys.
fn key_routes() -> Vec<Routed> {
    vec![
        path("/keys", "GET, HEAD, PUT")
            .route(web::get().to(objects::list::<Key>))
            .route(web::head().to(objects::list::<Key>))
            .route(web::put().to(keys::create)),
        path("/keys/{id}", "GET, HEAD, PUT, DELETE")
            .route(web::get().to(objects::get::<Key>))
            .route(web::head().to(objects::exists::<Key>))
            .route(web::put().to(objects::update::<Key>))
            .route(web::delete().to(objects::delete::<Key>)),
        path("/keys/{id}/rotate", "POST").route(web::post().to(keys::rotate)),
        path("/usage", "GET, HEAD").route(web::get().to(usage::list)).route(web::head().to(usage::list)),
    ]
}

/// Those of what is made of them.
fn model_routes() -> Vec<Routed> {
    vec![
        path("/catalog", "GET, HEAD, PUT")
            .route(web::get().to(catalog::get))
            .route(web::head().to(catalog::get))
            .route(web::put().to(catalog::replace)),
        path("/sessions", "GET, HEAD, DELETE")
            .route(web::get().to(sessions::list))
            .route(web::head().to(sessions::list))
            .route(web::delete().to(sessions::clear)),
        path("/models", "GET, HEAD").route(web::get().to(models::list)).route(web::head().to(models::list)),
        path("/logging", "GET, HEAD, PUT")
            .route(web::get().to(logging::show))
            .route(web::head().to(logging::show))
            .route(web::put().to(logging::change)),
        path("/models/{name:.+}/roll", "POST").route(web::post().to(models::roll)),
        path("/models/reconcile", "POST").route(web::post().to(models::reconcile)),
    ]
}

/// Those that are about the cluster and not about its objects.
fn cluster_routes() -> Vec<Routed> {
    vec![
        path("/history", "GET, HEAD")
            .route(web::get().to(history::list))
            .route(web::head().to(history::list)),
        path("/rollback/{revision}", "POST").route(web::post().to(history::rollback)),
        path("/tokens", "GET, HEAD, PUT")
            .route(web::get().to(tokens::list))
            .route(web::head().to(tokens::list))
            .route(web::put().to(tokens::create)),
        path("/tokens/{name}", "DELETE").route(web::delete().to(tokens::delete)),
        path("/cluster", "GET, HEAD")
            .route(web::get().to(membership::status))
            .route(web::head().to(membership::status)),
        path("/cluster/members", "GET, HEAD, POST")
            .route(web::get().to(membership::members))
            .route(web::head().to(membership::members))
            .route(web::post().to(membership::add)),
        path("/cluster/members/{id}", "DELETE").route(web::delete().to(membership::remove)),
        path("/cluster/transfer-leader", "POST").route(web::post().to(membership::transfer_leader)),
        path("/cluster/snapshot", "POST").route(web::post().to(membership::snapshot)),
        path("/cluster/backup", "GET, HEAD")
            .route(web::get().to(backup::take))
            .route(web::head().to(backup::take)),
        path("/cluster/restore", "POST").route(web::post().to(backup::restore)),
    ]
}

/// Describes all routes, those without a token too.
fn describe(api: &mut Api) {
    let frontend = serde_json::json!({ "Identifier": "frontend1", "Name": "Everybody", "Hostname": "*", "Backends": ["backend1"] });
    let backend = serde_json::json!({
        "Identifier": "backend1", "Name": "The fast one", "Hostname": "10.0.0.5", "Port": 11434, "ApiFormat": "Ollama"
    });
    objects::describe::<Frontend, Frontend, Frontend>(api, "Frontends", &frontend);
    explain::describe(api);
    objects::describe::<Backend, BackendStatus<'_>, BackendStatus<'_>>(api, "Backends", &backend);
    health::describe(api);
    models::describe(api);
    catalog::describe(api);
    history::describe(api);
    tokens::describe(api);
    keys::describe(api);
    usage::describe(api);
    membership::describe(api);
    backup::describe(api);
    sessions::describe(api);
    logging::describe(api);
    probes::describe(api);
}

async fn not_found(request: HttpRequest) -> Result<HttpResponse, Failure> {
    Err(Failure::NoRoute(request.path().to_owned()))
}
