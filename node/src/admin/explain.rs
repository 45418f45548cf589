//! What would become of a client's request now: `POST /v1.0/frontends/{id}/explain`.
//!
//! The body is the request's own. Nothing is taken or changed by it: no slot, no turn, no session.

use std::borrow::Cow;
use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::id::FrontendId;
use ollamaflow_protocol::inspect::inspect_with_prefix;
use ollamaflow_protocol::models::alias::Renaming;
use ollamaflow_protocol::route::{Operation, Route, classify};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::failure::Failure;
use super::{AdminState, answer, body, query};
use crate::actors::{CandidateReport, Explanation, FrontendView, Query};
use crate::description::client::AnyJson;
use crate::description::{Api, Entry, Method};
use crate::gateway::{self, ManageOutlook, Outlook, Preview};

/// Largest request that is explained: what the gateway looks at is found in the first part of a longer one.
const REQUEST_BYTES: usize = 8 * 1024 * 1024;

/// The answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Explanation)]
struct Explained {
    frontend: FrontendId,
    operation: String,
    model: Option<String>,
    /// The alias that the request asks for, as the operator wrote it.
    alias: Option<String>,
    /// Whether the request names no model, and the frontend's default stands for it.
    default_model: bool,
    policy: &'static str,
    chosen: Option<String>,
    decision: Option<String>,
    wait: bool,
    candidates: Vec<Member>,
}

/// One backend of the frontend.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = ExplainedBackend)]
struct Member {
    backend: String,
    candidate: bool,
    reason: Option<String>,
    in_flight: u32,
    max_parallel_requests: u32,
    priority: u16,
    weight: u16,
    /// By which name it would be asked for the model.
    model: Option<String>,
    loaded: Option<bool>,
    has_model: Option<bool>,
    breaker_state: &'static str,
    first_token_ms: Option<u64>,
    #[schema(value_type = Option<String>)]
    translation: Option<Cow<'static, str>>,
    dropped: Vec<String>,
    refusal: Option<String>,
}

pub(super) async fn explain(
    request: HttpRequest,
    state: web::Data<AdminState>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let missing = || Failure::Missing { kind: "frontend", id: id.to_string() };
    let frontend = FrontendId::try_from(id.as_str()).ok().and_then(|id| state.directory.frontend(&id));
    let frontend = frontend.ok_or_else(missing)?;
    let mut text = body::read(&request, payload, REQUEST_BYTES, state.read_timeout).await?;
    let (operation, path) = match query::text(&request, "path")? {
        Some(path) => (named(&path)?, path),
        None => (guessed(&text)?, String::new()),
    };
    let mut facts = inspect_with_prefix(operation, &text);
    let view = frontend.view();
    // A form cannot be sent here; what is explained of it is what its path says.
    let wish = gateway::wish_of(operation, &path, "", &view.config, &mut facts, &mut text)
        .map_err(|e| Failure::Invalid(e.to_string()))?;
    let renaming = wish.as_deref().map(|wish| &wish.renaming);
    let alias = renaming.and_then(|renaming| Some(renaming.alias()?.name.clone()));
    let default_model = renaming.is_some_and(Renaming::is_default);
    let sticky = view.config.use_sticky_sessions;
    let client = sticky.then(|| gateway::client_key(&request, &state.gateway));
    let asked = gateway::query(&request, &frontend, operation, &facts, wish.clone(), client.as_ref());
    let preview = Preview::new(&frontend, &view.config, &asked, facts.model.as_deref(), &path, &text);
    let outlooks =
        view.backends().map(|(backend, view)| (backend.id().to_string(), preview.at(backend, &view)));
    let outlooks = outlooks.collect();
    let mut explanation = frontend.explain(&asked);
    let merged = preview.is_merged();
    if merged {
        merge(&mut explanation, &view, &asked, &preview);
    }
    let explained = Explained::of(frontend.id(), operation, explanation, outlooks);
    let mut explained = Explained { alias, default_model, ..explained };
    if merged {
        explained.decision = Some("answered here, from what is known of all candidates".to_owned());
    }
    if let Some(change) = gateway::manage_outlook(&request, &state.gateway, &frontend, &asked, &facts) {
        explained.change(change);
    }
    answer::ok(&explained)
}

