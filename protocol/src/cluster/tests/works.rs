//! Work that is claimed: one holder at a time, whatever comes when.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::models::desired::{ActionKind, Failure};

fn key(backend: &str, model: &str) -> WorkKey {
    WorkKey { backend: backend.parse().unwrap(), kind: ActionKind::Pull, model: model.to_owned() }
}

fn claim(key: &WorkKey, token: u128, over: Option<(u128, u64)>) -> Command {
    let over = over.map(|(token, renewals)| Sighting { token, renewals });
    Command::ClaimWork { key: key.clone(), name: key.model.clone(), token, over }
}

fn renew(key: &WorkKey, token: u128, percent: u8) -> Command {
    Command::RenewWork { key: key.clone(), token, percent: Some(percent) }
}

fn release(key: &WorkKey, token: u128, end: WorkEnd) -> Command {
    Command::ReleaseWork { key: key.clone(), token, end }
}

fn failure(seconds: u64) -> WorkFailure {
    WorkFailure {
        why: Failure::Transient,
        message: "é".repeat(600),
        attempts: 2,
        until_utc: at(seconds),
        revision: 1,
        disk: u64::MAX,
        crowd: None,
    }
}

fn holder(machine: &Machine, key: &WorkKey) -> Option<u128> {
    machine.state.work(key)?.hold.as_ref().map(|hold| hold.token)
}

#[test]
fn a_claim_keeps_others_out_until_it_is_released() {
    let mut machine = Machine::seeded();
    let m = key("b1", "m:latest");
    assert_eq!(machine.apply(claim(&m, 1, None)), Ok(Outcome::WorkClaimed));
    assert_eq!(
        machine.apply(claim(&m, 1, None)),
        Ok(Outcome::WorkClaimed),
        "a second copy of the same claim"
    );
    let refused = machine.refuse(claim(&m, 2, None));
    assert_eq!(
        refused,
        Rejection::WorkClaimed { backend: m.backend.clone(), model: m.model.clone(), node: 7 }
    );
    assert_eq!(machine.apply(claim(&key("b2", "m:latest"), 3, None)), Ok(Outcome::WorkClaimed));
    assert_eq!(machine.apply(renew(&m, 1, 200)), Ok(Outcome::WorkRenewed));
    let hold = machine.state.work(&m).unwrap().hold.clone().unwrap();
    assert_eq!((hold.renewals, hold.percent), (1, Some(100)));
    assert!(matches!(machine.refuse(release(&m, 2, WorkEnd::Done)), Rejection::WorkLost { .. }));
    assert_eq!(machine.apply(release(&m, 1, WorkEnd::Done)), Ok(Outcome::WorkReleased));
    assert_eq!(machine.state.work(&m), None);
    assert!(matches!(machine.refuse(renew(&m, 1, 1)), Rejection::WorkLost { .. }), "it does not come back");
}

#[test]
fn only_a_claim_that_was_not_renewed_since_it_was_seen_is_taken_over() {
    let mut machine = Machine::seeded();
    let m = key("b1", "m:latest");
    machine.apply(claim(&m, 1, None)).unwrap();
    machine.apply(renew(&m, 1, 40)).unwrap();
    machine.refuse(claim(&m, 2, Some((1, 0))));
    machine.refuse(claim(&m, 2, Some((3, 1))));
    assert_eq!(machine.apply(claim(&m, 2, Some((1, 1)))), Ok(Outcome::WorkClaimed));
    assert_eq!(holder(&machine, &m), Some(2));
    machine.refuse(renew(&m, 1, 50));
    machine.refuse(release(&m, 1, WorkEnd::Done));
    assert_eq!(holder(&machine, &m), Some(2), "the former holder has no say any more");
}

#[test]
fn a_failure_stays_until_the_work_is_done_or_somebody_says_that_it_is_to_be_tried_again() {
    let mut machine = Machine::seeded();
    let m = key("b1", "m:latest");
    let fail = |machine: &mut Machine| {
        machine.apply(claim(&m, 1, None)).unwrap();
        machine.apply(release(&m, 1, WorkEnd::Failed(failure(9)))).unwrap();
        let failed = machine.state.work(&m).unwrap().failure.clone().unwrap();
        assert_eq!(failed.message, "é".repeat(MAX_WORK_MESSAGE));
    };
    fail(&mut machine);
    machine.apply(claim(&m, 2, None)).unwrap();
    assert!(machine.state.work(&m).unwrap().failure.is_some(), "how often it failed is still to be known");
    machine.apply(release(&m, 2, WorkEnd::Abandoned)).unwrap();
    assert!(machine.state.work(&m).unwrap().failure.is_some());
    assert_eq!(
        machine.apply(Command::RetryWorks { backend: Some("b2".parse().unwrap()) }),
        Ok(Outcome::Unchanged)
    );
    assert_eq!(machine.apply(Command::RetryWorks { backend: None }), Ok(Outcome::Updated));
    assert_eq!(machine.state.work(&m), None);
    fail(&mut machine);
    machine.apply(claim(&m, 3, None)).unwrap();
    machine.apply(release(&m, 3, WorkEnd::Done)).unwrap();
    assert_eq!(machine.state.works().count(), 0);
}

