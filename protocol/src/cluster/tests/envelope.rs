//! Envelopes: their text, unknown ones, retries; and rejections as the API shows them.

use serde_json::json;

use super::*;
use crate::error::ApiError;

#[test]
fn the_text_of_an_entry_is_frozen() {
    let envelope = Envelope::new(
        255,
        at(0),
        "ops",
        3,
        Command::DeleteBackend { id: "b1".parse().unwrap(), expect: Precondition::Revision(4), force: true },
    );
    assert_eq!(
        envelope.encode().unwrap(),
        concat!(
            r#"{"Schema":1,"Request":"000000000000000000000000000000ff","At":"2025-10-08T17:24:38.000000Z","#,
            r#""By":"ops","Node":3,"Command":{"DeleteBackend":{"Id":"b1","Expect":{"Revision":4},"Force":true}}}"#
        )
    );
}

#[test]
fn every_command_survives_its_text() {
    let secret = Backend { bearer_token: Some("hunter2".into()), ..backend("b1") };
    let commands = [
        seed(vec![frontend("f1", &["b1"])], vec![secret.clone()]),
        put_frontend(frontend("f1", &[])),
        put_backend(secret.clone()),
        delete_frontend("f1"),
        delete_backend("b1", true),
        Command::ReplaceCatalog {
            frontends: vec![],
            backends: vec![secret],
            keys: None,
            expect: Precondition::Absent,
        },
        rollback(7),
        Command::PutToken {
            name: "t".parse().unwrap(),
            hash: TokenHash::new([7; 32]),
            expect: Precondition::Revision(1),
        },
        Command::DeleteToken { name: "t".parse().unwrap() },
        Command::AllocateNode { address: "n:1".to_owned(), incarnation: u128::MAX },
        Command::RetireNode { id: u64::MAX },
        Command::Unknown(json!({"PutDragon": {"Heads": 3}}).into()),
    ];
    for command in commands {
        let envelope = Envelope::new(u128::MAX, at(3), "ops", 1, command);
        let text = envelope.encode().unwrap();
        assert_eq!(Envelope::decode(&text), envelope, "{text}");
        assert!(text.contains(envelope.command.name()));
        assert!(!format!("{envelope:?}").contains("hunter2"));
    }
}

