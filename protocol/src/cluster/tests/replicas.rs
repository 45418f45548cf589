//! Any sequence of commands leads all nodes to the same state, and back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::object::Secret;

/// Few names, so that commands meet.
fn backend_id() -> impl Strategy<Value = String> {
    "b[1-4]"
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            any_map(inner).prop_map(Value::from)
        ]
    })
}

/// Keys in any order: the order must survive.
fn any_map(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::vec(("[a-z]{1,3}", values), 0..4).prop_map(|entries| entries.into_iter().collect())
}

fn any_backend() -> impl Strategy<Value = Backend> {
    let secret = proptest::option::of(prop_oneof!["[a-z]{0,5}", Just("********".to_owned())]);
    // Port 0 is as good as any other; the host name "" breaks a rule.
    (backend_id(), "[a-z]{0,2}", 0..4_u16, secret, any_map(any_json())).prop_map(
        |(id, hostname, port, secret, pinned)| Backend {
            hostname,
            port,
            bearer_token: secret.map(Secret::new),
            pinned_completions_properties: pinned,
            ..backend(&id)
        },
    )
}

fn any_frontend() -> impl Strategy<Value = Frontend> {
    ("f[1-3]", proptest::collection::vec(backend_id(), 0..3), 0..3_u32).prop_map(
        |(id, backends, timeout_ms)| {
            let backends: Vec<&str> = backends.iter().map(String::as_str).collect();
            Frontend { timeout_ms, ..frontend(&id, &backends) }
        },
    )
}

fn any_precondition() -> impl Strategy<Value = Precondition> {
    prop_oneof![
        4 => Just(Precondition::Any),
        1 => Just(Precondition::Absent),
        2 => (0..30_u64).prop_map(Precondition::Revision),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    let expect = any_precondition;
    prop_oneof![
        6 => (any_backend(), expect()).prop_map(|(backend, expect)| {
            Command::PutBackend { backend: Box::new(backend), expect, sets_state: false }
        }),
        4 => (any_frontend(), expect()).prop_map(|(frontend, expect)| {
            Command::PutFrontend { frontend: Box::new(frontend), expect }
        }),
        1 => ("f[1-3]", expect()).prop_map(|(id, expect)| {
            Command::DeleteFrontend { id: id.parse().unwrap(), expect }
        }),
        2 => (backend_id(), expect(), any::<bool>()).prop_map(|(id, expect, force)| {
            Command::DeleteBackend { id: id.parse().unwrap(), expect, force }
        }),
        1 => (
            proptest::collection::vec(any_frontend(), 0..3),
            proptest::collection::vec(any_backend(), 0..4),
            expect()
        ).prop_map(|(frontends, backends, expect)| Command::ReplaceCatalog { frontends, backends, keys: None, expect }),
        2 => (0..30_u64, expect()).prop_map(|(to_revision, expect)| Command::Rollback { to_revision, expect }),
        1 => ("t[12]", any::<u8>(), expect()).prop_map(|(name, byte, expect)| Command::PutToken {
            name: name.parse().unwrap(), hash: TokenHash::new([byte; 32]), expect
        }),
        1 => "t[12]".prop_map(|name| Command::DeleteToken { name: name.parse().unwrap() }),
        1 => ("n[12]:1", 0..5_u128).prop_map(|(address, incarnation)| {
            Command::AllocateNode { address, incarnation }
        }),
        1 => (0..5_u64).prop_map(|id| Command::RetireNode { id }),
        1 => any_json().prop_map(|body| Command::Unknown(body.into())),
    ]
}

/// Commands with request ids of which some repeat.
fn any_log() -> impl Strategy<Value = Vec<(u128, Command)>> {
    proptest::collection::vec((0..60_u128, any_command()), 1..40)
}

fn check_invariants(before: &ClusterState, after: &ClusterState, outcome: &Result<Applied, Rejection>) {
    let catalog = after.catalog();
    for frontend in catalog.frontends.values() {
        for backend in &frontend.backends {
            assert!(catalog.backends.contains_key(backend), "{backend} dangles");
        }
    }
    for backend in catalog.backends.values() {
        assert!(backend.bearer_token.as_ref().is_none_or(|token| !token.is_redaction_mark()));
        let known = before.catalog().backends.get(&backend.identifier);
        assert!(known.is_none_or(|known| backend.revision >= known.revision), "revisions never fall");
        assert!(known.is_none_or(|known| backend.revision > known.revision || backend == known));
    }
    let step = after.revision() - before.revision();
    match outcome {
        Ok(applied) => assert!(step <= 1 && applied.revision <= after.revision()),
        Err(_) => assert_eq!(step, 0),
    }
    assert_eq!(step == 0, content(before) == content(after), "the revision counts the changes");
    let newest = after.history().next().unwrap();
    assert_eq!(newest.revision, after.revision());
    assert!(after.history().len() <= MAX_HISTORY && !newest.what.is_empty());
    assert!(after.catalog_revision() <= after.revision());
}

/// Whole logs take long: a quarter of the usual number of cases (which `PROPTEST_CASES` scales).
fn fewer_cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: (usual.cases / 4).max(1), ..usual }
}

