//! `doctor`: what is wrong and what is to be done.

use ollamaflow_tests::cluster::Cluster;
use ollamaflow_tests::node::{ADMIN_TOKEN, Node};
use ollamaflow_tests::objects::{backend, frontend};
use serde_json::Value;

use crate::program::Operator;
use crate::{engine, node_of};

/// The findings of that level: subject, text and what is to be done.
fn findings<'a>(report: &'a Value, level: &str) -> Vec<(&'a str, &'a str, &'a str)> {
    let text = |finding: &'a Value, name: &str| finding[name].as_str().unwrap_or_default();
    let all = report["Findings"].as_array().unwrap().iter();
    let found = all.filter(|finding| finding["Level"] == level);
    found.map(|finding| (text(finding, "Subject"), text(finding, "Text"), text(finding, "Mend"))).collect()
}

fn report(stdout: &str) -> Value {
    serde_json::from_str(stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"))
}

#[tokio::test]
async fn where_all_is_well_it_says_so() {
    let node = node_of([engine()]).await;
    let operator = Operator::of(&node);
    let text = operator.done("doctor").await;
    assert!(text.ends_with("nothing is wrong\n"), "{text}");
    for part in ["node http", "clock", "backend b1", "frontend f", "models"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(operator.json("doctor").await["Healthy"], true);
}

#[tokio::test]
async fn on_the_machine_of_the_node_it_looks_at_settings_ports_and_disk() {
    let node = node_of([engine()]).await;
    let operator = Operator::new();
    let settings = node.settings_file();
    let line = format!("doctor --json --config {} --listen {}", settings.display(), node.addr());
    let printed = operator.run(&line).await;
    let told = report(&printed.stdout);
    let fine: Vec<&str> = findings(&told, "Fine").iter().map(|finding| finding.0).collect();
    for subject in ["settings", "port of clients", "disk"] {
        assert!(fine.contains(&subject), "{subject}: {told:#}");
    }
    let doubtful = findings(&told, "Doubtful");
    assert!(doubtful.iter().any(|finding| finding.2.starts_with("chmod 600")), "{told:#}");
    assert_eq!(printed.code, 0);
}

#[tokio::test]
async fn a_backend_that_is_down_is_told_with_the_reason() {
    let (well, lost) = (engine(), engine());
    let node = Node::builder()
        .frontend(frontend("f").backends(["well"]))
        .frontend(frontend("g").hostname("g").backends(["lost", "path"]))
        .backend(backend("well", &well))
        .backend(backend("lost", &lost))
        .backend(backend("path", &well).set("HealthCheckUrl", "/nope"))
        .start()
        .await;
    node.wait_healthy(&["well", "lost"]).await;
    lost.stop();
    node.wait_unhealthy("lost").await;
    node.wait_unhealthy("path").await;
    let operator = Operator::new();
    let line = format!("doctor --json --config {} --listen {}", node.settings_file().display(), node.addr());
    let printed = operator.run(&line).await;
    assert_eq!(printed.code, 1, "{printed:?}");
    let told = report(&printed.stdout);
    let broken = findings(&told, "Broken");
    let of = |subject: &str| {
        *broken.iter().find(|finding| finding.0 == subject).unwrap_or_else(|| panic!("{told:#}"))
    };
    assert!(of("backend lost").1.contains("nobody listens"), "{told:#}");
    assert!(of("backend lost").2.contains("start the engine"), "{told:#}");
    assert!(of("backend path").1.contains("/nope answers 404"), "{told:#}");
    assert!(of("backend path").2.contains("HealthCheckUrl="), "{told:#}");
    assert!(of("frontend g").1.contains("none of its backends"), "{told:#}");
    assert_eq!(broken.len(), 3, "{told:#}");
}

#[tokio::test]
async fn a_node_that_is_away_and_a_wrong_token_are_findings() {
    let mut node = node_of([engine()]).await;
    let wrong = Operator::of(&node).env("OLLAMAFLOW_TOKEN", "wrong").run("doctor").await;
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.stdout.contains("FAIL") && wrong.stdout.contains("AdminBearerTokens"), "{wrong:?}");
    let operator = Operator::of(&node);
    node.node.kill();
    let away = operator.run("doctor").await;
    assert_eq!(away.code, 1, "{away:?}");
    assert!(away.stdout.contains("cannot reach") && away.stdout.contains("start the node"), "{away:?}");
}

#[tokio::test]
async fn the_nodes_of_a_cluster_are_compared_and_one_that_is_dead_is_found() {
    let mut cluster = Cluster::builder().direct().start().await;
    cluster.formed(3).await;
    let url = |index: usize| cluster.node(index).url();
    let line =
        format!("doctor --server {} --token {ADMIN_TOKEN} --node {},{} --json", url(0), url(1), url(2));
    let operator = Operator::new();
    let told = report(&operator.run(&line).await.stdout);
    let fine = findings(&told, "Fine");
    assert!(fine.iter().any(|finding| finding.1 == "3 nodes agree"), "{told:#}");
    assert_eq!(fine.iter().filter(|finding| finding.0.starts_with("peer ")).count(), 2, "{told:#}");
    cluster.kill(2);
    let told = report(&operator.run(&line).await.stdout);
    assert!(findings(&told, "Broken").iter().any(|finding| finding.1.contains("cannot reach")), "{told:#}");
    assert!(findings(&told, "Skipped").iter().any(|finding| finding.0.starts_with("peer ")), "{told:#}");
}
