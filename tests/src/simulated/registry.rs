//! The registry that simulated backends pull from. Backends which are given the same one see the same models, versions and
//! faults. It has every model anybody asks for, unless told otherwise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::library::{Manifest, ModelSpec, Pace, canonical};

/// How pulls of a model go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullFault {
    /// There is no such model.
    NotFound,
    /// The registry answers 503 instead of the manifest.
    Unavailable,
    /// The disk of the backend is full in the middle of the largest layer.
    DiskFull,
    /// The connection to the registry breaks in the middle of the largest layer, more often than is tried again.
    Cut,
    /// Nothing comes any more from the middle of the largest layer on, until the fault is gone.
    Stall,
}

/// A registry. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Told of each change, for the downloads that wait for one.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// By canonical name.
    models: BTreeMap<String, ModelSpec>,
    faults: BTreeMap<String, ArmedFault>,
    paces: BTreeMap<String, Pace>,
}

#[derive(Clone, Copy, Debug)]
struct ArmedFault {
    fault: PullFault,
    /// Pulls it still strikes; none for all.
    times: Option<u64>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { inner: Arc::new(Inner { state: Mutex::default(), changes: watch::Sender::new(()) }) }
    }
}

impl PartialEq for Registry {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Registry {
    /// A registry which has every model, in its first version.
    pub fn new() -> Self {
        Self::default()
    }

    /// Publishes a model, in place of what it had under the name.
    pub fn publish(&self, model: impl Into<ModelSpec>) {
        let model = model.into();
        self.change(|state| state.models.insert(canonical(&model.name), model));
    }

    /// Publishes a new version of a model: its digest is another one from now on. Gives the version.
    pub fn update(&self, name: &str) -> u64 {
        self.change(|state| {
            let model = state.models.entry(canonical(name)).or_insert_with(|| ModelSpec::named(name));
            model.version += 1;
            model.version
        })
    }

    /// The digest a model has here, as `/api/tags` of a backend shows it after a pull.
    pub fn digest(&self, name: &str) -> String {
        Manifest::published(&self.spec(name)).digest()
    }

    /// Lets all pulls of a model go wrong.
    pub fn fail(&self, name: &str, fault: PullFault) {
        self.arm(name, ArmedFault { fault, times: None });
    }

    /// Lets the next pulls of a model go wrong, so many over all backends. A stall is as long as it is armed.
    pub fn fail_times(&self, name: &str, fault: PullFault, times: u64) {
        self.arm(name, ArmedFault { fault, times: Some(times) });
    }

    /// Removes a model's fault: what stalled goes on.
    pub fn heal(&self, name: &str) {
        self.change(|state| state.faults.remove(&canonical(name)));
    }

    /// How fast each layer of a model is downloaded, whatever the knobs of a backend say.
    pub fn set_pace(&self, name: &str, steps: u64, step: Duration) {
        self.change(|state| state.paces.insert(canonical(name), Pace { steps, step }));
    }

    /// Publishes a model that a backend has from the start, unless it has one under the name.
    pub(super) fn publish_if_new(&self, model: &ModelSpec) {
        self.change(|state| {
            state.models.entry(canonical(&model.name)).or_insert_with(|| model.clone());
        });
    }

    /// A model as it is published.
    pub(super) fn spec(&self, name: &str) -> ModelSpec {
        self.locked().models.get(&canonical(name)).cloned().unwrap_or_else(|| ModelSpec::named(name))
    }

    pub(super) fn pace(&self, name: &str) -> Option<Pace> {
        self.locked().paces.get(&canonical(name)).copied()
    }

    /// The fault that is armed for a model.
    pub(super) fn armed(&self, name: &str) -> Option<PullFault> {
        self.locked().faults.get(&canonical(name)).map(|armed| armed.fault)
    }

    /// A fault has struck a pull of the model.
    pub(super) fn struck(&self, name: &str) {
        let key = canonical(name);
        let mut state = self.locked();
        let Some(armed) = state.faults.get_mut(&key) else { return };
        armed.times = armed.times.map(|times| times.saturating_sub(1));
        if armed.times == Some(0) {
            state.faults.remove(&key);
        }
    }

    /// Shows changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.inner.changes.subscribe()
    }

    fn arm(&self, name: &str, fault: ArmedFault) {
        self.change(|state| state.faults.insert(canonical(name), fault));
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut self.locked());
        self.inner.changes.send_replace(());
        done
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_version_has_another_digest_and_what_a_backend_had_does_not_undo_it() {
        let registry = Registry::new();
        registry.publish_if_new(&ModelSpec::named("m").with_size(1000, 2));
        let first = registry.digest("m");
        assert_eq!(registry.update("M:latest"), 2);
        registry.publish_if_new(&ModelSpec::named("m"));
        assert_ne!(registry.digest("m"), first);
        assert_eq!(registry.spec("m").size, 1000);
    }

    #[test]
    fn a_fault_with_a_count_strikes_that_often() {
        let registry = Registry::new();
        registry.fail_times("m", PullFault::Cut, 2);
        registry.struck("m");
        assert_eq!(registry.armed("m:latest"), Some(PullFault::Cut));
        registry.struck("m");
        assert_eq!(registry.armed("m"), None);
        registry.fail("m", PullFault::Stall);
        registry.struck("m");
        assert_eq!(registry.armed("m"), Some(PullFault::Stall));
        registry.heal("m");
        assert_eq!(registry.armed("m"), None);
    }
}
