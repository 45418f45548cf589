//! One step of a roll: a backend drains, pulls the newer version, and takes requests again.
//!
//! All that is done is told to the log under the claim to pull the model there. So whoever leads next goes on with a step
//! whose node has died, and the backend takes requests again in the same entry that ends the step.

use std::time::{Duration, Instant};

use ollamaflow_protocol::cluster::{ClusterState, Command, Roll, RollPhase, RollStep, WorkEnd};
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::models::desired::ActionKind;
use tokio::sync::watch;

use super::call;
use super::claim::{BY_ITSELF, Claim};
use super::deed::Doer;
use super::outlook::Outlook;
use crate::actors::BackendHandle;
use crate::clock::now;
use crate::cluster::ClusterError;

/// How often the end of a step is told before it is left to the next leader.
const TRIES: u32 = 5;
/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// How a step ends.
enum End {
    Done(Option<String>),
    Skipped(String),
    Failed(String),
    /// It cannot begin yet.
    Waits,
}

// === impl Doer ===

impl Doer {
    /// Does the step of a roll at `backend`, or goes on with it; leaves it to the next leader when the cluster cannot be
    /// told of it.
    pub(super) async fn roll(&self, roll: &Roll, backend: &BackendId, mut stopping: watch::Receiver<bool>) {
        let claim = match self.claims.claim(backend, ActionKind::Pull, &roll.name).await {
            Ok(claim) => claim,
            Err(error) => return tracing::debug!(%backend, %error, "a step of a roll waits"),
        };
        let ended = tokio::select! {
            ended = claim.during(self.step(&claim, roll, backend)) => ended,
            _ = stopping.wait_for(|stopping| *stopping) => {
                return claim.release(WorkEnd::Abandoned).await;
            }
        };
        match ended {
            Err(reason) => {
                tracing::warn!(%backend, model = roll.name, %reason, "a step of a roll was given up");
            }
            Ok(Err(error)) => {
                tracing::warn!(%backend, model = roll.name, %error, "a step of a roll is left for later");
                claim.release(WorkEnd::Abandoned).await;
            }
            Ok(Ok(End::Waits)) => claim.release(WorkEnd::Abandoned).await,
            Ok(Ok(end)) => {
                self.end_step(&claim, roll, end).await;
                claim.release(WorkEnd::Done).await;
            }
        }
    }

    async fn step(&self, claim: &Claim, roll: &Roll, backend: &BackendId) -> Result<End, ClusterError> {
        let state = self.cluster.state();
        let Some(handle) = self.directory.backend(backend) else {
            return Ok(End::Skipped("the backend is gone".to_owned()));
        };
        let phase = step_of(&state, roll, backend).map(|step| step.phase);
        if phase.is_none_or(RollPhase::has_ended) {
            return Ok(End::Skipped("it has ended".to_owned()));
        }
        if phase == Some(RollPhase::Waiting) {
            // Both may have looked before the other one was claimed.
            if state.roll_before(roll, |key| state.is_held(key)).is_some() {
                return Ok(End::Waits);
            }
            let outlook = Outlook::new(&state, &self.directory, now());
            if let Some(why) = outlook.lack(backend, &roll.model) {
                return Ok(End::Skipped(why));
            }
            if !roll.force && !outlook.is_dispensable(backend, &roll.model, state.catalog()) {
                let why = "a frontend has no other backend with the model that takes requests: force=true updates it all the same";
                return Ok(End::Skipped(why.to_owned()));
            }
        }
        tracing::info!(%backend, model = roll.name, "a backend drains for a newer version of a model");
        self.tell(claim, RollPhase::Draining, None).await?;
        if !self.drained(roll, backend).await {
            tracing::warn!(%backend, model = roll.name, "requests are still in flight after the longest wait");
        }
        self.tell(claim, RollPhase::Pulling, None).await?;
        let config = handle.view().config.clone();
        if let Err(message) = call::pull(&config, &roll.name, &claim.holding()).await {
            return Ok(End::Failed(message));
        }
        handle.refresh_inventory().await;
        let view = handle.view();
        let digest = view.disk().and_then(|disk| disk.find(&roll.model)?.digest.clone());
        Ok(End::Done(digest))
    }

