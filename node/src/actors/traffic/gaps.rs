//! The pauses between the pieces of one stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::histogram::{OF_GAPS, nanos, place};
use crate::actors::BackendHandle;

/// Pauses that are kept before the backend's histogram is told: streams of many workers share it, and one addition for
/// each piece of each would be felt. A counter of a byte has room for them.
const KEPT: u8 = 64;

/// A pause that is told at once, with all before it, in nanoseconds: whoever looks at a stream that stalls should see it.
const LONG: u64 = 1_000_000_000;

/// Counts the pauses of a stream from one backend. Dropping it tells what is left.
#[derive(Debug)]
pub struct Gaps {
    backend: Arc<BackendHandle>,
    last: Instant,
    /// In nanoseconds.
    sum: u64,
    kept: u8,
    counts: [u8; OF_GAPS.len() + 1],
}

// === impl Gaps ===

impl Gaps {
    /// Of a stream whose first content is there.
    pub fn since(first: Instant, backend: &Arc<BackendHandle>) -> Self {
        let counts = [0; OF_GAPS.len() + 1];
        Self { backend: backend.clone(), last: first, sum: 0, kept: 0, counts }
    }

    /// The next piece is there.
    pub fn piece(&mut self, now: Instant) {
        let gap = nanos(now.saturating_duration_since(self.last));
        self.last = now;
        self.counts[place(&OF_GAPS, gap)] += 1;
        self.sum = self.sum.saturating_add(gap);
        self.kept += 1;
        if self.kept >= KEPT || gap >= LONG {
            self.tell();
        }
    }

    #[cold]
    fn tell(&mut self) {
        if self.kept > 0 {
            self.backend.traffic().gaps.add(&self.counts, Duration::from_nanos(self.sum));
            (self.counts, self.sum, self.kept) = (Default::default(), 0, 0);
        }
    }
}

impl Drop for Gaps {
    fn drop(&mut self) {
        self.tell();
    }
}
