//! Whatever goes wrong has an exit code and a sentence; whatever goes right has JSON.

use std::net::TcpListener;

use ollamaflow_tests::node::ADMIN_TOKEN;
use serde_json::Value;

use crate::program::Operator;
use crate::{engine, node_of};

/// Commands that ask a node, each in a form that succeeds at a node of [`node_of`].
const COMMANDS: [&str; 14] = [
    "status",
    "frontends list",
    "frontends get f",
    "frontends explain f",
    "backends list",
    "backends get b1",
    "backends enable b1",
    "models list",
    "models plan",
    "sessions",
    "cluster status",
    "cluster members",
    "export",
    "try x",
];

/// A port where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn every_command_has_json_and_success_is_0() {
    let node = node_of([engine()]).await;
    let operator = Operator::of(&node);
    for line in COMMANDS {
        assert!(!operator.done(line).await.is_empty(), "{line}");
        let json = operator.json(line).await;
        assert!(json.is_object() || json.is_array(), "{line}: {json}");
    }
    let listen = format!("--listen {}", node.addr());
    let ready: Value = operator.json(&format!("healthcheck {listen}")).await;
    assert_eq!(ready["Ready"], true);
}

#[tokio::test]
async fn a_node_that_is_away_is_3() {
    let operator = Operator::new().env("OLLAMAFLOW_SERVER", &nowhere()).env("OLLAMAFLOW_TOKEN", ADMIN_TOKEN);
    for line in COMMANDS {
        let error = operator.fails(line, 3).await;
        assert!(error.contains("cannot reach") && error.contains("--server"), "{line}: {error}");
    }
    let away = operator.run(&format!("healthcheck --json --listen {}", nowhere())).await;
    assert!(away.code == 1 && away.stdout.contains("\"Ready\":false"), "{away:?}");
}

#[tokio::test]
async fn a_wrong_token_is_4_and_so_is_none() {
    let node = node_of([engine()]).await;
    let wrong = Operator::of(&node).env("OLLAMAFLOW_TOKEN", "wrong");
    for line in ["status", "backends list", "models pull m", "try x"] {
        let error = wrong.fails(line, 4).await;
        assert!(!error.contains("wrong\""), "{line}: {error}");
    }
    let tokenless = Operator::new().env("OLLAMAFLOW_SERVER", &node.url());
    assert!(tokenless.fails("status", 4).await.contains("--token"));
}

#[tokio::test]
async fn what_is_no_node_is_told() {
    let engine = engine();
    let operator =
        Operator::new().env("OLLAMAFLOW_SERVER", &engine.url()).env("OLLAMAFLOW_TOKEN", ADMIN_TOKEN);
    let printed = operator.run("backends list").await;
    assert_ne!(printed.code, 0, "{printed:?}");
    assert!(!printed.stderr.is_empty(), "{printed:?}");
    assert!(
        operator
            .env("OLLAMAFLOW_SERVER", "http://a/path")
            .fails("status", 1)
            .await
            .contains("must be written")
    );
}

#[tokio::test]
async fn a_wrong_command_line_is_2_and_the_help_has_the_codes() {
    let operator = Operator::new();
    for line in ["frobnicate", "backends set b1", "backends set b1 Weight", "top --interval 1"] {
        operator.fails(line, 2).await;
    }
    let help = operator.done("--help").await;
    for part in ["Exit codes:", "doctor", "completions", "try"] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

#[tokio::test]
async fn shells_get_completions() {
    let operator = Operator::new();
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef ollamaflow"), ("fish", "complete -c ollamaflow")]
    {
        let script = operator.done(&format!("completions {shell}")).await;
        assert!(script.contains(part) && script.contains("explain"), "{shell}");
    }
}
