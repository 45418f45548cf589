//! The sessions that this node keeps: which client of which frontend is bound to which backend.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::id::{BackendId, FrontendId};
use ollamaflow_protocol::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::failure::Failure;
use super::{AdminState, answer, query};
use crate::actors::{FrontendHandle, Moment, SessionView};
use crate::description::{Api, Entry, Method};

/// One session as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Session {
    frontend: FrontendId,
    client: String,
    backend: BackendId,
    created_utc: Timestamp,
    last_used_utc: Timestamp,
    expires_utc: Timestamp,
}

/// The live sessions on this node: by frontend, last used first.
pub(super) async fn list(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    let now = Moment::now();
    let sessions = frontends(&request, &state)?.into_iter().flat_map(|frontend| {
        let views = frontend.sessions().list(now);
        views.into_iter().map(move |view| Session::new(frontend.id().clone(), view))
    });
    answer::ok(&sessions.collect::<Vec<_>>())
}

/// Ends sessions on this node. Their clients are bound anew by their next requests.
pub(super) async fn clear(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    for frontend in frontends(&request, &state)? {
        frontend.sessions().clear();
    }
    Ok(HttpResponse::NoContent().finish())
}

/// The frontend that the request names, or all.
fn frontends(request: &HttpRequest, state: &AdminState) -> Result<Vec<Arc<FrontendHandle>>, Failure> {
    let Some(id) = query::text(request, "frontend")? else { return Ok(state.directory.frontends()) };
    let parsed = FrontendId::try_from(id.as_str()).ok();
    let known = parsed.filter(|id| state.cluster.state().catalog().frontends.contains_key(id));
    let Some(known) = known else { return Err(Failure::Missing { kind: "frontend", id }) };
    // A frontend whose actor has not started yet has no sessions.
    Ok(state.directory.frontend(&known).into_iter().collect())
}

// === impl Session ===

impl Session {
    fn new(frontend: FrontendId, view: SessionView) -> Self {
        let SessionView { client, backend, created_utc, last_used_utc, expires_utc } = view;
        Self { frontend, client, backend, created_utc, last_used_utc, expires_utc }
    }
}

/// Describes the operations here.
pub(super) fn describe(api: &mut Api) {
    let entry = |method, id, summary| {
        let entry = Entry::admin(method, "/sessions", id, summary).tag("Node");
        entry.query::<String>("frontend", "Only those of this frontend").fails(&[404])
    };
    api.add(
        entry(Method::Get, "listSessions", "List the sessions of this node")
            .says("Which client is bound to which backend: by frontend, last used first.")
            .answers_list::<Session>(200, "All of them"),
    );
    api.add(
        entry(Method::Delete, "endSessions", "End sessions on this node")
            .answers_nothing(204, "Their clients are bound anew by their next requests."),
    );
}
