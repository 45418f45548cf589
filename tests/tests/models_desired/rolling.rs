//! A newer version of a model, brought to one backend after the other while clients go on.

use std::time::Duration;

use ollamaflow_tests::client::{Request, Response};
use ollamaflow_tests::cluster::{Cluster, Consistency};
use ollamaflow_tests::simulated::PullFault;

use super::*;

/// One token in an hour, which no test waits for.
const TOKENS_PER_SECOND: f64 = 1.0 / 3600.0;

fn both() -> Frontend {
    frontend("f").backends(["b1", "b2"])
}

fn labelled(name: &str, engine: &SimulatedBackend) -> Backend {
    backend(name, engine).set("Labels", json!([name])).set("RateLimitRequestsThreshold", 0)
}

/// Two engines with the first version of `m`, of which the registry has a second one, behind one node.
async fn outdated(registry: &Registry) -> ([SimulatedBackend; 2], Node) {
    let engines = [engine(registry, &["m"]), engine(registry, &["m"])];
    registry.update("m");
    let node = Node::builder()
        .frontend(both())
        .backend(labelled("b1", &engines[0]))
        .backend(labelled("b2", &engines[1]))
        .start()
        .await;
    node.wait_healthy(&["b1", "b2"]).await;
    for backend in ["b1", "b2"] {
        until_cell(&node, "m:latest", backend, |cell| cell["Present"] == true).await;
    }
    (engines, node)
}

async fn begin(node: &Node, query: &str) {
    let (status, body) = node.admin("POST", &format!("/v1.0/models/m/roll{query}"), None).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!((&body["Model"], &body["ProgressAt"]), (&json!("m:latest"), &json!("/v1.0/models")));
}

async fn steps(node: &Node) -> Vec<Value> {
    let (_, body) = node.admin("GET", "/v1.0/models", None).await;
    body["Rolls"][0]["Steps"].as_array().cloned().unwrap_or_default()
}

fn phases(steps: &[Value]) -> Vec<&str> {
    steps.iter().map(|step| step["Phase"].as_str().unwrap()).collect()
}

async fn until_phases(node: &Node, wanted: &[&str]) -> Vec<Value> {
    wait::until_answered(&format!("the roll is at {wanted:?}"), async || {
        let steps = steps(node).await;
        if phases(&steps) == wanted { Ok(steps) } else { Err(format!("{steps:?}")) }
    })
    .await
}

async fn states(node: &Node) -> Vec<String> {
    let mut states = Vec::new();
    for id in ["b1", "b2"] {
        let (_, backend) = node.admin("GET", &format!("/v1.0/backends/{id}"), None).await;
        states.push(backend["State"].as_str().unwrap().to_owned());
    }
    states
}

fn chat(stream: bool) -> Request {
    let message = json!({ "role": "user", "content": "hello" });
    Request::post("/api/chat").json(&json!({ "model": "m", "messages": [message], "stream": stream }))
}

#[tokio::test]
async fn backends_are_updated_one_after_the_other_and_clients_do_not_notice() {
    let registry = registry();
    let (engines, node) = outdated(&registry).await;
    registry.set_pace("m", 3, Duration::from_millis(300));
    begin(&node, "").await;
    let (status, body) = node.admin("POST", "/v1.0/models/M:latest/roll", None).await;
    assert_eq!(status, 409, "{body}");
    assert!(body.to_string().contains("a roll of m:latest is under way already"), "{body}");
    let mut served = 0;
    wait::until_answered("the roll ends", async || {
        let answer = chat(false).send(node.addr()).await.collect().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        served += 1;
        let pulling: u64 = engines.iter().map(|engine| engine.stats().pulls_of("m").at_once).sum();
        assert!(pulling <= 1, "two at once");
        let draining = states(&node).await.iter().filter(|state| *state == "Draining").count();
        assert!(draining <= 1, "two drain at once");
        let steps = steps(&node).await;
        if phases(&steps) == ["Done", "Done"] { Ok(()) } else { Err(format!("{steps:?}")) }
    })
    .await;
    assert!(served > 5);
    for (engine, step) in engines.iter().zip(steps(&node).await) {
        assert_eq!(engine.digest_of("m").unwrap(), registry.digest("m"));
        assert_eq!(step["Detail"], registry.digest("m"));
    }
    assert_eq!(states(&node).await, ["Active", "Active"]);
}

