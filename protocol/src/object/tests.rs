//! The objects against the reference: names, order, defaults, ranges and tolerances.

use serde_json::{Value, json};

use super::*;
use crate::id::BackendId;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_759_944_278_120_000);
const NOW_TEXT: &str = "2025-10-08T17:24:38.120000Z";

fn backend(body: &Value) -> Result<Parsed<Backend>, ObjectError> {
    Backend::from_json(body.to_string().as_bytes(), NOW)
}

fn frontend(body: &Value) -> Result<Parsed<Frontend>, ObjectError> {
    Frontend::from_json(body.to_string().as_bytes(), NOW)
}

/// Properties that the original does not have.
const BACKEND_ADDITIONS: [&str; 10] = [
    "VerifyTls",
    "Priority",
    "Weight",
    "CircuitBreakerErrorPercent",
    "CircuitBreakerMinimumRequests",
    "CircuitBreakerWindowMs",
    "CircuitBreakerConnectFailures",
    "CircuitBreakerOpenMs",
    "State",
    "Revision",
];
const FRONTEND_ADDITIONS: [&str; 18] = [
    "RequireKey",
    "PreloadModels",
    "ForbiddenModels",
    "DeleteForbiddenModels",
    "ModelAliases",
    "DefaultModel",
    "AllowModelManagement",
    "StreamIdleTimeoutMs",
    "MaxQueueLength",
    "QueueTimeoutMs",
    "AffinityWaitMs",
    "RateLimitPerClient",
    "MaxAttempts",
    "RetryBudgetPercent",
    "ResumeStreams",
    "HedgeEmbeddings",
    "AllowImageUrls",
    "Revision",
];

/// The object as text, so that the order of the properties counts.
fn without(object: impl serde::Serialize, additions: &[&str]) -> String {
    let mut value = serde_json::to_value(object).unwrap();
    for name in additions {
        value.as_object_mut().unwrap().shift_remove(*name).expect("an addition of ours");
    }
    value.to_string()
}

#[test]
fn a_backend_of_defaults_prints_the_reference_table_in_order() {
    let expected = json!({
        "Identifier": "b1", "Name": "", "Hostname": "localhost", "Port": 8000, "Ssl": false,
        "UnhealthyThreshold": 2, "HealthyThreshold": 2, "HealthCheckMethod": "GET", "HealthCheckUrl": "/",
        "MaxParallelRequests": 4, "RateLimitRequestsThreshold": 10,
        "LogRequestFull": false, "LogRequestBody": false, "LogResponseBody": false,
        "ApiFormat": "Ollama", "Labels": [], "PinnedEmbeddingsProperties": {}, "PinnedCompletionsProperties": {},
        "AllowEmbeddings": true, "AllowCompletions": true, "Headers": {}, "Active": true,
        "CreatedUtc": NOW_TEXT, "LastUpdateUtc": NOW_TEXT
    });
    let read = backend(&json!({"Identifier": "b1"})).unwrap().value;
    assert!(read.verify_tls, "certificates are verified unless switched off");
    assert_eq!(without(&read, &BACKEND_ADDITIONS), expected.to_string());
}

#[test]
fn a_frontend_of_defaults_prints_the_reference_table_in_order() {
    let expected = json!({
        "Identifier": "f1", "Name": "", "Hostname": "*", "TimeoutMs": 60000, "LoadBalancing": "RoundRobin",
        "BlockHttp10": true, "MaxRequestBodySize": 536_870_912, "Backends": [], "RequiredModels": [],
        "LogRequestFull": false, "LogRequestBody": false, "LogResponseBody": false,
        "UseStickySessions": false, "StickySessionExpirationMs": 1_800_000,
        "PinnedEmbeddingsProperties": {}, "PinnedCompletionsProperties": {},
        "AllowEmbeddings": true, "AllowCompletions": true, "AllowRetries": true, "Active": true,
        "CreatedUtc": NOW_TEXT, "LastUpdateUtc": NOW_TEXT
    });
    let read = frontend(&json!({"Identifier": "f1"})).unwrap().value;
    assert_eq!(read.stream_idle_timeout_ms, 120_000);
    assert!(!read.allow_image_urls, "a node fetches nothing unless it is told to");
    assert_eq!(without(&read, &FRONTEND_ADDITIONS), expected.to_string());
}

