//! Why a command changed nothing, and how the admin API says so.
//!
//! Rejections travel between nodes: only plain, externally tagged data.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::nodes::NodeId;
use super::outcome::{ObjectKind, ObjectRef};
use crate::catalog::Violation;
use crate::error::{ApiError, ErrorKind};
use crate::id::{BackendId, ClusterId, FrontendId, KeyId};

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Rejection {
    /// There is no such object.
    #[error("there is no {object}")]
    NotFound {
        /// What was asked for.
        object: ObjectRef,
    },
    /// The object was expected to be new. A server that has the expectation from `If-None-Match: *` answers 412.
    #[error("{}", exists(object))]
    Exists {
        /// What is there.
        object: ObjectRef,
    },
    /// The object is not at the expected revision.
    #[error("{object} {}", changed_since(*current))]
    PreconditionFailed {
        /// What was to be changed.
        object: ObjectRef,
        /// The revision at which it was last changed; none if it does not exist.
        current: Option<u64>,
    },
    /// A frontend lists a backend that does not exist.
    #[error(
        "frontend {frontend} names the backend {backend}, which does not exist: create it first or remove the name"
    )]
    UnknownBackend {
        /// The frontend.
        frontend: FrontendId,
        /// The name that leads nowhere.
        backend: BackendId,
    },
    /// The backend is listed by frontends.
    #[error("backend {backend} is still used by {}: unlink it there, or delete it with force", users(by))]
    InUse {
        /// The backend.
        backend: BackendId,
        /// The frontends, in the order of their names; the first 32 of them.
        by: Vec<FrontendId>,
    },
    /// The object breaks a rule.
    #[error("{object}: {message}")]
    Invalid {
        /// Which one.
        object: ObjectRef,
        /// The property and what it must be.
        message: String,
    },
    /// The object, or the whole catalog with it, would be larger than the cluster keeps.
    #[error("{object} would take {bytes} bytes, but at most {limit} are kept")]
    TooLarge {
        /// What is too large.
        object: ObjectRef,
        /// Its size.
        bytes: u64,
        /// The largest size.
        limit: u64,
    },
    /// There are as many objects of this kind as the cluster keeps.
    #[error("there are {limit} objects of the kind {kind} already, which is the most: delete one first")]
    TooMany {
        /// Of what.
        kind: ObjectKind,
        /// How many may be.
        limit: u64,
    },
    /// The catalog of that revision is not known.
    #[error(
        "revision {revision} cannot be restored: the history holds the revisions from {oldest} to {newest}"
    )]
    UnknownRevision {
        /// The revision that was asked for.
        revision: u64,
        /// The oldest that can be restored.
        oldest: u64,
        /// The present one.
        newest: u64,
    },
    /// The cluster has been born already.
    #[error("this is the cluster {cluster} already: it cannot be seeded again")]
    AlreadySeeded {
        /// Its name.
        cluster: ClusterId,
    },
    /// The cluster has not been born yet.
    #[error("the cluster is still forming: try again in a moment")]
    NotSeeded,
    /// The node was removed from the cluster.
    #[error(
        "node {id} was removed from this cluster: wipe its data directory and let it join again as a new node"
    )]
    NodeRetired {
        /// The id it had.
        id: NodeId,
    },
    /// A newer version wrote the command.
    #[error(
        "the command {name:?} (schema {schema}) is not known to this version: bring all nodes to the same version"
    )]
    UnknownCommand {
        /// The schema of the command.
        schema: u16,
        /// Its name, as far as it can be told.
        name: String,
    },
    /// Somebody does this work already.
    #[error("node {node} works on the model {model} at backend {backend} already: wait until it has ended")]
    WorkClaimed {
        /// Where.
        backend: BackendId,
        /// The canonical name of the model.
        model: String,
        /// Who.
        node: NodeId,
    },
    /// The claim is not held any more.
    #[error("the claim to work on the model {model} at backend {backend} has ended")]
    WorkLost {
        /// Where.
        backend: BackendId,
        /// The canonical name of the model.
        model: String,
    },
    /// A virtual key names a frontend that does not exist.
    #[error(
        "key {key} names the frontend {frontend}, which does not exist: create it first or remove the name"
    )]
    UnknownFrontend {
        /// The key.
        key: KeyId,
        /// The name that leads nowhere.
        frontend: FrontendId,
    },
}

// === Rejection ===

impl Rejection {
    /// Most frontends that [`Rejection::InUse`] names: rejections are kept for retries, so they stay small.
    pub(super) const MAX_USERS: usize = 32;

    /// The kind of error that the admin API reports.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::UnknownRevision { .. } => ErrorKind::NotFound,
            Self::UnknownBackend { .. } | Self::UnknownFrontend { .. } | Self::Invalid { .. } => {
                ErrorKind::BadRequest
            }
            Self::InUse { .. } => ErrorKind::InUse,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::NotSeeded | Self::UnknownCommand { .. } => ErrorKind::InternalError,
            Self::Exists { .. }
            | Self::PreconditionFailed { .. }
            | Self::TooMany { .. }
            | Self::AlreadySeeded { .. }
            | Self::NodeRetired { .. }
            | Self::WorkClaimed { .. }
            | Self::WorkLost { .. } => ErrorKind::Conflict,
        }
    }

    /// The HTTP status of the reply: the one of [`Rejection::kind`], or 412 (precondition failed) and 503 (not
    /// ready), for which the API has no kinds.
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::PreconditionFailed { .. } => 412,
            Self::NotSeeded => 503,
            _ => self.kind().status(),
        }
    }
}

impl From<Violation> for Rejection {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::DuplicateFrontend { id, .. } => {
                Self::Exists { object: ObjectRef::new(ObjectKind::Frontend, &id) }
            }
            Violation::DuplicateBackend { id, .. } => {
                Self::Exists { object: ObjectRef::new(ObjectKind::Backend, &id) }
            }
            Violation::UnknownBackend { frontend, backend, .. } => Self::UnknownBackend { frontend, backend },
        }
    }
}

impl From<&Rejection> for ApiError {
    fn from(rejection: &Rejection) -> Self {
        let error = Self::new(rejection.kind(), rejection.to_string());
        if rejection.http_status() == error.status() {
            error
        } else {
            error.with_http_status(rejection.http_status())
        }
    }
}

// === sentences ===

fn exists(object: &ObjectRef) -> String {
    if object.kind == ObjectKind::Work {
        return format!("a roll of {} is under way already: see GET /v1.0/models", object.id);
    }
    format!("{object} exists already: choose another name, or update it")
}

fn changed_since(current: Option<u64>) -> String {
    match current {
        Some(revision) => {
            format!("has changed: it is at revision {revision} now, read it again and repeat the change")
        }
        None => "does not exist, so it has no revision to compare with".to_owned(),
    }
}

fn users(by: &[FrontendId]) -> String {
    let names: Vec<&str> = by.iter().map(FrontendId::as_str).collect();
    format!("{} {}", if by.len() == 1 { "frontend" } else { "frontends" }, names.join(", "))
}