/// No backend is chosen for a merged answer, and each that suits the request is in it, however busy it is.
fn merge(explanation: &mut Explanation, frontend: &FrontendView, asked: &Query, preview: &Preview<'_>) {
    explanation.chosen = None;
    explanation.waits = false;
    for (backend, view) in frontend.suiting(asked) {
        let id = backend.id().as_ref();
        if let Some(report) = explanation.candidates.iter_mut().find(|report| report.backend == *id) {
            let (is_candidate, reason) = preview.share(&view);
            report.is_candidate = is_candidate;
            report.reason = reason.map(str::to_owned);
        }
    }
}

/// The operation of a path; the method is the one that it takes.
fn named(path: &str) -> Result<Operation, Failure> {
    let of = |method| match classify(method, path) {
        Route::Proxy(operation) => Some(operation),
        _ => None,
    };
    ["POST", "GET", "DELETE"].into_iter().find_map(of).ok_or_else(|| {
        Failure::Invalid(format!(
            "the query parameter path must be a path of an inference API, but is {path:?}"
        ))
    })
}

/// The operation that the shape of a body suggests.
fn guessed(text: &[u8]) -> Result<Operation, Failure> {
    let unclear = |why: String| {
        Failure::Invalid(format!(
            "{why}: send the body of a client's request, or name its path with ?path=/api/chat"
        ))
    };
    let value: Value =
        serde_json::from_slice(text).map_err(|e| unclear(format!("the body is no JSON ({e})")))?;
    let has = |name: &str| value.get(name).is_some();
    if has("messages") {
        Ok(Operation::OllamaChat)
    } else if has("prompt") {
        Ok(Operation::OllamaGenerate)
    } else if has("input") {
        Ok(Operation::OllamaEmbed)
    } else {
        Err(unclear("the body has neither messages, prompt nor input".to_owned()))
    }
}

// === impl Explained ===

impl Explained {
    fn of(
        frontend: &FrontendId,
        operation: Operation,
        explanation: Explanation,
        mut outlooks: HashMap<String, Outlook>,
    ) -> Self {
        let Explanation { policy, chosen, waits, model, candidates } = explanation;
        let (chosen, decision) = chosen.map(|(backend, decision)| (backend, decision.to_string())).unzip();
        Self {
            frontend: frontend.clone(),
            operation: format!("{operation:?}"),
            model,
            alias: None,
            default_model: false,
            policy,
            chosen,
            decision,
            wait: waits,
            candidates: candidates
                .into_iter()
                .map(|report| {
                    let outlook = outlooks.remove(&report.backend).unwrap_or_default();
                    Member::of(report, outlook)
                })
                .collect(),
        }
    }
}

impl Explained {
    /// The request changes models: it goes to several backends, and neither a policy nor a queue has a say.
    fn change(&mut self, change: ManageOutlook) {
        let ManageOutlook { by, refusal, mut reasons } = change;
        self.policy = by;
        (self.chosen, self.decision, self.wait) = (None, None, false);
        for member in &mut self.candidates {
            let reason = reasons.remove(&member.backend).flatten();
            member.candidate = reason.is_none();
            member.reason = reason;
            member.refusal.clone_from(&refusal);
        }
    }
}

// === impl Member ===

impl Member {
    fn of(report: CandidateReport, outlook: Outlook) -> Self {
        let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            backend: report.backend,
            candidate: report.is_candidate,
            reason: report.reason,
            in_flight: report.in_flight,
            max_parallel_requests: report.capacity,
            priority: report.priority,
            weight: report.weight,
            model: outlook.model,
            loaded: report.loaded,
            has_model: report.has_model,
            breaker_state: report.breaker,
            first_token_ms: report.first_token.map(milliseconds),
            translation: outlook.translation,
            dropped: outlook.dropped,
            refusal: outlook.refusal,
        }
    }
}

/// Describes the operation here.
pub(super) fn describe(api: &mut Api) {
    api.add(
        Entry::admin(Method::Post, "/frontends/{id}/explain", "explain", "What would become of a client's request now")
            .tag("Frontends")
            .says("Which backend it would go to, and why not to the others. The body is the request's own; nothing is sent.")
            .path("id", "The frontend", "frontend1")
            .query::<String>("path", "The request's path; guessed from the body unless it is given")
            .takes::<AnyJson>(serde_json::json!({
                "model": "llama3.2:1b",
                "messages": [{ "role": "user", "content": "Why is the sky blue?" }]
            }))
            .answers::<Explained>(200, "The decision")
            .fails(&[404]),
    );
}
