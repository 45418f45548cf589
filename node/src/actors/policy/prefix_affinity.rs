//! `PrefixAffinity`: the backend that has seen the beginning of the conversation.

use super::{Candidate, Choice, Situation, least_connections, rendezvous};

/// How far above its fair share a backend may be loaded by its own keys, in percent ("consistent hashing with bounded
/// loads", Mirrokni, Thorup, Zadimoghaddam 2016; 1.25 is what `HAProxy` and Vimeo found to be enough).
const BOUND_PERCENT: u64 = 125;

/// Chooses the home of the key ("home"): the backend that rendezvous hashing finds for it. If that has more than
/// its fair share of the load already, the next one in the key's order ("spill"). A busy home is waited for as long
/// as there is patience. Without a key, as `LeastConnections` ("no prefix"). `None` if nobody is ready.
///
/// When to use it: for conversations of many turns, or many requests with one long system prompt, on engines that
/// cache prefixes (vLLM, `SGLang`, llama.cpp), all with the model in memory.
pub(in crate::actors) fn prefix_affinity(situation: &Situation<'_>, dice: u64) -> Option<Choice> {
    let Some(key) = situation.key else {
        return least_connections(situation, dice).map(|choice| match choice {
            Choice::Take { index, .. } => Choice::Take { index, why: "no prefix" },
            Choice::Wait => Choice::Wait,
        });
    };
    let all = || situation.ready.iter().chain(situation.busy);
    let requests = all().map(|one| u64::from(one.in_flight)).sum::<u64>() + 1;
    let slots: u64 = all().map(|one| one.load().1).sum();
    let order = rendezvous::order(key, all());
    let is_ready = |index: usize| index < situation.ready.len();
    let &(home, _) = order.first()?;
    if !is_ready(home) && !situation.patience.is_zero() {
        return Some(Choice::Wait);
    }
    let mut ready = order.iter().filter(|(index, _)| is_ready(*index));
    let &(index, _) = ready
        .clone()
        .find(|(_, one)| is_within_share(one, requests, slots))
        // The others may be busy for other reasons than their load.
        .or_else(|| ready.next())?;
    Some(Choice::Take { index, why: if index == home { "home" } else { "spill" } })
}

/// Whether one more request leaves a backend within the bound on its share of all `requests`.
fn is_within_share(one: &Candidate<'_>, requests: u64, slots: u64) -> bool {
    let (taken, own_slots) = one.load();
    let bound = (u128::from(requests) * u128::from(own_slots) * u128::from(BOUND_PERCENT))
        .div_ceil(u128::from(slots.max(1)) * 100);
    u128::from(taken) <= bound
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::actors::policy::{candidate, situation};

    /// Three in the order of the key.
    fn three() -> [Candidate<'static>; 3] {
        let mut three = ["a", "b", "c"].map(candidate);
        three.sort_by(|a, b| rendezvous::by_fit(7, a, b));
        three
    }

    #[test]
    fn a_conversation_goes_home() {
        for dice in 0..10 {
            let choice = prefix_affinity(&situation(&three(), &[]), dice);
            assert_eq!(choice, Some(Choice::Take { index: 0, why: "home" }));
        }
    }

    #[test]
    fn a_home_with_more_than_its_share_spills_to_the_next() {
        let mut three = three();
        three[0].in_flight = 2;
        let spill = Some(Choice::Take { index: 1, why: "spill" });
        assert_eq!(prefix_affinity(&situation(&three, &[]), 0), spill);
        // The same load is no more than its share when the others have theirs.
        (three[1].in_flight, three[2].in_flight) = (2, 2);
        let home = Some(Choice::Take { index: 0, why: "home" });
        assert_eq!(prefix_affinity(&situation(&three, &[]), 0), home);
    }

    #[test]
    fn a_busy_home_is_waited_for_and_then_left() {
        let three = three();
        let mut situation = situation(&three[1..], &three[..1]);
        assert_eq!(prefix_affinity(&situation, 0), Some(Choice::Take { index: 0, why: "spill" }));
        situation.patience = Duration::from_millis(1);
        assert_eq!(prefix_affinity(&situation, 0), Some(Choice::Wait));
    }

    #[test]
    fn without_a_prefix_the_least_loaded_takes_it() {
        let mut three = three();
        (three[0].in_flight, three[1].in_flight) = (1, 1);
        let situation = Situation { key: None, ..situation(&three, &[]) };
        assert_eq!(prefix_affinity(&situation, 0), Some(Choice::Take { index: 2, why: "no prefix" }));
    }

    #[test]
    fn nobody_ready_is_nobody() {
        assert_eq!(prefix_affinity(&situation(&[], &[]), 0), None);
        assert_eq!(prefix_affinity(&situation(&[], &three()), 0), None);
    }
}
