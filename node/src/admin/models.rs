//! Models by backends, and the way to have them seen to at once.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::cluster::{Command, Roll};
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::model::canonical;
use ollamaflow_protocol::models::desired::Action;
use ollamaflow_protocol::models::matrix::ModelMatrix;
use serde::Serialize;
use utoipa::ToSchema;

use super::failure::Failure;
use super::write::Writing;
use super::{AdminState, answer, query};
use crate::clock::now;
use crate::description::{Api, Entry, Method};
use crate::models::Outlook;

/// What is done now, as far as this node can tell: the leader does it, and may know a backend better.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Plan)]
struct Planned {
    /// Whether it is begun, or was only asked for.
    begins: bool,
    /// Each once, in the order in which they begin. What waits for a limit is not among them: see `GET /v1.0/models`.
    actions: Vec<Action>,
}

/// Models by backends, and how rolls stand.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Models)]
struct Shown<'a> {
    #[serde(flatten)]
    matrix: ModelMatrix,
    /// Those under way and the last ones that have ended, the oldest first.
    #[schema(value_type = Vec<Roll>)]
    rolls: Vec<&'a Roll>,
}

/// A roll that was begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Rolling {
    /// The canonical name of the model.
    model: String,
    /// The backends, in the order in which they are updated.
    backends: Vec<BackendId>,
    /// Where its progress is.
    progress_at: &'static str,
}

/// Longest wait for the requests in flight at a backend, unless the client says otherwise, in milliseconds.
const DRAIN_MS: u64 = 60_000;
/// The longest that a client may ask for.
const MAX_DRAIN_MS: u64 = 3_600_000;

/// `GET /v1.0/models`: what is where, what should be, and why it is not.
pub(super) async fn list(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    let newest = query::state(&request, &state).await?;
    let matrix = Outlook::new(&newest, &state.directory, now()).matrix();
    answer::ok(&Shown { matrix, rolls: newest.rolls().collect() })
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

/// `POST /v1.0/models/{name}/roll`: brings a newer version of the model to the backends that have it, one after the other,
/// each without requests meanwhile. `?force=true` also where a frontend has no other backend with it; `?drain_ms=` is the
/// longest wait for requests in flight.
pub(super) async fn roll(
    request: HttpRequest,
    state: web::Data<AdminState>,
    name: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    let (name, force) = (name.into_inner(), query::flag(&request, "force")?);
    let drain_ms = match query::text(&request, "drain_ms")? {
        None => DRAIN_MS,
        Some(text) => text.parse().ok().filter(|wait| *wait <= MAX_DRAIN_MS).ok_or_else(|| {
            let rule = format!("the query parameter drain_ms must be a number up to {MAX_DRAIN_MS}");
            Failure::Invalid(rule)
        })?,
    };
    let model = canonical(&name);
    let committed = writing.change(|newest| {
        let backends = Outlook::new(newest, &state.directory, now()).holders(&model);
        if backends.is_empty() {
            return Err(Failure::Missing { kind: "model", id: name.clone() });
        }
        if newest.roll(&model).is_some_and(|roll| roll.next().is_some()) {
            let why = format!("a roll of {model} is under way already: see GET /v1.0/models");
            return Err(Failure::Conflict(why));
        }
        Ok(Command::BeginRoll { name: name.clone(), backends, force, drain_ms })
    });
    let committed = committed.await?;
    let begun = committed.state.roll(&model).map(|roll| roll.steps.iter().map(|step| step.backend.clone()));
    let backends = begun.into_iter().flatten().collect();
    let rolling = Rolling { model, backends, progress_at: "/v1.0/models" };
    Ok(writing.answer(answer::json(StatusCode::ACCEPTED, &rolling)?))
}

/// Describes the operations here.
pub(super) fn describe(api: &mut Api) {
    let entry = |method, path, id, summary| Entry::admin(method, path, id, summary).tag("Models");
    api.add(
        entry(
            Method::Get,
            "/models",
            "listModels",
            "Which model is where, and why it is not where it should be",
        )
        .reads()
        .answers::<Shown<'_>>(200, "Models by backends, and how rolls stand"),
    );
    api.add(
        entry(Method::Post, "/models/reconcile", "reconcileModels", "Try again at once what has failed")
            .query::<bool>("plan", "Only tell what would be done")
            .query::<bool>("validate", "Not possible here: true is refused")
            .fails(&[503])
            .answers::<Planned>(200, "What would be done")
            .answers::<Planned>(202, "What is being done"),
    );
    api.add(
        entry(
            Method::Post,
            "/models/{name}/roll",
            "rollModel",
            "Update a model at one backend after the other",
        )
        .says("Each backend that has the model gets its newest version, without requests meanwhile.")
        .path("name", "The model, whose name may hold slashes", "llama3.2:1b")
        .query::<bool>("force", "Also where a frontend has no other backend with it")
        .query::<u64>("drain_ms", "Longest wait for the requests in flight, in milliseconds")
        .writes()
        .fails(&[404])
        .answers::<Rolling>(202, "It has begun."),
    );
}
