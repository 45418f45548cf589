//! How each backend of a frontend stands towards a request: out, and why; busy, and how; or ready. Reads the published
//! views and counts, and takes nothing.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::Guard;
use ollamaflow_protocol::object::{ApiFormat, BackendState};
use ollamaflow_protocol::route::{Kind, Operation};
use ollamaflow_protocol::translate::can_reach;
use smallvec::SmallVec;

use super::query::Query;
use super::tried::Tried;
use super::{FrontendView, Member};
use crate::actors::backend::{BackendHandle, BackendView, Busy, Circuit, Claimant};

/// Why a backend cannot take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// It was tried already.
    Tried,
    /// It is disabled.
    Inactive,
    /// It takes nothing new.
    Draining,
    /// Its probes fail, or have not succeeded yet.
    Unhealthy,
    /// `AllowEmbeddings` or `AllowCompletions` is false.
    NotPermitted,
    /// A label is missing.
    Label,
    /// It speaks the other API.
    Format(ApiFormat),
    /// It lacks the model, and another backend has it.
    ModelMissing,
    /// The alias that is asked for has no target there.
    NoTarget,
    /// Its circuit breaker is open.
    CircuitOpen,
}

/// How one backend stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It cannot take the request.
    Out(Exclusion),
    /// It could, but not now.
    Busy(Busy),
    /// It can.
    Ready,
}

/// All backends of a frontend, in its order.
pub(super) type Survey<'a> = SmallVec<[Surveyed<'a>; 8]>;

/// One backend.
pub(super) struct Surveyed<'a> {
    pub(super) member: &'a Member,
    /// Only looked at: a count that all workers write would be shared by all requests.
    pub(super) view: Guard<Arc<BackendView>>,
    pub(super) standing: Standing,
    /// Whether it has the model; `None` if that is not known, or no model is asked for.
    pub(super) has_model: Option<bool>,
}

/// Looks at every backend.
pub(super) fn survey<'a>(
    frontend: &'a FrontendView,
    query: &Query,
    tried: &Tried,
    claimant: Claimant,
    now: Instant,
) -> Survey<'a> {
    let mut survey: Survey<'a> = SmallVec::with_capacity(frontend.members.len());
    let mut somebody_has_it = false;
    for member in &frontend.members {
        let view = member.backend.view();
        let model = model(frontend, &view, query);
        let misfit = misfit(&view, query)
            .or_else(|| (query.wish.is_some() && model.is_none()).then_some(Exclusion::NoTarget));
        let has_model = model.and_then(|model| view.has_model(model));
        // Whether it could be asked right now does not matter, nor whether it was tried and failed: a client is better off
        // with "unhealthy" than with the "not found" of a backend that never had the model. Only one that has said itself
        // that it has no such model has shown that its list is wrong.
        // Of one that was just added, or found when the node started, nobody can say yet that it has not.
        let may_have_it = has_model == Some(true) || (has_model.is_none() && !view.has_verdict);
        let belongs = matches!(misfit, None | Some(Exclusion::Draining));
        somebody_has_it |= belongs && may_have_it && !tried.has_shown_to_lack(&member.backend);
        let standing = match misfit {
            Some(why) => Standing::Out(why),
            None => standing(&member.backend, &view, tried, claimant, now),
        };
        survey.push(Surveyed { member, view, standing, has_model });
    }
    if somebody_has_it {
        for surveyed in &mut survey {
            if surveyed.has_model == Some(false) && !matches!(surveyed.standing, Standing::Out(_)) {
                surveyed.standing = Standing::Out(Exclusion::ModelMissing);
            }
        }
    }
    survey
}

/// Canonical name of the model that the backend would be asked for: a pin of its own, a pin of the frontend, or what the
/// client names, which may be an alias with a target there.
pub(super) fn model<'a>(
    frontend: &'a FrontendView,
    view: &'a BackendView,
    query: &'a Query,
) -> Option<&'a str> {
    if !needs_model(query.operation) && query.wish.is_none() {
        return None;
    }
    let kind = query.operation.kind();
    view.pinned_model(kind)
        .or_else(|| frontend.pinned_models.get(kind))
        .or_else(|| query.model_at(&view.config.identifier))
}

/// Whether the operation works on a model that has to be there.
fn needs_model(operation: Operation) -> bool {
    operation.kind() != Kind::Other || operation == Operation::OllamaShow
}

/// Why the backend does not suit the request by its configuration.
pub(super) fn misfit(view: &BackendView, query: &Query) -> Option<Exclusion> {
    let config = &view.config;
    let permitted = match query.operation.kind() {
        Kind::Embeddings => config.allow_embeddings,
        Kind::Completions => config.allow_completions,
        Kind::Other => true,
    };
    let has = |label: &[u8]| config.labels.iter().any(|own| own.as_bytes() == label);
    match config.state {
        BackendState::Disabled => Some(Exclusion::Inactive),
        BackendState::Draining => Some(Exclusion::Draining),
        BackendState::Active if !permitted => Some(Exclusion::NotPermitted),
        BackendState::Active if !query.labels.iter().all(|label| has(label)) => Some(Exclusion::Label),
        BackendState::Active if !can_reach(query.operation, config.api_format) => {
            Some(Exclusion::Format(config.api_format))
        }
        BackendState::Active => None,
    }
}

/// How a backend that suits the request stands at the moment.
fn standing(
    backend: &Arc<BackendHandle>,
    view: &BackendView,
    tried: &Tried,
    claimant: Claimant,
    now: Instant,
) -> Standing {
    if tried.contains(backend) {
        return Standing::Out(Exclusion::Tried);
    }
    if !view.health.is_healthy() {
        return Standing::Out(Exclusion::Unhealthy);
    }
    match backend.circuit(now) {
        Circuit::Passes => {}
        Circuit::Open => return Standing::Out(Exclusion::CircuitOpen),
        Circuit::OnTrial => return Standing::Busy(Busy::OnTrial),
    }
    match backend.check(view, claimant, now) {
        Ok(()) => Standing::Ready,
        Err(busy) => Standing::Busy(busy),
    }
}

/// The text of a standing, for people.
impl std::fmt::Display for Exclusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tried => f.write_str("tried already"),
            Self::Inactive => f.write_str("inactive"),
            Self::Draining => f.write_str("draining"),
            Self::Unhealthy => f.write_str("unhealthy"),
            Self::NotPermitted => f.write_str("not permitted for this kind of request"),
            Self::Label => f.write_str("without the requested labels"),
            Self::Format(format) => write!(f, "speaking the {format} API only"),
            Self::ModelMissing => f.write_str("without the model, which another backend has"),
            Self::NoTarget => f.write_str("without a model for this alias"),
            Self::CircuitOpen => f.write_str("with an open circuit"),
        }
    }
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("all slots are taken"),
            Self::Awaited => f.write_str("earlier requests wait for its slots"),
            Self::OnTrial => f.write_str("its circuit is half open, and the trial is on its way"),
            Self::RateLimited(left) => write!(f, "at its rate limit for another {} ms", left.as_millis()),
            Self::CoolingDown(left) => {
                write!(f, "asked to be left alone for another {} ms", left.as_millis())
            }
        }
    }
}
