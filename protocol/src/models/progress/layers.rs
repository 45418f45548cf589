//! The sums of layers over all backends, which never shrink.

use super::feed::Layer;

/// Most layers of one operation; models have about ten.
const MAX_LAYERS: usize = 1024;

/// All layers that any backend has told of.
#[derive(Debug)]
pub(super) struct Layers {
    /// Which backends have succeeded: they have every layer, whatever they have told, and also those that others tell
    /// of later.
    done: Vec<bool>,
    /// In the order in which they came up.
    layers: Vec<Sums>,
}

/// One layer.
#[derive(Debug)]
struct Sums {
    digest: String,
    status: String,
    /// What each backend has told.
    parts: Vec<Told>,
    /// What clients have seen.
    shown: Sum,
}

/// A layer at one backend.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    total: Option<u64>,
    completed: u64,
}

/// A layer over all backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) total: u64,
    pub(super) completed: u64,
}

// === impl Layers ===

impl Layers {
    pub(super) fn new(backends: usize) -> Self {
        Self { done: vec![false; backends], layers: Vec::new() }
    }

    /// Takes what the backend at `index` tells of a layer; the sum, if it is another one than clients have seen.
    pub(super) fn told(&mut self, index: usize, layer: &Layer) -> Option<Sum> {
        let at = self.layers.iter().position(|sums| sums.digest == layer.digest);
        let sums = match at {
            Some(at) => self.layers.get_mut(at)?,
            None if self.layers.len() < MAX_LAYERS => {
                self.layers.push(Sums {
                    digest: layer.digest.clone(),
                    status: layer.status.clone(),
                    parts: vec![Told::default(); self.done.len()],
                    shown: Sum::default(),
                });
                self.layers.last_mut()?
            }
            None => return None,
        };
        let told = sums.parts.get_mut(index)?;
        told.total = Some(layer.total.max(told.total.unwrap_or_default()));
        told.completed = layer.completed.max(told.completed);
        sums.show(&self.done)
    }

    /// The backend at `index` has succeeded: it has every layer. The sums that are others by that.
    pub(super) fn succeeded(&mut self, index: usize) -> Vec<(String, String, Sum)> {
        if let Some(done) = self.done.get_mut(index) {
            *done = true;
        }
        let changed = self.layers.iter_mut().filter_map(|sums| {
            let sum = sums.show(&self.done)?;
            Some((sums.status.clone(), sums.digest.clone(), sum))
        });
        changed.collect()
    }

    /// How much the backend has done of what it has told.
    pub(super) fn percent(&self, index: usize) -> Option<u8> {
        let told = || self.layers.iter().filter_map(|sums| sums.parts.get(index));
        let total: u128 = told().filter_map(|told| told.total).map(u128::from).sum();
        let completed: u128 = told().map(|told| u128::from(told.completed)).sum();
        u8::try_from((completed * 100).checked_div(total)?.min(100)).ok()
    }
}

// === impl Sums ===

impl Sums {
    fn show(&mut self, done: &[bool]) -> Option<Sum> {
        let sum = self.sum(done);
        let total = sum.total.max(self.shown.total);
        // Backends may have told different totals, and then the sum of all may be less than what was expected.
        let completed = if done.iter().all(|done| *done) { total } else { sum.completed };
        let shown = Sum { total, completed: completed.max(self.shown.completed) };
        let changed = shown != self.shown;
        self.shown = shown;
        changed.then_some(shown)
    }

    fn sum(&self, done: &[bool]) -> Sum {
        let expected = self.parts.iter().find_map(|told| told.total).unwrap_or_default();
        self.parts.iter().zip(done).fold(Sum::default(), |sum, (told, done)| {
            let total = told.total.unwrap_or(expected);
            let completed = if *done { total } else { told.completed };
            Sum { total: sum.total.saturating_add(total), completed: sum.completed.saturating_add(completed) }
        })
    }
}
