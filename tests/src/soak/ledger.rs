//! The clients' counts.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::judge::Class;

/// Violations that are kept word by word; more are counted.
const KEPT_VIOLATIONS: usize = 20;

/// What all clients together have seen.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    begun: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    cut: AtomicU64,
    gone: AtomicU64,
    violated: AtomicU64,
    violations: Mutex<Vec<String>>,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub done: u64,
    pub failed: u64,
    pub cut: u64,
    pub gone: u64,
    pub violated: u64,
}

impl Ledger {
    /// Takes the number of the next request, unless the goal is reached.
    pub(super) fn begin(&self, goal: u64) -> Option<u64> {
        let next = |begun: u64| (begun < goal).then_some(begun + 1);
        self.begun.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()
    }

    /// Requests begun so far.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Counts how a request ended.
    pub(super) fn count(&self, judged: Result<Class, String>) {
        let counter = match judged {
            Ok(Class::Done) => &self.done,
            Ok(Class::Failed) => &self.failed,
            Ok(Class::Cut) => &self.cut,
            Ok(Class::Gone) => &self.gone,
            Err(violation) => {
                self.violate(violation);
                &self.violated
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers a violation.
    pub(super) fn violate(&self, violation: String) {
        let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        if violations.len() < KEPT_VIOLATIONS {
            violations.push(violation);
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            done: read(&self.done),
            failed: read(&self.failed),
            cut: read(&self.cut),
            gone: read(&self.gone),
            violated: read(&self.violated),
        }
    }

    /// The violations that were kept.
    pub(super) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Totals {
    pub(super) fn total(self) -> u64 {
        self.done + self.failed + self.cut + self.gone + self.violated
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, failed, cut, gone, violated } = self;
        let total = self.total();
        write!(f, "total {total}: done {done}, error {failed} (and {cut} cut bodies), client gone {gone}")?;
        if *violated > 0 { write!(f, ", VIOLATIONS {violated}") } else { Ok(()) }
    }
}
