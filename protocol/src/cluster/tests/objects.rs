//! Commands on single frontends and backends.

use super::*;

#[test]
fn a_new_object_is_created_and_stamped() {
    let mut machine = Machine::seeded();
    let hostname = "gpu9".to_owned();
    assert_eq!(machine.apply(put_backend(Backend { hostname, ..backend("b9") })), Ok(Outcome::Created));
    let stored = machine.backend("b9");
    assert_eq!((stored.hostname.as_str(), stored.revision), ("gpu9", 2));
    assert_eq!((stored.created_utc, stored.last_update_utc), (at(1), at(1)));
    assert_eq!((machine.state.revision(), machine.state.catalog_revision()), (2, 2));
    let change = machine.newest();
    assert_eq!((change.revision, change.index, change.at_utc), (2, 2, at(1)));
    assert_eq!((change.by.as_str(), change.node), ("ops", 7));
    assert_eq!((change.action, change.kind), (ChangeKind::Create, ObjectKind::Backend));
    assert_eq!((change.identifier.as_str(), change.what.as_str()), ("b9", "created backend b9"));
}

#[test]
fn an_update_keeps_the_time_of_creation_and_names_what_changed() {
    let mut machine = Machine::seeded();
    let created = machine.backend("b1").created_utc;
    let update = Backend { port: 1, labels: vec!["gpu".to_owned()], created_utc: at(90), ..backend("b1") };
    assert_eq!(machine.apply(put_backend(update)), Ok(Outcome::Updated));
    let stored = machine.backend("b1");
    assert_eq!((stored.created_utc, stored.last_update_utc, stored.revision), (created, at(1), 2));
    assert_eq!(machine.newest().what, "changed Port, Labels of backend b1");
    assert_eq!(machine.backend("b2").revision, 1, "others keep their revision");
}

#[test]
fn many_changed_properties_are_counted() {
    let mut machine = Machine::seeded();
    let update = Frontend {
        name: "n".to_owned(),
        hostname: "h".to_owned(),
        timeout_ms: 1,
        stream_idle_timeout_ms: 1,
        block_http10: false,
        allow_retries: false,
        active: false,
        ..frontend("f1", &["b1"])
    };
    machine.apply(put_frontend(update)).unwrap();
    assert_eq!(
        machine.newest().what,
        "changed Name, Hostname, TimeoutMs, StreamIdleTimeoutMs, BlockHttp10 and 3 more of frontend f1"
    );
}

#[test]
fn an_object_that_is_there_already_changes_nothing() {
    let mut machine = Machine::seeded();
    let same = Backend { created_utc: at(50), last_update_utc: at(51), revision: 99, ..backend("b1") };
    let before = machine.state.clone();
    assert_eq!(machine.send(1, put_backend(same)), Ok(Applied { revision: 1, outcome: Outcome::Unchanged }));
    assert_eq!(content(&machine.state), content(&before));
    assert!(std::sync::Arc::ptr_eq(machine.state.catalog(), before.catalog()), "readers need not look again");
}

#[test]
fn preconditions_are_compared_with_the_object() {
    let mut machine = Machine::seeded();
    let put = |id: &str, port, expect| Command::PutBackend {
        backend: Box::new(Backend { port, ..backend(id) }),
        expect,
        sets_state: false,
    };
    let b1 = object(ObjectKind::Backend, "b1");
    let b9 = object(ObjectKind::Backend, "b9");
    assert_eq!(machine.refuse(put("b1", 1, Precondition::Absent)), Rejection::Exists { object: b1.clone() });
    assert_eq!(
        machine.refuse(put("b1", 1, Precondition::Revision(2))),
        Rejection::PreconditionFailed { object: b1.clone(), current: Some(1) }
    );
    assert_eq!(
        machine.refuse(put("b9", 1, Precondition::Revision(1))),
        Rejection::PreconditionFailed { object: b9, current: None }
    );
    assert_eq!(machine.apply(put("b1", 1, Precondition::Revision(1))), Ok(Outcome::Updated));
    assert_eq!(machine.apply(put("b9", 1, Precondition::Absent)), Ok(Outcome::Created));

    let delete = |id: &str, expect| Command::DeleteBackend { id: id.parse().unwrap(), expect, force: true };
    assert_eq!(
        machine.refuse(delete("b1", Precondition::Revision(1))),
        Rejection::PreconditionFailed { object: b1.clone(), current: Some(2) }
    );
    assert_eq!(machine.refuse(delete("b1", Precondition::Absent)), Rejection::Exists { object: b1 });
    assert_eq!(machine.apply(delete("b1", Precondition::Revision(2))), Ok(Outcome::Deleted { unlinked: 1 }));
    let delete = |revision| Command::DeleteFrontend {
        id: "f1".parse().unwrap(),
        expect: Precondition::Revision(revision),
    };
    assert!(matches!(machine.refuse(delete(1)), Rejection::PreconditionFailed { current: Some(4), .. }));
    assert_eq!(machine.apply(delete(4)), Ok(Outcome::Deleted { unlinked: 0 }));
}