    /// Waits until no node has requests in flight there; false if that takes too long. A node that has been silent for a while
    /// cannot tell, and is not waited for.
    async fn drained(&self, roll: &Roll, backend: &BackendId) -> bool {
        let longest = Duration::from_millis(roll.drain_ms);
        let deadline = Instant::now().checked_add(longest).unwrap_or_else(Instant::now);
        let mut states = self.cluster.subscribe();
        loop {
            let is_drained = {
                let newest = states.borrow_and_update();
                let step = step_of(&newest.state, roll, backend);
                let is_free = |step: &RollStep, node| {
                    step.drained.contains(node) || self.hearing.is_silent(*node, Instant::now())
                };
                step.is_none_or(|step| newest.state.nodes().keys().all(|node| is_free(step, node)))
            };
            if is_drained {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            // Silence changes no state.
            if let Ok(Err(_)) = tokio::time::timeout(left.min(PAUSE), states.changed()).await {
                return false;
            }
        }
    }

    async fn end_step(&self, claim: &Claim, roll: &Roll, end: End) {
        let (phase, detail) = match end {
            End::Done(digest) => (RollPhase::Done, digest),
            End::Skipped(why) => (RollPhase::Skipped, Some(why)),
            End::Failed(why) => (RollPhase::Failed, Some(why)),
            End::Waits => return,
        };
        let backend = &claim.key().backend;
        tracing::info!(%backend, model = roll.name, ?phase, ?detail, "a step of a roll has ended");
        for _ in 0..TRIES {
            match self.tell(claim, phase, detail.clone()).await {
                Err(error) if error.retry_after().is_some() => actix_rt::time::sleep(PAUSE).await,
                Ok(()) | Err(_) => return,
            }
        }
    }

    async fn tell(
        &self,
        claim: &Claim,
        phase: RollPhase,
        detail: Option<String>,
    ) -> Result<(), ClusterError> {
        let (key, token) = (claim.key().clone(), claim.token());
        let command = Command::AdvanceRoll { key, token, phase, detail };
        self.cluster.propose(BY_ITSELF, command).await.map(drop)
    }

    /// Tells that this node has no requests in flight any more where a roll waits for that.
    pub(super) async fn tell_drained(&self, model: String, backend: BackendId) {
        let Some(node) = self.cluster.node_id() else { return };
        let command = Command::TellDrained { model, backend, node };
        if let Err(error) = self.cluster.propose(BY_ITSELF, command).await {
            tracing::debug!(%error, "nobody could be told that a backend has drained");
        }
    }

    /// The steps that wait for this node, which has nothing in flight there any more.
    pub(super) fn drained_here(&self, state: &ClusterState) -> Vec<(String, BackendId)> {
        // Who is not in the list of nodes is not waited for.
        let own = self.cluster.node_id().filter(|node| state.nodes().contains_key(node));
        let Some(node) = own else { return Vec::new() };
        let is_idle =
            |handle: &BackendHandle| !handle.view().config.takes_requests() && handle.in_flight() == 0;
        let waits = |step: &&RollStep| step.phase == RollPhase::Draining && !step.drained.contains(&node);
        let steps = state.rolls().filter_map(|roll| Some((roll, roll.next().filter(waits)?)));
        steps
            .filter(|(_, step)| self.directory.backend(&step.backend).is_some_and(|it| is_idle(&it)))
            .map(|(roll, step)| (roll.model.clone(), step.backend.clone()))
            .collect()
    }
}

/// The step as it is now; none if the roll was replaced by a later one or has lost its backend.
fn step_of<'s>(state: &'s ClusterState, roll: &Roll, backend: &BackendId) -> Option<&'s RollStep> {
    state.roll(&roll.model).filter(|known| known.begun_utc == roll.begun_utc)?.step(backend)
}