#[test]
fn what_a_frontend_says_of_models_is_read_checked_and_written() {
    let body = json!({
        "Identifier": "f1", "preloadmodels": ["a:1b"], "ForbiddenModels": ["b"], "DeleteForbiddenModels": true,
        "modelaliases": {"GPT-4o": "llama3.1:70b", "small": {"b1": "x", "*": "y"}},
        "DefaultModel": "a:1b", "AllowModelManagement": false
    });
    let read = frontend(&body).unwrap();
    assert_eq!(read.unknown, []);
    let written = serde_json::to_value(&read.value).unwrap();
    assert_eq!(written["ModelAliases"], body["modelaliases"], "the names keep their case");
    assert_eq!(frontend(&written).unwrap().value, read.value);
    for (property, value) in [
        ("PreloadModels", json!([""])),
        ("ForbiddenModels", json!(["a\nb"])),
        ("RequiredModels", json!(["a\u{1}b"])),
        ("RequiredModels", json!(["a".repeat(1025)])),
        ("PreloadModels", json!(vec!["a"; 1001])),
        ("ModelAliases", json!({"a": 1})),
        ("ModelAliases", json!({"a": "x", "A:latest": "y"})),
        ("DefaultModel", json!(" ")),
        ("AllowModelManagement", json!("x")),
    ] {
        let error = frontend(&json!({"Identifier": "f1", property: value})).unwrap_err().to_string();
        assert!(error.contains(property), "{error}");
    }
}

#[test]
fn empty_names_of_required_models_are_left_out() {
    let read = frontend(&json!({"Identifier": "f1", "RequiredModels": ["", "m", " "]})).unwrap();
    assert_eq!(read.value.required_models, ["m"]);
}

#[test]
fn optional_properties_take_their_place_in_the_table() {
    let read =
        backend(&json!({"Identifier": "b1", "Querystring": "?key=1", "BearerToken": "t0ken"})).unwrap().value;
    let text = serde_json::to_string(&read).unwrap();
    assert!(text.contains(
        r#""AllowCompletions":true,"BearerToken":"********","Querystring":"********","Headers":{},"Active":true"#
    ));
}

#[test]
fn every_property_name_is_accepted_in_any_case() {
    for name in lenient::property_names(&Backend::new("b1".parse().unwrap())) {
        let mut body = json!({"identifier": "b1"});
        body[name.to_uppercase()] = if name == "Identifier" { json!("b1") } else { Value::Null };
        let parsed = backend(&body).unwrap();
        assert_eq!(parsed.unknown, [], "{name}");
    }
    let parsed =
        frontend(&json!({"IDENTIFIER": "f1", "backends": ["b1"], "usestickysessions": true})).unwrap();
    assert_eq!(parsed.value.backends, ["b1".parse::<BackendId>().unwrap()]);
    assert!(parsed.value.use_sticky_sessions);
}

#[test]
fn null_is_the_default_of_every_property() {
    let defaults = backend(&json!({"Identifier": "b1"})).unwrap().value;
    let mut body = json!({});
    for name in lenient::property_names(&defaults) {
        body[&name] = Value::Null;
    }
    body["Identifier"] = json!("b1");
    assert_eq!(backend(&body).unwrap().value, defaults);
}

