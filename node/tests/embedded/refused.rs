//! Nodes that cannot start say why, and leave nothing.

use std::fs;
use std::net::TcpListener;

use ollamaflow::{Node, NodeError, SettingsError};

use crate::{ALONE, beside_others, engine, settings, shut_down, start};

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_nothing_is_left() {
    let _shared = beside_others().await;
    let (backend, directory) = (engine(), tempfile::tempdir().unwrap());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut refused = settings(&backend, directory.path());
    refused.webserver.port = taken.local_addr().unwrap().port();
    let error = start(refused).await.unwrap_err();
    assert!(
        matches!(&error, NodeError::Listen { address, .. } if address.starts_with("127.0.0.1:")),
        "{error}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made");

    // The port of the admins comes second: that of the clients is free again.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut refused = settings(&backend, directory.path());
    refused.webserver.port = free;
    refused.admin.listen = Some(taken.local_addr().unwrap().to_string().parse().unwrap());
    assert!(matches!(start(refused).await, Err(NodeError::Listen { .. })));
    assert!(TcpListener::bind(("127.0.0.1", free)).is_ok());
}

#[tokio::test]
async fn a_directory_belongs_to_one_node() {
    let _shared = beside_others().await;
    let (backend, directory) = (engine(), tempfile::tempdir().unwrap());
    let node = start(settings(&backend, directory.path())).await.unwrap();
    let mut second = settings(&backend, directory.path());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    second.webserver.port = free;
    let error = start(second).await.unwrap_err();
    assert!(matches!(error, NodeError::Cluster(_)), "{error}");
    assert!(TcpListener::bind(("127.0.0.1", free)).is_ok(), "it does not listen any more");
    assert!(node.is_running());
    shut_down(node).await;
}

#[test]
fn every_rule_that_settings_break_is_told() {
    let _shared = ALONE.blocking_read();
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(([127, 0, 0, 1], 9), directory.path());
    settings.webserver.workers = 5_000;
    settings.webserver.io.max_requests = 0;
    settings.admin_bearer_tokens = vec!["".into()];
    settings.backends[0].max_parallel_requests = 0;
    settings.backends[0].bearer_token = Some("kept-secret".into());
    settings.frontends[0].backends.push("nowhere".parse().unwrap());
    settings.cluster.peers = vec!["a:1".to_owned()];
    let Err(NodeError::Settings(SettingsError::Invalid(problems))) = Node::start(settings) else {
        unreachable!("it must be refused")
    };
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for place in [
        "Webserver.Workers",
        "Webserver.IO.MaxRequests",
        "AdminBearerTokens",
        "Backends[0].MaxParallelRequests",
        "Cluster.Advertise",
        "Cluster.Secret",
    ] {
        let hits = told.iter().filter(|line| line.contains(&format!("the given settings: {place} "))).count();
        assert_eq!(hits, 1, "{place}: {told:#?}");
    }
    assert!(!told.concat().contains("kept-secret"));

    // What objects say of each other is looked at when each of them is right.
    let mut settings = crate::settings(([127, 0, 0, 1], 9), directory.path());
    settings.frontends[0].backends.push("nowhere".parse().unwrap());
    let error = Node::start(settings).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
