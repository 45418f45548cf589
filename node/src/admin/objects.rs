//! Frontends, backends and their health, as JSON.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use ollamaflow_protocol::error::ErrorKind;
use ollamaflow_protocol::id::{BackendId, FrontendId};
use ollamaflow_protocol::object::{Backend, BackendRuntime, BackendStatus};
use ollamaflow_protocol::time::Timestamp;
use serde::Serialize;

use super::{AdminState, error};
use crate::actors::HealthView;
use crate::clock::now;

pub(super) async fn list_frontends(state: web::Data<AdminState>) -> HttpResponse {
    let catalog = state.catalog.current();
    let mut frontends: Vec<_> = catalog.frontends.values().map(AsRef::as_ref).collect();
    frontends.sort_by_key(|frontend: &&ollamaflow_protocol::object::Frontend| {
        std::cmp::Reverse(frontend.created_utc)
    });
    json(&frontends)
}

pub(super) async fn get_frontend(state: web::Data<AdminState>, id: web::Path<String>) -> HttpResponse {
    let catalog = state.catalog.current();
    let found = FrontendId::try_from(id.as_str()).ok().and_then(|id| catalog.frontends.get(&id));
    found.map_or_else(|| missing("frontend", &id), |frontend| json(frontend.as_ref()))
}

pub(super) async fn list_backends(state: web::Data<AdminState>) -> HttpResponse {
    list(&state, |backend| configured(&state, backend))
}

pub(super) async fn get_backend(state: web::Data<AdminState>, id: web::Path<String>) -> HttpResponse {
    one(&state, &id, |backend| configured(&state, backend))
}

pub(super) async fn list_health(state: web::Data<AdminState>) -> HttpResponse {
    let now = now();
    list(&state, |backend| live(&state, backend, now))
}

pub(super) async fn get_health(state: web::Data<AdminState>, id: web::Path<String>) -> HttpResponse {
    one(&state, &id, |backend| live(&state, backend, now()))
}

/// Every backend of the catalog, newest first.
fn list(state: &AdminState, runtime: impl Fn(&Backend) -> BackendRuntime) -> HttpResponse {
    let catalog = state.catalog.current();
    let mut backends: Vec<_> = catalog
        .backends
        .values()
        .map(|backend| BackendStatus { backend, runtime: runtime(backend) })
        .collect();
    backends.sort_by_key(|status| std::cmp::Reverse(status.backend.created_utc));
    json(&backends)
}

fn one(state: &AdminState, id: &str, runtime: impl Fn(&Backend) -> BackendRuntime) -> HttpResponse {
    let catalog = state.catalog.current();
    let found = BackendId::try_from(id).ok().and_then(|id| catalog.backends.get(&id));
    match found {
        Some(backend) => json(&BackendStatus { backend, runtime: runtime(backend) }),
        None => missing("backend", id),
    }
}

/// What a plain read shows beside the configuration.
fn configured(state: &AdminState, backend: &Backend) -> BackendRuntime {
    let handle = state.directory.backend(&backend.identifier);
    BackendRuntime {
        active_requests: handle.map_or(0, |handle| u64::from(handle.in_flight())),
        ..BackendRuntime::default()
    }
}

/// What the health reads show. A backend whose actor has not started yet has been unhealthy for no time.
fn live(state: &AdminState, backend: &Backend, now: Timestamp) -> BackendRuntime {
    let Some(handle) = state.directory.backend(&backend.identifier) else {
        return BackendRuntime::unhealthy(now, now);
    };
    let runtime = match handle.view().health {
        HealthView::Healthy(since) => BackendRuntime::healthy(since, now),
        HealthView::Unhealthy(since) => BackendRuntime::unhealthy(since, now),
    };
    BackendRuntime { active_requests: u64::from(handle.in_flight()), ..runtime }
}

fn missing(kind: &str, id: &str) -> HttpResponse {
    error(ErrorKind::NotFound, format!("there is no {kind} '{id}'"))
}

/// Indented, as the original writes it.
fn json(value: &(impl Serialize + ?Sized)) -> HttpResponse {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/json")).body(body),
        Err(e) => {
            tracing::error!(error = %e, "an object could not be written as json");
            error(ErrorKind::InternalError, "the object could not be written as JSON")
        }
    }
}
