//! Whose data this is. A disk that was wiped is a new node, and a disk that was swapped is refused.

use std::fmt;

use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::id::ClusterId;
use serde::{Deserialize, Serialize};

use super::database::Database;
use super::error::StoreError;
use super::keys::single;
use super::marker::Marker;
use crate::random;

/// Whose data this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Random number, made with the empty store.
    pub incarnation: u128,
    /// The node that it was given to; none as long as the node has no cluster.
    pub claim: Option<Claim>,
}

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node's id in it.
    pub node: NodeId,
}

/// A claim on the disk.
#[derive(Serialize, Deserialize)]
struct StoredClaim {
    cluster: String,
    node: NodeId,
}

// === Identity ===

impl Identity {
    /// Reads the identity of an open database, or makes one if the database is new.
    pub(super) fn load(database: &Database, marker: Option<Marker>) -> Result<Self, StoreError> {
        let stored: Option<u128> = database.single(single::INCARNATION)?;
        let incarnation = match (stored, marker) {
            (Some(stored), Some(marker)) if stored == marker.incarnation => stored,
            (Some(_), Some(_)) => {
                return Err(database.damaged("its files belong to two different nodes"));
            }
            // The last step of making the store was not reached.
            (Some(stored), None) => {
                Marker { incarnation: stored }.write(database.path())?;
                stored
            }
            (None, Some(_)) => {
                return Err(database.damaged("it was in use, but its database is empty now"));
            }
            (None, None) if database.is_blank()? => Self::make(database)?,
            (None, None) => return Err(database.damaged("it has data but does not say whose")),
        };
        let claim = match database.single::<StoredClaim>(single::CLAIM)? {
            Some(stored) => Some(stored.read().ok_or_else(|| database.damaged("the cluster has no name"))?),
            None => None,
        };
        Ok(Self { incarnation, claim })
    }

    fn make(database: &Database) -> Result<u128, StoreError> {
        let path = || database.path().to_owned();
        let incarnation =
            random::number().map_err(|source| StoreError::Directory { path: path(), source })?;
        database.put_single(single::INCARNATION, &incarnation)?;
        database.sync()?;
        Marker { incarnation }.write(database.path())?;
        Ok(incarnation)
    }

    /// Gives the store to a node, durably, unless another one has it.
    pub(super) fn claim(&mut self, database: &Database, claim: Claim) -> Result<(), StoreError> {
        match &self.claim {
            Some(stored) if *stored == claim => Ok(()),
            Some(stored) => Err(StoreError::Claimed {
                path: database.path().to_owned(),
                stored: stored.clone(),
                asked: claim,
            }),
            None => {
                database.put_single(single::CLAIM, &StoredClaim::of(&claim))?;
                database.sync()?;
                self.claim = Some(claim);
                Ok(())
            }
        }
    }
}

// === Claim ===

impl fmt::Display for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "node {} of cluster {}", self.node, self.cluster)
    }
}

impl StoredClaim {
    fn of(claim: &Claim) -> Self {
        Self { cluster: claim.cluster.to_string(), node: claim.node }
    }

    fn read(self) -> Option<Claim> {
        Some(Claim { cluster: self.cluster.parse().ok()?, node: self.node })
    }
}
