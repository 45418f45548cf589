//! What keeps a recorded request from being taken twice.
//!
//! Like the anti-replay window of RFC 4303 (section 3.4.3), one per run of a sender.

use std::collections::HashMap;

use super::head::Run;

/// How far a request may be behind the newest one of its sender's run. A sender has 256 calls to one peer under way
/// at most, so that only a request that waits longer than 768 others take is too old.
const WIDTH: u64 = 1024;

const WORDS: usize = (WIDTH / 64) as usize;

/// Runs of senders that are remembered; 160 bytes each.
const MAX_SENDERS: usize = 256;

/// The requests that this node has taken.
pub(super) struct Replays {
    run: Run,
    senders: HashMap<Run, Window>,
}

/// Whether a request may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Yes; it counts as taken now.
    Fresh,
    /// The caller means no run, or not the present one: it must repeat the call for this one.
    OtherRun(Run),
    /// It is so far behind that it cannot be told: the caller must repeat the call with a new counter.
    TooOld(Run),
    /// No, it was taken before.
    Taken,
}

/// The counters of one sender's run that were taken.
#[derive(Default)]
struct Window {
    /// The newest counter.
    newest: u64,
    /// Whether `newest - i` was taken, at bit `(newest - i) % WIDTH`.
    taken: [u64; WORDS],
}

// === impl Replays ===

impl Replays {
    /// Nothing was taken yet in `run`, which no process may have had before.
    pub(super) fn new(run: Run) -> Self {
        Self { run, senders: HashMap::new() }
    }

    /// Takes the request, if it was not taken before.
    pub(super) fn take(&mut self, sender: Run, receiver: Run, counter: u64) -> Freshness {
        if receiver != self.run {
            return Freshness::OtherRun(self.run);
        }
        if self.senders.len() >= MAX_SENDERS && !self.senders.contains_key(&sender) {
            // Forgetting a window would let its requests be replayed. Another run makes all recordings worthless
            // instead, and costs each caller one more round trip.
            self.run = self.run.wrapping_add(1);
            self.senders.clear();
            return Freshness::OtherRun(self.run);
        }
        match self.senders.entry(sender).or_default().take(counter) {
            Taking::New => Freshness::Fresh,
            Taking::Twice => Freshness::Taken,
            Taking::Unknown => Freshness::TooOld(self.run),
        }
    }
}

// === impl Window ===

enum Taking {
    New,
    Twice,
    Unknown,
}

impl Window {
    fn take(&mut self, counter: u64) -> Taking {
        if counter > self.newest {
            let steps = (counter - self.newest).min(WIDTH);
            // The counters between were not taken yet; their bits are those of older ones.
            for skipped in (counter - steps + 1)..=counter {
                self.set(skipped, false);
            }
            self.newest = counter;
        } else if self.newest - counter >= WIDTH || counter == 0 {
            return Taking::Unknown;
        } else if self.is_set(counter) {
            return Taking::Twice;
        }
        self.set(counter, true);
        Taking::New
    }

    fn is_set(&self, counter: u64) -> bool {
        let (word, bit) = place(counter);
        self.taken[word] & bit != 0
    }

    fn set(&mut self, counter: u64, taken: bool) {
        let (word, bit) = place(counter);
        if taken {
            self.taken[word] |= bit;
        } else {
            self.taken[word] &= !bit;
        }
    }
}

const fn place(counter: u64) -> (usize, u64) {
    let index = counter % WIDTH;
    ((index / 64) as usize, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const RUN: Run = 77;

    #[test]
    fn a_counter_is_taken_once_in_each_run() {
        let mut replays = Replays::new(RUN);
        for sender in [1, 2] {
            for counter in [5, 3, 4, 1, 900] {
                assert_eq!(replays.take(sender, RUN, counter), Freshness::Fresh);
                assert_eq!(replays.take(sender, RUN, counter), Freshness::Taken);
            }
            assert_eq!(replays.take(sender, RUN, 0), Freshness::TooOld(RUN));
        }
    }

    #[test]
    fn what_is_behind_the_window_is_not_taken() {
        let mut replays = Replays::new(RUN);
        assert_eq!(replays.take(1, RUN, 5000), Freshness::Fresh);
        assert_eq!(replays.take(1, RUN, 5000 - WIDTH), Freshness::TooOld(RUN));
        assert_eq!(replays.take(1, RUN, 5001 - WIDTH), Freshness::Fresh);
        assert_eq!(replays.take(1, RUN, u64::MAX), Freshness::Fresh);
        assert_eq!(replays.take(1, RUN, 5000), Freshness::TooOld(RUN));
        assert_eq!(replays.take(1, RUN, u64::MAX), Freshness::Taken);
    }

    #[test]
    fn another_run_is_never_taken() {
        let mut replays = Replays::new(RUN);
        assert_eq!(replays.take(1, 0, 1), Freshness::OtherRun(RUN));
        assert_eq!(replays.take(1, RUN - 1, 1), Freshness::OtherRun(RUN));
        assert_eq!(replays.take(1, RUN, 1), Freshness::Fresh);
    }

    #[test]
    fn too_many_senders_start_another_run_and_open_no_gap() {
        let mut replays = Replays::new(RUN);
        for sender in 0..MAX_SENDERS as Run {
            assert_eq!(replays.take(sender, RUN, 1), Freshness::Fresh);
        }
        assert_eq!(replays.take(9999, RUN, 1), Freshness::OtherRun(RUN + 1));
        assert_eq!(replays.take(9999, RUN + 1, 1), Freshness::Fresh);
        assert_eq!(replays.take(0, RUN, 1), Freshness::OtherRun(RUN + 1));
        assert_eq!(replays.take(0, RUN + 1, 2), Freshness::Fresh);
    }

    proptest! {
        #[test]
        fn no_order_of_counters_is_taken_twice(counters in prop::collection::vec(0_u64..4000, 1..600)) {
            let mut replays = Replays::new(RUN);
            let mut taken = HashSet::new();
            let mut newest = 0;
            for counter in counters {
                match replays.take(1, RUN, counter) {
                    Freshness::Fresh => prop_assert!(taken.insert(counter)),
                    Freshness::Taken => prop_assert!(taken.contains(&counter)),
                    Freshness::TooOld(_) => prop_assert!(counter == 0 || newest - counter >= WIDTH),
                    Freshness::OtherRun(_) => prop_assert!(false),
                }
                newest = newest.max(counter);
            }
        }
    }
}