#[test]
fn choices_are_accepted_by_name_in_any_case_and_by_number() {
    let balancing = |value: Value| {
        frontend(&json!({"Identifier": "f1", "LoadBalancing": value}))
            .map(|parsed| parsed.value.load_balancing)
    };
    assert_eq!(balancing(json!("random")).unwrap(), LoadBalancing::Random);
    assert_eq!(balancing(json!("ROUNDROBIN")).unwrap(), LoadBalancing::RoundRobin);
    assert_eq!(balancing(json!(0)).unwrap(), LoadBalancing::Random);
    assert_eq!(balancing(json!(1)).unwrap(), LoadBalancing::RoundRobin);
    for (name, policy) in [
        ("leastconnections", LoadBalancing::LeastConnections),
        ("Weighted", LoadBalancing::Weighted),
        ("LeastLatency", LoadBalancing::LeastLatency),
        ("ModelAffinity", LoadBalancing::ModelAffinity),
        ("PrefixAffinity", LoadBalancing::PrefixAffinity),
    ] {
        assert_eq!(balancing(json!(name)).unwrap(), policy);
    }
    let all = "LoadBalancing must be one of Random, RoundRobin, LeastConnections, Weighted, LeastLatency, \
               ModelAffinity, PrefixAffinity, but is";
    assert_eq!(balancing(json!("Fastest")).unwrap_err().to_string(), format!("{all} \"Fastest\""));
    assert_eq!(balancing(json!(7)).unwrap_err().to_string(), format!("{all} \"7\""));

    let format = |value: Value| {
        backend(&json!({"Identifier": "b1", "ApiFormat": value})).map(|parsed| parsed.value.api_format)
    };
    assert_eq!(format(json!("openai")).unwrap(), ApiFormat::OpenAI);
    assert_eq!(format(json!(2)).unwrap(), ApiFormat::Unknown);
    assert!(format(json!(true)).unwrap_err().to_string().starts_with("ApiFormat must be a string"));

    let method = |value: &str| {
        backend(&json!({"Identifier": "b1", "HealthCheckMethod": value}))
            .map(|parsed| parsed.value.health_check_method)
    };
    assert_eq!(method("head").unwrap(), HealthCheckMethod::Head);
    assert_eq!(method("").unwrap(), HealthCheckMethod::Get);
    assert_eq!(
        method("POST").unwrap_err().to_string(),
        "HealthCheckMethod must be one of GET, HEAD, but is \"POST\""
    );
}

#[test]
fn a_backend_that_is_not_active_is_disabled_and_the_reverse() {
    use BackendState::{Active, Disabled, Draining};
    let read = |body: Value| {
        let read = backend(&body).unwrap().value;
        (read.active, read.state)
    };
    assert_eq!(read(json!({"Identifier": "b1"})), (true, Active));
    assert_eq!(read(json!({"Identifier": "b1", "Active": false})), (false, Disabled));
    assert_eq!(read(json!({"Identifier": "b1", "State": "disabled"})), (false, Disabled));
    assert_eq!(read(json!({"Identifier": "b1", "State": "Draining"})), (true, Draining));
    assert_eq!(read(json!({"Identifier": "b1", "State": "Draining", "Active": false})), (false, Disabled));
}

#[test]
fn bounds_of_the_table_hold_and_are_named() {
    let int_max = i64::from(i32::MAX);
    let bounds = [
        ("Port", 0, 65_535),
        ("UnhealthyThreshold", 1, int_max),
        ("HealthyThreshold", 1, int_max),
        ("MaxParallelRequests", 1, int_max),
        ("RateLimitRequestsThreshold", 0, int_max),
        ("Priority", 0, 65_535),
        ("Weight", 1, 65_535),
        ("CircuitBreakerErrorPercent", 0, 100),
        ("CircuitBreakerMinimumRequests", 1, int_max),
        ("CircuitBreakerWindowMs", 1_000, 3_600_000),
        ("CircuitBreakerConnectFailures", 0, int_max),
        ("CircuitBreakerOpenMs", 10, 3_600_000),
    ];
    for (name, low, high) in bounds {
        check_bounds(name, low, high, &|body| {
            backend(body).map(|parsed| serde_json::to_value(parsed.value).unwrap())
        });
    }
    let bounds = [
        ("TimeoutMs", 0, int_max),
        ("StreamIdleTimeoutMs", 0, int_max),
        ("MaxRequestBodySize", 1, int_max),
        ("StickySessionExpirationMs", 10_000, 86_400_000),
        ("MaxQueueLength", 0, 10_000),
        ("QueueTimeoutMs", 1, int_max),
        ("AffinityWaitMs", 0, int_max),
        ("RateLimitPerClient", 0, int_max),
        ("MaxAttempts", 1, 100),
        ("RetryBudgetPercent", 0, 1000),
    ];
    for (name, low, high) in bounds {
        check_bounds(name, low, high, &|body| {
            frontend(body).map(|parsed| serde_json::to_value(parsed.value).unwrap())
        });
    }
}

