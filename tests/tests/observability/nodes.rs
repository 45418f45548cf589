//! What a node tells of its backends, of the cluster, and of itself.

use std::time::{SystemTime, UNIX_EPOCH};

use ollamaflow_tests::cluster::Cluster;
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::FaultKind;
use ollamaflow_tests::wait;

use crate::exposition::told;
use crate::requests::{ask, chat, ollama, start, wait_count};

#[tokio::test]
async fn a_circuit_that_opens_is_told_and_counted() {
    let sick = ollama();
    let breaker = |own: ollamaflow_tests::objects::Backend| {
        own.set("CircuitBreakerErrorPercent", 50)
            .set("CircuitBreakerMinimumRequests", 2)
            .set("CircuitBreakerOpenMs", 3_600_000)
    };
    let node = start(Setup::new().backend_with(&sick, breaker), 1).await;
    let state = async |state| {
        let labels = [("backend", "b1"), ("state", state)];
        node.metrics().await.count("ollamaflow_backend_breaker_state", &labels).unwrap()
    };
    assert_eq!([state("closed").await, state("open").await, state("half_open").await], [1, 0, 0]);
    sick.set_fault(FaultKind::ResetAfter { frames: 1 });
    for _ in 0..2 {
        ask(&node, chat(true)).await;
    }
    wait_count(&node, "ollamaflow_backend_breaker_opened_total", &[("backend", "b1")], 1).await;
    assert_eq!([state("closed").await, state("open").await, state("half_open").await], [0, 1, 0]);
    assert!(ask(&node, chat(true)).await >= 500);
    let denied = [("frontend", "f"), ("reason", "no_backend")];
    assert!(node.metrics().await.count("ollamaflow_denied_total", &denied).is_some());
}

#[tokio::test]
async fn probes_are_counted_by_their_outcome_and_tell_whether_a_backend_is_well() {
    let one = ollama();
    let node = start(Setup::new().backend_with(&one, |own| own.set("UnhealthyThreshold", 2)), 1).await;
    let probes = async |outcome| {
        let labels = [("backend", "b1"), ("outcome", outcome)];
        node.metrics().await.count("ollamaflow_health_probes_total", &labels).unwrap()
    };
    assert!(probes("success").await > 0);
    assert_eq!(
        (probes("failure").await, node.metrics().await.count("ollamaflow_backend_healthy", &[])),
        (0, Some(1))
    );
    one.set_fault(FaultKind::HealthFails { status: 500 });
    wait_count(&node, "ollamaflow_backend_healthy", &[("backend", "b1")], 0).await;
    assert!(probes("failure").await >= 2);
    let metrics = node.metrics().await;
    let timed = metrics.count("ollamaflow_health_probe_duration_seconds_count", &[("backend", "b1")]);
    let counted = metrics.count("ollamaflow_health_probes_total", &[("backend", "b1")]);
    assert_eq!(timed, counted);
}

#[tokio::test]
async fn the_state_that_is_configured_is_told() {
    let one = ollama();
    let node = start(Setup::new().backend_with(&one, |own| own.set("State", "Draining")), 1).await;
    let metrics = node.metrics().await;
    let state = |state| metrics.count("ollamaflow_backend_state", &[("backend", "b1"), ("state", state)]);
    assert_eq!([state("active"), state("draining"), state("disabled")], [Some(0), Some(1), Some(0)]);
}

#[tokio::test]
async fn models_are_told_by_where_they_are() {
    let (one, two) = (ollama(), ollama());
    let node = start(Setup::new().backend(&one).backend_with(&two, |own| own.set("Priority", 1)), 2).await;
    assert_eq!(ask(&node, chat(false)).await, 200);
    let metrics =
        wait_count(&node, "ollamaflow_backend_models", &[("backend", "b1"), ("state", "in_memory")], 1).await;
    let of = |state| metrics.count("ollamaflow_model_backends", &[("model", "m:latest"), ("state", state)]);
    assert_eq!([of("on_disk"), of("in_memory")], [Some(2), Some(1)]);
}

