//! Commands on admin tokens and nodes.

use std::sync::Arc;

use super::ClusterState;
use super::apply::Entering;
use crate::cluster::command::Precondition;
use crate::cluster::history::{ChangeKind, Event};
use crate::cluster::nodes::{Incarnation, MAX_NODES, NodeId, NodeRecord, Nodes, address_fault};
use crate::cluster::outcome::{ObjectKind, ObjectRef, Outcome};
use crate::cluster::rejection::Rejection;
use crate::cluster::token::{MAX_TOKENS, Token, TokenHash};
use crate::id::TokenName;
use crate::time::Timestamp;

// === tokens ===

impl ClusterState {
    pub(super) fn put_token(
        &self,
        entering: Entering<'_>,
        name: &TokenName,
        hash: TokenHash,
        expect: Precondition,
    ) -> Result<(Self, Outcome), Rejection> {
        let object = ObjectRef::new(ObjectKind::Token, name);
        let stored = self.tokens.get(name);
        expect.check(&object, stored.map(|stored| stored.revision))?;
        let at = entering.envelope.at;
        let (action, outcome, created_utc) = match stored {
            Some(stored) if stored.hash == hash => return Ok((self.clone(), Outcome::Unchanged)),
            Some(stored) => (ChangeKind::Update, Outcome::Updated, stored.created_utc),
            None if self.tokens.len() >= MAX_TOKENS => {
                return Err(Rejection::TooMany { kind: ObjectKind::Token, limit: MAX_TOKENS as u64 });
            }
            None => (ChangeKind::Create, Outcome::Created, at),
        };
        let what = match action {
            ChangeKind::Create => format!("created {object}"),
            _ => format!("gave {object} a new secret"),
        };
        let mut next = self.with_event(entering, Event { action, object, what });
        let revision = next.revision;
        let token = Token { name: name.clone(), hash, created_utc, last_update_utc: at, revision };
        Arc::make_mut(&mut next.tokens).insert(name.clone(), token);
        Ok((next, outcome))
    }

    pub(super) fn delete_token(
        &self,
        entering: Entering<'_>,
        name: &TokenName,
    ) -> Result<(Self, Outcome), Rejection> {
        let object = ObjectRef::new(ObjectKind::Token, name);
        if !self.tokens.contains_key(name) {
            return Err(Rejection::NotFound { object });
        }
        let what = format!("revoked {object}");
        let mut next = self.with_event(entering, Event { action: ChangeKind::Delete, object, what });
        Arc::make_mut(&mut next.tokens).remove(name);
        Ok((next, Outcome::Deleted { unlinked: 0 }))
    }
}

// === nodes ===

impl ClusterState {
    pub(super) fn allocate_node(
        &self,
        entering: Entering<'_>,
        address: &str,
        incarnation: u128,
    ) -> Result<(Self, Outcome), Rejection> {
        let at = entering.envelope.at;
        let mut nodes = Nodes::clone(&self.nodes);
        let (id, action, what) = match self.nodes.incarnation(incarnation) {
            Incarnation::Retired(id) => return Err(Rejection::NodeRetired { id }),
            Incarnation::Active(node) if node.address == address => {
                return Ok((self.clone(), Outcome::NodeAllocated { id: node.id }));
            }
            Incarnation::Active(node) => {
                checked_address(node.id, address)?;
                nodes.put(NodeRecord { address: address.to_owned(), ..node.clone() });
                (node.id, ChangeKind::Update, format!("node {} moved to {address}", node.id))
            }
            Incarnation::New => {
                let id = self.nodes.next_id();
                Self::admit(&mut nodes, id, address, incarnation, at)?;
                (id, ChangeKind::Create, format!("admitted node {id} at {address}"))
            }
        };
        let object = ObjectRef::new(ObjectKind::Node, &id);
        let mut next = self.with_event(entering, Event { action, object, what });
        next.nodes = Arc::new(nodes);
        Ok((next, Outcome::NodeAllocated { id }))
    }

    pub(super) fn retire_node(
        &self,
        entering: Entering<'_>,
        id: NodeId,
    ) -> Result<(Self, Outcome), Rejection> {
        let object = ObjectRef::new(ObjectKind::Node, &id);
        let mut nodes = Nodes::clone(&self.nodes);
        let Some(node) = nodes.retire(id) else { return Err(Rejection::NotFound { object }) };
        let what = format!("removed {object} at {}", node.address);
        let mut next = self.with_event(entering, Event { action: ChangeKind::Delete, object, what });
        next.nodes = Arc::new(nodes);
        Ok((next, Outcome::NodeRetired))
    }

    /// Adds a node under an id that is new.
    pub(super) fn admit(
        nodes: &mut Nodes,
        id: NodeId,
        address: &str,
        incarnation: u128,
        at: Timestamp,
    ) -> Result<(), Rejection> {
        checked_address(id, address)?;
        let known = !matches!(nodes.incarnation(incarnation), Incarnation::New);
        if known || nodes.active().contains_key(&id) {
            return Err(Rejection::Exists { object: ObjectRef::new(ObjectKind::Node, &id) });
        }
        if nodes.is_full() {
            return Err(Rejection::TooMany { kind: ObjectKind::Node, limit: MAX_NODES as u64 });
        }
        nodes.put(NodeRecord { id, address: address.to_owned(), incarnation, admitted_utc: at });
        Ok(())
    }
}

fn checked_address(id: NodeId, address: &str) -> Result<(), Rejection> {
    match address_fault(address) {
        None => Ok(()),
        Some(fault) => Err(Rejection::Invalid {
            object: ObjectRef::new(ObjectKind::Node, &id),
            message: fault.to_owned(),
        }),
    }
}
