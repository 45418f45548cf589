//! The cluster: the configuration, agreed on by all nodes and kept on their disks.
//!
//! In: commands from the admin API. Out: the [`ClusterState`] that this node has applied, and who the members are.
//! Raft (openraft) orders the commands, [`store`] keeps them (sled), [`network`] carries them between nodes. What
//! a command means is `protocol`'s to say. A node alone is a cluster of one.

pub mod codec;
mod error;
mod interim;
mod status;
pub(crate) mod store;
pub mod types;

pub use self::error::ClusterError;
pub use self::interim::{Cluster, Committed, Snapshot};
pub use self::status::{MemberStatus, Role, Status};
