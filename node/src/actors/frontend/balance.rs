//! Whose turn it is: an even rotation over whatever set of candidates a request has.
//!
//! This is start-time fair queueing (Goyal, Vin, Chen 1996) with unit weights: each backend remembers when its
//! last turn ended on a virtual clock, the earliest goes next, and a backend that was away starts near the clock
//! and not far in the past. So the rotation is exact for a fixed set, and stays even when the set changes from
//! request to request (labels, permissions, health), where a plain counter modulo the set's size does not.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many turns a backend may catch up on after it was no candidate. Without any, a backend that only some
/// requests may use never gets the share that it missed; with many, one that returns is flooded.
const SLACK: u64 = 1;

/// The virtual clock of one rotation.
#[derive(Debug, Default)]
pub struct Turns {
    now: AtomicU64,
}

/// One backend's place in a rotation: the virtual time at which its last turn ended.
#[derive(Debug, Default)]
pub struct Turn {
    end: AtomicU64,
}

// === impl Turns ===

impl Turns {
    /// Takes the next turn among `candidates`; ties go to the first. `None` if there are none.
    ///
    /// Lock-free: ends of turns only grow, so a candidate whose end did not change between scan and claim still
    /// has the earliest one.
    pub fn take<'a>(&self, candidates: &(impl Iterator<Item = &'a Turn> + Clone)) -> Option<usize> {
        loop {
            let floor = self.floor();
            let (index, turn, end) = earliest(candidates.clone(), floor)?;
            let start = end.max(floor);
            let claim = turn.end.compare_exchange(end, start + 1, Ordering::Relaxed, Ordering::Relaxed);
            if claim.is_ok() {
                self.now.fetch_max(start, Ordering::Relaxed);
                return Some(index);
            }
        }
    }

    /// Whose turn it would be; nobody's turn is taken.
    pub fn peek<'a>(&self, candidates: impl Iterator<Item = &'a Turn>) -> Option<usize> {
        earliest(candidates, self.floor()).map(|(index, _, _)| index)
    }

    fn floor(&self) -> u64 {
        self.now.load(Ordering::Relaxed).saturating_sub(SLACK)
    }
}

/// Who goes next: place, turn, and when the last turn ended.
fn earliest<'a>(candidates: impl Iterator<Item = &'a Turn>, floor: u64) -> Option<(usize, &'a Turn, u64)> {
    candidates
        .enumerate()
        .map(|(index, turn)| (index, turn, turn.end.load(Ordering::Relaxed)))
        .min_by_key(|&(_, _, end)| (end.max(floor), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(turns: &Turns, rotation: &[Turn], eligible: &[usize]) -> usize {
        eligible[turns.take(&eligible.iter().map(|&index| &rotation[index])).unwrap()]
    }

    fn rotation(size: usize) -> Vec<Turn> {
        (0..size).map(|_| Turn::default()).collect()
    }

    #[test]
    fn the_first_request_goes_to_the_first_backend_and_then_around() {
        let (turns, rotation) = (Turns::default(), rotation(3));
        let order: Vec<usize> = (0..7).map(|_| take(&turns, &rotation, &[0, 1, 2])).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn an_ineligible_backend_does_not_double_its_neighbours_share() {
        let (turns, rotation) = (Turns::default(), rotation(3));
        let mut served = [0; 3];
        for _ in 0..300 {
            served[take(&turns, &rotation, &[0, 2])] += 1;
        }
        assert_eq!(served, [150, 0, 150]);
    }

    #[test]
    fn alternating_candidate_sets_stay_even() {
        let (turns, rotation) = (Turns::default(), rotation(3));
        let mut served = [0; 3];
        for round in 0..300 {
            let eligible: &[usize] = if round % 2 == 0 { &[0, 1] } else { &[0, 1, 2] };
            served[take(&turns, &rotation, eligible)] += 1;
        }
        assert_eq!(served, [100, 100, 100]);
    }

    #[test]
    fn a_backend_that_returns_is_not_flooded() {
        let (turns, rotation) = (Turns::default(), rotation(2));
        for _ in 0..1_000 {
            take(&turns, &rotation, &[0]);
        }
        let next: Vec<usize> = (0..6).map(|_| take(&turns, &rotation, &[0, 1])).collect();
        assert_eq!(next, [1, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn concurrent_takers_share_exactly() {
        let (turns, rotation) = (Turns::default(), rotation(4));
        let served = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut served = [0_u32; 4];
                        for _ in 0..1_000 {
                            served[take(&turns, &rotation, &[0, 1, 2, 3])] += 1;
                        }
                        served
                    })
                })
                .collect();
            takers.into_iter().fold([0; 4], |mut sum, taker| {
                for (total, part) in sum.iter_mut().zip(taker.join().unwrap()) {
                    *total += part;
                }
                sum
            })
        });
        assert_eq!(served.iter().sum::<u32>(), 4_000);
        assert!(served.iter().all(|&count| count.abs_diff(1_000) <= 4), "{served:?}");
    }

    #[test]
    fn looking_takes_no_turn() {
        let (turns, rotation) = (Turns::default(), rotation(2));
        assert_eq!(take(&turns, &rotation, &[0, 1]), 0);
        assert_eq!(turns.peek(rotation[1..].iter()), Some(0));
        assert_eq!(take(&turns, &rotation, &[0, 1]), 1, "the one that only stood in still has its turn");
    }

    #[test]
    fn nobody_eligible_is_nobody() {
        assert_eq!(Turns::default().take(&std::iter::empty()), None);
    }
}
