//! Pulls: what a client sees of them, what they share, and how they go wrong.

use std::time::Duration;

use ollamaflow_tests::client::{self, Frame, Lines};
use ollamaflow_tests::simulated::{ModelSpec, PullFault, Registry, SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

/// So long a pull of ten steps takes at least an hour.
const NEVER: Duration = Duration::from_secs(3600);
/// Bytes of the model that is pulled.
const BYTES: u64 = 10_000_000;

/// A registry with the model `m` of two equal layers of weights.
fn registry() -> Registry {
    let registry = Registry::new();
    registry.publish(ModelSpec::named("m").with_size(BYTES, 2));
    registry
}

fn backend(registry: &Registry) -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::default().with_registry(registry))
}

async fn begin(backend: &SimulatedBackend) -> Lines {
    client::post_json(backend, "/api/pull", &json!({ "model": "m" })).await.lines()
}

async fn pull(backend: &SimulatedBackend) -> Vec<Value> {
    begin(backend).await.collect().await.0.iter().map(Frame::json).collect()
}

/// The error with which a pull ends.
async fn error(backend: &SimulatedBackend) -> String {
    pull(backend).await.last().unwrap()["error"].as_str().unwrap_or_default().to_owned()
}

fn success() -> Value {
    json!({ "status": "success" })
}

/// What a stream tells of the bytes of one layer, the first one of the model.
fn first_layer(lines: &[Value]) -> Vec<u64> {
    let digest = &lines[1]["digest"];
    let of_layer = lines.iter().filter(|line| line["digest"] == *digest);
    of_layer.map(|line| line["completed"].as_u64().unwrap_or(0)).collect()
}

#[tokio::test]
async fn a_pull_tells_each_layer_from_nothing_to_all_of_it() {
    let registry = registry();
    registry.set_pace("m", 4, Duration::from_millis(5));
    let backend = backend(&registry);
    let lines = pull(&backend).await;
    assert_eq!(lines[0], json!({ "status": "pulling manifest" }));
    let (first, digest) = (&lines[1], lines[1]["digest"].as_str().unwrap());
    assert_eq!(first["status"], format!("pulling {}", &digest["sha256:".len()..][..12]));
    assert!(first.get("completed").is_none() && first["total"].as_u64().is_some(), "{first}");
    let told = first_layer(&lines);
    assert!(told.is_sorted() && told.last() == first["total"].as_u64().as_ref(), "{told:?}");
    let tail = ["verifying sha256 digest", "writing manifest", "success"];
    assert_eq!(lines[lines.len() - 3..], tail.map(|status| json!({ "status": status })));
    let tags = client::get(&backend, "/api/tags").await.collect().await.json();
    assert_eq!(tags["models"][0]["size"], BYTES);
    assert_eq!(tags["models"][0]["digest"], registry.digest("m"));
    let stats = backend.stats().pulls_of("m:latest");
    assert_eq!((stats.begun, stats.finished, stats.at_once, stats.at_once_max), (1, 1, 0, 1));
    assert_eq!(stats.bytes, backend.blobs().iter().map(|blob| blob.size).sum::<u64>());
}

#[tokio::test]
async fn a_second_pull_says_that_all_is_there_and_takes_nothing() {
    let registry = registry();
    let backend = backend(&registry);
    pull(&backend).await;
    let bytes = backend.stats().pulls_of("m").bytes;
    registry.set_pace("m", 10, Duration::ZERO);
    let lines = pull(&backend).await;
    // Two layers of weights, the template, the configuration: a line for each.
    assert_eq!((lines.len(), lines.last()), (8, Some(&success())));
    assert!(lines[1..5].iter().all(|line| line["completed"] == line["total"]), "{lines:?}");
    assert_eq!(backend.stats().pulls_of("m").bytes, bytes);
}

#[tokio::test]
async fn a_pull_without_a_stream_answers_at_its_end() {
    let backend = backend(&registry());
    let body = json!({ "model": "m", "stream": false });
    let answer = client::post_json(&backend, "/api/pull", &body).await.collect().await;
    assert_eq!((answer.status(), answer.json()), (200, success()));
}

#[tokio::test]
async fn a_newer_version_is_pulled_over_the_old_one_on_each_backend_of_the_registry() {
    let registry = registry();
    let backends = [backend(&registry), backend(&registry)];
    for backend in &backends {
        pull(backend).await;
    }
    let old = registry.digest("m");
    registry.update("m");
    assert_ne!(registry.digest("m"), old);
    let blobs = backends[0].blobs().len();
    let lines = pull(&backends[0]).await;
    assert_eq!(lines[lines.len() - 2], json!({ "status": "removing unused layers" }));
    let digests = backends.each_ref().map(|backend| backend.digest_of("m").unwrap());
    assert_eq!((digests, backends[0].blobs().len()), ([registry.digest("m"), old], blobs));
}

