//! What is read of a backend, as others ask for it and as its actor publishes it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ollamaflow_protocol::models::inventory::{Disk, Memory};
use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::time::Timestamp;

use super::super::capabilities::Claim;
use super::super::refresh::Covering;
use super::{BackendHandle, Look};

impl BackendHandle {
    /// Has the backend's models on disk and in memory read anew, and returns when that is published: after a change that
    /// this node has made. Returns whether a newer inventory of the disk is there: the backend may not answer, or not
    /// within 10 seconds. Many who ask at once cost two readings at most.
    pub async fn refresh_inventory(&self) -> bool {
        self.refreshes
            .ask(|| self.actor.load().as_ref().is_some_and(|actor| actor.try_tell(Look::Anew)))
            .await
    }

    /// Waits until the models of the backend were read for the first time: for `patience` at most, and not at all if it
    /// is down or has just failed to tell them.
    pub async fn first_inventory(&self, patience: Duration) {
        let is_hopeless = {
            let view = self.view();
            view.disk().is_some() || (view.has_verdict && !view.health.is_healthy())
        };
        let patience = self.refreshes.patience(patience, Instant::now());
        if !is_hopeless && !patience.is_zero() {
            // Whatever comes of it is in the view.
            let _ = actix_rt::time::timeout(patience, self.refresh_inventory()).await;
        }
    }

    /// Waits until the published memory has what requests of this node have loaded: for `patience` at most, and not at
    /// all if it does.
    pub async fn settled_memory(&self, patience: Duration) {
        let is_behind = self.loads.load(Ordering::Acquire) > self.loads_seen.load(Ordering::Acquire);
        if is_behind && self.view().health.is_healthy() {
            // Whatever comes of it is in the view.
            let _ = actix_rt::time::timeout(patience, self.refresh_inventory()).await;
        }
    }

    /// Nobody reads the backend any more: whoever waits for it need not.
    pub(super) fn abandon_readings(&self) {
        let now = Instant::now();
        self.refreshes.end(self.refreshes.begin(now), false, now);
    }

    // --- the actor's side

    pub(in crate::actors::backend) fn publish_disk(&self, disk: Arc<Disk>) {
        self.update(|view| view.take_disk(disk));
    }

    pub(in crate::actors::backend) fn publish_memory(&self, memory: Arc<Memory>, at: Timestamp) {
        self.update(|view| view.take_memory(memory, at));
    }

    /// How often requests have changed what is in memory, by now.
    pub(in crate::actors::backend) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Acquire)
    }

    /// The published memory has seen so many of the changes.
    pub(in crate::actors::backend) fn saw_loads(&self, loads: u64) {
        self.loads_seen.fetch_max(loads, Ordering::AcqRel);
    }

    /// The memory of a backend whose list of models is that as well has not changed.
    pub(in crate::actors::backend) fn confirm_memory(&self, format: ApiFormat, at: Timestamp) {
        let memory = self.view.load().memory().filter(|_| format == ApiFormat::OpenAI).cloned();
        if let Some(memory) = memory {
            self.publish_memory(memory, at);
        }
    }

    /// Models whose capabilities are to be asked for now, see [`KnownCapabilities::claim`]; `None` without any.
    pub(in crate::actors::backend) fn claim_capabilities(&self, most: usize, turn: usize) -> Option<Claim> {
        let view = self.view.load();
        let claim = view.claim_capabilities(most, turn)?;
        (!claim.models().is_empty()).then_some(claim)
    }

    /// The actor has been told that somebody waits for a reading.
    pub(in crate::actors::backend) fn heard_of_reading(&self) {
        self.refreshes.heard();
    }

    pub(in crate::actors::backend) fn begin_reading(&self, now: Instant) -> Covering {
        self.refreshes.begin(now)
    }

    pub(in crate::actors::backend) fn end_reading(&self, covering: Covering, published: bool, now: Instant) {
        self.refreshes.end(covering, published, now);
    }
}
