//! What goes on without a quorum, what does not, and what clients are told.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::{ANSWER_PATIENCE, Cluster, Consistency, Partition, Write, message};
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::json;

use super::{backends, create, creation, renaming, wait_present};

/// A cluster in front of a simulated Ollama.
async fn in_front_of(engine: &SimulatedBackend) -> Cluster {
    let cluster = Cluster::builder()
        .frontend(frontend("f").backends(["b"]))
        .backend(backend("b", engine).set("UnhealthyThreshold", 10_000))
        .start()
        .await;
    for node in 0..3 {
        cluster.node(node).wait_healthy(&["b"]).await;
    }
    cluster
}

fn ollama() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]).with_knobs(|knobs| knobs.parallelism = 10_000))
}

/// A client's request through a node reaches the backend and comes back.
async fn assert_proxies(cluster: &Cluster, node: usize) {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }], "stream": false });
    let answer = Request::post("/api/chat").json(&body).send(cluster.node(node).addr()).await.collect().await;
    assert_eq!(answer.status(), 200, "node {node}: {}", answer.text());
}

#[tokio::test]
async fn without_a_leader_writes_are_refused_and_say_why() {
    let engine = ollama();
    let mut cluster = in_front_of(&engine).await;
    let alone = cluster.followers().await[0];
    for node in (0..3).filter(|node| *node != alone) {
        cluster.kill(node);
    }
    cluster.wait_status(alone, "has lost its leader", |status| status.leader().is_none()).await;
    let before = cluster.status(alone).await.unwrap().revision();
    let answer = cluster.admin(alone).send(creation("never")).await.unwrap();
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u64>().is_ok()));
    let sentence = message(&answer);
    assert!(sentence.contains("no leader") && sentence.contains("1 of 3"), "{sentence}");

    // Reads and proxying go on, and the probes say that clients may come.
    let listed = backends(&mut cluster.admin(alone), Consistency::Local).await.unwrap();
    assert_eq!(listed, ["b"]);
    for path in ["/livez", "/readyz", "/v1.0/backends/health"] {
        let answer = cluster.admin(alone).send(Request::get(path)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    }
    assert_proxies(&cluster, alone).await;
    let quorum_read = Request::get("/v1.0/backends?consistency=linearizable");
    let answer = cluster.admin(alone).send(quorum_read).await.unwrap();
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert_eq!(cluster.status(alone).await.unwrap().revision(), before);

    let dead: Vec<_> = (0..3).filter(|node| *node != alone).collect();
    cluster.start_together(&dead).await;
    cluster.formed(3).await;
    let listed = backends(&mut cluster.admin(alone), Consistency::Linearizable).await.unwrap();
    assert_eq!(listed, ["b"], "what was said not to be made must not be made");
}

#[tokio::test]
async fn a_node_that_restarts_alone_serves_from_its_disk() {
    let engine = ollama();
    let mut cluster = in_front_of(&engine).await;
    create(&cluster, 1, "late").await;
    cluster.agree().await;
    // That a write was agreed on is on a node's disk with the next write at the latest.
    create(&cluster, 1, "last").await;
    cluster.agree().await;
    for node in 0..3 {
        cluster.kill(node);
    }
    for node in 0..3 {
        cluster.start(node).await;
        cluster.node(node).wait_healthy(&["b"]).await;
        assert_proxies(&cluster, node).await;
        let mut listed = backends(&mut cluster.admin(node), Consistency::Local).await.unwrap();
        listed.retain(|id| id != "last");
        listed.sort_unstable();
        assert_eq!(listed, ["b", "late"], "node {node}");
        cluster.kill(node);
    }
    cluster.start_together(&[0, 1, 2]).await;
    cluster.formed(3).await;
}

