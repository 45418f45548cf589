//! Commands on the whole catalog.

use super::*;

fn replace(frontends: Vec<Frontend>, backends: Vec<Backend>, expect: Precondition) -> Command {
    Command::ReplaceCatalog { frontends, backends, keys: None, expect }
}

#[test]
fn a_cluster_is_seeded_once_and_before_everything_else() {
    let mut machine = Machine { state: ClusterState::new(), index: 0 };
    assert_eq!(machine.refuse(put_backend(backend("b1"))), Rejection::NotSeeded);
    assert_eq!(Rejection::NotSeeded.http_status(), 503);
    assert_eq!((machine.state.cluster_id(), machine.state.revision()), (None, 0));

    let command = seed(vec![frontend("f1", &["b1"])], vec![backend("b1")]);
    assert_eq!(machine.apply(command.clone()), Ok(Outcome::Seeded));
    assert_eq!(machine.state.cluster_id().unwrap().as_str(), "c1");
    assert_eq!((machine.state.revision(), machine.backend("b1").revision), (1, 1));
    assert_eq!(machine.newest().what, "seeded cluster c1 with 1 frontend and 1 backend");
    let cluster = "c1".parse().unwrap();
    assert_eq!(machine.refuse(command), Rejection::AlreadySeeded { cluster });
}

#[test]
fn an_empty_seed_is_a_change_too() {
    let mut machine = Machine { state: ClusterState::new(), index: 0 };
    assert_eq!(machine.apply(seed(vec![], vec![])), Ok(Outcome::Seeded));
    assert_eq!(machine.state.restorable(), 1..=1);
}

#[test]
fn a_seed_that_breaks_a_rule_leaves_the_cluster_unborn() {
    let mut machine = Machine { state: ClusterState::new(), index: 0 };
    let rejection = machine.refuse(seed(vec![frontend("f1", &["b1"])], vec![]));
    assert!(matches!(rejection, Rejection::UnknownBackend { .. }));
    let rejection = machine.refuse(seed(vec![], vec![backend("b1"), backend("b1")]));
    assert_eq!(rejection, Rejection::Exists { object: object(ObjectKind::Backend, "b1") });
    assert_eq!(machine.apply(seed(vec![], vec![])), Ok(Outcome::Seeded));
}

#[test]
fn a_replacement_touches_only_what_differs() {
    let mut machine = Machine::seeded();
    let frontends = vec![frontend("f1", &["b1", "b3"])];
    let backends = vec![Backend { revision: 77, ..backend("b1") }, backend("b3")];
    let command = replace(frontends, backends, Precondition::Any);
    assert_eq!(machine.apply(command.clone()), Ok(Outcome::Replaced { created: 1, updated: 1, deleted: 1 }));
    let ids: Vec<&str> = machine.state.catalog().backends.keys().map(AsRef::as_ref).collect();
    assert_eq!(ids, ["b1", "b3"]);
    assert_eq!((machine.backend("b1").revision, machine.backend("b3").revision), (1, 2));
    assert_eq!((machine.frontend("f1").revision, machine.frontend("f1").created_utc), (2, at(0)));
    assert_eq!(machine.newest().what, "replaced the catalog: 1 created, 1 changed, 1 deleted");
    assert_eq!(machine.newest().to_owned().kind, ObjectKind::Catalog);
    assert_eq!(machine.apply(command), Ok(Outcome::Unchanged));
    assert_eq!(machine.state.revision(), 2);
}

#[test]
fn a_replacement_with_a_fault_changes_nothing() {
    let mut machine = Machine::seeded();
    let bad = Backend { hostname: String::new(), ..backend("b3") };
    let rejection = machine.refuse(replace(vec![], vec![backend("b2"), bad], Precondition::Any));
    assert_eq!(rejection.to_string(), "backend b3: Hostname must not be empty");
    let rejection =
        machine.refuse(replace(vec![frontend("f1", &[]), frontend("f1", &[])], vec![], Precondition::Any));
    assert_eq!(rejection, Rejection::Exists { object: object(ObjectKind::Frontend, "f1") });
}

#[test]
fn a_replacement_keeps_secrets_that_come_back_redacted() {
    let mut machine = Machine::seeded();
    machine.apply(put_backend(Backend { bearer_token: Some("hunter2".into()), ..backend("b1") })).unwrap();
    let exported = serde_json::to_value(machine.backend("b1")).unwrap();
    let returned = Backend::from_value(&exported, at(0)).unwrap().value;
    assert_eq!(
        machine.apply(replace(vec![], vec![returned], Precondition::Any)),
        Ok(Outcome::Replaced { created: 0, updated: 0, deleted: 2 })
    );
    assert_eq!(machine.backend("b1").bearer_token.as_ref().unwrap().expose(), "hunter2");
}

