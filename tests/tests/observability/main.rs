//! What a node tells at `/metrics`: that it is well formed, and right.
//!
//! What `scripts/observability` asks of Prometheus exists: every metric, every label and every value of a label that is
//! named there is in what a node tells. That the files are well formed is `promtool`'s to say, see `check` there.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test, which is what is wanted")]

mod exposition;
mod nodes;
mod requests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::Cluster;
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::{Value, json};

/// What all metrics of a node begin with.
const PREFIX: &str = "ollamaflow_";

fn file(name: &str) -> String {
    let path: PathBuf =
        [Path::new(env!("CARGO_MANIFEST_DIR")), Path::new("../scripts/observability"), Path::new(name)]
            .iter()
            .collect();
    std::fs::read_to_string(&path).unwrap()
}

/// The names of metrics in a text, each with the conditions that follow it in braces.
fn named(text: &str) -> BTreeSet<(String, String)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(PREFIX) {
        let rest = &text[at..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let conditions = rest[end..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        found.insert((rest[..end].to_owned(), conditions.map_or("", |(inside, _)| inside).to_owned()));
    }
    found
}

/// All queries of the dashboard, and those of its variables.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let expressions = targets.map(|target| &target["expr"]);
    let asked = variables
        .iter()
        .filter(|variable| variable["type"] == "query")
        .map(|variable| &variable["definition"]);
    expressions.chain(asked).map(|query| query.as_str().unwrap().to_owned()).collect()
}

/// What the leader of a cluster tells when everything that has a label has happened.
async fn told() -> String {
    let (one, engine) = (requests::ollama(), SimulatedBackend::start(SimConfig::openai(["n"])));
    let cluster = Cluster::builder()
        .frontend(frontend("f1").backends(["b1", "b2"]))
        .backend(backend("b1", &one))
        .backend(backend("b2", &engine).openai())
        .start()
        .await;
    let node = cluster.node(cluster.leader().await);
    node.wait_healthy(&["b1", "b2"]).await;
    requests::wait_count(node, "ollamaflow_backend_models", &[("state", "on_disk")], 2).await;
    let (status, made) = node.admin("PUT", "/v1.0/keys", Some(&json!({ "Identifier": "k" }))).await;
    assert_eq!(status, 201, "{made}");
    requests::wait_count(node, "ollamaflow_key_requests_total", &[("outcome", "complete")], 0).await;
    for model in ["m", "n"] {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
        assert_eq!(requests::ask(node, Request::post("/api/chat").json(&body)).await, 200, "{model}");
    }
    requests::wait_count(node, "ollamaflow_requests_in_flight", &[], 0).await;
    node.metrics().await.text().to_owned()
}

/// Whether a sample of this name has this label, with this value if one is given.
fn has(told: &str, name: &str, label: &str, value: Option<&str>) -> bool {
    let wanted = value.map_or_else(|| format!("{label}=\""), |value| format!("{label}=\"{value}\""));
    let samples = told.lines().filter_map(|line| {
        let behind = line.strip_prefix(name)?;
        behind.strip_prefix("_bucket").unwrap_or(behind).strip_prefix('{')
    });
    samples.into_iter().any(|labels| labels.split(['{', ',']).any(|part| part.starts_with(&wanted)))
}

fn exists(told: &str, name: &str) -> bool {
    told.lines().any(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']) || rest.starts_with("_bucket{"))
    })
}

#[tokio::test]
async fn every_metric_that_is_asked_for_is_told() {
    let told = told().await;
    let dashboard: Value = serde_json::from_str(&file("grafana-dashboard.json")).unwrap();
    let texts =
        [file("alerts.yml"), file("alerts.test.yml"), file("README.md"), queries(&dashboard).join("\n")];
    let asked: BTreeSet<_> = texts.iter().flat_map(|text| named(text)).collect();
    assert!(asked.len() > 20, "only {asked:?} were found: the test has lost sight of the files");
    let mut wrong = Vec::new();
    for (name, conditions) in &asked {
        if !exists(&told, name) {
            wrong.push(format!("{name} is not told"));
        }
        for condition in conditions.split(',').map(str::trim).filter(|condition| !condition.is_empty()) {
            let (label, value) = condition.split_once('=').unwrap();
            let label = label.trim_end_matches('!');
            // Prometheus adds these, and a pattern is no value.
            if ["job", "instance"].contains(&label) {
                continue;
            }
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            // Values of the test's own: names and hashes.
            let value = value.filter(|_| {
                !["frontend", "backend", "hash", "key", "model", "name", "operation", "node"].contains(&label)
            });
            if !has(&told, name, label, value) {
                wrong.push(format!("{name} is not told with {condition}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{told}", wrong.join("\n"));
}

#[test]
fn panels_of_the_dashboard_have_ids_of_their_own_and_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&file("grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            assert!(x < 24, "{}", panel["title"]);
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies over another panel", panel["title"]);
            }
        }
    }
}