#[test]
fn work_at_a_backend_that_is_deleted_is_forgotten_when_it_has_ended() {
    let mut machine = Machine::seeded();
    let (running, failed) = (key("b1", "m:latest"), key("b1", "n:latest"));
    machine.apply(claim(&running, 1, None)).unwrap();
    machine.apply(claim(&failed, 2, None)).unwrap();
    machine.apply(release(&failed, 2, WorkEnd::Failed(failure(9)))).unwrap();
    machine.apply(delete_backend("b1", true)).unwrap();
    assert_eq!(machine.state.work(&failed), None);
    assert_eq!(holder(&machine, &running), Some(1), "it runs, and must not be begun by another one");
    assert!(matches!(machine.refuse(claim(&failed, 3, None)), Rejection::NotFound { .. }));
    machine.apply(release(&running, 1, WorkEnd::Failed(failure(9)))).unwrap();
    assert_eq!(machine.state.works().count(), 0);
}

#[test]
fn claims_change_neither_revision_nor_hash_nor_history_nor_the_memory_of_requests() {
    let mut machine = Machine::seeded();
    let (before, text) = (content(&machine.state), machine.state.encode());
    let (hash, revision) = (machine.state.catalog_hash(), machine.state.revision());
    let m = key("b1", "m:latest");
    machine.apply(claim(&m, 1, None)).unwrap();
    machine.apply(renew(&m, 1, 10)).unwrap();
    assert_eq!(content(&machine.state), before);
    assert_eq!((machine.state.catalog_hash(), machine.state.revision()), (hash, revision));
    machine.apply(release(&m, 1, WorkEnd::Done)).unwrap();
    assert_eq!(machine.state.encode(), text, "not a byte is left, for versions that know no claims");
}

#[test]
fn claims_survive_snapshots_and_bad_ones_are_refused() {
    let mut machine = Machine::seeded();
    let m = key("b1", "m:latest");
    machine.apply(claim(&m, u128::MAX, None)).unwrap();
    machine.apply(renew(&m, u128::MAX, 10)).unwrap();
    let bytes = machine.state.encode();
    assert_eq!(ClusterState::decode(&bytes).unwrap(), machine.state);
    let mut snapshot: Value = serde_json::from_slice(&bytes).unwrap();
    let work = snapshot["State"]["Works"][0].clone();
    snapshot["State"]["Works"] = json!([work, work]);
    assert!(ClusterState::decode(snapshot.to_string().as_bytes()).is_err(), "two holders");
    for name in ["", " ", "a\nb", &"x".repeat(1025)] {
        assert!(matches!(machine.refuse(claim(&key("b1", name), 1, None)), Rejection::Invalid { .. }));
    }
}

#[test]
fn works_are_bounded_and_the_first_to_be_tried_again_is_forgotten() {
    let mut machine = Machine::seeded();
    machine.apply(claim(&key("b1", "m0:1"), 1, None)).unwrap();
    let mut snapshot: Value = serde_json::from_slice(&machine.state.encode()).unwrap();
    let first = snapshot["State"]["Works"][0].clone();
    let numbered = |n: usize| {
        let mut work = first.clone();
        work["Key"]["Model"] = json!(format!("m{n}:1"));
        work
    };
    snapshot["State"]["Works"] = (0..MAX_WORKS).map(numbered).collect();
    machine.state = ClusterState::decode(snapshot.to_string().as_bytes()).unwrap();
    let more = key("b2", "more:1");
    assert_eq!(
        machine.refuse(claim(&more, 1, None)),
        Rejection::TooMany { kind: ObjectKind::Work, limit: MAX_WORKS as u64 }
    );
    for (n, seconds) in [(5, 30), (6, 20), (7, 40)] {
        let end = WorkEnd::Failed(failure(seconds));
        machine.apply(release(&key("b1", &format!("m{n}:1")), 1, end)).unwrap();
    }
    machine.apply(claim(&more, 1, None)).unwrap();
    assert_eq!(machine.state.works().count(), MAX_WORKS);
    assert_eq!(machine.state.work(&key("b1", "m6:1")), None);
}

