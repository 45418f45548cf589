//! Counters of a simulated backend: what was asked, how it ended, how much at once. Guards raise and lower the gauges, so
//! that no way out of a request can forget to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::library::canonical;
use super::operation::Operation;

/// Counters of one operation, or of all inference together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationStats {
    /// Requests received.
    pub total: u64,
    /// Answers sent to their end, whatever their status.
    pub completed: u64,
    /// Answers not finished because the client left first.
    pub cancelled: u64,
    /// Answers not finished because of a fault or a stop.
    pub failed: u64,
    /// Requests received and not ended yet, those that wait for a slot included.
    pub in_flight: u64,
    /// The most there were at once.
    pub in_flight_max: u64,
}

/// Counters of the pulls of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullStats {
    /// Pulls begun, those for a model to be created from included.
    pub begun: u64,
    /// Pulls after which the model was installed.
    pub finished: u64,
    /// Pulls under way.
    pub at_once: u64,
    /// The most there were at once.
    pub at_once_max: u64,
    /// Bytes downloaded; those of a download that several pulls share are counted once.
    pub bytes: u64,
}

/// A snapshot of all counters. Requests to `/__sim/` are never counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests of any kind.
    pub requests: u64,
    /// All inference operations together.
    #[serde(flatten)]
    pub inference: OperationStats,
    /// By the operation's name.
    pub operations: BTreeMap<String, OperationStats>,
    /// Requests which hold a slot of a model.
    pub running: u64,
    /// The most there were at once.
    pub running_max: u64,
    /// Requests which wait for a slot.
    pub waiting: u64,
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Pulls by the model's canonical name.
    pub pulls: BTreeMap<String, PullStats>,
    /// Models deleted.
    pub deletes: u64,
    /// Models dropped because a request said so.
    pub unloads: u64,
    /// Times a model was loaded, reloads included.
    pub loads: u64,
    /// Loads of a model that was in memory with other runner options.
    pub reloads: u64,
    /// Models dropped to make room.
    pub evictions: u64,
    /// Models dropped because their time was over.
    pub expirations: u64,
    /// Loads given up because nobody waited for the model any more.
    pub aborted_loads: u64,
    /// Generations of which the loaded model knew the prompt's beginning.
    pub prefix_hits: u64,
    /// Tokens of the prompts of all generations begun.
    pub prompt_tokens: u64,
    /// Those of them that had to be read.
    pub prompt_tokens_read: u64,
}

impl Stats {
    /// Counters of one operation; zeros when it was never asked for.
    pub fn operation(&self, operation: Operation) -> OperationStats {
        self.operations.get(operation.name()).copied().unwrap_or_default()
    }

    /// Counters of the pulls of one model, in any form of its name; zeros when it was never pulled.
    pub fn pulls_of(&self, model: &str) -> PullStats {
        self.pulls.get(&canonical(model)).copied().unwrap_or_default()
    }

    /// Inference requests received.
    pub fn received(&self) -> u64 {
        self.inference.total
    }

    /// Inference answers sent to their end.
    pub fn completed(&self) -> u64 {
        self.inference.completed
    }

    /// Inference answers not finished because the client left.
    pub fn cancelled(&self) -> u64 {
        self.inference.cancelled
    }

    /// Inference requests not ended yet.
    pub fn in_flight(&self) -> u64 {
        self.inference.in_flight
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Completed,
    Cancelled,
    Failed,
}

/// The counters, shared by everything that counts.
#[derive(Clone, Debug, Default)]
pub(super) struct StatsBook {
    stats: Arc<Mutex<Stats>>,
}

/// A request being served. Ends as failed unless told how.
#[derive(Debug)]
pub(super) struct RequestGuard {
    book: StatsBook,
    operation: Operation,
    outcome: Outcome,
}

/// A pull under way.
#[derive(Debug)]
pub(super) struct PullGuard {
    book: StatsBook,
    model: String,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    book: StatsBook,
}

impl StatsBook {
    pub(super) fn snapshot(&self) -> Stats {
        self.locked().clone()
    }

    /// Changes plain counters.
    pub(super) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.locked());
    }

    /// Sets all counters to zero; gauges keep what is true now.
    pub(super) fn reset(&self) {
        let mut stats = self.locked();
        let kept = |stats: &OperationStats| OperationStats {
            in_flight: stats.in_flight,
            in_flight_max: stats.in_flight,
            ..OperationStats::default()
        };
        *stats = Stats {
            inference: kept(&stats.inference),
            operations: stats
                .operations
                .iter()
                .map(|(name, counted)| (name.clone(), kept(counted)))
                .collect(),
            pulls: stats
                .pulls
                .iter()
                .map(|(model, pulls)| {
                    let (at_once, at_once_max) = (pulls.at_once, pulls.at_once);
                    (model.clone(), PullStats { at_once, at_once_max, ..PullStats::default() })
                })
                .collect(),
            running: stats.running,
            running_max: stats.running,
            waiting: stats.waiting,
            connections_open: stats.connections_open,
            ..Stats::default()
        };
    }

    pub(super) fn request(&self, operation: Operation) -> RequestGuard {
        let mut stats = self.locked();
        stats.requests += 1;
        stats.each(operation, |counted| {
            counted.total += 1;
            counted.in_flight += 1;
            counted.in_flight_max = counted.in_flight_max.max(counted.in_flight);
        });
        drop(stats);
        RequestGuard { book: self.clone(), operation, outcome: Outcome::Failed }
    }

    /// Counts a pull of this model, by its canonical name.
    pub(super) fn pull(&self, model: &str) -> PullGuard {
        let guard = PullGuard { book: self.clone(), model: model.to_owned() };
        guard.count(|pulls| {
            pulls.begun += 1;
            pulls.at_once += 1;
            pulls.at_once_max = pulls.at_once_max.max(pulls.at_once);
        });
        guard
    }

    pub(super) fn connection(&self) -> ConnectionGuard {
        self.count(|stats| {
            stats.connections_accepted += 1;
            stats.connections_open += 1;
        });
        ConnectionGuard { book: self.clone() }
    }

    fn locked(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stats {
    fn each(&mut self, operation: Operation, change: impl Fn(&mut OperationStats)) {
        change(self.operations.entry(operation.name().to_owned()).or_default());
        if operation.is_inference() {
            change(&mut self.inference);
        }
    }
}

impl RequestGuard {
    pub(super) fn settle(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl PullGuard {
    pub(super) fn received(&self, bytes: u64) {
        self.count(|pulls| pulls.bytes += bytes);
    }

    pub(super) fn finish(self) {
        self.count(|pulls| pulls.finished += 1);
    }

    fn count(&self, change: impl FnOnce(&mut PullStats)) {
        change(self.book.locked().pulls.entry(self.model.clone()).or_default());
    }
}

impl Drop for PullGuard {
    fn drop(&mut self) {
        self.count(|pulls| pulls.at_once = pulls.at_once.saturating_sub(1));
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let outcome = self.outcome;
        self.book.locked().each(self.operation, |counted| {
            counted.in_flight = counted.in_flight.saturating_sub(1);
            match outcome {
                Outcome::Completed => counted.completed += 1,
                Outcome::Cancelled => counted.cancelled += 1,
                Outcome::Failed => counted.failed += 1,
            }
        });
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.book.count(|stats| stats.connections_open = stats.connections_open.saturating_sub(1));
    }
}
