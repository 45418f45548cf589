//! Keys and usage of several nodes.

use ollamaflow_tests::cluster::{Cluster, Partition};
use ollamaflow_tests::objects::{backend, frontend};

use super::*;

async fn of_three(engine: &SimulatedBackend) -> Cluster {
    let frontend = frontend("f").backends(["b1"]).set("RequireKey", true);
    Cluster::builder().frontend(frontend).backend(backend("b1", engine)).start().await
}

#[tokio::test]
async fn a_key_made_at_one_node_works_at_all_and_its_usage_is_added_up() {
    let engine = engine();
    let mut cluster = of_three(&engine).await;
    let key = make(cluster.node(0), "k", json!({})).await;
    let asked = || chat("qwen").bearer(&key);
    for index in 0..3 {
        until_status(cluster.node(index), 200, asked).await;
    }
    let settled = async |node: &Node| {
        let mut last = 0;
        wait::until_answered("each node has counted", async || {
            let usage = usage(node, "").await;
            let nodes = usage["Nodes"].as_array().unwrap();
            let requests = usage["Total"]["Requests"].as_u64().unwrap();
            let is_settled =
                nodes.len() == 3 && usage["Complete"] == true && requests >= 3 && requests == last;
            last = requests;
            if is_settled { Ok(usage) } else { Err(usage.to_string()) }
        })
        .await
    };
    let all = settled(cluster.node(1)).await;
    let mut sum = 0;
    for index in 0..3 {
        let own = usage(cluster.node(index), "?local=true").await;
        assert_eq!(own["Nodes"].as_array().unwrap().len(), 1);
        let requests = own["Total"]["Requests"].as_u64().unwrap();
        assert!(requests >= 1, "{own}");
        sum += requests;
    }
    assert_eq!(all["Total"]["Requests"], sum);
    // A node that is cut off is named, and what the others know is told.
    cluster.isolate(2, Partition::Silent);
    let without = usage(cluster.node(0), "").await;
    assert_eq!(without["Complete"], false);
    let silent = cluster_silent(&without);
    assert_eq!(silent.len(), 1, "{without}");
    assert!(without["Total"]["Requests"].as_u64().unwrap() < sum);
    // It goes on letting in whom it knows.
    expect(&ask(cluster.node(2), asked()).await, 200);
    cluster.heal();
    // Revoked at one node is revoked at all; a node that was away hears of it.
    cluster.kill(1);
    let deleted = wait::until_answered("the key is deleted", async || {
        let answer = ask(cluster.node(0), admin("DELETE", "/v1.0/keys/k")).await;
        if matches!(answer.status(), 204 | 404) { Ok(answer.status()) } else { Err(answer.text()) }
    });
    deleted.await;
    cluster.start(1).await;
    for index in 0..3 {
        until_status(cluster.node(index), 401, asked).await;
    }
    cluster.agree().await;
}

fn cluster_silent(usage: &Value) -> Vec<Value> {
    let nodes = usage["Nodes"].as_array().unwrap();
    nodes.iter().filter(|node| node["Answered"] == false && node["Error"].is_string()).cloned().collect()
}
