//! Requests with a virtual key: where they show it, and which models they may name.
//!
//! A key for some models only is for requests of which the model can be told for sure. So their bodies are read whole, and
//! every name in them that any reader may take for the model's counts, with everything that the frontend's aliases make of it.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use ollamaflow_protocol::inspect::model_names;
use ollamaflow_protocol::model::canonical;
use ollamaflow_protocol::models::ModelAliases;
use ollamaflow_protocol::models::alias::models_of_form;
use ollamaflow_protocol::object::key::ModelScope;
use ollamaflow_protocol::route::{self, Operation};

use super::ingress::Admitted;
use super::intake::{Intake, Received};
use super::naming::content_type;
use super::refusal::Refusal;
use super::tally::Counted;
use crate::keys::{KeyDenied, KeyHandle, Keys, Shown};

/// Where clients of Anthropic's API show their keys.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What is said where no key was shown.
pub(super) const NONE_SHOWN: &str =
    "a key is required here: send it as 'Authorization: Bearer KEY', or as 'x-api-key: KEY'";

/// What is said where something else was shown.
const WRONG: &str = "the key that was sent is not known here";

/// The key that a request comes with.
pub(super) fn shown(keys: &Keys, request: &HttpRequest) -> (Option<Arc<KeyHandle>>, Shown) {
    if !keys.has_any() {
        return (None, Shown::default());
    }
    let headers = request.headers();
    let values = |name| headers.get_all(name).map(HeaderValue::as_bytes);
    keys.shown(values(header::AUTHORIZATION), values(API_KEY))
}

/// Why a request without a key is not let in.
pub(super) fn missing(request: &HttpRequest) -> Refusal {
    let headers = request.headers();
    let has_shown = headers.contains_key(header::AUTHORIZATION) || headers.contains_key(API_KEY);
    Refusal::NoKey(if has_shown { WRONG } else { NONE_SHOWN })
}

/// The status of a refusal by a key.
pub(super) fn status(denied: &KeyDenied) -> StatusCode {
    match denied {
        KeyDenied::Inactive | KeyDenied::Expired => StatusCode::UNAUTHORIZED,
        KeyDenied::Frontend(_) | KeyDenied::Operation(_) | KeyDenied::Model(_) | KeyDenied::UnknownModel => {
            StatusCode::FORBIDDEN
        }
        KeyDenied::Requests { .. } | KeyDenied::Tokens { .. } | KeyDenied::Parallel { .. } => {
            StatusCode::TOO_MANY_REQUESTS
        }
    }
}

/// The models that the request may name; `None` for all.
pub(super) fn scope(admitted: &Admitted) -> Option<&ModelScope> {
    admitted.key.as_ref()?.scope()
}

/// Whether all of the body is needed to tell which model it is for. A blob is for none.
pub(super) fn must_be_whole(admitted: &Admitted) -> bool {
    admitted.operation != Operation::OllamaBlob && scope(admitted).is_some()
}

/// Notes the model for the books of the key, and refuses one that the key is not for.
pub(super) fn check(
    request: &HttpRequest,
    admitted: &Admitted,
    received: &mut Received,
    counted: Option<&Counted>,
) -> Result<(), Refusal> {
    if admitted.key.is_none() {
        return Ok(());
    }
    if let Some(counted) = counted {
        counted.model(received.facts.model.as_deref());
    }
    let Some(scope) = scope(admitted) else { return Ok(()) };
    let checked = may(scope, request, admitted, &mut received.body);
    if let (Err(_), Some(counted)) = (&checked, counted) {
        counted.refused();
    }
    Ok(checked?)
}

fn may(
    scope: &ModelScope,
    request: &HttpRequest,
    admitted: &Admitted,
    body: &mut Intake,
) -> Result<(), KeyDenied> {
    let names = match admitted.operation {
        // Lists are made without what the key is not for, and the others concern no model.
        Operation::OllamaTags | Operation::OllamaPs | Operation::OpenAiModels | Operation::OllamaVersion
            if matches!(*request.method(), Method::GET | Method::HEAD) =>
        {
            return Ok(());
        }
        Operation::OllamaBlob => return Ok(()),
        Operation::OpenAiModel => route::model_of(request.path()).map(|name| vec![name]),
        Operation::OpenAiTranscription => {
            body.whole_mut().and_then(|body| models_of_form(content_type(request), body))
        }
        operation => body.whole_mut().and_then(|body| model_names(operation, body)),
    };
    let names = names.filter(|names| !names.is_empty()).ok_or(KeyDenied::UnknownModel)?;
    match names.into_iter().find(|name| !allows(scope, &admitted.config.model_aliases, name)) {
        Some(name) => Err(KeyDenied::Model(name)),
        None => Ok(()),
    }
}

/// Whether the key is for the model, and for whatever the name stands for at the frontend.
pub(super) fn allows(scope: &ModelScope, aliases: &ModelAliases, name: &str) -> bool {
    if !scope.allows(name) {
        return false;
    }
    if aliases.is_empty() {
        return true;
    }
    let alias = aliases.find_canonical(&canonical(name));
    alias.is_none_or(|alias| alias.targets().all(|target| scope.allows(target)))
}