proptest! {
    #![proptest_config(fewer_cases())]

    #[test]
    fn replicas_agree_even_if_one_of_them_restarts_from_a_snapshot(log in any_log(), restart in 0..40_usize) {
        let mut left = Machine::seeded();
        let mut right = Machine::seeded();
        for (position, (request, command)) in log.into_iter().enumerate() {
            if position == restart {
                right.state = ClusterState::decode(&right.state.encode()).unwrap();
            }
            let before = left.state.clone();
            let outcome = left.send(request, command.clone());
            prop_assert_eq!(&outcome, &right.send(request, command));
            check_invariants(&before, &left.state, &outcome);
        }
        prop_assert_eq!(&left.state, &right.state);
        prop_assert_eq!(left.state.encode(), right.state.encode());
        prop_assert_eq!(left.state.catalog_hash(), right.state.catalog_hash());
        prop_assert_eq!(ClusterState::decode(&left.state.encode()).unwrap(), left.state);
    }

    #[test]
    fn any_known_revision_can_be_restored_exactly(log in any_log(), picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let mut machine = Machine::seeded();
        let mut catalogs = BTreeMap::from([(1, without_revisions(machine.state.catalog()))]);
        for (request, command) in log {
            let _ = machine.send(request + 1, command);
            catalogs.insert(machine.state.revision(), without_revisions(machine.state.catalog()));
        }
        for pick in picks {
            let mut known = machine.state.restorable();
            prop_assert_eq!(*known.start(), 1, "the logs are shorter than the history");
            let revision = known.nth(pick.index(known.clone().count())).unwrap();
            let outcome = machine.send(0, rollback(revision)).unwrap().outcome;
            let done = matches!(outcome, Outcome::RolledBack { .. } | Outcome::Unchanged);
            prop_assert!(done, "{:?}", outcome);
            prop_assert_eq!(&without_revisions(machine.state.catalog()), &catalogs[&revision]);
            catalogs.insert(machine.state.revision(), without_revisions(machine.state.catalog()));
        }
    }

    #[test]
    fn applying_an_entry_twice_is_applying_it_once(log in any_log()) {
        let mut machine = Machine::seeded();
        for (request, command) in log {
            let first = machine.send(request + 1, command.clone());
            let after = machine.state.clone();
            prop_assert_eq!(machine.send(request + 1, command), first);
            prop_assert_eq!(&machine.state, &after);
        }
    }

}

proptest! {
    #[test]
    fn no_text_in_the_log_makes_a_node_fail(text in "\\PC{0,80}", cut in any::<prop::sample::Index>()) {
        let mut machine = Machine::seeded();
        let before = machine.state.clone();
        prop_assert!(machine.enter(&Envelope::decode(&text)).is_err());
        let whole = Envelope::new(5, at(0), "ops", 1, delete_frontend("f1")).encode().unwrap();
        prop_assert!(machine.enter(&Envelope::decode(&whole[..cut.index(whole.len())])).is_err());
        prop_assert_eq!(&machine.state, &before);
    }

    #[test]
    fn no_snapshot_makes_a_node_fail(flip in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Machine::seeded().state.encode();
        let place = flip.index(bytes.len());
        bytes[place] = byte;
        if let Ok(state) = ClusterState::decode(&bytes) {
            let _ = Machine { state, index: 9 }.apply(delete_backend("b1", true));
        }
    }
}
