//! Virtual keys in the replicated state.

use serde_json::json;

use super::*;
use crate::object::Key;
use crate::object::key::MAX_KEYS;

fn key(id: &str, byte: u8) -> Key {
    Key { hash: Some(TokenHash::new([byte; 32])), ..Key::new(id.parse().unwrap()) }
}

fn put_key(key: Key) -> Command {
    Command::PutKey { key: Box::new(key), expect: Precondition::Any }
}

fn delete_key(id: &str) -> Command {
    Command::DeleteKey { id: id.parse().unwrap(), expect: Precondition::Any }
}

fn replace(machine: &Machine, keys: Option<Vec<Key>>) -> Command {
    let catalog = machine.state.catalog();
    Command::ReplaceCatalog {
        frontends: catalog.frontends.values().map(|object| Frontend::clone(object)).collect(),
        backends: catalog.backends.values().map(|object| Backend::clone(object)).collect(),
        keys,
        expect: Precondition::Any,
    }
}

#[test]
fn a_key_is_made_changed_and_deleted_as_other_objects() {
    let mut machine = Machine::seeded();
    assert_eq!(machine.apply(put_key(key("k1", 1))), Ok(Outcome::Created));
    assert_eq!(machine.newest().what, "created key k1");
    assert_eq!(machine.apply(put_key(key("k1", 1))), Ok(Outcome::Unchanged));
    let limited = Key { hash: None, max_parallel_requests: 4, ..key("k1", 1) };
    assert_eq!(machine.apply(put_key(limited)), Ok(Outcome::Updated));
    assert_eq!(machine.newest().what, "changed MaxParallelRequests of key k1");
    assert_eq!(machine.state.catalog().keys["k1"].hash, Some(TokenHash::new([1; 32])), "it keeps its secret");
    assert_eq!(machine.state.catalog().keys["k1"].revision, machine.state.catalog_revision());
    let stale = Command::PutKey { key: Box::new(key("k1", 2)), expect: Precondition::Revision(1) };
    assert!(matches!(machine.refuse(stale), Rejection::PreconditionFailed { .. }));
    assert_eq!(machine.apply(delete_key("k1")), Ok(Outcome::Deleted { unlinked: 0 }));
    assert_eq!(
        machine.refuse(delete_key("k1")),
        Rejection::NotFound { object: object(ObjectKind::Key, "k1") }
    );
}

#[test]
fn no_two_keys_have_one_secret_and_none_has_none() {
    let mut machine = Machine::seeded();
    machine.apply(put_key(key("k1", 1))).unwrap();
    assert!(machine.refuse(put_key(key("k2", 1))).to_string().contains("is that of the key k1"));
    assert!(machine.refuse(put_key(Key { hash: None, ..key("k2", 1) })).to_string().contains("Hash must be"));
    let both = replace(&machine, Some(vec![key("k2", 7), key("k3", 7)]));
    assert!(matches!(machine.refuse(both), Rejection::Invalid { .. }));
    let twice = replace(&machine, Some(vec![key("k2", 7), key("k2", 8)]));
    assert!(matches!(machine.refuse(twice), Rejection::Exists { .. }));
}

#[test]
fn a_frontend_is_deleted_though_a_key_names_it_and_only_new_names_must_lead_somewhere() {
    let mut machine = Machine::seeded();
    let named = |frontend: &str| Key { frontends: vec![frontend.parse().unwrap()], ..key("k1", 1) };
    let rejection = machine.refuse(put_key(named("f9")));
    assert_eq!((rejection.http_status(), rejection.kind()), (400, crate::error::ErrorKind::BadRequest));
    machine.apply(put_key(named("f1"))).unwrap();
    machine.apply(delete_frontend("f1")).unwrap();
    assert_eq!(machine.apply(put_key(Key { active: false, ..named("f1") })), Ok(Outcome::Updated));
    assert!(!machine.state.catalog().keys["k1"].is_for_frontend(&"f2".parse().unwrap()));
}

#[test]
fn a_replacement_leaves_keys_alone_unless_it_has_some_and_a_rollback_restores_them() {
    let mut machine = Machine::seeded();
    machine.apply(put_key(key("k1", 1))).unwrap();
    machine.apply(put_key(key("k2", 2))).unwrap();
    let before = machine.state.revision();
    assert_eq!(machine.apply(replace(&machine, None)), Ok(Outcome::Unchanged));
    let replaced =
        machine.apply(replace(&machine, Some(vec![Key { hash: None, ..key("k2", 0) }, key("k3", 3)])));
    assert_eq!(replaced, Ok(Outcome::Replaced { created: 1, updated: 0, deleted: 1 }));
    machine.apply(put_key(key("k2", 9))).unwrap();
    assert_eq!(machine.apply(rollback(before)), Ok(Outcome::RolledBack { restored: 3 }));
    let keys = &machine.state.catalog().keys;
    assert_eq!((keys.len(), keys["k1"].hash, keys["k2"].hash), (2, key("k", 1).hash, key("k", 2).hash));
}

#[test]
fn a_state_with_keys_survives_its_bytes_and_is_not_taken_for_one_without() {
    let mut machine = Machine::seeded();
    let without = machine.state.clone();
    let format = |state: &ClusterState| {
        serde_json::from_slice::<serde_json::Value>(&state.encode()).unwrap()["Format"].clone()
    };
    assert_eq!(format(&without), json!(1));
    assert!(!String::from_utf8(without.encode()).unwrap().contains("Keys"));
    machine.apply(put_key(Key { models: vec!["m*".to_owned()], ..key("k1", 0xcd) })).unwrap();
    assert_ne!(machine.state.catalog_hash(), without.catalog_hash());
    let decoded = ClusterState::decode(&machine.state.encode()).unwrap();
    assert_eq!((decoded.catalog_hash(), format(&decoded)), (machine.state.catalog_hash(), json!(2)));
    assert_eq!(decoded, machine.state);
    machine.apply(delete_key("k1")).unwrap();
    assert_eq!(format(&machine.state), json!(2), "it is in the history");
}

#[test]
fn versions_without_keys_pass_their_commands_over() {
    // What such a version reads is a command that it does not know, and it applies no unknown command.
    for (command, name) in [(put_key(key("k1", 1)), "PutKey"), (delete_key("k1"), "DeleteKey")] {
        let envelope = Envelope::new(1, at(0), "ops", 1, command);
        let text = envelope.encode().unwrap();
        assert_eq!(Envelope::decode(&text), envelope);
        let unknown = text.replace(name, &format!("{name}Later"));
        let mut machine = Machine::seeded();
        let before = machine.state.clone();
        assert!(matches!(machine.enter(&Envelope::decode(&unknown)), Err(Rejection::UnknownCommand { .. })));
        assert_eq!(machine.state, before);
    }
    // A replacement without keys is written as it always was.
    let replacement = Envelope::new(1, at(0), "ops", 1, replace(&Machine::seeded(), None)).encode().unwrap();
    assert!(!replacement.contains("Keys"));
}

#[test]
fn there_are_not_too_many() {
    let keys: Vec<Key> = (0..=MAX_KEYS)
        .map(|number| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            Key { hash: Some(TokenHash::new(bytes)), ..key(&format!("k{number}"), 0) }
        })
        .collect();
    let mut machine = Machine::seeded();
    let rejection = machine.refuse(replace(&machine, Some(keys)));
    assert_eq!(rejection, Rejection::TooMany { kind: ObjectKind::Key, limit: MAX_KEYS as u64 });
}