#[test]
fn what_is_not_there_cannot_be_deleted() {
    let mut machine = Machine::seeded();
    let rejection = machine.refuse(delete_backend("b9", true));
    assert_eq!(rejection, Rejection::NotFound { object: object(ObjectKind::Backend, "b9") });
    assert_eq!(rejection.to_string(), "there is no backend b9");
    let rejection = machine.refuse(delete_frontend("f9"));
    assert_eq!(rejection, Rejection::NotFound { object: object(ObjectKind::Frontend, "f9") });
}

#[test]
fn a_frontend_cannot_name_a_backend_that_does_not_exist() {
    let mut machine = Machine::seeded();
    let rejection = machine.refuse(put_frontend(frontend("f2", &["b1", "b9"])));
    let (frontend, backend) = ("f2".parse().unwrap(), "b9".parse().unwrap());
    assert_eq!(rejection, Rejection::UnknownBackend { frontend, backend });
    assert_eq!(
        rejection.to_string(),
        "frontend f2 names the backend b9, which does not exist: create it first or remove the name"
    );
}

#[test]
fn a_backend_in_use_is_deleted_by_force_only() {
    let mut machine = Machine::seeded();
    machine.apply(put_frontend(frontend("f2", &["b2", "b1", "b2"]))).unwrap();
    let rejection = machine.refuse(delete_backend("b2", false));
    assert_eq!(
        rejection.to_string(),
        "backend b2 is still used by frontends f1, f2: unlink it there, or delete it with force"
    );
    let by = vec!["f1".parse().unwrap(), "f2".parse().unwrap()];
    assert_eq!(rejection, Rejection::InUse { backend: "b2".parse().unwrap(), by });

    assert_eq!(machine.apply(delete_backend("b2", true)), Ok(Outcome::Deleted { unlinked: 2 }));
    assert_eq!(machine.frontend("f1").backends, ["b1".parse().unwrap()]);
    assert_eq!(machine.frontend("f2").backends, ["b1".parse().unwrap()]);
    assert_eq!((machine.frontend("f1").revision, machine.frontend("f1").last_update_utc), (3, at(3)));
    assert_eq!(machine.newest().what, "deleted backend b2 and took it out of frontends f1, f2");
    assert_eq!(machine.apply(delete_frontend("f2")), Ok(Outcome::Deleted { unlinked: 0 }));
    assert_eq!(machine.newest().what, "deleted frontend f2");
}

#[test]
fn the_users_of_a_backend_are_named_up_to_a_bound() {
    let mut machine = Machine::seeded();
    for number in 0..40 {
        machine.apply(put_frontend(frontend(&format!("f{number:02}"), &["b1"]))).unwrap();
    }
    let Rejection::InUse { by, .. } = machine.refuse(delete_backend("b1", false)) else {
        panic!("the backend is in use")
    };
    assert_eq!(by.len(), 32);
}