#[tokio::test]
async fn the_process_and_the_build_are_told() {
    let node = Setup::new().start().await;
    let (before, families) = told(&node).await;
    let of = |name| before.sum(name, &[]).unwrap_or_else(|| panic!("no {name}"));
    #[expect(clippy::cast_precision_loss, reason = "bytes of a small process")]
    let resident = node.rss_bytes() as f64;
    assert!((0.5..2.0).contains(&(of("process_resident_memory_bytes") / resident)), "{resident}");
    assert!(of("process_virtual_memory_bytes") >= of("process_resident_memory_bytes"));
    let open = before.count("process_open_fds", &[]).unwrap();
    assert!(open.abs_diff(node.open_files() as u64) < 20, "{open}");
    assert!(of("process_max_fds") > of("process_open_fds") && of("process_threads") > 2.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - of("process_start_time_seconds");
    assert!((-2.0..600.0).contains(&age), "{age}");
    let build = &families["ollamaflow_build"].samples[0].labels;
    assert_eq!(build["version"], env!("CARGO_PKG_VERSION"));
    assert!(build["rustc"].starts_with("1.") && build.contains_key("revision"), "{build:?}");
    wait::until_answered("work takes processor time", async || {
        let now = node.metrics().await.sum("process_cpu_seconds_total", &[]).unwrap();
        if now > of("process_cpu_seconds_total") { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn actors_that_live_are_told_with_their_mail() {
    let one = ollama();
    let node = start(Setup::new().backend(&one), 1).await;
    for actor in ["supervisor", "frontend", "backend"] {
        let restarts = node.metrics().await.count("ollamaflow_actor_restarts_total", &[("actor", actor)]);
        assert_eq!(restarts, Some(0), "{actor}");
    }
    for (actor, name) in [("frontend", "f"), ("backend", "b1")] {
        let labels = [("actor", actor), ("name", name)];
        wait_count(&node, "ollamaflow_actor_mailbox_messages", &labels, 0).await;
    }
}

#[tokio::test]
async fn a_cluster_tells_who_leads_how_far_all_are_and_what_it_took() {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let mut cluster = Cluster::builder()
        .frontend(frontend("f").backends(["b"]))
        .backend(backend("b", nowhere))
        .start()
        .await;
    let leader = cluster.leader().await;
    cluster.agree().await;
    let id = cluster.id(leader).await;
    let count =
        async |index: usize, name: &str| cluster.node(index).metrics().await.count(name, &[]).unwrap();
    let mut started = 0;
    for index in cluster.running() {
        assert_eq!(count(index, "ollamaflow_raft_leader_id").await, id);
        assert!(count(index, "ollamaflow_raft_leader_changes_total").await >= 1);
        started += count(index, "ollamaflow_raft_elections_started_total").await;
        let (commit, applied) = (
            count(index, "ollamaflow_raft_commit_index").await,
            count(index, "ollamaflow_raft_applied_index").await,
        );
        assert!(commit >= applied && applied > 0, "node {index}: {commit} {applied}");
        assert!(count(index, "ollamaflow_raft_last_log_index").await >= commit);
    }
    assert!(started >= 1, "somebody stood for election");
    let (metrics, families) = told(cluster.node(leader)).await;
    let lags = &families["ollamaflow_raft_follower_lag"].samples;
    assert_eq!(lags.len(), 2, "{lags:?}");
    assert!(metrics.sum("ollamaflow_raft_quorum_ack_age_seconds", &[]).is_some_and(|age| age < 60.0));
    let follower = cluster.followers().await[0];
    let (_, families) = told(cluster.node(follower)).await;
    assert!(families["ollamaflow_raft_follower_lag"].samples.is_empty(), "only a leader knows");

    let changes = count(follower, "ollamaflow_raft_leader_changes_total").await;
    cluster.kill(leader);
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    let count =
        async |index: usize, name: &str| cluster.node(index).metrics().await.count(name, &[]).unwrap();
    assert_eq!(count(follower, "ollamaflow_raft_leader_changes_total").await, changes + 1);
    assert!(count(next, "ollamaflow_raft_elections_started_total").await >= 1);
    assert_eq!(count(follower, "ollamaflow_raft_leader_id").await, cluster.id(next).await);
}
