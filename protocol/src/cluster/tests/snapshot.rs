//! The state as bytes.

use serde_json::{Value, json};

use super::*;

/// A change of a snapshot.
type Edit = fn(&mut Value);

fn rich() -> Machine {
    let mut machine = Machine::seeded();
    let pinned = json!({"z": null, "a": {"b": [1, null, 2.5, 18_446_744_073_709_551_615_u64]}, "n": 1e300});
    let headers = [("X-Key".to_owned(), "hunter2".into())].into();
    let backend = Backend {
        bearer_token: Some("hunter2".into()),
        headers,
        pinned_completions_properties: pinned.as_object().unwrap().clone(),
        ..backend("b1")
    };
    machine.apply(put_backend(backend)).unwrap();
    machine.apply(delete_backend("b1", true)).unwrap();
    machine.apply(rollback(2)).unwrap();
    let name = "ci".parse().unwrap();
    let token = Command::PutToken { name, hash: TokenHash::new([0xab; 32]), expect: Precondition::Any };
    machine.apply(token).unwrap();
    machine.apply(Command::AllocateNode { address: "n1:1".to_owned(), incarnation: 1 }).unwrap();
    machine.apply(Command::AllocateNode { address: "n2:1".to_owned(), incarnation: 2 }).unwrap();
    machine.apply(Command::RetireNode { id: 1 }).unwrap();
    machine.apply(delete_frontend("f9")).unwrap_err();
    machine
}

fn edited(state: &ClusterState, edit: impl FnOnce(&mut Value)) -> Result<ClusterState, SnapshotError> {
    let mut snapshot: Value = serde_json::from_slice(&state.encode()).unwrap();
    edit(&mut snapshot);
    ClusterState::decode(snapshot.to_string().as_bytes())
}

#[test]
fn a_state_survives_its_bytes_with_secrets_order_and_history() {
    let machine = rich();
    let bytes = machine.state.encode();
    let decoded = ClusterState::decode(&bytes).unwrap();
    assert_eq!(decoded, machine.state);
    assert_eq!(decoded.encode(), bytes, "byte for byte, the order of pinned properties included");
    assert_eq!(decoded.catalog_hash(), machine.state.catalog_hash());
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with(r#"{"Format":1,"State":{"ClusterId":"c1","Revision":"#));
    assert!(text.contains("hunter2") && text.contains(&"ab".repeat(32)));
    let mut decoded = Machine { state: decoded, index: machine.index };
    assert_eq!(decoded.apply(rollback(1)), Ok(Outcome::RolledBack { restored: 1 }));
}

#[test]
fn nothing_else_shows_a_secret() {
    let mut machine = rich();
    let catalog = machine.state.catalog();
    let objects: Vec<&Backend> = catalog.backends.values().map(AsRef::as_ref).collect();
    let history: Vec<&Change> = machine.state.history().collect();
    let mut renderings = vec![
        serde_json::to_string(&objects).unwrap(),
        serde_json::to_string(&history).unwrap(),
        format!("{:?}", machine.state),
    ];
    let wrong = Backend { hostname: String::new(), bearer_token: Some("hunter2".into()), ..backend("b1") };
    let command = put_backend(wrong);
    renderings.push(format!("{command:?}"));
    renderings.push(machine.refuse(command).to_string());
    for rendering in renderings {
        assert!(!rendering.contains("hunter2"), "{rendering}");
    }
}

#[test]
fn bytes_of_a_newer_format_are_refused_with_advice() {
    let text = r#"{"Format":3,"State":"something else"}"#;
    let error = ClusterState::decode(text.as_bytes()).unwrap_err();
    assert_eq!(error, SnapshotError::Newer { found: 3 });
    assert!(error.to_string().ends_with("update this node"));
}

#[test]
fn damaged_bytes_are_refused_without_showing_them() {
    let bytes = rich().state.encode();
    for damaged in [&b""[..], b"{}", b"[]", &bytes[..bytes.len() / 2], &bytes[..bytes.len() - 1]] {
        assert!(matches!(ClusterState::decode(damaged), Err(SnapshotError::Malformed { .. })));
    }
    let text = String::from_utf8(bytes).unwrap().replace("\"Port\":8000", "\"Port\":\"hunter2\"");
    let error = ClusterState::decode(text.as_bytes()).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn contradictions_are_refused() {
    let state = rich().state;
    let cases: [(&str, Edit); 7] = [
        ("names the backend b9", |snapshot| {
            snapshot["State"]["Frontends"][0]["Backends"] = json!(["b9"]);
        }),
        ("repeats the backend id", |snapshot| {
            let twin = snapshot["State"]["Backends"][0].clone();
            snapshot["State"]["Backends"].as_array_mut().unwrap().push(twin);
        }),
        ("newer than the state", |snapshot| {
            snapshot["State"]["Backends"][0]["Revision"] = json!(99);
        }),
        ("newer than the state", |snapshot| {
            snapshot["State"]["CatalogRevision"] = json!(99);
        }),
        ("history", |snapshot| {
            snapshot["State"]["History"].as_array_mut().unwrap().pop();
        }),
        ("history", |snapshot| {
            snapshot["State"]["History"].as_array_mut().unwrap().remove(2);
        }),
        ("id that was not given", |snapshot| {
            snapshot["State"]["Nodes"]["Highest"] = json!(1);
        }),
    ];
    for (expected, edit) in cases {
        let error = edited(&state, edit).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(edited(&state, |_| {}).unwrap(), state);
}

#[test]
fn a_catalog_beyond_a_lowered_bound_can_only_shrink() {
    let state = edited(&Machine::seeded().state, |snapshot| {
        snapshot["State"]["Backends"][0]["Name"] = json!("x".repeat(MAX_CATALOG_BYTES));
    });
    let mut machine = Machine { state: state.unwrap(), index: 1 };
    assert!(matches!(machine.refuse(put_backend(backend("b3"))), Rejection::TooLarge { .. }));
    assert!(machine.apply(delete_frontend("f1")).is_ok());
    assert!(machine.apply(delete_backend("b1", false)).is_ok());
    assert!(machine.apply(put_backend(backend("b3"))).is_ok());
}

#[test]
fn the_hash_covers_the_content_but_not_the_past() {
    let mut machine = rich();
    let before = machine.state.catalog_hash_hex();
    assert_eq!(before.len(), 64);
    machine.apply(delete_frontend("f9")).unwrap_err();
    assert_eq!(machine.state.catalog_hash_hex(), before, "a refusal changes no content");
    let changes = [
        put_backend(Backend { bearer_token: Some("hunter3".into()), ..machine.backend("b1").clone() }),
        Command::DeleteToken { name: "ci".parse().unwrap() },
        Command::RetireNode { id: 2 },
        delete_frontend("f1"),
    ];
    let mut seen = vec![before];
    for change in changes {
        machine.apply(change).unwrap();
        let hash = machine.state.catalog_hash_hex();
        assert!(!seen.contains(&hash));
        seen.push(hash);
    }
}

#[test]
fn the_deepest_pinned_properties_survive_the_log_and_the_history() {
    let mut machine = Machine::seeded();
    let mut nested = json!({});
    for _ in 0..63 {
        nested = json!({ "a": nested });
    }
    let pinned = nested.as_object().unwrap().clone();
    machine.apply(put_backend(Backend { pinned_embeddings_properties: pinned, ..backend("b1") })).unwrap();
    machine.apply(put_backend(backend("b1"))).unwrap();
    assert_eq!(ClusterState::decode(&machine.state.encode()).unwrap(), machine.state);
}
