//! Names in the settings file: matched in any case; unknown ones are told once and left out.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::program::Program;

/// The file with strange names in several places.
fn with_unknown_names() -> Value {
    json!({
        "Colour": "red",
        "Webserver": { "IO": { "Flavour": 1 } },
        "AdminBearerTokens": ["token"],
        "Frontends": [{ "Identifier": "f1", "Backends": ["b1"], "Shape": {} }],
        "Backends": [{ "Identifier": "b1", "Port": 1, "Smell": null, "HealthySinceUtc": "2025-01-01T00:00:00Z" }],
    })
}

const UNKNOWN: [&str; 4] = ["Colour", "Webserver.IO.Flavour", "Frontends[0].Shape", "Backends[0].Smell"];

#[tokio::test]
async fn names_are_matched_in_any_case() {
    let settings = json!({
        "webserver": { "PORT": 1111, "io": { "readtimeoutms": 77 } },
        "ADMINBEARERTOKENS": ["token"],
        "frontends": [{ "identifier": "f1", "hostNAME": "*", "BACKENDS": ["b1"] }],
        "bAcKeNdS": [{ "IDENTIFIER": "b1", "port": 1, "apiFORMAT": "openai" }],
    });
    let printed = Program::with_settings(&settings).run(["config", "show", "--json"]).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    let shown: Value = serde_json::from_str(&printed.stdout).unwrap();
    let settings = &shown["Settings"];
    assert_eq!(settings["Webserver"]["Port"], 1111);
    assert_eq!(settings["Webserver"]["IO"]["ReadTimeoutMs"], 77);
    assert_eq!(settings["AdminBearerTokens"], json!(["********"]));
    assert_eq!(settings["Frontends"][0]["Backends"], json!(["b1"]));
    assert_eq!(settings["Backends"][0]["ApiFormat"], "OpenAI");
}

#[tokio::test]
async fn variables_are_matched_in_any_case() {
    let program = Program::new().env("ollamaflow_webserver__port", "1234");
    let printed = program.run(["config", "show"]).await;
    assert!(printed.stdout.contains("\nWebserver.Port = 1234  (environment"), "{}", printed.stdout);
}

#[tokio::test]
async fn unknown_properties_are_logged_once_and_left_out() {
    let program = Program::with_settings(&with_unknown_names());
    // Phase 1: the node starts in spite of them and logs each one once.
    let mut node = program.start(["--listen", "127.0.0.1:0"]);
    let address = node.listening().await;
    for name in UNKNOWN {
        let sentence = format!("{name} (file) is unknown and left out");
        wait::until("the unknown name is logged", || node.stderr().contains(&sentence)).await;
        assert_eq!(node.stderr().matches(&sentence).count(), 1, "{sentence}");
    }
    assert_eq!(node.stderr().matches("is unknown").count(), UNKNOWN.len(), "{}", node.stderr());
    // Phase 2: they are nowhere in what the node works with.
    for path in ["/v1.0/frontends", "/v1.0/backends/b1"] {
        let answer = Request::get(path).bearer("token").send(address).await.collect().await;
        assert_eq!(answer.status(), 200);
        assert!(!answer.text().contains("Shape") && !answer.text().contains("Smell"), "{}", answer.text());
    }
}

#[tokio::test]
async fn an_unknown_variable_is_told() {
    let printed = Program::new().env("OLLAMAFLOW_WEBSERVER__PROT", "1").run(["config", "show"]).await;
    assert_eq!(printed.code, Some(0));
    let sentence = "environment variable OLLAMAFLOW_WEBSERVER__PROT names no setting";
    assert_eq!(printed.stderr.matches(sentence).count(), 1, "{}", printed.stderr);
}

#[tokio::test]
async fn explicit_nulls_stand_for_the_defaults() {
    let settings = json!({ "Webserver": { "Port": null, "IO": null }, "Logging": null, "Frontends": null });
    let printed = Program::with_settings(&settings).run(["config", "show", "--json"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let shown: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(shown["Settings"]["Webserver"]["Port"], 43_411);
    assert_eq!(shown["Settings"]["Logging"]["MinimumSeverity"], 1);
    assert_eq!(shown["Settings"]["Frontends"][0]["Identifier"], "frontend1");
}