#[test]
fn commands_of_other_versions_are_refused_without_a_trace() {
    let mut machine = Machine::seeded();
    let good = Envelope::new(1, at(0), "ops", 1, delete_frontend("f1"));
    let texts = [
        (
            r#"{"Schema":2,"Request":"5","At":"2025-10-08T17:24:38Z","By":"ops","Node":1,"Command":{"DeleteFrontend":{"Id":"f1"}}}"#,
            2,
            "DeleteFrontend",
        ),
        (
            r#"{"Schema":0,"Request":"5","At":"2025-10-08T17:24:38Z","By":"ops","Node":1,"Command":{"DeleteFrontend":{"Id":"f1"}}}"#,
            0,
            "DeleteFrontend",
        ),
        (
            r#"{"Schema":1,"Request":"5","At":"2025-10-08T17:24:38Z","By":"ops","Node":1,"Command":{"PutDragon":{"Heads":3}}}"#,
            1,
            "PutDragon",
        ),
        (
            r#"{"Schema":1,"Request":"5","At":"2025-10-08T17:24:38Z","By":"ops","Node":1,"Command":"Reset"}"#,
            1,
            "Reset",
        ),
        (
            r#"{"Schema":1,"Request":"5","At":"2025-10-08T17:24:38Z","By":"ops","Node":1,"Command":{"RetireNode":{"Id":"x"}}}"#,
            1,
            "RetireNode",
        ),
        (r#"{"Schema":9,"Command":{"DeleteFrontend":{"Id":"f1"}},"Everything":"else"}"#, 9, "DeleteFrontend"),
        (r#"{"Schema":70000,"Command":[1,2]}"#, 0, ""),
        ("[]", 0, ""),
        ("{", 0, ""),
        ("", 0, ""),
    ];
    for (text, schema, name) in texts {
        let before = machine.state.clone();
        let rejection = machine.enter(&Envelope::decode(text)).unwrap_err();
        assert_eq!(rejection, Rejection::UnknownCommand { schema, name: name.to_owned() }, "{text}");
        assert_eq!(machine.state, before);
    }
    machine.enter(&good).unwrap();
    let deep = format!("{{\"Schema\":1,\"Command\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(machine.enter(&Envelope::decode(&deep)).is_err());
    let long = Command::Unknown(json!("x".repeat(1000)).into());
    let Rejection::UnknownCommand { name, .. } = machine.refuse(long) else { panic!("it is unknown") };
    assert_eq!(name.len(), 64);
}

#[test]
fn properties_that_an_older_writer_did_not_know_take_their_defaults() {
    let text = r#"{"Schema":1,"Request":"5","At":"2025-10-08T17:24:38Z","By":"ops","Node":1,
        "Command":{"PutBackend":{"Backend":{"Identifier":"b1","Port":7}}}}"#;
    let Command::PutBackend { backend: read, expect, sets_state: false } = Envelope::decode(text).command
    else {
        panic!("the command is known")
    };
    assert_eq!((*read, expect), (Backend { port: 7, ..backend("b1") }, Precondition::Any));
    let mut machine = Machine::seeded();
    let nameless = text.replace(r#""Identifier":"b1","#, "");
    let rejection = machine.enter(&Envelope::decode(&nameless)).unwrap_err();
    assert!(rejection.to_string().contains("Identifier must not be empty"), "{rejection}");
}

#[test]
fn a_retry_changes_nothing_and_hears_the_first_answer() {
    let mut machine = Machine::seeded();
    let create = Command::PutBackend {
        backend: Box::new(backend("b9")),
        expect: Precondition::Absent,
        sets_state: false,
    };
    let first = machine.send(42, create.clone());
    assert_eq!(first, Ok(Applied { revision: 2, outcome: Outcome::Created }));
    machine.apply(put_backend(backend("b10"))).unwrap();
    let before = machine.state.clone();
    assert_eq!(machine.send(42, create), first);
    assert_eq!(machine.send(42, delete_backend("b9", true)), first, "the id counts, not the command");
    assert_eq!(machine.state, before);
}

#[test]
fn a_late_copy_of_a_refused_write_does_not_succeed() {
    let mut machine = Machine::seeded();
    let create = put_frontend(frontend("f2", &["b9"]));
    let refused = machine.send(42, create.clone());
    assert!(refused.is_err());
    machine.apply(put_backend(backend("b9"))).unwrap();
    assert_eq!(machine.send(42, create.clone()), refused);
    assert!(machine.send(43, create).is_ok());
}

#[test]
fn requests_without_an_id_are_not_remembered() {
    let mut machine = Machine::seeded();
    assert_eq!(machine.send(0, put_backend(backend("b9"))).unwrap().outcome, Outcome::Created);
    assert_eq!(
        machine.send(0, delete_backend("b9", false)).unwrap().outcome,
        Outcome::Deleted { unlinked: 0 }
    );
}

#[test]
fn the_memory_of_requests_is_bounded_and_forgets_the_oldest() {
    let mut machine = Machine::seeded();
    machine.send(1, put_backend(backend("b9"))).unwrap();
    for request in 0..MAX_RECENT_REQUESTS as u128 - 1 {
        machine.send(5000 + request, put_backend(backend("b9"))).unwrap();
    }
    assert_eq!(machine.send(1, delete_frontend("f9")).unwrap().outcome, Outcome::Created, "still known");
    machine.send(9999, put_backend(backend("b9"))).unwrap();
    assert!(machine.send(1, delete_frontend("f9")).is_err(), "forgotten");
    let snapshot: serde_json::Value = serde_json::from_slice(&machine.state.encode()).unwrap();
    assert_eq!(snapshot["State"]["Recent"].as_array().unwrap().len(), MAX_RECENT_REQUESTS);
}

#[test]
fn authors_are_cut_to_a_length_that_fits() {
    let mut machine = Machine::seeded();
    let envelope = Envelope::new(3, at(0), "é".repeat(500), 1, delete_frontend("f1"));
    machine.enter(&envelope).unwrap();
    assert_eq!(machine.newest().by, "é".repeat(128));
}

#[test]
fn a_command_that_is_too_long_is_not_encoded() {
    let name = "x".repeat(MAX_COMMAND_BYTES);
    let envelope = Envelope::new(1, at(0), "ops", 1, put_backend(Backend { name, ..backend("b1") }));
    assert!(envelope.encode().unwrap_err().bytes > MAX_COMMAND_BYTES);
}

#[test]
fn rejections_survive_json_and_become_error_bodies() {
    let cases = [
        (Rejection::NotFound { object: object(ObjectKind::Backend, "b9") }, "NotFound", 404, 404),
        (Rejection::Exists { object: object(ObjectKind::Frontend, "f1") }, "Conflict", 409, 409),
        (
            Rejection::PreconditionFailed { object: object(ObjectKind::Backend, "b1"), current: Some(3) },
            "Conflict",
            409,
            412,
        ),
        (
            Rejection::UnknownBackend { frontend: "f1".parse().unwrap(), backend: "b9".parse().unwrap() },
            "BadRequest",
            400,
            400,
        ),
        (
            Rejection::InUse { backend: "b1".parse().unwrap(), by: vec!["f1".parse().unwrap()] },
            "InUse",
            409,
            409,
        ),
        (
            Rejection::Invalid { object: ObjectRef::catalog(), message: "m".to_owned() },
            "BadRequest",
            400,
            400,
        ),
        (Rejection::TooLarge { object: ObjectRef::catalog(), bytes: 2, limit: 1 }, "TooLarge", 413, 413),
        (Rejection::TooMany { kind: ObjectKind::Node, limit: 1 }, "Conflict", 409, 409),
        (Rejection::UnknownRevision { revision: 1, oldest: 2, newest: 3 }, "NotFound", 404, 404),
        (Rejection::AlreadySeeded { cluster: "c1".parse().unwrap() }, "Conflict", 409, 409),
        (Rejection::NotSeeded, "InternalError", 500, 503),
        (Rejection::NodeRetired { id: 4 }, "Conflict", 409, 409),
        (
            Rejection::WorkClaimed { backend: "b1".parse().unwrap(), model: "m:1".to_owned(), node: 2 },
            "Conflict",
            409,
            409,
        ),
        (
            Rejection::WorkLost { backend: "b1".parse().unwrap(), model: "m:1".to_owned() },
            "Conflict",
            409,
            409,
        ),
        (Rejection::UnknownCommand { schema: 9, name: "X".to_owned() }, "InternalError", 500, 500),
    ];
    for (rejection, kind, status, http_status) in cases {
        let text = serde_json::to_string(&rejection).unwrap();
        assert_eq!(serde_json::from_str::<Rejection>(&text).unwrap(), rejection);
        let error = ApiError::from(&rejection);
        let body = serde_json::to_value(&error).unwrap();
        assert_eq!(body, json!({"Error": kind, "Message": rejection.to_string(), "StatusCode": status}));
        assert_eq!(error.http_status(), http_status);
    }
}

#[test]
fn a_failed_precondition_tells_what_to_do() {
    let object = object(ObjectKind::Backend, "b1");
    assert_eq!(
        Rejection::PreconditionFailed { object: object.clone(), current: Some(12) }.to_string(),
        "backend b1 has changed: it is at revision 12 now, read it again and repeat the change"
    );
    assert_eq!(
        Rejection::PreconditionFailed { object, current: None }.to_string(),
        "backend b1 does not exist, so it has no revision to compare with"
    );
}
