//! Where a client goes that has no session: to the same backend on every node, by hashing.

use super::{Candidate, Choice, Situation, rendezvous};

/// The backend that the client's hash prefers. While that one is busy, the request waits for it as long as its patience
/// lasts; then the hash chooses among those that are ready.
pub(in crate::actors) fn sticky(situation: &Situation<'_>) -> Option<Choice> {
    let key = situation.key.unwrap_or_default();
    let index = rendezvous::best(key, situation.ready)?;
    let score = |candidate: &Candidate<'_>| rendezvous::score(key, candidate.id, candidate.weight);
    let home = score(&situation.ready[index]);
    if situation.busy.iter().all(|busy| score(busy) < home) {
        return Some(Choice::Take { index, why: "hash" });
    }
    if situation.patience.is_zero() { Some(Choice::Take { index, why: "spill" }) } else { Some(Choice::Wait) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{candidate, situation};
    use super::*;

    #[test]
    fn a_client_has_one_home_and_waits_for_it_before_it_goes_elsewhere() {
        let all = [candidate("b1"), candidate("b2"), candidate("b3")];
        let Some(Choice::Take { index: home, why: "hash" }) = sticky(&situation(&all, &[])) else {
            panic!("no home");
        };
        let others: Vec<_> = all.iter().filter(|it| it.id != all[home].id).copied().collect();
        let busy = [all[home]];
        let patient = Situation { patience: Duration::from_secs(1), ..situation(&others, &busy) };
        assert_eq!(sticky(&patient), Some(Choice::Wait));
        assert!(matches!(sticky(&situation(&others, &busy)), Some(Choice::Take { why: "spill", .. })));
        assert!(
            matches!(sticky(&situation(&others, &[])), Some(Choice::Take { why: "hash", .. })),
            "it is gone"
        );
        assert_eq!(sticky(&situation(&[], &busy)), None);
    }

    #[test]
    fn clients_spread_over_the_backends() {
        let all = [candidate("b1"), candidate("b2"), candidate("b3")];
        let mut homes = [0; 3];
        for client in 0..300 {
            let asked = Situation { key: Some(client), ..situation(&all, &[]) };
            let Some(Choice::Take { index, .. }) = sticky(&asked) else { panic!("no home") };
            homes[index] += 1;
        }
        assert!(homes.iter().all(|count| (60..140).contains(count)), "{homes:?}");
    }
}
