//! Models by backends, and the way to have them seen to at once.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::cluster::Command;
use ollamaflow_protocol::models::desired::Action;
use serde::Serialize;

use super::failure::Failure;
use super::write::Writing;
use super::{AdminState, answer, query};
use crate::clock::now;
use crate::models::Outlook;

/// What is done now, as far as this node can tell: the leader does it, and may know a backend better.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Planned {
    /// Whether it is begun, or was only asked for.
    begins: bool,
    /// Each once, in the order in which they begin. What waits for a limit is not among them: see `GET /v1.0/models`.
    actions: Vec<Action>,
}

/// `GET /v1.0/models`: what is where, what should be, and why it is not.
pub(super) async fn list(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    let newest = query::state(&request, &state).await?;
    answer::ok(&Outlook::new(&newest, &state.directory, now()).matrix())
}

/// `POST /v1.0/models/reconcile`: tries again at once what has failed; with `?plan=true` only tells what would be done.
pub(super) async fn reconcile(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    if query::flag(&request, "plan")? {
        let newest = query::state(&request, &state).await?;
        let outlook = Outlook::new(&newest, &state.directory, now()).forgiving();
        return answer::ok(&Planned { begins: false, actions: outlook.plan().actions });
    }
    let writing = Writing::of(&request, &state)?;
    writing.must_be_for_real()?;
    // The plan of before: the leader may have begun some of it when this node hears of the change.
    let actions = Outlook::new(&state.cluster.state(), &state.directory, now()).forgiving().plan().actions;
    // Every node applies it, and the one that leads looks then.
    writing.command(Command::RetryWorks { backend: None }).await?;
    answer::json(StatusCode::ACCEPTED, &Planned { begins: true, actions })
}
