//! Updates and creates, with the bodies that the original's dashboard, API collection and SDK send.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

const THEN: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const NOW: Timestamp = Timestamp::from_micros(1_759_944_278_120_000);

/// A backend in which nothing has its default.
fn stored() -> Backend {
    let body = json!({
        "Identifier": "b1", "Name": "one", "Hostname": "gpu1", "Port": 9000, "Ssl": true, "VerifyTls": false,
        "UnhealthyThreshold": 3, "HealthyThreshold": 4, "HealthCheckMethod": "HEAD", "HealthCheckUrl": "/health",
        "MaxParallelRequests": 5, "RateLimitRequestsThreshold": 6,
        "Priority": 2, "Weight": 3, "CircuitBreakerErrorPercent": 7, "CircuitBreakerMinimumRequests": 8,
        "CircuitBreakerWindowMs": 9000, "CircuitBreakerConnectFailures": 11, "CircuitBreakerOpenMs": 12,
        "LogRequestFull": true, "LogRequestBody": true, "LogResponseBody": true, "ApiFormat": "OpenAI",
        "Labels": ["a"], "PinnedEmbeddingsProperties": {"e": 1}, "PinnedCompletionsProperties": {"c": null},
        "AllowEmbeddings": false, "AllowCompletions": false, "BearerToken": "hunter2", "Querystring": "k=1",
        "Headers": {"X-Key": "hunter2", "X-Other": "hunter3"}, "Active": false
    });
    let read = Backend::create(body.to_string().as_bytes(), THEN).unwrap();
    assert_eq!(read.unknown, []);
    Backend { revision: 12, ..read.value }
}

fn patched(body: &Value) -> Backend {
    let parsed = stored().patched(body.to_string().as_bytes()).unwrap();
    assert_eq!(parsed.unknown, []);
    parsed.value
}

