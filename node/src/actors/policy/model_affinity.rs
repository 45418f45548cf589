//! `ModelAffinity`: the backend that has the model in memory.

use std::cmp::Ordering;
use std::time::Duration;

use super::least_connections::least_loaded;
use super::{Candidate, Choice, Situation, Warmth, least_connections, rendezvous};

/// What loading a model is taken for until it was measured.
const UNMEASURED_LOAD: Duration = Duration::from_secs(10);

/// Chooses by the estimated time to the first token, and by what a load would cost others.
///
/// 1. A ready backend that has the model in memory with the same runner options, the least loaded of them ("loaded").
/// 2. If all that have it are busy: waits, as long as there is patience and a slot there is likely to be free before
///    the model could be loaded elsewhere at the expense of another.
/// 3. Otherwise one that has to load it ("on disk"): where the fewest models would have to make room, the fewest
///    requests are in the way, and, among equals, where rendezvous hashing of the model says, so that all nodes load
///    it at the same place.
/// 4. One of which nobody knows whether it has it, before it was asked for its models ("unknown").
/// 5. One that has it with other options only if there is no other: its users would lose it ("other options").
///
/// While the model is in memory somewhere, a load must not disturb a backend at work: then the answer is `None`, also
/// without patience, and the request stays in the queue (under overload such loads make everything slower for everybody,
/// themselves included).
///
/// A request without a model goes as by `LeastConnections` ("no model"). `None` if nobody is ready.
///
/// When to use it: for more models than fit into the memory of each backend.
pub(in crate::actors) fn model_affinity(situation: &Situation<'_>, dice: u64) -> Option<Choice> {
    let Some(model) = situation.key else {
        return least_connections(situation, dice).map(|choice| match choice {
            Choice::Take { index, .. } => Choice::Take { index, why: "no model" },
            Choice::Wait => Choice::Wait,
        });
    };
    let places = || situation.ready.iter().enumerate();
    let warm = least_loaded(places().filter(|(_, one)| one.warmth == Warmth::Loaded), dice);
    let cold = places()
        .filter(|(_, one)| one.warmth != Warmth::Loaded)
        .min_by(|(_, a), (_, b)| by_cost(model, a, b))
        .map(|(index, _)| index);
    let why = |index: usize| match situation.ready[index].warmth {
        Warmth::Loaded => "loaded",
        Warmth::OtherOptions => "other options",
        Warmth::OnDisk => "on disk",
        Warmth::Unknown => "unknown",
    };
    let take = |index| Choice::Take { index, why: why(index) };
    match (warm, cold) {
        (Some(warm), Some(cold)) if queue(&situation.ready[warm]) > price(&situation.ready[cold]) => {
            Some(take(cold))
        }
        (Some(warm), _) => Some(take(warm)),
        (None, Some(cold)) if is_worth_waiting(situation, &situation.ready[cold]) => Some(Choice::Wait),
        (None, Some(cold)) if is_in_the_way(situation, &situation.ready[cold]) => None,
        (None, cold) => cold.map(take),
    }
}

/// Whether the model is in memory elsewhere, and `cold` at work on others: before it could load the model, it would
/// have to finish them, and whoever came after would wait behind the load. Under overload, when everybody's patience
/// is at an end, such loads are what turns a queue into a collapse.
fn is_in_the_way(situation: &Situation<'_>, cold: &Candidate<'_>) -> bool {
    disturbs(cold) && situation.busy.iter().any(|one| one.warmth == Warmth::Loaded)
}

/// Whether a load would have to make room at a backend at work.
fn disturbs(cold: &Candidate<'_>) -> bool {
    cold.in_flight > 0 && cold.residents > 1
}

/// Whether a busy backend with the model will be free before `cold` could have loaded it.
fn is_worth_waiting(situation: &Situation<'_>, cold: &Candidate<'_>) -> bool {
    if situation.patience.is_zero() {
        return false;
    }
    let mut warm = situation.busy.iter().filter(|one| one.warmth == Warmth::Loaded).peekable();
    if warm.peek().is_none() {
        return false;
    }
    // One whose service was never measured may be free at any moment.
    let wait = warm.map(|one| one.service.unwrap_or_default() / one.capacity.max(1)).min();
    wait.unwrap_or_default() < price(cold)
}

/// How long the first token of one more request is delayed by those that are there: nothing, if the backend works
/// on all of its slots at once; at most this, if it works on them one after the other.
fn queue(one: &Candidate<'_>) -> Duration {
    one.service.unwrap_or_default() * one.in_flight / one.capacity.max(1)
}

/// What a load costs: its time, and as much again for each model that may have to make room and be loaded again later.
fn price(one: &Candidate<'_>) -> Duration {
    let load = one.load_time.unwrap_or(UNMEASURED_LOAD);
    load.saturating_mul(one.residents.min(2) + 1)
}

