//! Rendezvous hashing: the same key meets the same backend, on all nodes, without shared state (Thaler, Ravishankar
//! 1998). When a backend goes, only its own keys move.

use std::cmp::Ordering;

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Candidate;

/// How well a backend fits a key; the greatest score wins. Its chance to win is its share of the weights (weighted
/// rendezvous hashing, Schindelhauer and Schomaker 2005). All nodes and versions must agree: never change it.
pub(in crate::actors) fn score(key: u64, id: &str, weight: u16) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let hash = (xxh3_64_with_seed(id.as_bytes(), key) >> 11) as f64;
    // Strictly between 0 and 1, so that the logarithm is finite and not zero.
    let uniform = (hash + 0.5) / 9_007_199_254_740_992.0;
    -f64::from(weight.max(1)) / uniform.ln()
}

/// The one that fits `key` best, by its place; `None` of none.
pub(in crate::actors) fn best(key: u64, candidates: &[Candidate<'_>]) -> Option<usize> {
    (0..candidates.len()).min_by(|&a, &b| by_fit(key, &candidates[a], &candidates[b]))
}

/// The best first.
pub(super) fn order<'a>(
    key: u64,
    candidates: impl Iterator<Item = &'a Candidate<'a>>,
) -> SmallVec<[(usize, &'a Candidate<'a>); 8]> {
    let mut order: SmallVec<[_; 8]> = candidates.enumerate().collect();
    order.sort_by(|(_, a), (_, b)| by_fit(key, a, b));
    order
}

/// Compares two: the one that fits better is less.
pub(super) fn by_fit(key: u64, a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    let score = |one: &Candidate<'_>| score(one.key.unwrap_or(key), one.id, one.weight);
    let (a_score, b_score) = (score(a), score(b));
    b_score.total_cmp(&a_score).then_with(|| a.id.cmp(b.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::policy::candidate;

    #[test]
    fn the_score_is_the_same_for_ever() {
        assert_eq!(xxh3_64_with_seed(b"gpu-1", 42), GPU_1_BY_42);
    }

    /// Another value would be another place for every key.
    const GPU_1_BY_42: u64 = 16_207_820_625_818_539_446;

    #[test]
    fn shares_follow_the_weights() {
        let three = [candidate("a"), candidate("b"), Candidate { weight: 2, ..candidate("c") }];
        let mut won = [0_u32; 3];
        for key in 0..20_000 {
            won[best(key, &three).unwrap()] += 1;
        }
        assert!(won[0].abs_diff(5_000) < 300 && won[1].abs_diff(5_000) < 300, "{won:?}");
        assert!(won[2].abs_diff(10_000) < 300, "{won:?}");
    }

    #[test]
    fn when_one_goes_only_its_keys_move() {
        let all = ["a", "b", "c", "d"].map(candidate);
        for key in 0..1_000 {
            let (before, after) = (all[best(key, &all).unwrap()].id, all[best(key, &all[..3]).unwrap()].id);
            assert!(before == after || before == "d");
            let order = order(key, all.iter());
            assert_eq!(order[0].1.id, before);
            let next = order.iter().find(|(_, one)| one.id != "d").unwrap();
            assert_eq!(next.1.id, after);
        }
    }

    #[test]
    fn each_may_have_a_key_of_its_own() {
        let three = ["a", "b", "c"].map(candidate);
        for key in 0..100 {
            let own = three.map(|one| Candidate { key: Some(key), ..one });
            assert_eq!(best(7, &own), best(key, &three));
        }
    }

    #[test]
    fn the_order_does_not_depend_on_the_places() {
        let (one, other) = (["a", "b", "c"].map(candidate), ["c", "a", "b"].map(candidate));
        for key in 0..100 {
            assert_eq!(one[best(key, &one).unwrap()].id, other[best(key, &other).unwrap()].id);
        }
        assert_eq!(best(1, &[]), None);
    }
}