fn refused(body: &Value) -> String {
    stored().patched(body.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn an_empty_update_changes_nothing() {
    assert_eq!(patched(&json!({})), stored());
}

#[test]
fn absent_properties_keep_their_value_and_others_are_replaced_whole() {
    let expected = Backend {
        port: 1,
        labels: vec![],
        headers: [("X-New".to_owned(), "n".into())].into(),
        pinned_embeddings_properties: Map::from_iter([("x".to_owned(), json!(2))]),
        ..stored()
    };
    let body =
        json!({"port": 1, "LABELS": [], "Headers": {"X-New": "n"}, "PinnedEmbeddingsProperties": {"x": 2}});
    assert_eq!(patched(&body), expected);
}

#[test]
fn null_resets_to_the_default() {
    let defaults = Backend::new("b1".parse().unwrap());
    let expected = Backend {
        port: defaults.port,
        bearer_token: None,
        querystring: None,
        headers: defaults.headers.clone(),
        pinned_completions_properties: Map::new(),
        active: true,
        state: BackendState::Active,
        ..stored()
    };
    let body = json!({
        "Port": null, "BearerToken": null, "querystring": null, "Headers": null,
        "PinnedCompletionsProperties": null, "Active": null
    });
    assert_eq!(patched(&body), expected);
}

#[test]
fn the_last_spelling_of_a_property_counts() {
    let parsed = stored().patched(br#"{"Port": 1, "port": 2, "SSL": false, "ssl": null}"#).unwrap();
    assert_eq!((parsed.value.port, parsed.value.ssl), (2, false));
    let parsed = stored().patched(br#"{"port": 2, "Port": null}"#).unwrap();
    assert_eq!(parsed.value.port, 8000);
}

#[test]
fn name_creation_and_revision_are_not_the_clients_to_change() {
    let body = json!({
        "Identifier": "other", "CreatedUtc": "2001-01-01T00:00:00Z", "Revision": 99, "revision": {"any": ["thing"]}
    });
    assert_eq!(patched(&body), stored());
    assert_eq!(patched(&json!({"identifier": 5, "CreatedUtc": null, "Revision": null})), stored());
}

#[test]
fn live_properties_are_ignored_and_unknown_ones_are_named() {
    let body = json!({
        "HealthySinceUtc": NOW, "UnhealthySinceUtc": null, "Uptime": "00:00:01", "Downtime": 5, "ActiveRequests": 7,
        "isSticky": true, "Height": 3, "Colour": null, "Port": 1
    });
    let parsed = stored().patched(body.to_string().as_bytes()).unwrap();
    let unknown: Vec<String> = parsed.unknown.iter().map(ToString::to_string).collect();
    assert_eq!(unknown, ["Height", "Colour"]);
    assert_eq!(parsed.value, Backend { port: 1, ..stored() });

    let frontend = Frontend::new("f1".parse().unwrap());
    let parsed = frontend.patched(br#"{"TimeoutMs": 1, "Port": 2}"#).unwrap();
    assert_eq!(parsed.unknown, [JsonPath::root().property("Port")]);
    assert_eq!(parsed.value.timeout_ms, 1);
}

#[test]
fn an_update_that_breaks_a_rule_names_the_property() {
    assert!(refused(&json!({"Port": 70_000})).starts_with("Port must be a whole number"));
    assert!(refused(&json!({"Hostname": ""})).starts_with("Hostname must not be empty"));
    assert!(refused(&json!({"Headers": {"a b": "c"}})).starts_with("Headers must have"));
    assert_eq!(refused(&json!([])), "the JSON document must be an object, but is an array");
    assert_eq!(refused(&json!(null)), "the JSON document must be an object, but is null");
    assert!(stored().patched(b"{").unwrap_err().to_string().starts_with("the JSON document is not valid"));
    let frontend = Frontend::new("f1".parse().unwrap());
    let error = frontend.patched(br#"{"Backends": ["b1", "a b"]}"#).unwrap_err();
    assert!(error.to_string().starts_with("Backends[1] may only contain"), "{error}");
}

#[test]
fn a_secret_that_comes_back_redacted_is_kept() {
    let body = json!({"BearerToken": "********", "Headers": {"x-key": "********", "X-New": "n"}});
    let headers = [("x-key".to_owned(), "hunter2".into()), ("X-New".to_owned(), "n".into())].into();
    assert_eq!(patched(&body), Backend { headers, ..stored() });
    // What a client read it may send back as it is.
    let shown = serde_json::to_value(stored()).unwrap();
    assert_eq!(patched(&shown), stored());
}

#[test]
fn a_redaction_mark_without_a_stored_secret_is_refused_by_name() {
    let expected = |name: &str| {
        format!("{name} is \"********\", which keeps a stored secret, but none is stored: send it in clear")
    };
    assert_eq!(refused(&json!({"Headers": {"X-New": "********"}})), expected("Headers.X-New"));
    let bare = Backend { bearer_token: None, ..stored() };
    let error = bare.patched(br#"{"BearerToken": "********"}"#).unwrap_err();
    assert_eq!(error.to_string(), expected("BearerToken"));
    let error = Backend::create(br#"{"Identifier": "b2", "BearerToken": "********"}"#, NOW).unwrap_err();
    assert_eq!(error.to_string(), expected("BearerToken"));
    let error = Backend::create(br#"{"Identifier": "b2", "Headers": {"A": "********"}}"#, NOW).unwrap_err();
    assert_eq!(error.to_string(), expected("Headers.A"));
}

#[test]
fn a_header_in_the_same_spelling_goes_before_one_in_another_case() {
    let headers = [("X-A".to_owned(), "upper".into()), ("x-a".to_owned(), "lower".into())].into();
    let backend = Backend { headers, ..stored() };
    let body = br#"{"Headers": {"x-a": "********", "X-A": "********"}}"#;
    assert_eq!(backend.patched(body).unwrap().value, backend);
}

#[test]
fn many_unknown_properties_are_read_in_one_pass() {
    let body: Map<String, Value> = (0..50_000).map(|number| (format!("x{number}"), json!(1))).collect();
    let parsed = stored().patched(Value::from(body).to_string().as_bytes()).unwrap();
    assert_eq!((parsed.unknown.len(), parsed.value), (50_000, stored()));
}

// === the original's clients ===

/// The dashboard's create form for a backend.
fn dashboard_backend() -> Value {
    json!({
        "Identifier": "backend2", "Name": "My backend", "Labels": ["gpu"], "Hostname": "localhost", "Port": 11435,
        "ApiFormat": "Ollama", "MaxParallelRequests": 4, "RateLimitRequestsThreshold": 10,
        "HealthCheckMethod": "HEAD", "HealthCheckUrl": "/", "UnhealthyThreshold": 2, "HealthyThreshold": 2,
        "Ssl": false, "LogRequestBody": false, "LogResponseBody": false, "AllowEmbeddings": true,
        "AllowCompletions": true, "PinnedEmbeddingsProperties": {}, "PinnedCompletionsProperties": null
    })
}

/// The dashboard's create form for a frontend.
fn dashboard_frontend() -> Value {
    json!({
        "Identifier": "frontend2", "Name": "My frontend", "Hostname": "localhost", "TimeoutMs": 60000,
        "LoadBalancing": "RoundRobin", "MaxRequestBodySize": 536_870_912, "AllowRetries": false,
        "LogRequestFull": false, "LogRequestBody": false, "LogResponseBody": false, "UseStickySessions": false,
        "StickySessionExpirationMs": 1_800_000, "Backends": ["backend1"], "RequiredModels": ["all-minilm"],
        "AllowEmbeddings": true, "AllowCompletions": true,
        "PinnedEmbeddingsProperties": {}, "PinnedCompletionsProperties": {"model": "llama3"}
    })
}

#[test]
fn the_dashboard_creates_objects() {
    let parsed = Backend::create(dashboard_backend().to_string().as_bytes(), NOW).unwrap();
    assert_eq!(parsed.unknown, []);
    assert_eq!((parsed.value.port, parsed.value.created_utc), (11435, NOW));
    assert!(parsed.value.active && parsed.value.pinned_completions_properties.is_empty());
    let parsed = Frontend::create(dashboard_frontend().to_string().as_bytes(), NOW).unwrap();
    assert_eq!(parsed.unknown, []);
    assert_eq!(parsed.value.required_models, ["all-minilm"]);
    assert!(!parsed.value.allow_retries);
}

#[test]
fn saving_in_the_dashboard_keeps_what_its_form_does_not_know() {
    let mut body = dashboard_backend();
    body.as_object_mut().unwrap().remove("Identifier");
    let saved = patched(&body);
    assert_eq!((saved.name.as_str(), saved.port, saved.ssl), ("My backend", 11435, false));
    let kept = stored();
    assert_eq!(saved.bearer_token, kept.bearer_token);
    assert_eq!((&saved.querystring, &saved.headers), (&kept.querystring, &kept.headers));
    assert_eq!((saved.active, saved.verify_tls, saved.log_request_full), (false, false, true));
    assert_eq!(saved.identifier, kept.identifier);

    let before = Frontend {
        active: false,
        block_http10: false,
        stream_idle_timeout_ms: 5,
        ..Frontend::new("f1".parse().unwrap())
    };
    let mut body = dashboard_frontend();
    body.as_object_mut().unwrap().remove("Identifier");
    let saved = before.patched(body.to_string().as_bytes()).unwrap();
    assert_eq!(saved.unknown, []);
    let saved = saved.value;
    assert_eq!((saved.active, saved.block_http10, saved.stream_idle_timeout_ms), (false, false, 5));
    assert_eq!(saved.backends, ["backend1".parse().unwrap()]);
}

#[test]
fn the_api_collections_backend_is_created_and_updated() {
    let body = json!({
        "Identifier": "backend1", "Name": "vLLM 1", "Hostname": "localhost", "Port": 8000, "Ssl": false,
        "UnhealthyThreshold": 2, "HealthyThreshold": 2, "HealthCheckMethod": "GET", "HealthCheckUrl": "/health",
        "MaxParallelRequests": 4, "RateLimitRequestsThreshold": 10, "LogRequestFull": false,
        "LogRequestBody": false, "LogResponseBody": false, "ApiFormat": "OpenAI",
        "PinnedEmbeddingsProperties": {}, "PinnedCompletionsProperties": {}, "AllowEmbeddings": false,
        "AllowCompletions": true, "BearerToken": null, "Querystring": "", "Headers": {}, "Active": true,
        "CreatedUtc": "2025-10-08T17:24:38.120000Z", "LastUpdateUtc": "2025-10-08T17:24:38.120000Z"
    });
    let created = Backend::create(body.to_string().as_bytes(), NOW).unwrap();
    assert_eq!((created.unknown, created.value.querystring.clone()), (vec![], None));
    let saved = patched(&body);
    assert_eq!((saved.bearer_token, saved.querystring), (None, None));
    assert_eq!(saved.labels, ["a"], "it sends no labels");
    assert_eq!(saved.created_utc, THEN);
}

#[test]
fn the_api_collections_frontend_is_created_and_updated() {
    let body = json!({
        "Identifier": "frontend1", "Name": "My frontend", "Hostname": "*", "TimeoutMs": 60000,
        "LoadBalancing": "RoundRobin", "BlockHttp10": true, "MaxRequestBodySize": 536_870_912,
        "Backends": ["backend1", "backend2", "backend3", "backend4"],
        "RequiredModels": ["all-minilm", "qwen2.5:7b"], "LogRequestFull": false, "LogRequestBody": false,
        "LogResponseBody": false, "UseStickySessions": false, "StickySessionExpirationMs": 1_800_000,
        "PinnedEmbeddingsProperties": {}, "PinnedCompletionsProperties": {}, "AllowEmbeddings": true,
        "AllowCompletions": true, "AllowRetries": true, "Active": true,
        "CreatedUtc": "2025-10-08T17:24:38.120000Z", "LastUpdateUtc": "2025-10-08T17:24:38.120000Z"
    });
    let created = Frontend::create(body.to_string().as_bytes(), NOW).unwrap();
    assert_eq!((created.unknown.len(), created.value.backends.len()), (0, 4));
    let saved = created.value.patched(body.to_string().as_bytes()).unwrap();
    assert_eq!(saved.value, created.value);
}

// === properties ===

proptest! {
    #[test]
    fn an_update_changes_the_properties_it_names_and_no_others(
        names in proptest::sample::subsequence(
            serde_json::to_value(Exposed(&stored())).unwrap().as_object().unwrap().keys().cloned().collect::<Vec<_>>(),
            0..=36,
        ),
        upper in any::<bool>(),
    ) {
        let spelled = |name: &str| if upper { name.to_uppercase() } else { name.to_owned() };
        let body: Map<String, Value> = names.iter().map(|name| (spelled(name), Value::Null)).collect();
        let before = serde_json::to_value(Exposed(&stored())).unwrap();
        let defaults = serde_json::to_value(Exposed(&Backend::new("b1".parse().unwrap()))).unwrap();
        let after = serde_json::to_value(Exposed(&patched(&Value::from(body)))).unwrap();
        // The two say the same, here.
        let resets_state = names.iter().any(|name| name == "Active" || name == "State");
        for name in before.as_object().unwrap().keys() {
            let server_side = ["Identifier", "CreatedUtc", "LastUpdateUtc", "Revision"].contains(&name.as_str());
            let reset = names.contains(name) && !server_side;
            let reset = reset || (["Active", "State"].contains(&name.as_str()) && resets_state);
            let expected = if reset { &defaults[name] } else { &before[name] };
            prop_assert_eq!(&after[name], expected, "{}", name);
        }
    }
}

#[test]
fn of_active_and_state_the_one_that_was_changed_counts() {
    use BackendState::{Active, Disabled, Draining};
    let at = |state| {
        let mut backend = Backend::new("b1".parse().unwrap());
        (backend.state, backend.active) = (state, state != Disabled);
        backend
    };
    let cases = [
        (Active, json!({"Active": false}), Disabled),
        (Draining, json!({"Active": false}), Disabled),
        (Draining, json!({"Active": true}), Draining),
        (Disabled, json!({"Active": true}), Active),
        (Disabled, json!({"State": "Draining"}), Draining),
        (Disabled, json!({"State": "Active"}), Active),
        (Active, json!({"State": "Disabled"}), Disabled),
        // Whole objects, as they were read, with one property changed.
        (Active, json!({"Active": false, "State": "Active"}), Disabled),
        (Disabled, json!({"Active": true, "State": "Disabled"}), Active),
        (Disabled, json!({"Active": false, "State": "Draining"}), Draining),
        (Active, json!({"Active": true, "State": "Draining"}), Draining),
        (Draining, json!({"Active": null, "State": null}), Active),
    ];
    for (stored, body, expected) in cases {
        let patched = at(stored).patched(body.to_string().as_bytes()).unwrap().value;
        assert_eq!((patched.state, patched.active), (expected, expected != Disabled), "{stored:?} {body}");
    }
}
