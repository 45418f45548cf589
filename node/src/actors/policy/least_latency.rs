//! `LeastLatency`: the faster of two.

use std::time::Duration;

use super::{Candidate, Choice, Situation, one_of};

/// What an unmeasured backend is taken for when nobody is measured: any duration does.
const UNMEASURED: Duration = Duration::from_secs(1);

/// Chooses, of two random ones, the one with the lower product of its peak average time to the first token and its
/// requests in flight ("power of two choices", Mitzenmacher 2001). Idle ones that were never measured come
/// first. `None` if nobody is ready.
///
/// When to use it: for backends whose speed varies or is not known, all with the model in memory. Two and not the best
/// of all, for several nodes would all rush to the best one at once.
pub(in crate::actors) fn least_latency(situation: &Situation<'_>, dice: u64) -> Option<Choice> {
    let ready = situation.ready;
    let mut untried =
        ready.iter().enumerate().filter(|(_, one)| one.first_token.is_none() && one.in_flight == 0);
    if let Some(which) = one_of(untried.clone().count(), dice) {
        return untried.nth(which).map(|(index, _)| Choice::take(index));
    }
    let slowest = ready.iter().filter_map(|one| one.first_token).max().unwrap_or(UNMEASURED);
    let cost = |one: &Candidate<'_>| one.first_token.unwrap_or(slowest).as_nanos() * u128::from(one.load().0);
    let first = one_of(ready.len(), dice & u64::from(u32::MAX))?;
    // The second one is any but the first.
    let second = one_of(ready.len() - 1, dice >> 32).map_or(first, |step| (first + 1 + step) % ready.len());
    let chosen = if cost(&ready[second]) < cost(&ready[first]) { second } else { first };
    Some(Choice::take(chosen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::policy::{candidate, situation};

    fn with(id: &str, in_flight: u32, milliseconds: u64) -> Candidate<'_> {
        Candidate { in_flight, first_token: Some(Duration::from_millis(milliseconds)), ..candidate(id) }
    }

    fn shares(ready: &[Candidate<'_>]) -> Vec<u32> {
        let mut taken = vec![0; ready.len()];
        for dice in 0..1_200_u64 {
            let dice = dice % 12 + ((dice / 12) << 32);
            let Some(Choice::Take { index, .. }) = least_latency(&situation(ready, &[]), dice) else {
                panic!()
            };
            taken[index] += 1;
        }
        taken
    }

    #[test]
    fn the_slowest_of_all_gets_nothing_and_the_fastest_most() {
        let taken = shares(&[with("a", 0, 900), with("b", 0, 100), with("c", 0, 300)]);
        assert_eq!(taken[0], 0);
        assert!(taken[1] > taken[2] && taken[2] > 0, "{taken:?}");
    }

    #[test]
    fn requests_in_flight_multiply_the_time() {
        assert_eq!(shares(&[with("a", 9, 100), with("b", 0, 900)]), [0, 1_200]);
        assert_eq!(shares(&[with("a", 7, 100), with("b", 0, 900)]), [1_200, 0]);
    }

    #[test]
    fn an_idle_one_without_a_measure_is_tried_first_and_only_once_at_a_time() {
        let fast = with("a", 0, 1);
        assert_eq!(shares(&[fast, candidate("b")]), [0, 1_200]);
        assert_eq!(shares(&[fast, Candidate { in_flight: 1, ..candidate("b") }]), [1_200, 0]);
    }

    #[test]
    fn one_is_the_one_and_nobody_is_nobody() {
        assert_eq!(shares(&[with("a", 3, 100)]), [1_200]);
        assert_eq!(least_latency(&situation(&[], &[]), 1), None);
    }
}