#[test]
fn objects_that_break_a_rule_are_refused_with_the_sentence_of_the_rule() {
    let mut machine = Machine::seeded();
    let rejection = machine.refuse(put_backend(Backend { hostname: "http://x".to_owned(), ..backend("b1") }));
    assert_eq!(
        rejection.to_string(),
        "backend b1: Hostname must be a host name or IP address without scheme, port and path, but is \"http://x\""
    );
    let rejection =
        machine.refuse(put_frontend(Frontend { sticky_session_expiration_ms: 1, ..frontend("f1", &[]) }));
    assert!(
        rejection.to_string().starts_with("frontend f1: StickySessionExpirationMs must be"),
        "{rejection}"
    );
    let mut nested = serde_json::json!({});
    for _ in 0..64 {
        nested = serde_json::json!({ "a": nested });
    }
    let pinned = nested.as_object().unwrap().clone();
    let rejection =
        machine.refuse(put_backend(Backend { pinned_completions_properties: pinned, ..backend("b1") }));
    assert_eq!(
        rejection.to_string(),
        "backend b1: PinnedCompletionsProperties must not be nested deeper than 64 levels"
    );
}

#[test]
fn what_is_stored_is_what_the_rules_make_of_it() {
    let mut machine = Machine::seeded();
    let given = Backend {
        querystring: Some("?a=1".into()),
        bearer_token: Some("".into()),
        health_check_url: String::new(),
        ..backend("b1")
    };
    machine.apply(put_backend(given)).unwrap();
    let stored = machine.backend("b1");
    assert_eq!(
        (stored.querystring.as_ref().map(crate::object::Secret::expose), &stored.bearer_token),
        (Some("a=1"), &None)
    );
    assert_eq!(stored.health_check_url, "/");
}

#[test]
fn a_redaction_mark_keeps_the_stored_secret_and_is_never_stored_itself() {
    let mut machine = Machine::seeded();
    let headers = [("X-Key".to_owned(), "hunter2".into())].into();
    machine
        .apply(put_backend(Backend { bearer_token: Some("hunter2".into()), headers, ..backend("b1") }))
        .unwrap();
    let headers = [("x-key".to_owned(), "********".into())].into();
    let returned = Backend { bearer_token: Some("********".into()), headers, port: 5, ..backend("b1") };
    machine.apply(put_backend(returned.clone())).unwrap();
    let stored = machine.backend("b1");
    assert_eq!(stored.bearer_token.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(stored.headers["x-key"].expose(), "hunter2");
    assert_eq!(machine.newest().what, "changed Port, Headers of backend b1");

    let rejection = machine.refuse(put_backend(Backend {
        headers: [].into(),
        ..Backend { identifier: "b2".parse().unwrap(), ..returned.clone() }
    }));
    assert!(rejection.to_string().starts_with("backend b2: BearerToken is \"********\""), "{rejection}");
    let rejection = machine.refuse(put_backend(Backend {
        identifier: "b3".parse().unwrap(),
        bearer_token: None,
        ..returned
    }));
    assert!(rejection.to_string().starts_with("backend b3: Headers.x-key is \"********\""), "{rejection}");
}

#[test]
fn objects_beyond_the_bounds_are_refused() {
    let mut machine = Machine::seeded();
    let name = "x".repeat(MAX_OBJECT_BYTES);
    let rejection = machine.refuse(put_backend(Backend { name, ..backend("b1") }));
    assert!(matches!(rejection, Rejection::TooLarge { limit, .. } if limit == MAX_OBJECT_BYTES as u64));
    assert_eq!(rejection.http_status(), 413);

    let name = "x".repeat(MAX_OBJECT_BYTES - 2000);
    let mut number = 0;
    let rejection = loop {
        number += 1;
        match machine.apply(put_backend(Backend { name: name.clone(), ..backend(&format!("x{number}")) })) {
            Ok(_) => assert!(number <= MAX_CATALOG_BYTES / name.len()),
            Err(rejection) => break rejection,
        }
    };
    assert!(rejection.to_string().starts_with("the catalog would take "), "{rejection}");
    assert_eq!(number, MAX_CATALOG_BYTES / (MAX_OBJECT_BYTES - 1200) + 1);
    assert_eq!(machine.apply(delete_backend("x1", false)), Ok(Outcome::Deleted { unlinked: 0 }));
    assert_eq!(machine.apply(put_backend(Backend { name, ..backend("x1") })), Ok(Outcome::Created));
}