#[test]
fn every_command_on_work_survives_its_text() {
    let m = key("b1", "m:latest");
    let commands = [
        claim(&m, u128::MAX, Some((1, 2))),
        renew(&m, 1, 3),
        release(&m, 1, WorkEnd::Failed(failure(1))),
        release(&m, 1, WorkEnd::Abandoned),
        Command::RetryWorks { backend: None },
    ];
    for command in commands {
        let envelope = Envelope::new(1, at(3), "cluster", 1, command);
        let text = envelope.encode().unwrap();
        assert_eq!(Envelope::decode(&text), envelope, "{text}");
        assert!(text.contains(envelope.command.name()));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Claim { work: u8, token: u128, seen: bool },
    Renew { work: u8, token: u128 },
    Release { work: u8, token: u128, fails: bool },
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let (work, token) = (|| 0..2_u8, || 1..5_u128);
    prop_oneof![
        4 => (work(), token(), any::<bool>()).prop_map(|(work, token, seen)| Step::Claim { work, token, seen }),
        3 => (work(), token()).prop_map(|(work, token)| Step::Renew { work, token }),
        2 => (work(), token(), any::<bool>()).prop_map(|(work, token, fails)| Step::Release { work, token, fails }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// The model beside it knows who holds what. A sighting is that of the last claim before the step before.
    #[test]
    fn there_are_never_two_holders(steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut machine = Machine::seeded();
        let mut holders: BTreeMap<u8, (u128, u64)> = BTreeMap::new();
        let mut seen: BTreeMap<u8, (u128, u64)> = BTreeMap::new();
        for step in steps {
            let before = holders.clone();
            match step {
                Step::Claim { work, token, seen: over } => {
                    let over = seen.get(&work).copied().filter(|_| over);
                    let held = holders.get(&work).copied();
                    let may = held.is_none_or(|held| held.0 == token || Some(held) == over);
                    let claimed = machine.apply(claim(&key("b1", &format!("m{work}:1")), token, over));
                    prop_assert_eq!(claimed.is_ok(), may);
                    if may && held.is_none_or(|held| held.0 != token) {
                        holders.insert(work, (token, 0));
                    }
                }
                Step::Renew { work, token } => {
                    let renewed = machine.apply(renew(&key("b1", &format!("m{work}:1")), token, 1));
                    let held = holders.get_mut(&work).filter(|held| held.0 == token);
                    prop_assert_eq!(renewed.is_ok(), held.is_some());
                    if let Some(held) = held {
                        held.1 += 1;
                    }
                }
                Step::Release { work, token, fails } => {
                    let end = if fails { WorkEnd::Failed(failure(1)) } else { WorkEnd::Done };
                    let released = machine.apply(release(&key("b1", &format!("m{work}:1")), token, end));
                    let holds = holders.get(&work).is_some_and(|held| held.0 == token);
                    prop_assert_eq!(released.is_ok(), holds);
                    if holds {
                        holders.remove(&work);
                    }
                }
                Step::Restart => machine.state = ClusterState::decode(&machine.state.encode()).unwrap(),
            }
            seen = before;
            for work in 0..2_u8 {
                let held = holders.get(&work).map(|held| held.0);
                prop_assert_eq!(holder(&machine, &key("b1", &format!("m{work}:1"))), held);
            }
        }
    }
}

#[test]
fn what_a_load_has_cost_others_is_kept_within_bounds_and_old_failures_are_read_without_it() {
    let mut machine = Machine::seeded();
    let m = key("b1", "m:latest");
    machine.apply(claim(&m, 1, None)).unwrap();
    let out = (0..100).map(|n| format!("m{n}")).chain(["x".repeat(2000)]).collect();
    let crowd = Some(Crowd { out, count: 3 });
    machine.apply(release(&m, 1, WorkEnd::Failed(WorkFailure { crowd, ..failure(9) }))).unwrap();
    machine.state = ClusterState::decode(&machine.state.encode()).unwrap();
    let kept = machine.state.work(&m).unwrap().failure.clone().unwrap().crowd.unwrap();
    assert_eq!((kept.out.len(), kept.count), (MAX_CROWDED_OUT, 3));
    let old = serde_json::to_value(failure(9)).unwrap();
    assert!(old.get("Crowd").is_none());
    assert_eq!(serde_json::from_value::<WorkFailure>(old).unwrap(), failure(9));
}
