//! What a request would become at each backend: what an explanation tells of translation. Nothing is sent or fetched.

use std::borrow::Cow;

use actix_web::http::Method;
use bytes::Bytes;
use ollamaflow_protocol::object::{ApiFormat, Frontend};
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate::{self, Refused, Request};

use super::intake;
use super::local;
use super::merged::{self, Share};
use super::naming;
use super::refusal::Refusal;
use super::translating::{self, Reason, Saying, Told, Way, mapped};
use crate::actors::{BackendHandle, BackendView, FrontendHandle, Query};

/// Stands for an image that would be fetched.
const IMAGE: (&str, &str) = ("iVBORw0KGgo=", "image/png");

/// A request of which is asked what it would become.
pub(crate) struct Preview<'a> {
    operation: Operation,
    frontend: &'a Frontend,
    query: &'a Query,
    /// As the client names it.
    model: Option<&'a str>,
    body: &'a Bytes,
    is_answered_here: bool,
    is_merged: bool,
    /// In neutral form, if it can be read.
    request: Result<Request, Refused>,
}

/// What it would become at one backend.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// What `X-OllamaFlow-Translation` would say; none if the backend could not be asked for this.
    pub(crate) translation: Option<Cow<'static, str>>,
    /// What would be left out.
    pub(crate) dropped: Vec<String>,
    /// By which name it would be asked for the model.
    pub(crate) model: Option<String>,
    /// Why the backend could not be asked for this.
    pub(crate) refusal: Option<String>,
}

// === impl Preview ===

impl<'a> Preview<'a> {
    /// The request at `path` with this body, and what it asks for.
    pub(crate) fn new(
        handle: &FrontendHandle,
        frontend: &'a Frontend,
        query: &'a Query,
        model: Option<&'a str>,
        path: &str,
        body: &'a Bytes,
    ) -> Self {
        let operation = query.operation;
        let is_merged = merged::is_answered_here(operation, &Method::GET, handle, query);
        let is_answered_here = is_merged || local::is_answered_here(operation);
        let request = translating::read(operation, path, body);
        Self { operation, frontend, query, model, body, is_answered_here, is_merged, request }
    }

    /// What it would become at this backend.
    pub(crate) fn at(&self, backend: &BackendHandle, view: &BackendView) -> Outlook {
        let model = naming::shown(self.query, self.model, self.frontend, view);
        match self.told(backend, view) {
            Ok(told) => Outlook {
                translation: Some(told.way(self.operation)),
                dropped: told.into_dropped(),
                model,
                refusal: None,
            },
            Err(refusal) => Outlook { refusal: Some(refusal.to_string()), model, ..Outlook::default() },
        }
    }

    /// Whether the request is answered from what is known of all backends, so that none is chosen.
    pub(crate) fn is_merged(&self) -> bool {
        self.is_merged
    }

    /// Whether a backend that suits the request has a part in the merged answer, and what is to be said of that.
    pub(crate) fn share(&self, view: &BackendView) -> (bool, Option<&'static str>) {
        match merged::share(self.operation, view) {
            Share::Current => (true, None),
            Share::LastKnown => (true, Some("unhealthy: counts with what was known of it last")),
            Share::Unknown => (false, Some("what it has is not known")),
        }
    }

    fn told(&self, backend: &BackendHandle, view: &BackendView) -> Result<Told, Refusal> {
        if self.is_answered_here {
            if self.operation == Operation::AnthropicCountTokens {
                translate::count_tokens(self.body)?;
            }
            return Ok(Told::here());
        }
        match Way::to(backend, view, self.operation, self.frontend) {
            Way::Untouched(_) => {
                let mapped = mapped(self.operation, self.frontend, view, self.operation);
                intake::merged(self.body, &mapped.each_ref().map(|mapped| &*mapped.pins))?;
                Ok(Told::default())
            }
            Way::Translated(reason) => self.translated(view, reason),
        }
    }

    fn translated(&self, view: &BackendView, reason: Reason) -> Result<Told, Refusal> {
        let mut request = Cow::Borrowed(self.request.as_ref().map_err(Clone::clone)?);
        let is_fetched = view.config.api_format == ApiFormat::Ollama && self.frontend.allow_image_urls;
        if is_fetched && request.has_remote_media() {
            for media in request.to_mut().remote_media() {
                media.fetched(IMAGE.0.to_owned(), Some(IMAGE.1.to_owned()));
            }
        }
        let named = naming::at(self.query, self.model, self.frontend, view, true);
        let named = named.as_ref().map(|named| named.sent.as_str());
        Ok(match translating::say(&request, self.operation, named, self.frontend, view)? {
            Saying::Here(_) => Told::here(),
            Saying::Sent(said) => Told::translated(said.operation, reason, said.dropped),
        })
    }
}
