//! Rolls: a backend drains as long as its step is under way, and never longer.

use super::*;
use crate::models::desired::ActionKind;
use crate::object::BackendState;

fn key(backend: &str) -> WorkKey {
    WorkKey { backend: backend.parse().unwrap(), kind: ActionKind::Pull, model: "m:latest".to_owned() }
}

fn begin(backends: &[&str]) -> Command {
    let backends = backends.iter().map(|id| id.parse().unwrap()).collect();
    Command::BeginRoll { name: "M".to_owned(), backends, force: false, drain_ms: 1000 }
}

fn claim(backend: &str, token: u128) -> Command {
    Command::ClaimWork { key: key(backend), name: "M".to_owned(), token, over: None }
}

fn advance(backend: &str, token: u128, phase: RollPhase) -> Command {
    Command::AdvanceRoll { key: key(backend), token, phase, detail: Some("why".to_owned()) }
}

fn release(backend: &str, token: u128) -> Command {
    Command::ReleaseWork { key: key(backend), token, end: WorkEnd::Done }
}

fn phases(machine: &Machine) -> Vec<RollPhase> {
    machine.state.roll("m:latest").unwrap().steps.iter().map(|step| step.phase).collect()
}

#[test]
fn a_backend_drains_during_its_step_and_takes_requests_again_however_it_ends() {
    for end in [RollPhase::Done, RollPhase::Failed, RollPhase::Skipped] {
        let mut machine = Machine::seeded();
        machine.apply(begin(&["b1", "b2", "b1"])).unwrap();
        let refused = machine.refuse(begin(&["b1"]));
        assert_eq!(refused.to_string(), "a roll of m:latest is under way already: see GET /v1.0/models");
        assert!(matches!(machine.refuse(advance("b1", 1, RollPhase::Draining)), Rejection::WorkLost { .. }));
        machine.apply(claim("b1", 1)).unwrap();
        machine.apply(advance("b1", 1, RollPhase::Draining)).unwrap();
        assert_eq!(machine.backend("b1").state, BackendState::Draining);
        assert_eq!(machine.backend("b2").state, BackendState::Active);
        // The next leader resumes: the former state is not forgotten.
        machine.state = ClusterState::decode(&machine.state.encode()).unwrap();
        machine.apply(advance("b1", 1, RollPhase::Draining)).unwrap();
        machine.apply(advance("b1", 1, RollPhase::Pulling)).unwrap();
        machine.apply(advance("b1", 1, end)).unwrap();
        assert_eq!(machine.backend("b1").state, BackendState::Active);
        let second = if end == RollPhase::Failed { RollPhase::Skipped } else { RollPhase::Waiting };
        assert_eq!(phases(&machine), [end, second]);
        assert_eq!(machine.apply(advance("b1", 1, RollPhase::Draining)), Ok(Outcome::Unchanged), "too late");
        assert_eq!(machine.backend("b1").state, BackendState::Active);
        machine.apply(release("b1", 1)).unwrap();
    }
}

#[test]
fn the_state_that_an_operator_has_set_stands() {
    let mut machine = Machine::seeded();
    machine.apply(put_backend(Backend { state: BackendState::Draining, ..backend("b1") })).unwrap();
    machine.apply(begin(&["b1", "b2"])).unwrap();
    for (id, token) in [("b1", 1), ("b2", 2)] {
        machine.apply(claim(id, token)).unwrap();
        machine.apply(advance(id, token, RollPhase::Draining)).unwrap();
    }
    let disabled = Backend { state: BackendState::Disabled, active: false, ..backend("b2") };
    machine.apply(put_backend(disabled)).unwrap();
    for (id, token) in [("b1", 1), ("b2", 2)] {
        machine.apply(advance(id, token, RollPhase::Done)).unwrap();
    }
    assert_eq!(machine.backend("b1").state, BackendState::Draining, "it drained before");
    assert_eq!(machine.backend("b2").state, BackendState::Disabled, "it was switched off meanwhile");
}

fn sets(id: &str, state: BackendState) -> Command {
    let backend = Box::new(Backend { state, ..backend(id) });
    Command::PutBackend { backend, expect: Precondition::Any, sets_state: true }
}

#[test]
fn the_state_that_an_operator_names_during_a_step_outlives_it() {
    for (phase, said, kept) in [
        (RollPhase::Draining, BackendState::Draining, BackendState::Draining),
        (RollPhase::Pulling, BackendState::Draining, BackendState::Draining),
        (RollPhase::Pulling, BackendState::Active, BackendState::Active),
    ] {
        let mut machine = Machine::seeded();
        machine.apply(begin(&["b1", "b2"])).unwrap();
        machine.apply(claim("b1", 1)).unwrap();
        machine.apply(advance("b1", 1, RollPhase::Draining)).unwrap();
        machine.apply(advance("b1", 1, phase)).unwrap();
        machine.apply(sets("b1", said)).unwrap();
        machine.apply(sets("b2", BackendState::Active)).unwrap();
        machine.state = ClusterState::decode(&machine.state.encode()).unwrap();
        machine.apply(advance("b1", 1, RollPhase::Done)).unwrap();
        assert_eq!(machine.backend("b1").state, kept, "{said:?} at {phase:?}");
    }
    // What names no state keeps what the roll has set, and does not count as a wish.
    let mut machine = Machine::seeded();
    machine.apply(begin(&["b1"])).unwrap();
    machine.apply(claim("b1", 1)).unwrap();
    machine.apply(advance("b1", 1, RollPhase::Draining)).unwrap();
    let renamed = Backend { state: BackendState::Draining, name: "x".to_owned(), ..backend("b1") };
    machine.apply(put_backend(renamed)).unwrap();
    machine.apply(advance("b1", 1, RollPhase::Done)).unwrap();
    assert_eq!(machine.backend("b1").state, BackendState::Active);
}

