//! The first run: without a settings file one is written, with a token that is shown once.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::program::{Program, Run};

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// The token in what a first run prints.
fn printed_token(node: &Run) -> String {
    let printed = node.stdout();
    let line = printed.lines().find(|line| line.starts_with("wrote ")).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

async fn admin(address: SocketAddr, path: &str, token: &str) -> Collected {
    Request::get(path).bearer(token).send(address).await.collect().await
}

#[tokio::test]
async fn the_first_run_writes_a_file_that_only_its_owner_can_read() {
    let program = Program::new();
    let mut node = program.start(LISTEN);
    node.listening().await;
    // The log is written by a thread of its own.
    wait::until_eq(
        "all files are there",
        || program.files(),
        ["data", "logs", "ollamaflow.json"].map(str::to_owned).to_vec(),
    )
    .await;
    let mode = std::fs::metadata(program.path("ollamaflow.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[tokio::test]
async fn the_first_run_prints_a_random_admin_token_once_and_it_opens_the_admin_api() {
    let program = Program::new();
    let mut node = program.start(LISTEN);
    let address = node.listening().await;
    // Phase 1: printed once, on standard output only, and in the file.
    let token = printed_token(&node);
    assert!(token.len() >= 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    assert_eq!(node.stdout().matches(&token).count(), 1);
    assert_eq!(node.stderr().matches(&token).count(), 0);
    let file = std::fs::read_to_string(program.path("ollamaflow.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&file).unwrap()["AdminBearerTokens"], json!([token]));
    // Phase 2: it works, the original's well-known one does not.
    assert_eq!(admin(address, "/v1.0/frontends", &token).await.status(), 200);
    assert_eq!(admin(address, "/v1.0/frontends", "ollamaflowadmin").await.status(), 401);
    // Phase 3: another first run has another one.
    let another = Program::new();
    let mut other_node = another.start(LISTEN);
    other_node.listening().await;
    assert_ne!(printed_token(&other_node), token);
}

#[tokio::test]
async fn the_first_run_serves_frontend1_for_every_host_from_backend1_on_this_machine() {
    let program = Program::new();
    let mut node = program.start(LISTEN);
    let address = node.listening().await;
    let token = printed_token(&node);
    let frontends = admin(address, "/v1.0/frontends", &token).await.json();
    assert_eq!(frontends.as_array().unwrap().len(), 1);
    assert_eq!(frontends[0]["Identifier"], "frontend1");
    assert_eq!(frontends[0]["Hostname"], "*");
    assert_eq!(frontends[0]["Backends"], json!(["backend1"]));
    let backends = admin(address, "/v1.0/backends", &token).await.json();
    assert_eq!(backends.as_array().unwrap().len(), 1);
    assert_eq!(backends[0]["Identifier"], "backend1");
    assert_eq!((&backends[0]["Hostname"], &backends[0]["Port"]), (&json!("localhost"), &json!(11_434)));
}

#[tokio::test]
async fn a_second_start_neither_prints_a_token_nor_touches_the_file() {
    let program = Program::new();
    // Phase 1: the first run.
    let mut first = program.start(LISTEN);
    first.listening().await;
    let token = printed_token(&first);
    let written = std::fs::read(program.path("ollamaflow.json")).unwrap();
    drop(first);
    // Phase 2: the second one.
    let mut second = program.start(LISTEN);
    let address = second.listening().await;
    assert!(!second.stdout().contains("token") && !second.stdout().contains(&token), "{}", second.stdout());
    assert!(!second.stderr().contains(&token));
    assert_eq!(std::fs::read(program.path("ollamaflow.json")).unwrap(), written);
    assert_eq!(admin(address, "/v1.0/frontends", &token).await.status(), 200);
}

#[tokio::test]
async fn a_first_run_writes_where_the_flag_says() {
    let program = Program::new();
    let mut node = program.start(["--config", "my.json", "--listen", "127.0.0.1:0"]);
    node.listening().await;
    wait::until_eq(
        "all files are there",
        || program.files(),
        ["data", "logs", "my.json"].map(str::to_owned).to_vec(),
    )
    .await;
}

#[tokio::test]
async fn the_written_file_passes_the_check() {
    let program = Program::new();
    program.start(LISTEN).listening().await;
    let printed = program.run(["config", "check", "ollamaflow.json"]).await;
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(0), "ok\n"));
}

#[tokio::test]
async fn showing_the_settings_is_no_first_run() {
    let program = Program::new();
    let printed = program.run(["config", "show"]).await;
    assert_eq!(printed.code, Some(0));
    assert_eq!(program.files(), Vec::<String>::new());
}
