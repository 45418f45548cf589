//! What a command did.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::nodes::NodeId;

/// A command that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The revision of the state right after it.
    pub revision: u64,
    /// What it did.
    pub outcome: Outcome,
}

/// What an applied command did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The cluster was born.
    Seeded,
    /// The object is new.
    Created,
    /// The object has changed.
    Updated,
    /// Everything was as asked already: the revision has not moved.
    Unchanged,
    /// The object is gone.
    Deleted {
        /// Frontends that the backend was taken out of.
        unlinked: usize,
    },
    /// The catalog has been replaced.
    Replaced {
        /// New objects.
        created: usize,
        /// Changed objects.
        updated: usize,
        /// Objects that are gone.
        deleted: usize,
    },
    /// The catalog is as it was at the earlier revision.
    RolledBack {
        /// Objects that differed.
        restored: usize,
    },
    /// The node has this id.
    NodeAllocated {
        /// The id.
        id: NodeId,
    },
    /// The node is struck off.
    NodeRetired,
    /// The work is claimed.
    WorkClaimed,
    /// The claim goes on.
    WorkRenewed,
    /// The claim has ended.
    WorkReleased,
}

/// The kinds of things in the replicated state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum ObjectKind {
    /// All frontends, backends and virtual keys.
    Catalog,
    /// A frontend.
    Frontend,
    /// A backend.
    Backend,
    /// An admin token.
    Token,
    /// A node of the cluster.
    Node,
    /// Work on a model.
    Work,
    /// A virtual key.
    Key,
}

/// One thing in the replicated state. Prints as `backend b1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name; empty for the catalog.
    pub id: String,
}

// === ObjectRef ===

impl ObjectRef {
    /// All frontends, backends and virtual keys.
    pub fn catalog() -> Self {
        Self { kind: ObjectKind::Catalog, id: String::new() }
    }

    /// The object of that kind and name.
    pub fn new(kind: ObjectKind, id: &impl ToString) -> Self {
        Self { kind, id: id.to_string() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ObjectKind::Catalog => formatter.write_str("the catalog"),
            kind => write!(formatter, "{kind} {}", self.id),
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Catalog => "catalog",
            Self::Frontend => "frontend",
            Self::Backend => "backend",
            Self::Token => "admin token",
            Self::Node => "node",
            Self::Work => "work on a model",
            Self::Key => "key",
        })
    }
}
