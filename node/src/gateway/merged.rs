//! Reads that are answered from what is known of all backends of a frontend, and not by one of them: `/api/tags`,
//! `/api/ps`, `/v1/models`, `/v1/models/{id}` and `/api/version`.
//!
//! Those backends count that the request could be routed to if they were all well: by their state and the request's
//! labels. A disabled or draining one does not, since no request for its models gets there. One that is down counts with
//! what was known of it last and is named in `X-OllamaFlow-Missing`, like one of which nothing is known. Nothing of a
//! backend is taken for such an answer: no slot, no turn, no session.

mod answer;
mod inputs;
mod lists;
mod version;

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::Method;
use futures_util::future::join_all;
use ollamaflow_protocol::models::merge;
use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::route::{self, Operation};

use self::answer::Missing;
use self::inputs::{Inputs, Part};
use super::ingress::Admitted;
use super::refusal::Refusal;
use crate::actors::{BackendHandle, BackendView, FrontendHandle, FrontendView, Query};
use crate::clock::now;

pub use self::lists::Lists;

/// Longest wait for backends whose models were never read, all together.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest wait for backends that have loaded a model since they were asked what is in memory.
const SETTLING: Duration = Duration::from_secs(1);

/// A list that is made of those of all backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Listing {
    /// `/api/tags`
    Tags,
    /// `/api/ps`
    Ps,
    /// `/v1/models`
    Models,
}

/// What is answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    List(Listing),
    /// `/v1/models/{id}`
    Model,
    Version,
}

/// How a backend stands towards a merged answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// It counts with what it has.
    Current,
    /// It is down and counts with what it had.
    LastKnown,
    /// It would count, but what it has is not known.
    Unknown,
}

/// Whether the request is answered here.
pub(super) fn is_answered_here(
    operation: Operation,
    method: &Method,
    frontend: &FrontendHandle,
    query: &Query,
) -> bool {
    match Read::of(operation, method) {
        Some(Read::Version) => version::body(&frontend.view(), query).is_some(),
        read => read.is_some(),
    }
}

/// How a backend that counts stands towards such a request for `operation`.
pub(super) fn share(operation: Operation, view: &BackendView) -> Share {
    let is_known = match operation {
        Operation::OllamaPs => view.memory().is_some(),
        // Other engines have none that matters here.
        Operation::OllamaVersion => {
            view.config.api_format == ApiFormat::OpenAI || view.version_text().is_some()
        }
        _ => view.disk().is_some(),
    };
    if !is_known {
        Share::Unknown
    } else if view.has_verdict && !view.health.is_healthy() {
        Share::LastKnown
    } else {
        Share::Current
    }
}

/// The answer to such a request.
///
/// # Errors
/// No backend counts, or nothing is known of those that do.
pub(super) async fn answer(
    lists: &Lists,
    request: &HttpRequest,
    admitted: &Admitted,
    query: &Query,
) -> Result<HttpResponse<BoxBody>, Refusal> {
    let operation = admitted.operation;
    let Some(read) = Read::of(operation, request.method()) else { return Err(Refusal::NotFound) };
    let frontend = &admitted.frontend;
    if let Read::Version = read {
        let view = frontend.view();
        let body = version::body(&view, query).ok_or_else(|| frontend.nobody(query))?;
        return Ok(answer::plain(operation, body, &missing(&view, query)));
    }
    let unread = suiting(frontend, query, |view| view.disk().is_none());
    if !unread.is_empty() {
        join_all(unread.iter().map(|backend| backend.first_inventory(PATIENCE))).await;
    }
    if let Read::List(Listing::Ps) = read {
        let all = suiting(frontend, query, |_| true);
        join_all(all.iter().map(|backend| backend.settled_memory(SETTLING))).await;
    }
    let view = frontend.view();
    let missing = missing(&view, query);
    let part = if let Read::List(Listing::Ps) = read { Part::Memory } else { Part::Disk };
    let inputs = Inputs::of(&view, query, part, now());
    drop(view);
    if inputs.is_empty() {
        return Err(if missing.all_are_down() { frontend.nobody(query).into() } else { missing.into() });
    }
    if let Read::List(listing) = read {
        let made = lists.get(frontend.id(), listing, query, inputs, admitted.key.as_ref()).await?;
        return Ok(answer::list(request, operation, &made, &missing));
    }
    let id = route::model_of(request.path()).unwrap_or_default();
    Ok(match merge::model(&inputs.sources(), inputs.aliases(), &id) {
        Some(model) => answer::list(request, operation, &model.into(), &missing),
        None => answer::unknown_model(operation, &id, &missing),
    })
}

/// The backends that count and of which this is true.
fn suiting(
    frontend: &FrontendHandle,
    query: &Query,
    which: impl Fn(&BackendView) -> bool,
) -> Vec<Arc<BackendHandle>> {
    let view = frontend.view();
    let suiting = view.suiting(query).filter(|(_, view)| which(view));
    suiting.map(|(backend, _)| backend.clone()).collect()
}

fn missing(frontend: &FrontendView, query: &Query) -> Missing {
    let mut missing = Missing::default();
    for (backend, view) in frontend.suiting(query) {
        if share(query.operation, &view) != Share::Current {
            missing.add(backend.id(), view.has_verdict && !view.health.is_healthy());
        }
    }
    missing
}

// === impl Read ===

impl Read {
    fn of(operation: Operation, method: &Method) -> Option<Self> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        Some(match operation {
            Operation::OllamaTags => Self::List(Listing::Tags),
            Operation::OllamaPs => Self::List(Listing::Ps),
            Operation::OpenAiModels => Self::List(Listing::Models),
            Operation::OpenAiModel => Self::Model,
            Operation::OllamaVersion => Self::Version,
            _ => return None,
        })
    }
}
