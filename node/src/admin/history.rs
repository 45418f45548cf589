//! The last changes, and going back to an earlier one.

use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::cluster::{Change, Command, Outcome};
use serde::Serialize;
use utoipa::ToSchema;

use super::catalog::expect;
use super::failure::Failure;
use super::write::Writing;
use super::{AdminState, answer, query};
use crate::description::{Api, Entry, Method};

/// What a rollback did.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct RolledBack {
    /// The present revision, which the rollback made unless there was nothing to do.
    revision: u64,
    /// The revision whose frontends and backends are the present ones again.
    to_revision: u64,
    /// Objects that differed.
    restored: usize,
}

/// `GET /v1.0/history`: the last changes, newest first.
pub(super) async fn list(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    let newest = query::state(&request, &state).await?;
    let changes: Vec<_> = newest.history().collect();
    answer::ok(&changes)
}

/// `POST /v1.0/rollback/{revision}`: the frontends and backends of that revision; tokens and nodes stay.
pub(super) async fn rollback(
    request: HttpRequest,
    state: web::Data<AdminState>,
    revision: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    let to_revision = revision.parse().map_err(|_| {
        Failure::Invalid(format!("'{revision}' is not a revision: give a number of the history"))
    })?;
    let committed = writing.change(|newest| {
        let expect = expect(&writing.conditions, newest)?;
        Ok(Command::Rollback { to_revision, expect })
    });
    let committed = committed.await?;
    let (restored, catalog_revision) = match committed.applied.outcome {
        Outcome::RolledBack { restored } => (restored, committed.applied.revision),
        _ => (0, committed.state.catalog_revision()),
    };
    let done = RolledBack { revision: committed.applied.revision, to_revision, restored };
    let response = answer::tagged(answer::ok(&done)?, catalog_revision);
    Ok(writing.answer(response))
}

/// Describes the operations here.
pub(super) fn describe(api: &mut Api) {
    api.add(
        Entry::admin(Method::Get, "/history", "listHistory", "List the last changes")
            .tag("Catalog")
            .says("Newest first: who changed what and when.")
            .reads()
            .answers_list::<Change>(200, "The changes"),
    );
    api.add(
        Entry::admin(Method::Post, "/rollback/{revision}", "rollBack", "Go back to an earlier revision")
            .tag("Catalog")
            .says("Frontends and backends are those of that revision again; tokens and nodes stay.")
            .path("revision", "A revision of the history", "1")
            .writes()
            .fails(&[400, 404])
            .answers::<RolledBack>(200, "What was done"),
    );
}