fn check_bounds(name: &str, low: i64, high: i64, read: &dyn Fn(&Value) -> Result<Value, ObjectError>) {
    for inside in [low, high] {
        let value = read(&json!({"Identifier": "x1", name: inside})).unwrap();
        assert_eq!(value[name], json!(inside));
    }
    for outside in [low - 1, high + 1] {
        let sentence = read(&json!({"Identifier": "x1", name: outside})).unwrap_err().to_string();
        assert!(sentence.starts_with(&format!("{name} must be a whole number")), "{sentence}");
        for part in [low, high, outside] {
            assert!(sentence.contains(&part.to_string()), "{sentence} does not tell {part}");
        }
    }
    for wrong in [json!("7"), json!(1.5), json!(true), json!([])] {
        assert!(read(&json!({"Identifier": "x1", name: wrong})).is_err());
    }
}

#[test]
fn texts_that_would_break_a_request_are_refused_by_name() {
    let cases = [
        (json!({"Hostname": ""}), "Hostname must not be empty"),
        (json!({"Hostname": "http://gpu"}), "Hostname must be a host name or IP address without scheme"),
        (json!({"HealthCheckUrl": "health"}), "HealthCheckUrl must start with `/`, but is \"health\""),
        (json!({"HealthCheckUrl": "/a b"}), "HealthCheckUrl must not contain spaces"),
        (json!({"Querystring": "a=1\r\nX: y"}), "Querystring must not contain spaces, line breaks"),
        (json!({"BearerToken": "a\nb"}), "BearerToken must not contain line breaks"),
        (json!({"Headers": {"X Y": "1"}}), "Headers must have HTTP header names as keys, but has \"X Y\""),
        (json!({"Headers": {"X": "1\r\n2"}}), "Headers has a control character in the value of \"X\""),
        (json!({"Headers": {"X": 1}}), "Headers.X must be a string, but is a number"),
        (json!({"Labels": ["a", 1]}), "Labels[1] must be a string, but is a number"),
        (json!({"Labels": "a"}), "Labels must be an array, but is a string"),
        (json!({"Ssl": "yes"}), "Ssl must be a boolean, but is a string"),
        (json!({"CreatedUtc": "soon"}), "CreatedUtc must be a date and time such as"),
        (json!({"Identifier": "a b"}), "Identifier may only contain letters, digits"),
        (json!({"Identifier": "health"}), "Identifier must not be `health`"),
        (json!({"Identifier": null}), "Identifier must not be empty"),
    ];
    for (mut body, expected) in cases {
        if body.get("Identifier").is_none() {
            body["Identifier"] = json!("b1");
        }
        let sentence = backend(&body).unwrap_err().to_string();
        assert!(sentence.starts_with(expected), "{sentence}");
    }
    let sentence = frontend(&json!({"Identifier": "f1", "Backends": ["b1", "b 2"]})).unwrap_err().to_string();
    assert!(sentence.starts_with("Backends[1] may only contain"), "{sentence}");
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    for (body, expected) in [
        (&b"null"[..], "the JSON document must be an object, but is null"),
        (b"[]", "the JSON document must be an object, but is an array"),
        (b"", "the JSON document is not valid: EOF while parsing a value at line 1 column 0"),
        (b"{\n \"Port\": }", "the JSON document is not valid: expected value at line 2 column 10"),
    ] {
        assert_eq!(Backend::from_json(body, NOW).unwrap_err().to_string(), expected);
    }
}

#[test]
fn live_properties_are_ignored_silently_and_unknown_ones_are_returned() {
    let parsed = backend(&json!({
        "Identifier": "b1", "HealthySinceUtc": "rubbish", "UnhealthySinceUtc": null, "uptime": 3, "Downtime": "",
        "ActiveRequests": 7, "IsSticky": true, "Height": 3, "Colour": null
    }))
    .unwrap();
    let unknown: Vec<String> = parsed.unknown.iter().map(ToString::to_string).collect();
    assert_eq!(unknown, ["Height", "Colour"]);
    assert_eq!(parsed.value, backend(&json!({"Identifier": "b1"})).unwrap().value);
}