/// Compares two backends that would have to load the model.
fn by_cost(model: u64, a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    // Whoever is at work keeps its models in memory until it is done: the load has to wait for that.
    let rank = |one: &Candidate<'_>| {
        let warmth = (one.warmth == Warmth::OtherOptions, one.warmth == Warmth::Unknown);
        (warmth, disturbs(one), one.residents, price(one) + queue(one))
    };
    let (a_rank, b_rank) = (rank(a), rank(b));
    a_rank.cmp(&b_rank).then_with(|| rendezvous::by_fit(model, a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::policy::{candidate, situation};

    fn with(id: &str, warmth: Warmth, in_flight: u32) -> Candidate<'_> {
        Candidate { warmth, in_flight, residents: 2, ..candidate(id) }
    }

    fn patient<'a>(ready: &'a [Candidate<'a>], busy: &'a [Candidate<'a>]) -> Situation<'a> {
        Situation { patience: Duration::from_secs(3), ..situation(ready, busy) }
    }

    fn take(index: usize, why: &'static str) -> Choice {
        Choice::Take { index, why }
    }

    #[test]
    fn the_least_loaded_one_with_the_model_in_memory_takes_it() {
        let ready =
            [with("a", Warmth::OnDisk, 0), with("b", Warmth::Loaded, 3), with("c", Warmth::Loaded, 2)];
        assert_eq!(model_affinity(&situation(&ready, &[]), 0), Some(take(2, "loaded")));
    }

    #[test]
    fn a_long_queue_at_a_warm_one_is_worse_than_a_quick_load() {
        let second = Some(Duration::from_secs(1));
        let minute = Some(Duration::from_secs(60));
        let warm = Candidate { service: minute, ..with("a", Warmth::Loaded, 3) };
        let cold = Candidate { load_time: second, ..with("b", Warmth::OnDisk, 0) };
        assert_eq!(model_affinity(&situation(&[warm, cold], &[]), 0), Some(take(1, "on disk")));
        let slow = Candidate { load_time: minute, ..cold };
        assert_eq!(model_affinity(&situation(&[warm, slow], &[]), 0), Some(take(0, "loaded")));
    }

    #[test]
    fn a_busy_warm_one_is_waited_for_if_that_is_quicker_than_a_load() {
        let cold = [with("a", Warmth::OnDisk, 0)];
        let warm = [with("b", Warmth::Loaded, 4)];
        assert_eq!(model_affinity(&patient(&cold, &warm), 0), Some(Choice::Wait));
        let slow = [Candidate { service: Some(Duration::from_secs(600)), ..warm[0] }];
        assert_eq!(model_affinity(&patient(&cold, &slow), 0), Some(take(0, "on disk")));
        assert_eq!(model_affinity(&patient(&cold, &cold), 0), Some(take(0, "on disk")), "nobody to wait for");
    }

    #[test]
    fn without_patience_an_idle_one_loads_a_second_copy_and_one_at_work_is_left_alone() {
        let warm = [with("c", Warmth::Loaded, 4)];
        let cold = [with("a", Warmth::OnDisk, 1), with("b", Warmth::OnDisk, 0)];
        assert_eq!(model_affinity(&situation(&cold, &warm), 0), Some(take(1, "on disk")));
        assert_eq!(model_affinity(&situation(&cold[..1], &warm), 0), None);
        assert_eq!(model_affinity(&situation(&cold[..1], &[]), 0), Some(take(0, "on disk")));
    }

    #[test]
    fn a_load_goes_where_the_fewest_models_are_and_last_where_others_use_it() {
        let other = Candidate { residents: 0, ..with("a", Warmth::OtherOptions, 0) };
        let full = with("b", Warmth::OnDisk, 0);
        let room = Candidate { residents: 1, ..with("c", Warmth::OnDisk, 1) };
        let unknown = Candidate { residents: 0, ..with("d", Warmth::Unknown, 0) };
        assert_eq!(model_affinity(&situation(&[other, full, room], &[]), 0), Some(take(2, "on disk")));
        assert_eq!(model_affinity(&situation(&[other, unknown, full], &[]), 0), Some(take(2, "on disk")));
        assert_eq!(model_affinity(&situation(&[other, unknown], &[]), 0), Some(take(1, "unknown")));
        assert_eq!(model_affinity(&situation(&[other], &[]), 0), Some(take(0, "other options")));
    }

    #[test]
    fn equals_are_told_apart_by_the_model_and_not_by_chance_or_place() {
        let (one, other) = (["a", "b", "c"].map(candidate), ["c", "a", "b"].map(candidate));
        for dice in 0..10 {
            let id = |ready: &[Candidate<'static>]| match model_affinity(&situation(ready, &[]), dice) {
                Some(Choice::Take { index, .. }) => ready[index].id,
                choice => panic!("{choice:?}"),
            };
            assert_eq!(id(&one), id(&other));
            assert_eq!(id(&one), one[rendezvous::best(7, &one).unwrap()].id);
        }
    }

    #[test]
    fn without_a_model_the_least_loaded_takes_it_and_nobody_is_nobody() {
        let ready = [with("a", Warmth::Loaded, 1), with("b", Warmth::OnDisk, 0)];
        let no_model = Situation { key: None, ..situation(&ready, &[]) };
        assert_eq!(model_affinity(&no_model, 0), Some(take(1, "no model")));
        assert_eq!(model_affinity(&situation(&[], &[]), 0), None);
        assert_eq!(model_affinity(&patient(&[], &ready), 0), None);
    }
}