/// A leader that has just lost both followers may have written the entry already. It answers in time, and does not
/// claim to know what it cannot know.
#[tokio::test]
async fn a_write_without_a_quorum_is_answered_and_its_outcome_is_honest() {
    let cluster = Cluster::of_three().await;
    create(&cluster, 0, "b").await;
    for round in 0..3 {
        let leader = cluster.leader().await;
        wait_present(&cluster, leader, "b").await;
        let partition = if round % 2 == 0 { Partition::Silent } else { Partition::Refused };
        cluster.isolate(leader, partition);
        let name = format!("round {round}");
        let write = cluster.admin(leader).write(renaming("b", &name)).await;
        match &write {
            Write::Done(answer) => panic!("acknowledged without a quorum: {}", answer.text()),
            Write::Refused(answer) => panic!("{}: {}", answer.status(), answer.text()),
            Write::Unknown(reason) => assert!(reason.starts_with("status 503"), "{reason}"),
            Write::NotDone(_) => {}
        }
        cluster.heal();
        cluster.agree().await;
        let made = cluster.admin(leader).read("/v1.0/backends/b", Consistency::Linearizable).await.unwrap();
        let is_made = made["Name"] == json!(name);
        println!("round {round}: {write:?}, made: {is_made}");
        assert!(!(is_made && matches!(write, Write::NotDone(_))), "said not to be made, but is");
    }
    cluster.agree().await;
}

#[tokio::test]
async fn a_cut_off_leader_answers_no_quorum_reads() {
    let cluster = Cluster::of_three().await;
    create(&cluster, 0, "b").await;
    let old = cluster.leader().await;
    cluster.isolate(old, Partition::Silent);
    let survivors: Vec<_> = (0..3).filter(|node| *node != old).collect();
    let new = cluster.leader_among(&survivors).await;
    cluster.admin(new).write(renaming("b", "new")).await.done();
    let answer =
        cluster.admin(old).send(Request::get("/v1.0/backends/b?consistency=linearizable")).await.unwrap();
    assert_eq!(answer.status(), 503, "{}", answer.text());
    // What it has itself it still shows.
    let stale = cluster.admin(old).read("/v1.0/backends/b", Consistency::Local).await.unwrap();
    assert_eq!(stale["Name"], "b");
    cluster.heal();
    cluster.agree().await;
}

#[tokio::test]
async fn a_membership_change_without_a_quorum_ends() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let followers = cluster.followers().await;
    let victim = cluster.id(followers[0]).await;
    for &node in &followers {
        cluster.kill(node);
    }
    let removal = Request::new("DELETE", &format!("/v1.0/cluster/members/{victim}"));
    let write = cluster.admin(leader).write(removal).await;
    // Refused at once, since the voters that would be left do not answer, unless the quorum is missed first.
    assert!(matches!(write, Write::Refused(_) | Write::NotDone(_) | Write::Unknown(_)), "{write:?}");
    if let Write::Refused(answer) = &write {
        assert_eq!(answer.status(), 409, "{}", answer.text());
    }
    if let Write::Unknown(reason) = &write {
        assert!(reason.starts_with("status 503"), "{reason}");
    }
    cluster.start_together(&followers).await;
    // It may be carried out now. Whether it is or not, the rest works and the membership is a plain one.
    cluster.leader_among(&[leader, followers[1]]).await;
    super::membership::wait_plain(&cluster, leader).await;
    cluster.write_through(&[leader, followers[1]], renaming_or_creating("b")).await;
    cluster.agree_among(&[leader, followers[1]]).await;
}

/// The whole catalog with one backend, which may be sent twice.
fn renaming_or_creating(id: &str) -> Request {
    let catalog = json!({ "Frontends": [], "Backends": [super::resting(id)] });
    Request::new("PUT", "/v1.0/catalog").json(&catalog)
}

/// Without a quorum a node is stopped as quickly as ever: nobody is there to hand over to.
#[tokio::test]
async fn a_node_alone_can_be_stopped() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    for node in (0..3).filter(|node| *node != leader) {
        cluster.kill(node);
    }
    let stopped = tokio::time::timeout(ANSWER_PATIENCE, cluster.terminate(leader)).await;
    assert!(stopped.is_ok_and(|exit| exit.success()));
    cluster.start_together(&[0, 1, 2]).await;
    cluster.formed(3).await;
}

/// The cluster comes back as soon as most of its nodes do, and takes up what it could not do before.
#[tokio::test]
async fn two_of_three_are_enough() {
    let mut cluster = Cluster::of_three().await;
    for absent in 0..3 {
        for node in 0..3 {
            cluster.kill(node);
        }
        let present: Vec<_> = (0..3).filter(|node| *node != absent).collect();
        cluster.start_together(&present).await;
        cluster.leader().await;
        create(&cluster, present[0], &format!("b{absent}")).await;
        cluster.start(absent).await;
        wait_present(&cluster, absent, &format!("b{absent}")).await;
    }
    cluster.formed(3).await;
}