#[test]
fn a_roll_waits_while_a_backend_that_its_step_needs_drains_for_another_one() {
    let mut machine = Machine::seeded();
    for id in ["c1", "c2"] {
        machine.apply(put_backend(backend(id))).unwrap();
    }
    let frontend = |id: &str, backends: [&str; 2]| {
        let backends = backends.iter().map(|id| id.parse().unwrap()).collect();
        put_frontend(Frontend { backends, ..Frontend::new(id.parse().unwrap()) })
    };
    machine.apply(frontend("f8", ["b1", "b2"])).unwrap();
    machine.apply(frontend("f9", ["c1", "c2"])).unwrap();
    let roll = |name: &str, backends: &[&str], force| {
        let backends = backends.iter().map(|id| id.parse().unwrap()).collect();
        Command::BeginRoll { name: name.to_owned(), backends, force, drain_ms: 0 }
    };
    machine.apply(begin(&["b1", "b2"])).unwrap();
    machine.apply(roll("same", &["b1", "b2"], false)).unwrap();
    machine.apply(roll("stand-in", &["b2"], false)).unwrap();
    machine.apply(roll("forced", &["b2"], true)).unwrap();
    machine.apply(roll("elsewhere", &["c1", "c2"], false)).unwrap();
    let waits = |machine: &Machine, name: &str| {
        let state = &machine.state;
        let roll = state.roll(&format!("{name}:latest")).unwrap();
        state.roll_before(roll, |key| state.is_held(key)).map(|other| other.name.clone())
    };
    let all = |machine: &Machine| {
        ["M", "same", "stand-in", "forced", "elsewhere"].map(|name| waits(machine, &name.to_lowercase()))
    };
    assert_eq!(all(&machine), [None, None, None, None, None]);
    machine.apply(claim("b1", 1)).unwrap();
    let first = Some("M".to_owned());
    let expected = [None, first.clone(), first, None, None];
    assert_eq!(all(&machine), expected, "the first is about to drain");
    machine.apply(advance("b1", 1, RollPhase::Draining)).unwrap();
    assert_eq!(all(&machine), expected);
    machine.apply(advance("b1", 1, RollPhase::Done)).unwrap();
    machine.apply(release("b1", 1)).unwrap();
    assert_eq!(all(&machine), [None, None, None, None, None]);
    let same = WorkKey { model: "same:latest".to_owned(), ..key("b1") };
    let claimed = Command::ClaimWork { key: same.clone(), name: "same".to_owned(), token: 2, over: None };
    machine.apply(claimed).unwrap();
    assert_eq!(waits(&machine, "m"), None, "of two that begin at once the older one goes first");
    let draining = Command::AdvanceRoll { key: same, token: 2, phase: RollPhase::Draining, detail: None };
    machine.apply(draining).unwrap();
    assert_eq!(waits(&machine, "m"), Some("same".to_owned()), "but it waits for what drains already");
}

#[test]
fn only_nodes_of_the_cluster_tell_that_they_have_drained() {
    let mut machine = Machine::seeded();
    machine.apply(Command::AllocateNode { address: "n1:1".to_owned(), incarnation: 1 }).unwrap();
    machine.apply(begin(&["b1"])).unwrap();
    let told = |node| Command::TellDrained { model: "m:latest".to_owned(), backend: key("b1").backend, node };
    assert_eq!(machine.apply(told(1)), Ok(Outcome::Unchanged), "it does not drain yet");
    machine.apply(claim("b1", 1)).unwrap();
    machine.apply(advance("b1", 1, RollPhase::Draining)).unwrap();
    assert_eq!(machine.apply(told(9)), Ok(Outcome::Unchanged));
    assert_eq!(machine.apply(told(1)), Ok(Outcome::Updated));
    let step = &machine.state.roll("m:latest").unwrap().steps[0];
    assert_eq!(step.drained.iter().copied().collect::<Vec<_>>(), [1]);
}

#[test]
fn rolls_are_bounded_and_lose_the_backends_that_are_deleted() {
    let mut machine = Machine::seeded();
    for n in 0..MAX_ROLLS {
        let backends = vec!["b1".parse().unwrap()];
        let roll = Command::BeginRoll { name: format!("m{n}"), backends, force: false, drain_ms: 0 };
        machine.apply(roll).unwrap();
    }
    assert!(matches!(machine.refuse(begin(&["b2"])), Rejection::TooMany { .. }));
    assert!(matches!(machine.refuse(begin(&[])), Rejection::Invalid { .. }));
    assert!(matches!(machine.refuse(begin(&["b9"])), Rejection::NotFound { .. }));
    machine.apply(delete_backend("b1", true)).unwrap();
    assert_eq!(machine.state.rolls().count(), 0);
    machine.apply(begin(&["b2"])).unwrap();
    assert_eq!(ClusterState::decode(&machine.state.encode()).unwrap(), machine.state);
}

#[test]
fn every_command_on_rolls_survives_its_text() {
    let told = Command::TellDrained { model: "m:1".to_owned(), backend: key("b1").backend, node: 3 };
    for command in [begin(&["b1"]), advance("b1", 5, RollPhase::Pulling), told] {
        let envelope = Envelope::new(1, at(3), "cluster", 1, command);
        let text = envelope.encode().unwrap();
        assert_eq!(Envelope::decode(&text), envelope, "{text}");
        assert!(text.contains(envelope.command.name()));
    }
}
