//! Which backend may take a request, and which one does: a decision over the published views, without I/O.

use std::fmt;
use std::sync::Arc;

use ollamaflow_protocol::object::{ApiFormat, LoadBalancing};
use ollamaflow_protocol::route::{Kind, Operation};
use smallvec::SmallVec;

use super::{FrontendView, Member};
use crate::actors::backend::{BackendHandle, BackendView};

/// What a request asks of a backend.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// What the client asks for.
    pub operation: Operation,
    /// Labels that the backend must all have.
    pub labels: &'a [&'a [u8]],
    /// Backends that were tried for this request.
    pub tried: &'a [Arc<BackendHandle>],
}

/// The chosen backend, as it was when it was chosen.
#[derive(Clone, Debug)]
pub struct Pick {
    /// The backend.
    pub backend: Arc<BackendHandle>,
    /// Its view at that moment.
    pub view: Arc<BackendView>,
}

/// Why a backend cannot take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// It was tried already.
    Tried,
    /// `Active` is false.
    Inactive,
    /// Its probes fail, or have not succeeded yet.
    Unhealthy,
    /// `AllowEmbeddings` or `AllowCompletions` is false.
    NotPermitted,
    /// A label is missing.
    Label,
    /// It speaks the other API.
    Format(ApiFormat),
}

/// Nobody can take the request: each backend of the frontend with the reason.
#[derive(Clone, Debug, Default)]
pub struct NoCandidate {
    /// In the frontend's order.
    pub excluded: Vec<(Arc<BackendHandle>, Exclusion)>,
    operation: Option<Operation>,
}

/// Chooses a backend by the frontend's policy among the candidates.
pub fn select(frontend: &FrontendView, query: Query<'_>) -> Result<Pick, NoCandidate> {
    let is_candidate = |member: &&Member| exclusion(&member.backend, &member.backend.view(), query).is_none();
    let candidates: SmallVec<[&Member; 8]> = frontend.members.iter().filter(is_candidate).collect();
    let chosen = match frontend.config.load_balancing {
        LoadBalancing::RoundRobin => {
            let turns = candidates.iter().map(|member| &*member.turn);
            // A second attempt costs its backend no turn, or a rotation of two would start at the sick one for ever.
            if query.tried.is_empty() { frontend.turns.take(&turns) } else { frontend.turns.peek(turns) }
        }
        LoadBalancing::Random if candidates.is_empty() => None,
        LoadBalancing::Random => Some(fastrand::usize(..candidates.len())),
    };
    match chosen {
        Some(index) => {
            let backend = candidates[index].backend.clone();
            let view = backend.view().clone();
            Ok(Pick { backend, view })
        }
        None => Err(NoCandidate::explain(frontend, query)),
    }
}

fn exclusion(backend: &Arc<BackendHandle>, view: &BackendView, query: Query<'_>) -> Option<Exclusion> {
    let config = &view.config;
    let permitted = match query.operation.kind() {
        Kind::Embeddings => config.allow_embeddings,
        Kind::Completions => config.allow_completions,
        Kind::Other => true,
    };
    let has = |label: &&[u8]| config.labels.iter().any(|own| own.as_bytes() == *label);
    if query.tried.iter().any(|tried| Arc::ptr_eq(tried, backend)) {
        Some(Exclusion::Tried)
    } else if !config.active {
        Some(Exclusion::Inactive)
    } else if !view.health.is_healthy() {
        Some(Exclusion::Unhealthy)
    } else if !permitted {
        Some(Exclusion::NotPermitted)
    } else if !query.labels.iter().all(has) {
        Some(Exclusion::Label)
    } else if !query.operation.is_spoken_by(config.api_format) {
        Some(Exclusion::Format(config.api_format))
    } else {
        None
    }
}

// === impl NoCandidate ===

impl NoCandidate {
    fn explain(frontend: &FrontendView, query: Query<'_>) -> Self {
        let excluded = frontend
            .members
            .iter()
            .filter_map(|member| {
                // A backend that has become a candidate meanwhile has no reason to name.
                let why = exclusion(&member.backend, &member.backend.view(), query)?;
                Some((member.backend.clone(), why))
            })
            .collect();
        Self { excluded, operation: Some(query.operation) }
    }
}

impl fmt::Display for NoCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let formats: Vec<ApiFormat> = self
            .excluded
            .iter()
            .filter_map(|(_, why)| match why {
                Exclusion::Format(format) => Some(*format),
                _ => None,
            })
            .collect();
        if let (Some(operation), Some(_)) = (self.operation, formats.first()) {
            let mut names: Vec<String> = formats.iter().map(ToString::to_string).collect();
            names.sort();
            names.dedup();
            return write!(
                f,
                "no healthy backend speaks the {} API that this request uses: they speak {}",
                operation.format(),
                names.join(", "),
            );
        }
        let count = |which: Exclusion| self.excluded.iter().filter(|(_, why)| *why == which).count();
        write!(f, "no backend can take this request")?;
        let mut separator = ": ";
        for (which, text) in [
            (Exclusion::Unhealthy, "unhealthy"),
            (Exclusion::Inactive, "inactive"),
            (Exclusion::NotPermitted, "not permitted for this kind of request"),
            (Exclusion::Label, "without the requested labels"),
            (Exclusion::Tried, "tried already"),
        ] {
            if count(which) > 0 {
                write!(f, "{separator}{} {text}", count(which))?;
                separator = ", ";
            }
        }
        if self.excluded.is_empty() {
            write!(f, ": the frontend has none")?;
        }
        Ok(())
    }
}
