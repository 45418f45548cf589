//! Pulls at several backends, told as one.

use std::collections::BTreeMap;
use std::time::Duration;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{Fault, FaultKind, PullFault, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{NEVER, answer, backends, error, lines, models, node_of, pull, registry, setup, success, told};

/// What is told of each layer: the total, and what is complete in order.
fn layers(lines: &[Value]) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut layers = BTreeMap::<_, Vec<_>>::new();
    for line in lines.iter().filter(|line| line["digest"].is_string()) {
        let step = (line["total"].as_u64().unwrap(), line["completed"].as_u64().unwrap_or(0));
        layers.entry(line["digest"].as_str().unwrap().to_owned()).or_default().push(step);
    }
    layers
}

fn running(backends: &[SimulatedBackend]) -> Vec<u64> {
    backends.iter().map(|backend| backend.stats().pulls_of("new").at_once).collect()
}

async fn wait_pulling(backends: &[SimulatedBackend]) {
    wait::until("all backends pull", || running(backends).iter().all(|count| *count == 1)).await;
}

#[tokio::test]
async fn a_pull_installs_the_model_at_every_backend_and_ends_with_one_success() {
    let registry = registry();
    let backends = backends::<3>(&registry, &[]);
    let node = node_of(&backends).await;
    let lines = lines(node.addr(), pull()).await;
    assert_eq!(lines[0], json!({ "status": "pulling manifest" }));
    assert_eq!(lines.iter().filter(|line| **line == success()).count(), 1);
    assert_eq!(lines.last(), Some(&success()));
    for backend in &backends {
        assert_eq!(backend.digest_of("new"), Some(registry.digest("new")));
    }
}

#[tokio::test]
async fn the_next_list_shows_it() {
    let backends = backends::<2>(&registry(), &[]);
    let node = node_of(&backends).await;
    assert_eq!(lines(node.addr(), pull()).await.last(), Some(&success()));
    let tags = answer(node.addr(), Request::get("/api/tags")).await.json();
    assert_eq!(tags["models"][0]["name"], "new:latest", "{tags}");
}

#[tokio::test]
async fn each_layers_total_is_the_sum_and_its_progress_never_goes_back() {
    let registry = registry();
    registry.set_pace("new", 20, Duration::from_millis(5));
    let backends = backends::<3>(&registry, &[]);
    let node = node_of(&backends).await;
    let lines = lines(node.addr(), pull()).await;
    let layers = layers(&lines);
    assert!(layers.len() >= 2, "{lines:?}");
    let mut sum = 0;
    for (digest, steps) in &layers {
        let (total, _) = steps[0];
        assert!(steps.iter().all(|step| step.0 == total), "{digest}: {steps:?}");
        assert!(steps.is_sorted_by_key(|step| step.1), "{digest}: {steps:?}");
        assert_eq!(steps.last(), Some(&(total, total)), "{digest}");
        sum += total;
    }
    let bytes: u64 = backends.iter().map(|backend| backend.stats().pulls_of("new").bytes).sum();
    assert_eq!(sum, bytes);
}

#[tokio::test]
async fn a_backend_that_fails_is_told_at_once_and_the_stream_ends_with_its_error() {
    let backends = backends::<2>(&registry(), &[]);
    backends[1].knobs(|knobs| knobs.unpullable = vec!["new".to_owned()]);
    let node = node_of(&backends).await;
    let lines = lines(node.addr(), pull()).await;
    let why = "pull model manifest: file does not exist";
    let told = json!({ "status": format!("backend b2 failed: {why}") });
    assert!(lines.contains(&told), "{lines:?}");
    assert!(!lines.contains(&success()));
    assert_eq!(lines.last(), Some(&json!({ "error": format!("backend b2: {why}") })));
    assert_eq!(models(&backends[0]), ["new:latest"]);
}

#[tokio::test]
async fn a_client_that_wants_no_stream_gets_one_object() {
    let registry = registry();
    let backends = backends::<2>(&registry, &[]);
    let node = node_of(&backends).await;
    let whole = |model| crate::post("/api/pull", &json!({ "model": model, "stream": false }));
    let done = answer(node.addr(), whole("new")).await;
    assert_eq!((done.status(), done.json()), (200, success()));
    assert_eq!(told(&done), "b1=done, b2=done");
    registry.fail("gone", PullFault::NotFound);
    let failed = answer(node.addr(), whole("gone")).await;
    assert_eq!((failed.status(), told(&failed)), (500, "b1=failed, b2=failed"));
    let why = failed.json();
    for backend in ["b1", "b2"] {
        let words = format!("backend {backend}: pull model manifest: file does not exist");
        assert!(error(&why).contains(&words), "{why}");
    }
}

