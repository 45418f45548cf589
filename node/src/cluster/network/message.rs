//! What callers and services see: places, targets, calls that arrived, and why a call failed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::id::ClusterId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::call::Call;
use crate::cluster::codec::CodecError;

/// What a node is to its peers. Changes once, when it gets its place in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Its cluster; none while it has none.
    pub cluster: Option<ClusterId>,
    /// Its id, never 0; none while it has none.
    pub node: Option<NodeId>,
}

/// The place of this node, read by every call.
pub type SharedPlace = Arc<ArcSwap<Place>>;

/// Whom a call is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Host and port. The host is resolved anew for every connection. IPv6 addresses stand in brackets.
    pub address: String,
    /// The node that is meant; none means whoever listens there ([open](Call::is_open) calls only).
    pub node: Option<NodeId>,
}

/// A call that proved itself.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// What is asked.
    pub call: Call,
    /// The caller, by its own account: every holder of the secret is believed. None if it has no id.
    pub from: Option<NodeId>,
    /// The caller's cluster; none if it has none. For calls that are not [open](Call::is_open) it is this node's.
    pub cluster: Option<ClusterId>,
    /// The bytes, as the caller gave them.
    pub body: Bytes,
}

/// What a node does with calls that proved themselves.
pub trait Service: Send + Sync + 'static {
    /// Answers a call. Dropped when the caller goes away; what was begun elsewhere goes on.
    fn handle(&self, incoming: Incoming) -> BoxFuture<'static, Result<Vec<u8>, ServiceError>>;
}

/// Why a service gives no answer. The caller gets it as a [`Refusal`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServiceError {
    /// The caller was removed from the cluster.
    #[error("the caller was removed from the cluster")]
    Removed,
    /// This node cannot answer now: it has no cluster yet, or has too much to do.
    #[error("not ready: {0}")]
    NotReady(String),
    /// The bytes are no such call.
    #[error("the call cannot be read: {0}")]
    Malformed(String),
    /// This node failed.
    #[error("failed: {0}")]
    Failed(String),
}

/// Why a peer refuses a call. Travels between nodes: externally tagged, plain data.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The peer does not accept the proof of the secret, and says no more.
    #[error(
        "the peer does not accept this node's proof of the cluster secret: compare the secret on both nodes"
    )]
    Unproven,
    /// The peer belongs to another cluster, or has none.
    #[error("the peer is not of this node's cluster")]
    WrongCluster,
    /// Another node than the one that was meant listens at the address.
    #[error("another node than the one that is meant listens at that address")]
    WrongNode,
    /// The body is longer than the call may have.
    #[error("the call takes {bytes} bytes, but {limit} at most are allowed")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The longest length.
        limit: u64,
    },
    /// The calling node was removed from the cluster.
    #[error("this node was removed from the cluster")]
    Removed,
    /// The peer cannot answer now.
    #[error("the peer is not ready: {0}")]
    NotReady(String),
    /// The peer cannot read the call, although it was not altered: it may be of another version.
    #[error("the peer cannot read the call: {0}")]
    Malformed(String),
    /// The peer failed.
    #[error("the peer failed: {0}")]
    Failed(String),
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// No connection could be made, or it broke, also the second time. The peer may have got the call if it broke.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time. The peer may have got the call.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The peer answered, and refused.
    #[error(transparent)]
    Refused(Refusal),
    /// Something answered that does not know the secret, or does not speak this protocol.
    #[error("the answer does not come from a node of the cluster: {0}")]
    Malformed(String),
}

// === impl ServiceError ===

impl From<CodecError> for ServiceError {
    fn from(error: CodecError) -> Self {
        Self::Malformed(error.to_string())
    }
}

// === impl Refusal ===

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Removed => Self::Removed,
            ServiceError::NotReady(reason) => Self::NotReady(reason),
            ServiceError::Malformed(reason) => Self::Malformed(reason),
            ServiceError::Failed(reason) => Self::Failed(reason),
        }
    }
}
