//! Certificates: renewed without a restart, demanded of clients, and settings that cannot be used.

use std::fs;

use ollamaflow_tests::node::{Node, Signal};
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::authority::Authority;
use crate::{connect, exchange, get, node_with, until_ready};

fn engine() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]))
}

#[tokio::test]
async fn a_renewed_certificate_is_seen_by_new_connections_without_a_restart() {
    let (engine, directory) = (engine(), TempDir::new().unwrap());
    let (old, new) = (Authority::new(), Authority::new());
    let node = node_with(&old.vouch("localhost"), directory.path(), &engine).start().await;
    until_ready(&node, &old, None).await;
    let mut kept = connect(node.addr(), &old, None).await.unwrap();
    new.vouch("localhost").write(directory.path());
    // Nobody tells the node.
    until_ready(&node, &new, None).await;
    assert!(connect(node.addr(), &old, None).await.is_err());
    assert!(exchange(&mut kept, &get("/api/tags")).await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_hangup_has_the_files_read_at_once_and_bad_ones_change_nothing() {
    let (engine, directory) = (engine(), TempDir::new().unwrap());
    let authority = Authority::new();
    let node = node_with(&authority.vouch("localhost"), directory.path(), &engine).start().await;
    until_ready(&node, &authority, None).await;
    // The key does not belong to the certificate, as in the middle of a renewal.
    fs::write(directory.path().join("key.pem"), authority.vouch("localhost").key).unwrap();
    node.signal(Signal::Hangup);
    wait::until("it is told", || node.logs().contains("the certificate files cannot be used")).await;
    until_ready(&node, &authority, None).await;
    authority.vouch("localhost").write(directory.path());
    node.signal(Signal::Hangup);
    wait::until("it is seen", || node.logs().contains("clients see a new certificate")).await;
    until_ready(&node, &authority, None).await;
    assert_eq!(node.logs().matches("the certificate files cannot be used").count(), 1, "said once");
}

#[tokio::test]
async fn clients_have_to_show_a_certificate_of_the_authority_where_that_is_demanded() {
    let (engine, directory) = (engine(), TempDir::new().unwrap());
    let (own, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let authorities = directory.path().join("clients.pem");
    fs::write(&authorities, &clients.pem).unwrap();
    let demands = json!({ "Webserver": { "Ssl": {
        "MutuallyAuthenticate": true, "ClientCaFile": authorities
    } } });
    let node = node_with(&own.vouch("localhost"), directory.path(), &engine).settings(&demands).start().await;
    let known = clients.vouch("alice");
    until_ready(&node, &own, Some(&known)).await;
    for stranger in [None, Some(&others.vouch("alice"))] {
        // With TLS 1.3 a client learns of the refusal after its own part of the handshake.
        let refused = async {
            let mut connection = connect(node.addr(), &own, stranger).await?;
            exchange(&mut connection, &get("/api/tags")).await
        };
        assert!(refused.await.is_err());
    }
    until_ready(&node, &own, Some(&known)).await;
}

#[tokio::test]
async fn a_stop_lets_requests_through_tls_end() {
    let (engine, directory) = (engine(), TempDir::new().unwrap());
    let authority = Authority::new();
    let mut node = node_with(&authority.vouch("localhost"), directory.path(), &engine).start().await;
    until_ready(&node, &authority, None).await;
    engine.reset();
    engine.knobs(|knobs| knobs.ttft_ms = 500);
    let mut connection = connect(node.addr(), &authority, None).await.unwrap();
    let chat = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    connection.write_all(crate::post("/api/chat", &chat).as_bytes()).await.unwrap();
    wait::until("it is under way", || !engine.requests_to("/api/chat").is_empty()).await;
    node.signal(Signal::Term);
    let answer = exchange(&mut connection, "").await.unwrap();
    assert!(answer.contains("\"done\":true"), "{answer}");
    assert!(node.wait_exit().await.success());
}

#[tokio::test]
async fn what_cannot_be_used_is_told_before_the_node_listens() {
    let (engine, directory) = (engine(), TempDir::new().unwrap());
    let identity = Authority::new().vouch("localhost");
    let failed = async |ssl: serde_json::Value| {
        let builder = node_with(&identity, directory.path(), &engine);
        builder.settings(&json!({ "Webserver": { "Ssl": ssl } })).try_start().await.unwrap_err()
    };
    let told = failed(json!({ "CertificateFile": "/nonexistent/cert.pem" })).await;
    assert!(told.contains("Webserver.Ssl: /nonexistent/cert.pem cannot be read"), "{told}");
    let told = failed(json!({ "KeyFile": null })).await;
    assert!(told.contains("Webserver.Ssl.KeyFile must name a PEM file"), "{told}");
    let told = failed(json!({ "MutuallyAuthenticate": true })).await;
    assert!(told.contains("Webserver.Ssl.ClientCaFile must name a PEM file"), "{told}");
    let told = failed(json!({ "CertificateFile": null, "PfxCertificateFile": "cert.pfx" })).await;
    assert!(told.contains("openssl pkcs12 -in"), "{told}");
}

#[tokio::test]
async fn the_health_check_of_containers_speaks_tls_too() {
    let (engine, directory) = (engine(), TempDir::new().unwrap());
    let authority = Authority::new();
    let node = node_with(&authority.vouch("localhost"), directory.path(), &engine).start().await;
    until_ready(&node, &authority, None).await;
    wait::until_answered("the node is ready by its own health check", async || {
        let checked = health_check(&node);
        let told = String::from_utf8_lossy(&checked.stdout);
        if checked.status.success() && told.contains("\"Ready\"") {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&checked.stderr).into_owned())
        }
    })
    .await;
}

fn health_check(node: &Node) -> std::process::Output {
    let listen = node.addr().to_string();
    std::process::Command::new(ollamaflow_tests::node::binary_path())
        .args(["healthcheck", "--config"])
        .arg(node.settings_file())
        .args(["--listen", &listen])
        .output()
        .unwrap()
}