#[tokio::test]
async fn a_request_in_flight_is_awaited_before_its_backend_is_updated() {
    let registry = registry();
    let (engines, node) = outdated(&registry).await;
    engines[0].knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = TOKENS_PER_SECOND;
    });
    let held: Response = chat(true).header("X-OllamaFlow-Label", "b1").send(node.addr()).await;
    assert_eq!((held.status(), held.header("x-ollamaflow-backend")), (200, Some("b1")));
    begin(&node, "").await;
    until_phases(&node, &["Draining", "Waiting"]).await;
    assert_eq!(states(&node).await, ["Draining", "Active"]);
    let answer = chat(false).send(node.addr()).await.collect().await;
    assert_eq!((answer.status(), answer.header("x-ollamaflow-backend")), (200, Some("b2")));
    assert_eq!(pulls_begun(&engines[0], "m"), 0);
    held.abort();
    until_phases(&node, &["Done", "Done"]).await;
}

#[tokio::test]
async fn the_only_backend_with_the_model_is_updated_only_by_force() {
    let registry = registry();
    let engine = engine(&registry, &["m"]);
    registry.update("m");
    let node = started(wanting("RequiredModels", &["m"]), &engine).await;
    until_cell(&node, "m:latest", "b1", |cell| cell["Present"] == true).await;
    begin(&node, "").await;
    let skipped = until_phases(&node, &["Skipped"]).await;
    assert!(skipped[0]["Detail"].as_str().unwrap().contains("force"), "{skipped:?}");
    assert_eq!(pulls_begun(&engine, "m"), 0);
    begin(&node, "?force=true&drain_ms=1000").await;
    until_phases(&node, &["Done"]).await;
    assert_eq!(engine.digest_of("m").unwrap(), registry.digest("m"));
    for (path, expected) in [
        ("/v1.0/models/none/roll", 404),
        ("/v1.0/models/library/none:7b/roll", 404),
        ("/v1.0/models/m/roll?drain_ms=x", 400),
    ] {
        let (status, body) = node.admin("POST", path, None).await;
        assert_eq!(status, expected, "{body}");
    }
}

#[tokio::test]
async fn a_backend_whose_update_fails_takes_requests_again_and_the_next_are_left_alone() {
    let registry = registry();
    let (engines, node) = outdated(&registry).await;
    registry.fail("m", PullFault::DiskFull);
    begin(&node, "").await;
    let steps = until_phases(&node, &["Failed", "Skipped"]).await;
    assert!(steps[0]["Detail"].as_str().unwrap().contains("space"), "{steps:?}");
    assert_eq!(states(&node).await, ["Active", "Active"]);
    assert_eq!(pulls_begun(&engines[1], "m"), 0);
}

#[tokio::test]
async fn the_next_leader_goes_on_with_a_roll_and_no_backend_stays_drained() {
    let registry = registry();
    let engines = [engine(&registry, &["m"]), engine(&registry, &["m"])];
    registry.update("m");
    registry.set_pace("m", 10, Duration::from_secs(3600));
    let mut cluster = Cluster::builder()
        .frontend(both())
        .backend(labelled("b1", &engines[0]))
        .backend(labelled("b2", &engines[1]))
        .start()
        .await;
    let leader = cluster.leader().await;
    wait::until_answered("the roll is begun", async || {
        let roll = Request::post("/v1.0/models/m/roll?drain_ms=2000");
        let answer = cluster.admin(leader).send(roll).await.map_err(|e| e.to_string())?;
        let backends = answer.json()["Backends"].clone();
        if answer.status() == 202 && backends == json!(["b1", "b2"]) { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    let pulls = |at: usize| engines[at].stats().pulls_of("m");
    wait::until_within("the first backend pulls", LONG, || pulls(0).at_once == 1).await;
    cluster.kill(leader);
    let next = cluster.leader().await;
    registry.set_pace("m", 2, Duration::ZERO);
    wait::until_within("both have the newer version", LONG, || {
        engines.iter().all(|engine| engine.digest_of("m").unwrap() == registry.digest("m"))
    })
    .await;
    wait::until_answered("the roll has ended", async || {
        let matrix = cluster.admin(next).read("/v1.0/models", Consistency::Local).await?;
        let steps = matrix["Rolls"][0]["Steps"].as_array().cloned().unwrap_or_default();
        if phases(&steps) == ["Done", "Done"] { Ok(()) } else { Err(matrix["Rolls"].to_string()) }
    })
    .await;
    for id in ["b1", "b2"] {
        let path = format!("/v1.0/backends/{id}");
        let backend = cluster.admin(next).read(&path, Consistency::Local).await.unwrap();
        assert_eq!(backend["State"], "Active", "{backend}");
    }
    assert_eq!((pulls(0).at_once_max, pulls(1).at_once_max), (1, 1));
}
