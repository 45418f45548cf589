//! Files: the catalog out and in again, and the user's own.

use ollamaflow_tests::node::{ADMIN_TOKEN, Node};
use serde_json::{Value, json};

use crate::program::Operator;
use crate::{engine, node_of};

#[tokio::test]
async fn what_was_exported_can_be_applied_here_and_elsewhere() {
    let node = node_of([engine(), engine()]).await;
    let operator = Operator::of(&node);
    let told = operator.done("export catalog.json").await;
    assert!(told.contains("1 frontend, 2 backends"), "{told}");
    assert!(operator.fails("export catalog.json", 1).await.contains("--force"));
    operator.done("export catalog.json --force").await;
    let text = operator.done("export").await;
    assert_eq!(text, std::fs::read_to_string(operator.path("catalog.json")).unwrap());
    let applied = operator.done("apply catalog.json").await;
    assert!(applied.contains("0 created, 0 changed, 3 unchanged"), "{applied}");
    operator.done("backends set b1 Weight=9").await;
    let dry = operator.json("apply catalog.json --dry-run").await;
    assert_eq!((&dry["DryRun"], &dry["Objects"][0]["Fate"]), (&json!(true), &json!("Changed")), "{dry}");
    operator.done("apply catalog.json").await;
    assert_eq!(operator.json("backends get b1").await["Weight"], 1);

    let empty = Node::builder().start().await;
    let elsewhere = Operator::of(&empty);
    let printed = elsewhere.run_with(&["apply", "-"], &text).await;
    assert!(printed.code == 0 && printed.stdout.contains("3 created"), "{printed:?}");
}

#[tokio::test]
async fn with_json_an_export_to_a_file_tells_what_it_wrote() {
    let node = node_of([engine()]).await;
    let operator = Operator::of(&node);
    let told = operator.json("export out.json").await;
    assert_eq!((&told["Frontends"], &told["Backends"]), (&json!(1), &json!(1)));
    let document: Value = serde_json::from_str(&operator.done("export").await).unwrap();
    assert!(document["Backends"][0].get("Revision").is_none(), "a revision belongs to one cluster");
}

#[tokio::test]
async fn the_users_own_file_names_the_node() {
    let node = node_of([engine()]).await;
    let operator = Operator::new();
    let own = ".config/ollamaflow/config.toml";
    operator.file(own, &format!("server = \"{}\"\ntoken = \"{ADMIN_TOKEN}\"\n", node.url()));
    assert!(operator.done("status").await.contains("ready"));
    operator.file(own, "server = \"a\"\ntokn = \"hunter2\"\n");
    let error = operator.fails("status", 1).await;
    assert!(error.contains("config.toml line 2") && !error.contains("hunter2"), "{error}");
    let flags = format!("status --server {} --token {ADMIN_TOKEN}", node.url());
    operator.file(own, "server = \"127.0.0.1:1\"\n");
    operator.done(&flags).await;
}
