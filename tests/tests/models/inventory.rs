//! What a node reads of its backends: how often, and what it does with it.

use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{get, names, ollama, wait_listed};

/// Makes a backend list this, as releases do that do not tell in the list what a model can do.
fn lists(backend: &SimulatedBackend, models: &Value) {
    backend.set_fault(FaultKind::json(200, &json!({ "models": models })).path("/api/tags"));
}

/// The models that the backend was asked to show.
fn shown(backend: &SimulatedBackend) -> Vec<String> {
    let requests = backend.requests_to("/api/show");
    requests.iter().map(|request| request.json()["model"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_a_model_can_do_is_asked_once_for_each_digest_whoever_has_it() {
    let backends = [ollama(&["a", "b"]), ollama(&["a", "b"])];
    let models = json!([{ "name": "a", "digest": "same" }, { "name": "b", "digest": "same" }]);
    for backend in &backends {
        lists(backend, &models);
    }
    let node = backends.iter().fold(Setup::new(), |setup, backend| {
        setup.backend_with(backend, |own| own.set("UnhealthyThreshold", 1).set("HealthyThreshold", 1))
    });
    let node = node.start().await;
    wait_listed(&node, "/api/tags", &["a", "b"]).await;
    let all = || backends.iter().map(|backend| shown(backend).len()).sum::<usize>();
    wait::until("somebody was asked", || all() > 0).await;
    // Each comes back and is read anew.
    for (backend, name) in backends.iter().zip(["b1", "b2"]) {
        let read = || backend.requests_to("/api/tags").len();
        let before = read();
        backend.stop();
        node.wait_unhealthy(name).await;
        backend.restart();
        wait::until("the list was read again", || read() > before).await;
        let probes = backend.requests_to("/api/ps").len();
        wait::until("and more was read since", || backend.requests_to("/api/ps").len() > probes + 2).await;
    }
    assert_eq!(all(), 1);
}

#[tokio::test]
async fn nobody_is_asked_what_the_list_tells() {
    let backend = ollama(&["m"]);
    let node = Setup::new().backend(&backend).start().await;
    wait_listed(&node, "/api/tags", &["m:latest"]).await;
    wait_listed(&node, "/api/ps", &[]).await;
    assert_eq!(shown(&backend), Vec::<String>::new());
}

#[tokio::test]
async fn entries_that_cannot_be_read_are_left_out_and_told_of_in_the_log() {
    let backend = ollama(&["m"]);
    lists(&backend, &json!([{ "name": "m:latest" }, { "size": 7 }, "text"]));
    let node = Setup::new().backend(&backend).start().await;
    assert_eq!(names(&get(&node, "/api/tags").await), ["m:latest"]);
    wait::until("the log tells", || node.logs().contains("left out")).await;
}

#[tokio::test]
async fn a_backend_that_moves_is_read_at_once_although_its_old_address_hangs() {
    let (old, new) = (ollama(&["old"]), ollama(&["new"]));
    old.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/api/tags"));
    let setup = |backend| Setup::new().backend(backend);
    let node = setup(&old).start().await;
    wait::until("the list is being read", || !old.requests_to("/api/tags").is_empty()).await;
    let (frontend, backends) = setup(&new).objects();
    node.rewrite_objects([frontend], backends).await;
    wait_listed(&node, "/api/tags", &["new:latest"]).await;
}

#[tokio::test]
async fn what_is_no_entry_of_the_api_is_left_out_of_what_clients_read() {
    let (good, odd) = (ollama(&["m"]), ollama(&["n"]));
    let entries = json!([
        { "name": "weird", "model": "weird", "size": 1e300, "digest": 5, "modified_at": "nope", "details": "x" },
        { "name": "bad\0\n", "model": "bad\0\n" },
        { "name": "n:latest", "model": "n:latest", "size": 7, "details": null },
    ]);
    lists(&odd, &entries);
    odd.set_fault(FaultKind::json(200, &json!({ "models": entries })).path("/api/ps"));
    let node = Setup::new().backend(&good).backend(&odd).start().await;
    for path in ["/api/tags", "/v1/models"] {
        wait_listed(&node, path, &["m:latest", "n:latest"]).await;
    }
    wait_listed(&node, "/api/ps", &["n:latest"]).await;
    assert_eq!(get(&node, "/v1/models/weird").await.status(), 404);
    wait::until("the log tells", || node.logs().contains("left out")).await;
}
