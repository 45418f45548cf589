//! Whose turn it is: an even rotation over whatever set of candidates a request has.
//!
//! This is start-time fair queueing (Goyal, Vin, Chen 1996): a turn is as long as the backend's weight is small, each
//! backend remembers when its last turn ended on a virtual clock, the earliest goes next, and a backend that was away starts near the clock
//! and not far in the past. So the rotation is exact for a fixed set, and stays even when the set changes from
//! request to request (labels, permissions, health), where a plain counter modulo the set's size does not.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many turns a backend may catch up on after it was no candidate. Without any, a backend that only some
/// requests may use never gets the share that it missed; with many, one that returns is flooded.
const SLACK: u64 = 1;

/// Length of a turn of weight 1 on the virtual clock: 256 is what a turn of the greatest weight is left with, and the
/// clock has room for 10^12 turns.
const UNIT: u64 = 1 << 24;

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
    /// Takes the next turn among `candidates`, each with its weight: over time each gets as many turns as its share of
    /// the weights. Ties go to the first. `None` if there are none.
    ///
    /// Lock-free: ends of turns only grow, so a candidate whose end did not change between scan and claim still
    /// has the earliest one.
    pub fn take<'a>(&self, candidates: &(impl Iterator<Item = (&'a Turn, u16)> + Clone)) -> Option<usize> {
        loop {
            let now = self.now.load(Ordering::Relaxed);
            let next = earliest(candidates.clone(), now)?;
            let start = next.start;
            let claim = next.turn.end.compare_exchange(
                next.end,
                start + next.length,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if claim.is_ok() {
                self.now.fetch_max(start, Ordering::Relaxed);
                return Some(next.index);
            }
        }
    }

    /// Whose turn it would be; nobody's turn is taken.
    pub fn peek<'a>(&self, candidates: impl Iterator<Item = (&'a Turn, u16)>) -> Option<usize> {
        earliest(candidates, self.now.load(Ordering::Relaxed)).map(|next| next.index)
    }
}

/// Who goes next.
struct Next<'a> {
    index: usize,
    turn: &'a Turn,
    /// When its last turn ended.
    end: u64,
    /// When the next one starts.
    start: u64,
    length: u64,
}

fn earliest<'a>(candidates: impl Iterator<Item = (&'a Turn, u16)>, now: u64) -> Option<Next<'a>> {
    candidates
        .enumerate()
        .map(|(index, (turn, weight))| {
            let length = UNIT / u64::from(weight.max(1));
            let end = turn.end.load(Ordering::Relaxed);
            let start = end.max(now.saturating_sub(SLACK * length));
            Next { index, turn, end, start, length }
        })
        .min_by_key(|next| (next.start, next.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(turns: &Turns, rotation: &[Turn], eligible: &[usize]) -> usize {
        eligible[turns.take(&eligible.iter().map(|&index| (&rotation[index], 1))).unwrap()]
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
    fn turns_follow_the_weights_and_are_spread_evenly() {
        let (turns, rotation) = (Turns::default(), rotation(3));
        let weighted = || rotation.iter().zip([3, 1, 2]);
        let order: Vec<usize> = (0..600).map(|_| turns.take(&weighted()).unwrap()).collect();
        let count = |order: &[usize], which| order.iter().filter(|one| **one == which).count();
        assert_eq!([0, 1, 2].map(|which| count(&order, which)), [300, 100, 200]);
        for round in order.chunks(6) {
            assert!(count(round, 0).abs_diff(3) <= 1 && count(round, 1).abs_diff(1) <= 1, "{round:?}");
        }
    }

    #[test]
    fn great_equal_weights_are_a_plain_rotation() {
        let (turns, rotation) = (Turns::default(), rotation(3));
        let take = |eligible: &[usize]| {
            let weighted = eligible.iter().map(|&index| (&rotation[index], u16::MAX));
            eligible[turns.take(&weighted).unwrap()]
        };
        assert_eq!([0; 4].map(|_| take(&[0, 1, 2])), [0, 1, 2, 0]);
        for _ in 0..1_000 {
            take(&[0, 1]);
        }
        // The one that was away catches up on one turn, and is not flooded.
        let next = [0; 6].map(|_| take(&[0, 1, 2]));
        assert!(next.iter().filter(|one| **one == 2).count() <= 3, "{next:?}");
        assert_eq!(turns.peek(std::iter::empty()), None);
    }

    #[test]
    fn looking_takes_no_turn() {
        let (turns, rotation) = (Turns::default(), rotation(2));
        assert_eq!(take(&turns, &rotation, &[0, 1]), 0);
        assert_eq!(turns.peek(rotation[1..].iter().map(|turn| (turn, 1))), Some(0));
        assert_eq!(take(&turns, &rotation, &[0, 1]), 1, "the one that only stood in still has its turn");
    }

    #[test]
    fn nobody_eligible_is_nobody() {
        assert_eq!(Turns::default().take(&std::iter::empty()), None);
    }
}
