//! The stored form beside the form of the API.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn with_secrets() -> Backend {
    let headers = [("X-Key".to_owned(), "hunter2".into())].into();
    Backend {
        bearer_token: Some("hunter2".into()),
        headers,
        revision: 7,
        ..Backend::new("b1".parse().unwrap())
    }
}

fn restored<T: Record>(object: &T) -> T {
    let text = serde_json::to_string(&Exposed(object)).unwrap();
    serde_json::from_str::<Exposed<T>>(&text).unwrap().0
}

#[test]
fn the_stored_form_is_the_form_of_the_api_with_secrets_in_clear() {
    let backend = with_secrets();
    let shown = serde_json::to_string(&backend).unwrap();
    let stored = serde_json::to_string(&Exposed(&backend)).unwrap();
    assert!(!shown.contains("hunter2"));
    assert_eq!(stored.matches("hunter2").count(), 2);
    assert_eq!(stored.replace("hunter2", Secret::REDACTED), shown);
    assert_eq!(restored(&backend), backend);

    let frontend = Frontend { revision: 7, ..Frontend::new("f1".parse().unwrap()) };
    assert_eq!(
        serde_json::to_string(&frontend).unwrap(),
        serde_json::to_string(&Exposed(&frontend)).unwrap()
    );
    assert_eq!(restored(&frontend), frontend);
}

#[test]
fn reading_the_stored_form_applies_no_rules() {
    let broken = Backend { hostname: String::new(), max_parallel_requests: 0, ..with_secrets() };
    assert_eq!(restored(&broken), broken);
    let broken = Frontend { sticky_session_expiration_ms: 1, ..Frontend::new("f1".parse().unwrap()) };
    assert_eq!(restored(&broken), broken);
}

#[test]
fn absent_properties_take_their_defaults_and_unknown_ones_are_skipped() {
    let read: Exposed<Backend> =
        serde_json::from_value(json!({"Identifier": "b1", "Revision": 3, "FromTheFuture": {"x": 1}}))
            .unwrap();
    assert_eq!(read.0, Backend { revision: 3, ..Backend::new("b1".parse().unwrap()) });
}

#[test]
fn a_record_from_before_there_were_states_is_disabled_when_it_is_not_active() {
    let read: Exposed<Backend> =
        serde_json::from_value(json!({"Identifier": "b1", "Active": false})).unwrap();
    assert_eq!(read.0.state, BackendState::Disabled);
}

#[test]
fn containers_have_a_stored_form_too() {
    let backend = Arc::new(with_secrets());
    let many = vec![Arc::clone(&backend), backend];
    assert_eq!(restored(&many), many);
    assert_eq!(restored(&many.first().cloned()), many.first().cloned());
    assert_eq!(restored(&None::<Box<Backend>>), None);
}

proptest! {
    #[test]
    fn pinned_numbers_survive_any_number_of_rewrites(float in any::<f64>(), unsigned in any::<u64>(), signed in any::<i64>()) {
        let pinned = json!({"z": float, "a": unsigned, "m": [signed, {"b": null}]});
        let pinned = pinned.as_object().unwrap().clone();
        let backend = Backend { pinned_completions_properties: pinned, ..with_secrets() };
        let once = restored(&backend);
        prop_assert_eq!(&once, &backend);
        prop_assert_eq!(
            serde_json::to_string(&Exposed(&once)).unwrap(),
            serde_json::to_string(&Exposed(&backend)).unwrap()
        );
    }
}
