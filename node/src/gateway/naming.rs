//! The name of the model in a request: what the client asks for, what each backend gets, and what the answer shows.
//!
//! The frontend's aliases and its default model are resolved once for each request, and at each backend that it goes to
//! the target of that backend is written into the body. To engines that take a name only as they list it, the name goes
//! in their own spelling, as far as the body is made anew anyway. What is pinned wins over all of it.

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::{Method, header};
use bytes::Bytes;
use ollamaflow_protocol::inspect::RequestFacts;
use ollamaflow_protocol::model::canonical;
use ollamaflow_protocol::models::alias::{self, AliasError, Echo, Framing, Renaming};
use ollamaflow_protocol::object::{ApiFormat, Frontend};
use ollamaflow_protocol::route::{self, Kind, Operation};
use serde_json::Value;

use super::answer::Answer;
use super::intake::{self, Received};
use super::refusal::Refusal;
use crate::actors::{BackendView, Query, Wish};

/// A name that one backend got for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The name.
    pub(super) sent: String,
    /// The name that the answer has to show, if it is another one and the backend's own would go on to the client.
    pub(super) echo: Option<String>,
    /// An alias or the default was resolved: the client is told.
    is_told: bool,
}

/// Whether requests for the operation name a model that is there to be used.
fn takes_aliases(operation: Operation) -> bool {
    operation.kind() != Kind::Other
        || matches!(
            operation,
            Operation::OllamaShow
                | Operation::OpenAiModel
                | Operation::OpenAiTranscription
                | Operation::AnthropicCountTokens
        )
}

/// Whether the model of a request may go by another name: nothing has to be looked at where it may not.
pub(super) fn is_possible(operation: Operation, frontend: &Frontend) -> bool {
    let has_none = frontend.model_aliases.is_empty() && frontend.default_model.is_none();
    !has_none && takes_aliases(operation)
}

/// Whether a request for this model goes to backends by another name, so that all of its body is needed.
pub(super) fn is_renamed(operation: Operation, frontend: &Frontend, model: Option<&str>) -> bool {
    is_possible(operation, frontend) && renaming(frontend, model).is_some()
}

fn renaming(frontend: &Frontend, model: Option<&str>) -> Option<Renaming> {
    frontend.model_aliases.renaming(model, frontend.default_model.as_deref())
}

/// What a request asks for, if it does not simply name its model. One that names none is one for the default from here on.
pub(super) fn wish(
    request: &HttpRequest,
    operation: Operation,
    frontend: &Frontend,
    received: &mut Received,
) -> Result<Option<Arc<Wish>>, Refusal> {
    if !is_possible(operation, frontend) || request.method() == Method::DELETE {
        return Ok(None);
    }
    let Received { body, facts } = received;
    match body.whole_mut() {
        Some(body) => Ok(wish_of(operation, request.path(), content_type(request), frontend, facts, body)?),
        // The intake holds all of what has to be changed.
        None if renaming(frontend, facts.model.as_deref()).is_some() => Err(Refusal::NotWhole),
        None => Ok(None),
    }
}

/// The same of its parts.
///
/// # Errors
/// If the request names no model, and the default cannot be put into its body.
pub(crate) fn wish_of(
    operation: Operation,
    path: &str,
    content_type: &str,
    frontend: &Frontend,
    facts: &mut RequestFacts,
    body: &mut Bytes,
) -> Result<Option<Arc<Wish>>, AliasError> {
    if !is_possible(operation, frontend) {
        return Ok(None);
    }
    match operation {
        Operation::OpenAiModel => facts.model = route::model_of(path),
        Operation::OpenAiTranscription => {
            facts.model = alias::model_of_form(content_type, body);
        }
        _ => {}
    }
    let Some(renaming) = renaming(frontend, facts.model.as_deref()) else { return Ok(None) };
    if renaming.is_default() {
        *body = with_model(operation, content_type, body, renaming.asked())?;
        facts.model = Some(renaming.asked().to_owned());
        facts.prefix = facts.beginning.map(|beginning| beginning.under(&canonical(renaming.asked())));
    }
    Ok(Some(Arc::new(Wish { renaming, beginning: facts.beginning })))
}

