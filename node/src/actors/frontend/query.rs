//! What a request asks of a backend, and what it gets.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::inspect::{Beginning, RunnerOptions};
use ollamaflow_protocol::models::alias::Renaming;
use ollamaflow_protocol::object::LoadBalancing;
use ollamaflow_protocol::route::Operation;
use smallvec::SmallVec;

use super::select::NoCandidate;
use super::tried::Tried;
use crate::actors::backend::{BackendView, Permit};
use crate::actors::traffic::Want;

/// What a request asks of a backend. Made once for each request.
#[derive(Clone, Debug)]
pub struct Query {
    /// What the client asks for.
    pub operation: Operation,
    /// Labels that the backend must all have.
    pub labels: SmallVec<[Box<[u8]>; 2]>,
    /// Canonical name of the model that the client names.
    pub model: Option<String>,
    /// There if backends get another name of the model, or one where the client gives none.
    pub wish: Option<Arc<Wish>>,
    /// The options of the client by which an engine reloads a model.
    pub runner: RunnerOptions,
    /// Hash of the beginning of the conversation.
    pub prefix: Option<u64>,
    /// Hash of the client, if its frontend keeps clients on their backends.
    pub client: Option<u64>,
    /// The backend of the client's session.
    pub session: Option<BackendId>,
}

/// What a request asks for that does not simply name its model.
#[derive(Debug)]
pub struct Wish {
    /// What each backend is asked for.
    pub renaming: Renaming,
    /// The beginning of the conversation, if it was asked for: its hash is another one for each model.
    pub beginning: Option<Beginning>,
}

/// A backend that takes the request, and why this one.
#[derive(Debug)]
pub struct Pick {
    /// The right to send it; whose it is, is in there.
    pub permit: Permit,
    /// The backend's view at that moment.
    pub view: Arc<BackendView>,
    /// What decided.
    pub decision: Decision,
}

/// What decided for a backend: a policy, or the client's session, and the policy's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who decided.
    pub by: &'static str,
    /// Why; empty if there is nothing to say.
    pub why: &'static str,
}

/// Why a request gets no backend.
#[derive(Debug)]
pub enum Denied {
    /// There is none that could take it.
    Nobody(NoCandidate),
    /// There are, but all are busy, and so many requests wait that this one cannot.
    QueueFull {
        /// When it may be worth to ask again.
        retry_after: Duration,
        /// All would have a free slot, but have had their requests for the moment.
        rate_limited: bool,
    },
    /// It has waited for as long as it may.
    TimedOut {
        /// How long.
        waited: Duration,
    },
}

// === impl Denied ===

impl Denied {
    /// In a word, for the metrics.
    pub fn want(&self) -> Want {
        match self {
            Self::Nobody(_) => Want::NoBackend,
            Self::QueueFull { rate_limited: false, .. } => Want::QueueFull,
            Self::QueueFull { rate_limited: true, .. } => Want::RateLimited,
            Self::TimedOut { .. } => Want::QueueTimeout,
        }
    }
}

// === impl Query ===

impl Query {
    /// A query of which only the operation is known.
    pub fn new(operation: Operation) -> Self {
        Self {
            operation,
            labels: SmallVec::new(),
            model: None,
            wish: None,
            runner: RunnerOptions::default(),
            prefix: None,
            client: None,
            session: None,
        }
    }

    /// Canonical name of the model that the client asks this backend for, whatever is pinned.
    pub(super) fn model_at(&self, backend: &BackendId) -> Option<&str> {
        match &self.wish {
            None => self.model.as_deref(),
            Some(wish) => wish.renaming.canonical_target(backend),
        }
    }

    /// Two queries of the same class have the same candidates, whatever they prefer.
    pub(super) fn class(&self, tried: &Tried) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.operation, &self.labels, &self.model).hash(&mut hasher);
        // Aliases may have been changed between two requests, and then they are others.
        let alias = self.wish.as_ref().and_then(|wish| wish.renaming.alias());
        alias.map(std::ptr::from_ref).hash(&mut hasher);
        for backend in tried.iter() {
            (backend.id(), tried.has_shown_to_lack(backend)).hash(&mut hasher);
        }
        hasher.finish()
    }
}

// === impl Decision ===

impl Decision {
    pub(super) const fn of(by: &'static str, why: &'static str) -> Self {
        Self { by, why }
    }

    /// The name of a policy, as its property has it.
    pub(super) fn name(policy: LoadBalancing) -> &'static str {
        match policy {
            LoadBalancing::Random => "Random",
            LoadBalancing::RoundRobin => "RoundRobin",
            LoadBalancing::LeastConnections => "LeastConnections",
            LoadBalancing::Weighted => "Weighted",
            LoadBalancing::LeastLatency => "LeastLatency",
            LoadBalancing::ModelAffinity => "ModelAffinity",
            LoadBalancing::PrefixAffinity => "PrefixAffinity",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.by)?;
        if self.why.is_empty() { Ok(()) } else { write!(f, "; {}", self.why) }
    }
}
