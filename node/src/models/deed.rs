//! One action from its claim to its end.

use std::sync::Arc;
use std::time::Duration;

use ollamaflow_protocol::cluster::{Crowd, WorkEnd, WorkFailure, WorkKey};
use ollamaflow_protocol::model::canonical;
use ollamaflow_protocol::models::desired::{Action, ActionKind, Limits, crowd, crowded, failure};
use ollamaflow_protocol::models::inventory::{LoadedModel, Memory};
use ollamaflow_protocol::object::Backend;
use tokio::sync::watch;

use super::call;
use super::claim::{Claim, ClaimError, Claims, Holding, LeaseLost};
use super::hearing::Hearing;
use super::load::Load;
use super::outlook::is_wanted;
use crate::actors::{BackendHandle, Directory};
use crate::clock::now;
use crate::cluster::Cluster;

/// How often the inventory is read after an action, until it shows what was done.
const READINGS: u32 = 3;
/// Pause between two readings.
const READING_PAUSE: Duration = Duration::from_millis(500);

/// Why a model that is in memory is to be kept there anew later.
const BRIEFLY: &str = "the model is in memory, but leaves it earlier than it was told to: a client or the engine's settings say so";

/// Why a load may have to be made again.
const UNSEEN: &str =
    "the backend told of a success, but it could not be read whether the model stays in memory";

/// What deeds work with.
#[derive(Clone)]
pub(super) struct Doer {
    pub(super) cluster: Cluster,
    pub(super) directory: Arc<Directory>,
    pub(super) claims: Claims,
    pub(super) hearing: Arc<Hearing>,
}

/// How an action was done.
enum Done {
    /// As it should be.
    Well,
    /// It was to be kept as it was, and is.
    Kept,
    /// At the cost of others in memory.
    Crowding(Crowd),
    /// The model was to be kept in memory and is there, but is to leave so soon that this would have to be done at once again.
    Briefly,
}

// === impl Doer ===

impl Doer {
    /// Does `action`, unless somebody else does it; gives it up when `stopping` says so.
    pub(super) async fn perform(&self, action: &Action, mut stopping: watch::Receiver<bool>) {
        let Action { backend, kind, model } = action;
        let verb = verb(*kind);
        let claim = match self.claims.claim(backend, *kind, model).await {
            Ok(claim) => claim,
            Err(held @ ClaimError::Held { .. }) => {
                return tracing::debug!(%backend, model, reason = %held, "{verb} is left to another");
            }
            Err(error) => {
                return tracing::warn!(%backend, model, %error, "{verb} could not be begun");
            }
        };
        let Some(handle) = self.directory.backend(backend) else {
            return claim.release(WorkEnd::Abandoned).await;
        };
        tracing::info!(%backend, model, "{verb} begins");
        let config = handle.view().config.clone();
        let holding = claim.holding();
        let deed = claim.during(self.carry_out(action, &config, &handle, &holding));
        let ended = tokio::select! {
            // The plan was made before the claim: what is unwanted by now is not begun at all.
            biased;
            () = self.until_unwanted(action) => {
                tracing::info!(%backend, model, "{verb} is given up: no frontend wants it any more");
                return claim.release(WorkEnd::Abandoned).await;
            }
            _ = stopping.wait_for(|stopping| *stopping) => {
                tracing::info!(%backend, model, "{verb} is given up: the node stops");
                return claim.release(WorkEnd::Abandoned).await;
            }
            ended = deed => ended,
        };
        match ended {
            Err(lost @ LeaseLost) => tracing::warn!(%backend, model, reason = %lost, "{verb} was given up"),
            Ok(Ok(done)) => {
                tracing::info!(%backend, model, "{verb} has ended");
                let end = self.end_of(&claim, done);
                claim.release(end).await;
            }
            Ok(Err(message)) => self.fail(claim, &handle, &message, action).await,
        }
    }

    /// Waits until no frontend wants what the action does, as this node knows it. Whoever ends a wish and then sees no
    /// claim that was made before can rely on it: the claims that come later are given up here.
    async fn until_unwanted(&self, action: &Action) {
        let mut states = self.cluster.subscribe();
        let mut seen = None;
        loop {
            let state = states.borrow_and_update().state.clone();
            // Works come and go without a change of the catalog.
            if seen.replace(state.catalog_revision()) != Some(state.catalog_revision())
                && !is_wanted(action, state.catalog())
            {
                return;
            }
            if states.changed().await.is_err() {
                // The cluster has ended, and `stopping` says so.
                return std::future::pending().await;
            }
        }
    }

    async fn fail(&self, claim: Claim, handle: &BackendHandle, message: &str, action: &Action) {
        let state = self.cluster.state();
        let before = self.former(&claim).map(|failure| failure.attempts);
        let disk = handle.view().disk().cloned();
        let failed = failure(
            before.unwrap_or_default(),
            message,
            disk.as_deref(),
            state.catalog_revision(),
            now(),
            fastrand::u64(..),
        );
        tracing::warn!(
            backend = %action.backend,
            model = action.model,
            reason = message,
            attempts = failed.attempts,
            kind = ?failed.why,
            "{} failed",
            verb(action.kind)
        );
        claim.release(WorkEnd::Failed(failed)).await;
    }

