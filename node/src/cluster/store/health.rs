//! Whether the store works. The first failure stands until the process ends: after a failed write or flush nobody
//! knows what is on the disk, so nothing is ever written or confirmed again.

use std::sync::Arc;

use tokio::sync::watch;

use super::error::StoreError;

/// Whether the store works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Good,
    /// It does not, and will not before a restart.
    Failed {
        /// A sentence on what happened and what to do.
        reason: Arc<str>,
    },
}

/// The one place that holds the [`Health`]. Clones share it.
#[derive(Clone)]
pub(super) struct Alarm(Arc<watch::Sender<Health>>);

// === Alarm ===

impl Alarm {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Health::Good)))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Health> {
        self.0.subscribe()
    }

    /// Refuses if there was a failure.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match &*self.0.borrow() {
            Health::Good => Ok(()),
            Health::Failed { reason } => Err(StoreError::Failed { reason: Arc::clone(reason) }),
        }
    }

    /// Notes a failure, unless one stands already. Answers the one that stands.
    pub(super) fn raise(&self, error: &StoreError) -> StoreError {
        let mut standing = Arc::from(error.to_string());
        let raised = self.0.send_if_modified(|health| match health {
            Health::Good => {
                *health = Health::Failed { reason: Arc::clone(&standing) };
                true
            }
            Health::Failed { reason } => {
                standing = Arc::clone(reason);
                false
            }
        });
        if raised {
            tracing::error!(reason = %standing, "the cluster's store failed: this node steps aside");
        }
        StoreError::Failed { reason: standing }
    }

    /// Passes a success on and notes a failure.
    pub(super) fn watch<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.map_err(|error| self.raise(&error))
    }
}
