//! The replicated state of a cluster: everything an admin can change, and the one way to change it.
//!
//! In: [`Envelope`]s, in the order in which the nodes agreed on them. Out: the next [`ClusterState`] and either
//! what was [`Applied`] or a typed [`Rejection`]. [`ClusterState::apply`] is pure, deterministic and total: time,
//! ids and hashes are in the command, so that every node that applies the same commands holds the same state.
//! How nodes agree, where the bytes are kept and who is told of a change is not known here.

mod command;
mod envelope;
mod hex128;
mod history;
mod nodes;
mod outcome;
mod recent;
mod rejection;
mod roll;
mod state;
mod token;
mod work;

pub use self::command::{Command, Founder, Precondition, UnknownCommand};
pub use self::envelope::{Envelope, EnvelopeTooLarge, MAX_COMMAND_BYTES, SCHEMA};
pub use self::history::{Change, ChangeKind, MAX_HISTORY, MAX_HISTORY_BYTES};
pub use self::nodes::{MAX_NODES, MAX_RETIRED, NodeId, NodeRecord};
pub use self::outcome::{Applied, ObjectKind, ObjectRef, Outcome};
pub use self::recent::MAX_RECENT_REQUESTS;
pub use self::rejection::Rejection;
pub use self::roll::{MAX_ROLLS, Roll, RollPhase, RollStep};
pub use self::state::{ClusterState, MAX_CATALOG_BYTES, MAX_OBJECT_BYTES, SNAPSHOT_FORMAT, SnapshotError};
pub use self::token::{MAX_TOKENS, Token, TokenHash, TokenHashError};
pub use self::work::{
    Crowd, Hold, LEASE_SECONDS, MAX_CROWDED_OUT, MAX_WORK_MESSAGE, MAX_WORKS, Sighting, Work, WorkEnd,
    WorkFailure, WorkKey,
};

#[cfg(test)]
mod tests;
