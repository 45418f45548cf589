//! The nodes of the cluster and the ids they had: an id is given out once, for ever.
//!
//! Who votes, leads or can be reached is the consensus layer's affair and not known here.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::hex128;
use crate::time::Timestamp;

/// Number of a node, never used for a second one.
pub type NodeId = u64;

/// Most nodes at a time. A cluster of more than a handful of voters only gets slower.
pub const MAX_NODES: usize = 64;

/// Removed nodes that are remembered, so that they are told so when they come back; older ones are forgotten, and
/// are then simply not known. Their ids are never given out again in any case.
pub const MAX_RETIRED: usize = 256;

/// Longest address of a node: a DNS name (253 characters, RFC 1035), a colon and a port.
const MAX_ADDRESS_LENGTH: usize = 259;

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeRecord {
    /// Its id.
    pub id: NodeId,
    /// Host and port under which the other nodes reach it.
    pub address: String,
    /// Random number made with its empty store.
    #[serde(with = "hex128")]
    pub incarnation: u128,
    /// When it was admitted.
    pub admitted_utc: Timestamp,
}

/// All nodes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Nodes {
    /// Highest id that was ever given out; 0 for none.
    highest: NodeId,
    active: BTreeMap<NodeId, NodeRecord>,
    retired: VecDeque<RetiredNode>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RetiredNode {
    id: NodeId,
    #[serde(with = "hex128")]
    incarnation: u128,
}

/// What is known of an incarnation.
pub(super) enum Incarnation<'a> {
    New,
    Active(&'a NodeRecord),
    Retired(NodeId),
}

// === Nodes ===

impl Nodes {
    pub(super) fn active(&self) -> &BTreeMap<NodeId, NodeRecord> {
        &self.active
    }

    pub(super) fn was_removed(&self, id: NodeId) -> bool {
        (1..=self.highest).contains(&id) && !self.active.contains_key(&id)
    }

    pub(super) fn has_removed(&self) -> bool {
        !self.retired.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.active.len() >= MAX_NODES
    }

    /// The id for the next new node.
    pub(super) fn next_id(&self) -> NodeId {
        self.highest.saturating_add(1)
    }

    pub(super) fn incarnation(&self, incarnation: u128) -> Incarnation<'_> {
        if let Some(node) = self.active.values().find(|node| node.incarnation == incarnation) {
            return Incarnation::Active(node);
        }
        match self.retired.iter().find(|node| node.incarnation == incarnation) {
            Some(node) => Incarnation::Retired(node.id),
            None => Incarnation::New,
        }
    }

    /// Adds a node, or replaces the record of the same id.
    pub(super) fn put(&mut self, node: NodeRecord) {
        self.highest = self.highest.max(node.id);
        self.active.insert(node.id, node);
    }

    /// Strikes a node off; answers what was known of it.
    pub(super) fn retire(&mut self, id: NodeId) -> Option<NodeRecord> {
        let node = self.active.remove(&id)?;
        if self.retired.len() >= MAX_RETIRED {
            self.retired.pop_front();
        }
        self.retired.push_back(RetiredNode { id, incarnation: node.incarnation });
        Some(node)
    }

    /// Why these nodes cannot be; none if they can.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if self.active.iter().any(|(id, node)| *id != node.id || *id > self.highest) {
            Some("a node has an id that was not given to it")
        } else if self.active.len() > MAX_NODES || self.retired.len() > MAX_RETIRED {
            Some("there are more nodes than can be")
        } else {
            None
        }
    }
}

/// What is wrong with the address of a node; none if nothing is.
pub(super) fn address_fault(address: &str) -> Option<&'static str> {
    if address.is_empty() {
        Some("Address must not be empty: give the host and port under which the other nodes reach this one")
    } else if address.len() > MAX_ADDRESS_LENGTH {
        Some("Address is too long: give HOST:PORT")
    } else if address.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Some("Address must not contain spaces or control characters: give HOST:PORT")
    } else {
        None
    }
}