#[test]
fn the_revision_comes_last_and_is_not_heeded_on_input() {
    for value in [json!(7), json!("x"), json!({"deep": [1]}), Value::Null] {
        let parsed = backend(&json!({"Identifier": "b1", "Revision": value})).unwrap();
        assert_eq!((parsed.unknown.len(), parsed.value.revision), (0, 0));
        let parsed = frontend(&json!({"Identifier": "f1", "revision": value})).unwrap();
        assert_eq!((parsed.unknown.len(), parsed.value.revision), (0, 0));
    }
    let stored = Backend { revision: 7, ..backend(&json!({"Identifier": "b1"})).unwrap().value };
    assert!(serde_json::to_string(&stored).unwrap().ends_with(r#","Revision":7}"#));
    let stored = Frontend { revision: 7, ..frontend(&json!({"Identifier": "f1"})).unwrap().value };
    assert!(serde_json::to_string(&stored).unwrap().ends_with(r#","Revision":7}"#));
}

#[test]
fn times_of_the_body_are_kept_and_absent_ones_are_now() {
    let value = backend(&json!({"Identifier": "b1", "CreatedUtc": "2020-01-02 03:04:05"})).unwrap().value;
    assert_eq!(value.created_utc.to_string(), "2020-01-02T03:04:05.000000Z");
    assert_eq!(value.last_update_utc, NOW);
}

#[test]
fn an_update_takes_its_identifier_from_the_path() {
    let id: BackendId = "b7".parse().unwrap();
    for body in [r#"{"Port": 1}"#, r#"{"Identifier": "other", "Port": 1}"#, r#"{"identifier": 5, "Port": 1}"#]
    {
        let value = Backend::from_json_as(id.clone(), body.as_bytes(), NOW).unwrap().value;
        assert_eq!((value.identifier, value.port), (id.clone(), 1));
    }
    let value = Frontend::from_json_as("f7".parse().unwrap(), b"{}", NOW).unwrap().value;
    assert_eq!(value.identifier.as_str(), "f7");
}

#[test]
fn pinned_properties_keep_their_nulls_and_their_order() {
    let pinned = json!({"z": null, "a": {"b": [1, null, 2.5]}});
    let parsed = backend(&json!({"Identifier": "b1", "PinnedCompletionsProperties": pinned})).unwrap();
    assert_eq!(parsed.unknown, []);
    assert_eq!(Value::Object(parsed.value.pinned_completions_properties).to_string(), pinned.to_string());
}

#[test]
fn no_output_shows_a_secret_and_a_returned_mark_changes_nothing() {
    let body = json!({"Identifier": "b1", "BearerToken": "hunter2", "Headers": {"X-Key": "hunter2", "X-Old": "hunter2"}});
    let stored = backend(&body).unwrap().value;
    let shown = serde_json::to_string_pretty(&stored).unwrap();
    assert!(!shown.contains("hunter2") && !format!("{stored:?}").contains("hunter2"));

    let mut returned = Backend::from_json(shown.as_bytes(), NOW).unwrap().value;
    returned.headers.insert("X-Old".to_owned(), "fresh".into());
    returned.restore_secrets(&stored);
    assert_eq!(returned.bearer_token, stored.bearer_token);
    assert_eq!(returned.headers["X-Key"].expose(), "hunter2");
    assert_eq!(returned.headers["X-Old"].expose(), "fresh");
}

#[test]
fn a_status_shows_the_configuration_first_and_then_the_live_properties() {
    let backend = backend(&json!({"Identifier": "b1"})).unwrap().value;
    let since = Timestamp::from_micros(NOW.as_micros() - 191_521_000);
    let healthy = BackendStatus { backend: &backend, runtime: BackendRuntime::healthy(since, NOW) };
    let text = serde_json::to_string(&healthy).unwrap();
    assert!(text.starts_with(r#"{"Identifier":"b1""#));
    assert!(text.ends_with(
        r#""HealthySinceUtc":"2025-10-08T17:21:26.599000Z","Uptime":"00:03:11.5210000","ActiveRequests":0,"IsSticky":false}"#
    ));
    let unhealthy = BackendStatus { backend: &backend, runtime: BackendRuntime::unhealthy(since, NOW) };
    let text = serde_json::to_string(&unhealthy).unwrap();
    assert!(text.contains("UnhealthySinceUtc") && text.contains("Downtime") && !text.contains("\"Uptime"));
}