#[tokio::test]
async fn what_all_backends_refuse_is_refused_with_their_status() {
    let backends = backends::<2>(&registry(), &[]);
    let node = node_of(&backends).await;
    for backend in &backends {
        backend.set_fault(
            Fault::from(FaultKind::Error { status: 400, message: "invalid model name".to_owned() })
                .path("/api/pull"),
        );
    }
    let answer = answer(node.addr(), pull()).await;
    assert_eq!(answer.status(), 400);
    assert!(error(&answer.json()).contains("invalid model name"), "{}", answer.text());
}

#[tokio::test]
async fn a_pull_may_take_longer_than_the_frontends_patience_with_the_head() {
    let registry = registry();
    registry.set_pace("new", 10, Duration::from_millis(100));
    let backends = backends::<2>(&registry, &[]);
    let node = setup(&backends).frontend("TimeoutMs", 700).start().await;
    for stream in [true, false] {
        let request = crate::post("/api/pull", &json!({ "model": "new", "stream": stream }));
        let answer = answer(node.addr(), request).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.text().trim_end().ends_with(&success().to_string()), "{}", answer.text());
        for backend in &backends {
            backend.remove_model("new");
        }
    }
}

#[tokio::test]
async fn a_backend_that_falls_silent_is_given_up_and_the_others_go_on() {
    let registry = registry();
    let backends = backends::<2>(&registry, &[]);
    let node = setup(&backends).frontend("StreamIdleTimeoutMs", 1000).start().await;
    backends[1]
        .set_fault(Fault::from(FaultKind::HangMidStream { after_frames: 2, for_ms: None }).path("/api/pull"));
    let lines = lines(node.addr(), pull()).await;
    assert_eq!(error(lines.last().unwrap()), "backend b2: it was silent for 1000 ms");
    assert_eq!(models(&backends[0]), ["new:latest"]);
}

#[tokio::test]
async fn a_client_that_leaves_ends_every_pull() {
    let registry = registry();
    registry.set_pace("new", 10, NEVER);
    let backends = backends::<2>(&registry, &[]);
    let node = node_of(&backends).await;
    for request in [pull(), crate::post("/api/pull", &json!({ "model": "new", "stream": false }))] {
        let wire = request.to_wire(node.addr());
        let mut client = ollamaflow_tests::client::RawConnection::open(node.addr()).await.unwrap();
        client.send(wire).await.unwrap();
        wait_pulling(&backends).await;
        client.abort();
        wait::until_eq("no backend pulls", || running(&backends), vec![0, 0]).await;
    }
    // Nobody waits for those who have left.
    registry.set_pace("new", 1, Duration::ZERO);
    assert_eq!(lines(node.addr(), pull()).await.last(), Some(&success()));
}

#[tokio::test]
async fn two_clients_that_pull_the_same_both_succeed_and_no_backend_pulls_twice_at_once() {
    let registry = registry();
    registry.set_pace("new", 10, Duration::from_millis(30));
    let backends = backends::<2>(&registry, &[]);
    let node = node_of(&backends).await;
    let (one, other) = tokio::join!(lines(node.addr(), pull()), lines(node.addr(), pull()));
    assert_eq!((one.last(), other.last()), (Some(&success()), Some(&success())));
    for backend in &backends {
        assert_eq!(backend.stats().pulls_of("new").at_once_max, 1);
    }
}

#[tokio::test]
async fn a_node_that_stops_tells_the_client_so() {
    let registry = registry();
    registry.set_pace("new", 10, NEVER);
    let backends = backends::<1>(&registry, &[]);
    let mut node: Node = setup(&backends).settings(json!({ "ShutdownGraceMs": 200 })).start().await;
    let response = pull().send(node.addr()).await;
    wait_pulling(&backends).await;
    let (answer, _) = tokio::join!(response.collect(), node.terminate());
    let last: Value = serde_json::from_str(answer.text().lines().last().unwrap()).unwrap();
    assert_eq!(error(&last), "the node is shutting down");
}
