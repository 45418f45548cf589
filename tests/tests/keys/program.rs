//! The command line.

use std::process::{Command, Output};

use ollamaflow_tests::node::binary_path;

use super::*;

async fn run(node: &Node, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary_path());
    let named = ["--server", &node.url(), "--token", ADMIN_TOKEN].map(str::to_owned);
    command.args(arguments).args(named).current_dir(node.directory());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn text(node: &Node, arguments: &[&str]) -> String {
    let output = run(node, arguments).await;
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {told}");
    told
}

async fn json(node: &Node, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&text(node, &arguments).await).unwrap()
}

#[tokio::test]
async fn keys_are_made_shown_changed_and_removed() {
    let backend = engine();
    let node = demanding(&backend).await;
    let made = text(&node, &["keys", "create", "alice", "Models=[\"qwen\"]", "RequestsPerMinute=60"]).await;
    let secret = made.lines().find(|line| line.starts_with("sk-of-")).unwrap().to_owned();
    assert!(made.starts_with("key alice was created") && made.contains("never again"), "{made}");
    expect(&ask(&node, chat("qwen").bearer(&secret)).await, 200);
    let list = text(&node, &["keys", "list"]).await;
    assert!(list.contains("alice") && list.contains("qwen") && list.contains("60"), "{list}");
    assert_eq!(json(&node, &["keys", "get", "alice"]).await["RequestsPerMinute"], 60);
    let changed = text(&node, &["keys", "set", "alice", "Name=Alice", "TokensPerMinute=1000000"]).await;
    assert!(changed.contains("was changed") && !changed.contains("Hash"), "{changed}");
    let rotated = json(&node, &["keys", "rotate", "alice"]).await["Secret"].as_str().unwrap().to_owned();
    expect(&ask(&node, chat("qwen").bearer(&rotated)).await, 200);
    expect(&ask(&node, chat("qwen").bearer(&secret)).await, 401);
    until_used(&node, "", 2).await;
    let usage = text(&node, &["usage", "--key", "alice"]).await;
    assert!(usage.contains("alice") && usage.contains("qwen"), "{usage}");
    assert_eq!(json(&node, &["usage", "--local"]).await["Total"]["Requests"], 2);
    assert!(text(&node, &["keys", "disable", "alice"]).await.contains("lets nobody in"));
    until_status(&node, 401, || chat("qwen").bearer(&rotated)).await;
    text(&node, &["keys", "remove", "alice"]).await;
    assert_eq!(run(&node, &["keys", "get", "alice"]).await.status.code(), Some(5));
    assert!(text(&node, &["keys", "list"]).await.contains("there are no keys"));
}

#[tokio::test]
async fn an_export_is_applied_elsewhere_with_its_keys() {
    let backend = engine();
    let (node, other) = (demanding(&backend).await, demanding(&backend).await);
    let key = make(&node, "k", json!({})).await;
    let file = node.directory().join("export.json");
    let file = file.to_str().unwrap();
    let told = text(&node, &["export", file]).await;
    assert!(told.contains("1 key"), "{told}");
    assert!(!std::fs::read_to_string(file).unwrap().contains(&key));
    let told = text(&other, &["apply", file]).await;
    assert!(told.contains("key k: created"), "{told}");
    until_status(&other, 200, || chat("qwen").bearer(&key)).await;
    let again = text(&other, &["apply", file]).await;
    assert!(again.contains("key k: unchanged"), "{again}");
}