#[test]
fn an_expected_revision_of_the_catalog_holds_until_an_object_changes() {
    let mut machine = Machine::seeded();
    let token = Command::PutToken {
        name: "ci".parse().unwrap(),
        hash: TokenHash::new([1; 32]),
        expect: Precondition::Any,
    };
    machine.apply(token).unwrap();
    assert_eq!((machine.state.revision(), machine.state.catalog_revision()), (2, 1));
    let command = |name: &str, expect| {
        replace(vec![], vec![Backend { name: name.to_owned(), ..backend("b1") }], expect)
    };
    for wrong in [Precondition::Revision(0), Precondition::Revision(3), Precondition::Absent] {
        let rejection = machine.refuse(command("x", wrong));
        assert_eq!(
            rejection,
            Rejection::PreconditionFailed { object: ObjectRef::catalog(), current: Some(1) }
        );
        assert_eq!((rejection.kind().status(), rejection.http_status()), (409, 412));
    }
    let mut other = Machine { state: machine.state.clone(), index: machine.index };
    assert!(
        other.apply(command("x", Precondition::Revision(1))).is_ok(),
        "a token is no part of the catalog"
    );
    assert!(machine.apply(command("x", Precondition::Revision(2))).is_ok());
    assert!(machine.apply(command("y", Precondition::Revision(3))).is_ok());
    assert!(machine.apply(replace(vec![], vec![], Precondition::Any)).is_ok());
    assert!(machine.apply(command("z", Precondition::Absent)).is_ok());
}

#[test]
fn a_rollback_restores_exactly_what_was_and_is_a_change_itself() {
    let mut machine = Machine::seeded();
    machine.apply(put_backend(Backend { bearer_token: Some("hunter2".into()), ..backend("b1") })).unwrap();
    let wanted = without_revisions(machine.state.catalog());
    machine.apply(put_backend(backend("b1"))).unwrap();
    machine.apply(delete_backend("b2", true)).unwrap();
    machine.apply(put_backend(backend("b3"))).unwrap();
    let before = machine.state.clone();

    let outdated = Command::Rollback { to_revision: 2, expect: Precondition::Revision(4) };
    assert!(matches!(machine.refuse(outdated), Rejection::PreconditionFailed { current: Some(5), .. }));
    assert_eq!(machine.apply(rollback(2)), Ok(Outcome::RolledBack { restored: 4 }));
    assert_eq!(without_revisions(machine.state.catalog()), wanted);
    assert_eq!(machine.backend("b1").bearer_token.as_ref().unwrap().expose(), "hunter2");
    assert_eq!((machine.state.revision(), machine.backend("b2").revision), (6, 6));
    assert_eq!(machine.newest().what, "rolled back to revision 2: 4 objects restored");

    assert_eq!(machine.apply(rollback(2)), Ok(Outcome::Unchanged), "it is that already");
    machine.apply(rollback(5)).unwrap();
    assert_eq!(without_revisions(machine.state.catalog()), without_revisions(before.catalog()));
}

#[test]
fn a_rollback_leaves_tokens_and_nodes_alone() {
    let mut machine = Machine::seeded();
    machine.apply(Command::AllocateNode { address: "n1:43412".to_owned(), incarnation: 5 }).unwrap();
    machine.apply(put_backend(backend("b9"))).unwrap();
    assert_eq!(machine.apply(rollback(1)), Ok(Outcome::RolledBack { restored: 1 }));
    assert_eq!(machine.state.nodes().len(), 1);
}

#[test]
fn revisions_outside_of_the_history_cannot_be_restored() {
    let mut machine = Machine::seeded();
    for port in 1..=120 {
        machine.apply(put_backend(Backend { port, ..backend("b1") })).unwrap();
    }
    assert_eq!(machine.state.history().len(), MAX_HISTORY);
    assert_eq!(machine.state.restorable(), 21..=121);
    for unknown in [0, 20, 122] {
        let rejection = machine.refuse(rollback(unknown));
        assert_eq!(rejection, Rejection::UnknownRevision { revision: unknown, oldest: 21, newest: 121 });
        assert_eq!(rejection.http_status(), 404);
    }
    machine.apply(rollback(21)).unwrap();
    assert_eq!(machine.backend("b1").port, 20);
}

#[test]
fn the_history_is_bounded_in_bytes_as_well() {
    let mut machine = Machine::seeded();
    let name = "x".repeat(60_000);
    let many: Vec<Backend> =
        (0..50).map(|number| Backend { name: name.clone(), ..backend(&format!("x{number}")) }).collect();
    for round in 0..4 {
        let backends = many.iter().map(|backend| Backend { port: round, ..backend.clone() }).collect();
        machine.apply(replace(vec![], backends, Precondition::Any)).unwrap();
    }
    // Each replacement keeps 3 MB of former objects, and two of them fit.
    assert_eq!(machine.state.history().len(), 2);
    machine.apply(rollback(*machine.state.restorable().start())).unwrap();
    assert_eq!(machine.backend("x0").port, 1);
}
