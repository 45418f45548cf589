//! The log file: by day, kept for so long, and no reason not to run.

use std::fs;
use std::path::PathBuf;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{chat, objects, one, requests};

/// Files in a directory of the node's.
fn files(node: &Node, directory: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(node.directory().join(directory)) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn without_any_setting_there_is_a_file_of_the_day_as_the_original_names_it() {
    let node = Node::builder().start().await;
    wait::until("there is a file", || files(&node, "logs").len() == 1).await;
    let file = files(&node, "logs").remove(0);
    let name = file.file_name().unwrap().to_str().unwrap();
    let day = name.strip_prefix("ollamaflow.log.").unwrap();
    assert!(day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit()), "{name}");
    Request::get("/").send(node.addr()).await.collect().await;
    wait::until("the request is in it", || {
        fs::read_to_string(&file).unwrap().contains("access: request ended")
    })
    .await;
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("INFO ollamaflow::app: listening"), "{text}");
}

#[tokio::test]
async fn the_file_has_what_the_console_has_and_its_lines_are_json_if_that_is_wanted() {
    let (_backend, mut node) = one(json!({ "LogDirectory": "deep/er", "LogFilename": "flow.jsonl" })).await;
    chat(true).send(node.addr()).await.collect().await;
    node.terminate().await;
    let files = files(&node, "deep/er");
    assert!(files.len() == 1 && files[0].to_str().unwrap().contains("flow.jsonl."), "{files:?}");
    let text = fs::read_to_string(&files[0]).unwrap();
    let lines = objects(&text);
    assert_eq!(lines.len(), text.lines().count());
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
    assert_eq!(requests(lines.clone()).len(), 1);
    // The same events; each sink tells the time for itself.
    assert_eq!(lines.len(), objects(&(node.logs() + "\n")).len());
}

#[tokio::test]
async fn old_files_go_and_others_stay() {
    let mut node = Node::builder().settings(&json!({ "Logging": { "RetentionDays": 3 } })).start().await;
    wait::until("there is a file", || files(&node, "logs").len() == 1).await;
    node.kill();
    let logs = node.directory().join("logs");
    let old = ["ollamaflow.log.20200101", "ollamaflow.log.20251231"];
    let others = ["ollamaflow.log.20200101.gz", "other.log.20200101", "ollamaflow.log.2020"];
    for name in old.iter().chain(&others) {
        fs::write(logs.join(name), "x").unwrap();
    }
    node.restart().await;
    wait::until("old files are gone", || !old.iter().any(|name| logs.join(name).exists())).await;
    assert!(others.iter().all(|name| logs.join(name).exists()));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_told_and_the_node_runs() {
    let directory = json!({ "LogDirectory": "./ollamaflow.json/logs" });
    let (_backend, node) = one(directory).await;
    assert_eq!(chat(false).send(node.addr()).await.collect().await.status(), 200);
    wait::until("it is told", || node.logs().contains("the log file cannot be written")).await;
    let lost = node.metrics().await;
    let lost = lost.count("ollamaflow_log_lines_lost_total", &[("sink", "file"), ("reason", "failed")]);
    assert!(lost.unwrap() > 0);
}

#[tokio::test]
async fn there_is_no_file_without_a_name() {
    let (_backend, mut node) = one(json!({ "LogFilename": "" })).await;
    node.terminate().await;
    assert_eq!(files(&node, "logs"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_console_that_is_off_shows_nothing_and_the_file_has_it_all() {
    let (_backend, mut node) = one(json!({ "ConsoleLogging": false })).await;
    chat(false).send(node.addr()).await.collect().await;
    node.terminate().await;
    assert!(!node.logs().contains("request ended"), "{}", node.logs());
    let text = fs::read_to_string(&files(&node, "logs")[0]).unwrap();
    assert_eq!(requests(objects(&text)).len(), 1);
}
