//! Which backends a change of models is for, which of them have to succeed, and why others are passed over.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::object::{ApiFormat, BackendState};
use ollamaflow_protocol::route::Operation;
use smallvec::SmallVec;

use super::refusal::ManageError;
use crate::actors::{BackendHandle, BackendView, FrontendHandle};
use crate::gateway::routing::labels;

const FILTER: HeaderName = HeaderName::from_static(names::BACKEND_FILTER);

/// What is to be done, as far as it decides who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Something is added to a backend, or it is asked for: one that is being drained takes nothing new.
    Add,
    /// Something is removed: a backend that is being drained does it, too, but need not.
    Remove,
}

/// A backend that is asked.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) backend: Arc<BackendHandle>,
    pub(super) view: Arc<BackendView>,
    /// Without its success there is none.
    pub(super) is_required: bool,
}

/// A backend that is meant, but is not asked.
#[derive(Clone, Debug)]
pub(super) struct Skipped {
    pub(super) backend: Arc<BackendHandle>,
    pub(super) view: Arc<BackendView>,
    /// One word.
    pub(super) why: &'static str,
}

/// The backends that a change is for, in the frontend's order.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) sites: Vec<Site>,
    pub(super) skipped: Vec<Skipped>,
    /// The client wants it at some of the frontend's backends only.
    pub(super) is_narrowed: bool,
}

/// How a backend stands to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Asked {
        is_required: bool,
    },
    /// Passed over, and the answer says so.
    Skipped(&'static str),
    /// It is not meant.
    Apart(&'static str),
}

/// How the client narrows the backends.
pub(super) struct Narrowing<'r> {
    labels: SmallVec<[&'r [u8]; 2]>,
    /// By identifier; empty for all.
    filter: SmallVec<[&'r [u8]; 2]>,
}

// === impl Purpose ===

impl Purpose {
    pub(super) fn of(operation: Operation) -> Self {
        if operation == Operation::OllamaDelete { Self::Remove } else { Self::Add }
    }
}

// === impl Narrowing ===

impl<'r> Narrowing<'r> {
    pub(super) fn of(request: &'r HttpRequest) -> Self {
        let filter = request.headers().get_all(FILTER);
        Self {
            labels: labels(request).collect(),
            filter: filter.flat_map(|value| names::labels(value.as_bytes())).collect(),
        }
    }

    /// Whether it names backends.
    pub(super) fn has_filter(&self) -> bool {
        !self.filter.is_empty()
    }

    /// How a backend stands.
    pub(super) fn standing(&self, backend: &BackendHandle, view: &BackendView, purpose: Purpose) -> Standing {
        let config = &view.config;
        let has = |label: &&[u8]| config.labels.iter().any(|own| own.as_bytes() == *label);
        if config.api_format != ApiFormat::Ollama {
            return Standing::Apart("it speaks the OpenAI API only");
        }
        if !self.filter.is_empty() && !self.filter.contains(&backend.id().as_str().as_bytes()) {
            return Standing::Apart("the request is for other backends");
        }
        if !self.labels.iter().all(has) {
            return Standing::Apart("without the requested labels");
        }
        match config.state {
            BackendState::Disabled => Standing::Skipped("disabled"),
            BackendState::Draining if purpose == Purpose::Add => Standing::Skipped("draining"),
            _ if !view.health.is_healthy() => Standing::Skipped("unhealthy"),
            BackendState::Draining => Standing::Asked { is_required: false },
            BackendState::Active => Standing::Asked { is_required: true },
        }
    }

    /// Refuses names that mean no backend of the frontend that could be asked.
    pub(super) fn must_be_known(&self, frontend: &FrontendHandle) -> Result<(), ManageError> {
        let view = frontend.view();
        for name in &self.filter {
            let named = view.backends().find(|(backend, _)| backend.id().as_str().as_bytes() == *name);
            let Some((backend, view)) = named else {
                let backend = String::from_utf8_lossy(name).chars().take(128).collect();
                return Err(ManageError::UnknownBackend { frontend: frontend.id().clone(), backend });
            };
            if view.config.api_format != ApiFormat::Ollama {
                return Err(ManageError::NotManageable { backend: backend.id().clone() });
            }
        }
        Ok(())
    }
}

// === impl Targets ===

impl Targets {
    /// The backends that the request is for; an error if none can be asked.
    pub(super) fn of(
        request: &HttpRequest,
        frontend: &FrontendHandle,
        purpose: Purpose,
    ) -> Result<Self, ManageError> {
        let narrowing = Narrowing::of(request);
        narrowing.must_be_known(frontend)?;
        let targets = Self::narrowed(&narrowing, frontend, purpose);
        if !targets.sites.is_empty() {
            return Ok(targets);
        }
        let manages =
            |(_, view): (_, arc_swap::Guard<Arc<BackendView>>)| view.config.api_format == ApiFormat::Ollama;
        if !frontend.view().backends().any(manages) {
            return Err(ManageError::NobodyCan { frontend: frontend.id().clone() });
        }
        let why = targets.told_skipped().unwrap_or_else(|| "none has the requested labels".to_owned());
        Err(ManageError::NobodyAvailable(why))
    }

    /// The same, whether there is any or not.
    pub(super) fn narrowed(narrowing: &Narrowing<'_>, frontend: &FrontendHandle, purpose: Purpose) -> Self {
        let is_narrowed = !narrowing.filter.is_empty() || !narrowing.labels.is_empty();
        let mut targets = Self { sites: Vec::new(), skipped: Vec::new(), is_narrowed };
        for (backend, view) in frontend.view().backends() {
            let (backend, view) = (backend.clone(), Arc::clone(&view));
            match narrowing.standing(&backend, &view, purpose) {
                Standing::Asked { is_required } => targets.sites.push(Site { backend, view, is_required }),
                Standing::Skipped(why) => targets.skipped.push(Skipped { backend, view, why }),
                Standing::Apart(_) => {}
            }
        }
        targets
    }

    /// Passes over the sites for which `keep` is false.
    pub(super) fn pass_over(&mut self, keep: &[bool], why: &'static str) {
        let mut kept = keep.iter();
        let mut sites = Vec::with_capacity(self.sites.len());
        for site in self.sites.drain(..) {
            if kept.next().copied().unwrap_or(true) {
                sites.push(site);
            } else {
                self.skipped.push(Skipped { backend: site.backend, view: site.view, why });
            }
        }
        self.sites = sites;
    }

    /// Who is passed over and why, in a sentence; `None` if nobody is.
    pub(super) fn told_skipped(&self) -> Option<String> {
        let told: Vec<String> = self
            .skipped
            .iter()
            .map(|skipped| format!("{} is {}", skipped.backend.id(), skipped.why))
            .collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}