/// The body of a request for `operation` with this model in it. Where the path names the model, the body stays.
pub(super) fn with_model(
    operation: Operation,
    content_type: &str,
    body: &Bytes,
    name: &str,
) -> Result<Bytes, AliasError> {
    match operation {
        Operation::OpenAiModel | Operation::OpenAiModels | Operation::OllamaTags => Ok(body.clone()),
        Operation::OpenAiTranscription => alias::named_in_form(content_type, body, name).map(Bytes::from),
        _ => alias::named(operation, body, name).map(Bytes::from),
    }
}

/// The `Content-Type` of a request; empty if it has none that can be read.
pub(super) fn content_type(request: &HttpRequest) -> &str {
    let value = request.headers().get(header::CONTENT_TYPE);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The name that goes to a backend, if it is not the one in the request. `model` is what the client has written; `made` is
/// for a request that is written anew, in the backend's API, whose answer shows the client's name by itself.
pub(super) fn at(
    query: &Query,
    model: Option<&str>,
    frontend: &Frontend,
    view: &BackendView,
    made: bool,
) -> Option<Named> {
    let wish = query.wish.as_deref();
    if (wish.is_none() && !made) || pinned(query.operation, frontend, view).is_some() {
        return None;
    }
    let Some(wish) = wish else {
        let sent = spelling(view, model?)?.to_owned();
        return Some(Named { sent, echo: None, is_told: false });
    };
    let target = wish.renaming.target(&view.config.identifier)?;
    let sent = spelling(view, target).unwrap_or(target).to_owned();
    let asked = wish.renaming.asked();
    let echo = (!made && sent != asked).then(|| asked.to_owned());
    Some(Named { sent, echo, is_told: true })
}

/// The model that a backend gets, for people: by which name, and if any.
pub(super) fn shown(
    query: &Query,
    model: Option<&str>,
    frontend: &Frontend,
    view: &BackendView,
) -> Option<String> {
    let pinned = pinned(query.operation, frontend, view).map(Cow::Borrowed);
    let named = || at(query, model, frontend, view, false).map(|named| Cow::Owned(named.sent));
    let own = || if query.wish.is_none() { model.map(Cow::Borrowed) } else { None };
    pinned.or_else(named).or_else(own).map(Cow::into_owned)
}

/// The model that is pinned for requests of this kind; the backend's wins.
fn pinned<'a>(operation: Operation, frontend: &'a Frontend, view: &'a BackendView) -> Option<&'a str> {
    let [ours, theirs] = intake::pins(operation, frontend, &view.config);
    let model = |pins: &'a serde_json::Map<String, Value>| pins.get("model").and_then(Value::as_str);
    model(theirs).or_else(|| model(ours))
}

/// The backend's own spelling of a name: to Ollama `m` and `m:latest` are the same, to other engines not.
fn spelling<'a>(view: &'a BackendView, name: &str) -> Option<&'a str> {
    let is_exact = view.config.api_format != ApiFormat::Ollama;
    if is_exact { view.spelling(name) } else { None }
}

// === impl Named ===

impl Named {
    /// The name for the client to be told, if it is another one than it may expect.
    pub(super) fn told(&self) -> Option<&str> {
        self.is_told.then_some(self.sent.as_str())
    }

    /// Puts the client's name into the backend's answer, if that can be read.
    pub(super) fn echo(&self, answer: &Answer) -> Option<Box<Echo>> {
        let name = self.echo.as_deref().filter(|_| answer.status.is_success() && !answer.is_coded())?;
        let framing = Framing::of(answer.media_type())?;
        Some(Box::new(Echo::new(answer.operation, framing, name)))
    }

    /// An answer of one JSON text that was read as a whole, with the client's name in it.
    pub(super) fn echoed(&self, operation: Operation, body: Bytes) -> Bytes {
        match &self.echo {
            Some(name) => Echo::new(operation, Framing::Whole, name).push(body),
            None => body,
        }
    }
}