#[tokio::test]
async fn a_pull_ends_with_its_last_client_and_the_next_one_goes_on_from_there() {
    let registry = registry();
    registry.fail("m", PullFault::Stall);
    registry.set_pace("m", 10, Duration::from_millis(1));
    let backend = backend(&registry);
    let mut lines = begin(&backend).await;
    let mut reached = 0;
    while reached < 2_000_000 {
        reached = lines.expect_next().await.json()["completed"].as_u64().unwrap_or(0);
    }
    lines.into_response().abort();
    wait::until("the pull ends", || backend.stats().pulls_of("m").at_once == 0).await;
    assert_eq!((backend.stats().pulls_of("m").finished, backend.installed_models().len()), (0, 0));
    registry.heal("m");
    let lines = pull(&backend).await;
    assert!(first_layer(&lines)[0] >= reached, "{lines:?}");
    assert_eq!(lines.last(), Some(&success()));
    let whole: u64 = backend.blobs().iter().map(|blob| blob.size).sum();
    assert_eq!(backend.stats().pulls_of("m").bytes, whole);
}

#[tokio::test]
async fn two_clients_share_a_download() {
    let registry = registry();
    registry.fail("m", PullFault::Stall);
    let backend = backend(&registry);
    let mut both = [begin(&backend).await, begin(&backend).await];
    // The first layer of weights stalls in its middle; who joins then begins there.
    for lines in &mut both {
        while lines.expect_next().await.json()["completed"].as_u64().unwrap_or(0) < 2_000_000 {}
    }
    assert_eq!(backend.stats().pulls_of("m").at_once_max, 2);
    registry.heal("m");
    for lines in both {
        assert_eq!(lines.collect().await.0.last().unwrap().json(), success());
    }
    let whole: u64 = backend.blobs().iter().map(|blob| blob.size).sum();
    assert_eq!(backend.stats().pulls_of("m").bytes, whole);
}

#[tokio::test]
async fn a_pull_that_stalls_goes_on_when_it_may() {
    let registry = registry();
    registry.fail("m", PullFault::Stall);
    let backend = backend(&registry);
    let mut lines = begin(&backend).await;
    while lines.expect_next().await.json()["completed"].as_u64().unwrap_or(0) < 2_000_000 {}
    registry.heal("m");
    assert_eq!(lines.collect().await.0.last().unwrap().json(), success());
}

#[tokio::test]
async fn faults_of_the_registry_are_told_in_the_words_of_ollama() {
    let registry = registry();
    let backend = backend(&registry);
    for (fault, words) in [
        (PullFault::NotFound, "pull model manifest: file does not exist"),
        (PullFault::Unavailable, "pull model manifest: 503: no healthy upstream"),
        (PullFault::Cut, "max retries exceeded: unexpected EOF"),
        (PullFault::DiskFull, "-partial: no space left on device"),
    ] {
        registry.fail_times("m", fault, 1);
        assert!(error(&backend).await.ends_with(words), "{fault:?}");
    }
    assert_eq!(pull(&backend).await.last(), Some(&success()));
    let stats = backend.stats().pulls_of("m");
    assert_eq!((stats.begun, stats.finished), (5, 1));
}

#[tokio::test]
async fn a_disk_that_is_full_has_room_again_after_a_deletion() {
    let registry = registry();
    registry.publish(ModelSpec::named("old").with_size(BYTES, 1));
    let backend = backend(&registry);
    backend.add_model("old");
    backend.knobs(|knobs| knobs.disk_bytes = BYTES * 3 / 2);
    assert!(error(&backend).await.contains("no space left on device"));
    assert!(backend.remove_model("old"));
    backend.knobs(|knobs| knobs.disk_bytes = BYTES + 10_000);
    assert_eq!(pull(&backend).await.last(), Some(&success()));
}

#[tokio::test]
async fn a_slow_pull_is_given_up_with_the_backend_and_keeps_what_it_had() {
    let registry = registry();
    registry.fail("m", PullFault::Stall);
    let backend = backend(&registry);
    let mut lines = begin(&backend).await;
    while lines.expect_next().await.json()["completed"].as_u64().unwrap_or(0) < 2_000_000 {}
    backend.stop();
    wait::until("the pull ends", || backend.stats().pulls_of("m").at_once == 0).await;
    backend.restart();
    registry.heal("m");
    let lines = pull(&backend).await;
    assert!(first_layer(&lines)[0] >= 2_000_000, "{lines:?}");
}

#[tokio::test]
async fn a_newer_digest_is_loaded_anew() {
    let registry = registry();
    registry.set_pace("m", 1, Duration::ZERO);
    let backend = backend(&registry);
    let load = json!({ "model": "m" });
    for _ in 0..2 {
        pull(&backend).await;
        assert_eq!(client::post_json(&backend, "/api/generate", &load).await.status(), 200);
        registry.update("m");
    }
    assert_eq!(backend.loaded_models()[0].digest, backend.digest_of("m").unwrap());
    assert_eq!(backend.stats().loads, 2);
}

#[tokio::test]
async fn the_pace_of_the_registry_goes_before_that_of_the_backend() {
    let registry = registry();
    registry.set_pace("m", 10, NEVER);
    let backend = backend(&registry);
    let mut lines = begin(&backend).await;
    assert_eq!(lines.expect_next().await.json(), json!({ "status": "pulling manifest" }));
    assert_eq!(backend.stats().pulls_of("m").at_once, 1);
    drop(lines);
    wait::until("the pull ends", || backend.stats().pulls_of("m").at_once == 0).await;
    assert_eq!(backend.blobs(), []);
}