    /// How the work had failed before, as all nodes know it.
    fn former(&self, claim: &Claim) -> Option<WorkFailure> {
        self.cluster.state().work(claim.key())?.failure.clone()
    }

    /// What the others are to know of it. That a model has cost others their place is not forgotten while it is only kept.
    fn end_of(&self, claim: &Claim, done: Done) -> WorkEnd {
        let former = self.former(claim);
        let is_crowding = former.as_ref().is_some_and(|failure| failure.crowd.is_some());
        match done {
            Done::Kept if is_crowding => WorkEnd::Abandoned,
            Done::Well | Done::Kept => WorkEnd::Done,
            Done::Crowding(crowd) => {
                let before = former.map_or(0, |failure| failure.attempts);
                let revision = self.cluster.state().catalog_revision();
                let crowded = crowded(before, crowd, revision, now(), fastrand::u64(..));
                let WorkKey { backend, model, .. } = claim.key();
                tracing::warn!(%backend, model, reason = crowded.message, "models to be in memory do not fit there");
                WorkEnd::Failed(crowded)
            }
            Done::Briefly => {
                // Always the wait of a first failure: with a longer one each time a model would be missed for as long once
                // nobody asks for it any more. Where it has cost others their place, the next try may do so again.
                let before = former.filter(|_| is_crowding).map_or(0, |failure| failure.attempts);
                let revision = self.cluster.state().catalog_revision();
                WorkEnd::Failed(failure(before, BRIEFLY, None, revision, now(), fastrand::u64(..)))
            }
        }
    }

    /// Does it, and sees for itself that it was done.
    async fn carry_out(
        &self,
        action: &Action,
        config: &Backend,
        handle: &BackendHandle,
        holding: &Holding,
    ) -> Result<Done, String> {
        let model = action.model.as_str();
        // Somebody else's work may have come and gone between two looks at the state: the plan did not know of it. What a
        // load is for, the engine forgets by itself.
        let is_read = handle.refresh_inventory().await;
        if action.kind != ActionKind::Load && is_read && shows(action, handle) {
            return Ok(Done::Well);
        }
        let before = handle.view().memory().cloned().filter(|_| is_read);
        let loaded = before.as_ref().and_then(|memory| memory.find(&canonical(model)));
        match action.kind {
            ActionKind::Pull => call::pull(config, model, holding).await?,
            ActionKind::Load => {
                let load = Load::of(action, self.cluster.state().catalog(), loaded);
                call::load(config, model, &load).await?;
            }
            ActionKind::Delete => call::delete(config, model).await?,
        }
        let done_at = now();
        for reading in 0..READINGS {
            if reading > 0 {
                actix_rt::time::sleep(READING_PAUSE).await;
            }
            if handle.refresh_inventory().await && shows(action, handle) {
                return Ok(if action.kind == ActionKind::Load {
                    how_loaded(before.as_deref(), loaded.is_some(), handle)
                } else {
                    Done::Well
                });
            }
        }
        if action.kind != ActionKind::Load {
            return Err(not_shown(action.kind));
        }
        let is_seen = handle.view().memory_read_at().is_some_and(|at| at >= done_at);
        match in_memory(action, handle) {
            _ if !is_seen => Err(UNSEEN.to_owned()),
            None => Err(not_shown(action.kind)),
            Some(_) if loaded.is_some() => Ok(Done::Briefly),
            // Whether others had to leave for it is not looked into: it is tried again later each time.
            Some(_) => Err(BRIEFLY.to_owned()),
        }
    }
}

/// How a load was done, after which the model is in memory.
fn how_loaded(before: Option<&Memory>, was_loaded: bool, handle: &BackendHandle) -> Done {
    if was_loaded {
        return Done::Kept;
    }
    let view = handle.view();
    let crowd = before.zip(view.memory()).and_then(|(before, after)| crowd(before, after, now()));
    crowd.map_or(Done::Well, Done::Crowding)
}

/// What is wrong if the inventory does not show what was done.
fn not_shown(kind: ActionKind) -> String {
    match kind {
        ActionKind::Pull => "the backend told of a success, but does not list the model".to_owned(),
        ActionKind::Load => {
            "the backend told of a success, but the model does not stay in memory: others take its place"
                .to_owned()
        }
        ActionKind::Delete => "the backend told of a success, but still lists the model".to_owned(),
    }
}

/// Whether the inventory shows that the action was done.
fn shows(action: &Action, handle: &BackendHandle) -> bool {
    let name = canonical(&action.model);
    let view = handle.view();
    match action.kind {
        ActionKind::Pull => view.disk().is_some_and(|disk| disk.find(&name).is_some()),
        // Long enough that it is not to be kept there anew at once, or one load would follow the other.
        ActionKind::Load => in_memory(action, handle).is_some_and(|loaded| {
            let left = loaded.expires_at.map(|expires| expires.since(now()));
            left.is_none_or(|left| left > Limits::default().refresh_before)
        }),
        ActionKind::Delete => view.disk().is_some_and(|disk| disk.find(&name).is_none()),
    }
}

/// The action's model as the inventory shows it in memory.
fn in_memory(action: &Action, handle: &BackendHandle) -> Option<LoadedModel> {
    handle.view().memory()?.find(&canonical(&action.model)).cloned()
}

fn verb(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Pull => "the pull of a model",
        ActionKind::Load => "the load of a model",
        ActionKind::Delete => "the deletion of a model",
    }
}
