//! `LeastConnections`: the one with the most room.

use std::cmp::Ordering;

use super::{Candidate, Choice, Situation, one_of};

/// Chooses the one whose slots would be the least taken, by chance among equals; `None` if nobody is ready.
///
/// When to use it: for requests of very unequal cost on backends that all have the model in memory.
pub(in crate::actors) fn least_connections(situation: &Situation<'_>, dice: u64) -> Option<Choice> {
    least_loaded(situation.ready.iter().enumerate(), dice).map(Choice::take)
}

/// The least loaded of some, by its number.
pub(super) fn least_loaded<'a>(
    candidates: impl Iterator<Item = (usize, &'a Candidate<'a>)> + Clone,
    dice: u64,
) -> Option<usize> {
    let least = candidates.clone().map(|(_, one)| one).min_by(|a, b| by_load(a, b))?;
    let mut equals = candidates.filter(|(_, one)| by_load(one, least).is_eq()).map(|(index, _)| index);
    let which = one_of(equals.clone().count(), dice)?;
    equals.nth(which)
}

/// Compares the fractions of slots taken, exactly.
fn by_load(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    let ((a_taken, a_slots), (b_taken, b_slots)) = (a.load(), b.load());
    (a_taken * b_slots).cmp(&(b_taken * a_slots))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::policy::{candidate, situation};

    fn with(id: &str, in_flight: u32, capacity: u32) -> Candidate<'_> {
        Candidate { in_flight, capacity, ..candidate(id) }
    }

    #[test]
    fn requests_in_flight_count_in_proportion_to_the_slots() {
        let ready = [with("a", 1, 2), with("b", 3, 8), with("c", 2, 4)];
        assert_eq!(least_connections(&situation(&ready, &[]), 5), Some(Choice::take(1)));
    }

    #[test]
    fn equals_share_by_chance() {
        let ready = [with("a", 3, 4), with("b", 1, 4), with("c", 0, 2), with("d", 1, 4)];
        let taken: Vec<_> = (0..3).map(|dice| least_connections(&situation(&ready, &[]), dice)).collect();
        assert_eq!(taken, [1, 2, 3].map(|index| Some(Choice::take(index))));
    }

    #[test]
    fn nobody_ready_is_nobody_and_the_greatest_numbers_are_fine() {
        let busy = [with("a", u32::MAX, u32::MAX), with("b", u32::MAX, 0)];
        assert_eq!(least_connections(&situation(&[], &busy), 0), None);
        assert_eq!(least_connections(&situation(&busy, &[]), u64::MAX), Some(Choice::take(0)));
    }
}
