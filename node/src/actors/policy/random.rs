//! `Random`: any of them.

use super::{Choice, Situation, one_of};

/// Chooses any, with equal probability; `None` if nobody is ready.
///
/// When to use it: for many nodes in front of the same equal backends, where rotations of their own would march in
/// step. Otherwise `RoundRobin` is more even.
pub(in crate::actors) fn random(situation: &Situation<'_>, dice: u64) -> Option<Choice> {
    one_of(situation.ready.len(), dice).map(Choice::take)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::policy::{candidate, situation};

    #[test]
    fn each_has_the_same_chance_and_nobody_is_nobody() {
        let ready = [candidate("a"), candidate("b"), candidate("c")];
        let mut taken = [0; 3];
        for dice in 0..300 {
            let Some(Choice::Take { index, .. }) = random(&situation(&ready, &[]), dice) else { panic!() };
            taken[index] += 1;
        }
        assert_eq!(taken, [100; 3]);
        assert_eq!(random(&situation(&[], &ready), 0), None);
    }
}
