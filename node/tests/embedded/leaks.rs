//! Nodes that come and go leave nothing behind, and take up a directory again at once.

use std::fs;
use std::path::Path;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{alone, beside_others, engine, settings, shut_down, start, until_carried};

/// The names of threads that belong to nodes. Those of the test's own runtime and of its simulated backend come and go as
/// they like, and so do those of a pool that sled keeps for the whole process.
fn threads_of_nodes() -> Vec<String> {
    let starts = ["ollamaflow", "actix", "consensus", "raft-io", "peer-client", "log flusher", "log-"];
    let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names
        .map(|name| name.trim().to_owned())
        .filter(|name| starts.iter().any(|start| name.starts_with(start)))
        .collect()
}

/// Open files that are not sockets of clients and backends, by what they lead to.
fn files_below(directory: &Path) -> Vec<String> {
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter(|target| target.starts_with(directory))
        .map(|target| target.display().to_string())
        .collect()
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn twenty_lives_in_one_directory_leave_no_thread_and_no_file() {
    let _alone = alone().await;
    let (backend, directory) = (engine(), tempfile::tempdir().unwrap());
    let mut files_before = None;
    for life in 0..20 {
        let node = start(settings(&backend, directory.path())).await.unwrap();
        until_carried(&node).await;
        shut_down(node).await;
        let lock = directory.path().join("cluster/lock").display().to_string();
        assert!(!files_below(directory.path()).contains(&lock), "life {life}: the store is closed");
        if life == 0 {
            wait::until_eq("the first life leaves no thread", threads_of_nodes, Vec::new()).await;
            files_before = Some(open_files());
        }
    }
    wait::until_eq("no life leaves a thread", threads_of_nodes, Vec::new()).await;
    // sled lets go of its file a moment after its last handle.
    wait::until_eq("no life leaves a store", || files_below(directory.path()), Vec::new()).await;
    let most = files_before.unwrap() + 3;
    // The backend sees the connections of the last node end a moment later.
    wait::until("no life leaves a file", || open_files() <= most).await;
}

#[tokio::test]
async fn what_was_changed_is_there_in_the_next_life() {
    let _shared = beside_others().await;
    let (backend, directory) = (engine(), tempfile::tempdir().unwrap());
    let mut settings = settings(&backend, directory.path());
    settings.admin_bearer_tokens = vec!["a-token".into()];
    let node = start(settings.clone()).await.unwrap();
    until_carried(&node).await;
    let change =
        Request::new("PUT", "/v1.0/frontends/f1").bearer("a-token").json(&json!({ "Name": "changed" }));
    assert_eq!(change.send(node.address()).await.collect().await.status(), 200);
    tokio::task::spawn_blocking(move || drop(node)).await.unwrap();
    let node = start(settings).await.unwrap();
    let list = Request::get("/v1.0/frontends/f1").bearer("a-token");
    assert!(list.send(node.address()).await.collect().await.text().contains("changed"));
    until_carried(&node).await;
    shut_down(node).await;
}
