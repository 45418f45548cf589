//! What a frontend requires after its clients have changed models: in the catalog of the whole cluster, so that all nodes
//! know, and whoever sees to required models does not undo it.

use std::sync::Arc;
use std::time::Duration;

use ollamaflow_protocol::cluster::{ClusterState, Command, Precondition, Rejection};
use ollamaflow_protocol::id::FrontendId;
use ollamaflow_protocol::model::same_model;
use ollamaflow_protocol::models::wishes::{TooManyWishes, with_wish, without_wish};
use ollamaflow_protocol::object::Frontend;

use super::Managing;
use crate::actors::FrontendHandle;
use crate::cluster::{Cluster, ClusterError, Contention};

/// The longest pause after the first lost attempt; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Under which name such changes are in the history.
const BY: &str = "clients";

/// The wishes of one frontend.
pub(super) struct Wishes {
    cluster: Cluster,
    frontend: FrontendId,
    /// What its backends have.
    handle: Arc<FrontendHandle>,
}

/// Why the wishes stay as they are.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway) enum WishError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    TooMany(#[from] TooManyWishes),
    #[error("frontend '{0}' is changed all the time by others")]
    Contended(FrontendId),
}

// === impl Managing ===

impl Managing<'_> {
    /// The wishes of the frontend.
    pub(super) fn wishes(self) -> Wishes {
        Wishes {
            cluster: self.gateway.cluster.clone(),
            frontend: self.admitted.config.identifier.clone(),
            handle: Arc::clone(&self.admitted.frontend),
        }
    }
}

// === impl Wishes ===

impl Wishes {
    /// The frontend requires the model from now on.
    pub(super) async fn remember(&self, model: &str) -> Result<(), WishError> {
        let state = self.cluster.state();
        self.change(state, |frontend| with_wish(frontend, model)).await
    }

    /// The frontend does not require the model any more, nor anything that only this model grants.
    pub(super) async fn forget(&self, model: &str) -> Result<(), WishError> {
        let is_granted = |wish: &str| {
            self.handle.view().backends().any(|(_, view)| {
                let mut granting = view.disk().into_iter().flat_map(|disk| disk.satisfying(wish));
                granting.any(|other| !same_model(&other.name, model))
            })
        };
        // What this node has applied may be old: a wish that it does not know of would undo the deletion.
        let state = self.cluster.linearizable().await?;
        self.change(state, |frontend| Ok(without_wish(frontend, model, is_granted))).await
    }

    /// Makes the change that `plan` derives from the frontend, if it derives one. It gets a newer one if that was changed
    /// meanwhile.
    async fn change(
        &self,
        mut state: ClusterState,
        plan: impl Fn(&Frontend) -> Result<Option<Frontend>, TooManyWishes>,
    ) -> Result<(), WishError> {
        let mut contention = Contention::pausing(FIRST_PAUSE);
        loop {
            // Without the frontend nobody requires anything.
            let Some(frontend) = state.catalog().frontends.get(&self.frontend) else { return Ok(()) };
            let Some(changed) = plan(frontend)? else { return Ok(()) };
            let expect = Precondition::Revision(frontend.revision);
            let command = Command::PutFrontend { frontend: Box::new(changed), expect };
            match self.cluster.propose(BY, command).await {
                Ok(_) => return Ok(()),
                Err(ClusterError::Rejected(Rejection::PreconditionFailed { .. })) => {
                    if !contention.lose().await {
                        return Err(WishError::Contended(self.frontend.clone()));
                    }
                    state = self.cluster.linearizable().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
