//! The health of the backends, as this node sees it: every backend of the catalog is in the list, whatever is known
//! of it. Nothing here waits for anything but a consistent state, if one is asked for.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::object::{Backend, BackendRuntime, BackendStatus};
use ollamaflow_protocol::time::Timestamp;

use super::failure::Failure;
use super::{AdminState, answer, query};
use crate::actors::{Directory, HealthView, Moment};
use crate::clock::now;
use crate::description::{Api, Entry, Method};

pub(super) async fn list(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    let newest = query::state(&request, &state).await?;
    let now = now();
    let sticky = sticky(&state.directory);
    let backends = newest.catalog().backends.values();
    let mut shown: Vec<_> = backends.map(|backend| live(&state.directory, &sticky, backend, now)).collect();
    shown.sort_by_key(|status| Reverse(status.backend.created_utc));
    answer::ok(&shown)
}

pub(super) async fn get(
    request: HttpRequest,
    state: web::Data<AdminState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let newest = query::state(&request, &state).await?;
    let found = BackendId::try_from(id.as_str()).ok();
    match found.and_then(|id| newest.catalog().backends.get(&id)) {
        Some(backend) => answer::ok(&live(&state.directory, &sticky(&state.directory), backend, now())),
        None => Err(Failure::Missing { kind: "backend", id: id.into_inner() }),
    }
}

/// The backends to which sessions are bound.
fn sticky(directory: &Directory) -> BTreeSet<BackendId> {
    let now = Moment::now();
    directory.frontends().iter().flat_map(|frontend| frontend.sessions().backends(now)).collect()
}

/// A backend whose actor has not started yet has been unhealthy for no time.
fn live<'a>(
    directory: &Directory,
    sticky: &BTreeSet<BackendId>,
    backend: &'a Backend,
    now: Timestamp,
) -> BackendStatus<'a> {
    let Some(handle) = directory.backend(&backend.identifier) else {
        return BackendStatus { backend, runtime: BackendRuntime::unhealthy(now, now) };
    };
    let runtime = match handle.view().health {
        HealthView::Healthy(since) => BackendRuntime::healthy(since, now),
        HealthView::Unhealthy(since) => BackendRuntime::unhealthy(since, now),
    };
    let active_requests = u64::from(handle.in_flight());
    let is_sticky = sticky.contains(&backend.identifier);
    let runtime = BackendRuntime { active_requests, is_sticky, ..runtime };
    BackendStatus { backend, runtime }
}

/// Describes the operations here.
pub(super) fn describe(api: &mut Api) {
    let entry = |path, id, summary| Entry::admin(Method::Get, path, id, summary).tag("Backends").reads();
    api.add(
        entry("/backends/health", "listBackendHealth", "List the backends with their health")
            .says("As this node sees them, newest first.")
            .answers_list::<BackendStatus<'_>>(200, "All of them"),
    );
    api.add(
        entry("/backends/{id}/health", "getBackendHealth", "Show a backend with its health")
            .path("id", "Its identifier", "backend1")
            .answers::<BackendStatus<'_>>(200, "It")
            .fails(&[404]),
    );
}
