//! Many writers at once: nobody's change is lost.

use ollamaflow_tests::client::many;
use ollamaflow_tests::node::Node;
use serde_json::{Value, json};

use crate::{answer, expect, named, pair, put, shown};

/// Writers at once. Each loses to every other one at most once before it wins.
const WRITERS: usize = 6;

#[tokio::test]
async fn parallel_updates_of_different_properties_all_survive() {
    let node = pair().start().await;
    let properties: [(&str, Value); WRITERS] = [
        ("Name", json!("by many")),
        ("Port", json!(4711)),
        ("Labels", json!(["gpu"])),
        ("MaxParallelRequests", json!(17)),
        ("HealthCheckUrl", json!("/well")),
        ("PinnedCompletionsProperties", json!({ "a": 1 })),
    ];
    for round in 0..20 {
        // From the same start each time.
        let reset: Value = properties.iter().map(|(name, _)| ((*name).to_owned(), Value::Null)).collect();
        expect(&answer(&node, put("/v1.0/backends/b1", &reset)).await, 200);
        let address = node.addr();
        let statuses = many(WRITERS, |index| {
            let (name, value) = properties[index].clone();
            let request = put("/v1.0/backends/b1", &json!({ name: value }));
            async move { request.send(address).await.collect().await.status() }
        })
        .await;
        assert_eq!(statuses, [200; WRITERS], "round {round}");
        let after = shown(&node, "/v1.0/backends/b1").await;
        for (name, value) in &properties {
            assert_eq!(&after[*name], value, "round {round}: {name}");
        }
    }
}

#[tokio::test]
async fn of_many_creates_of_one_name_exactly_one_succeeds() {
    let node = Node::builder().start().await;
    let address = node.addr();
    for round in 0..10 {
        let request = put("/v1.0/backends", &named(&format!("b{round}")));
        let mut statuses = many(8, |_| {
            let request = request.clone();
            async move { request.send(address).await.collect().await.status() }
        })
        .await;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    }
}

#[tokio::test]
async fn of_many_writes_at_one_revision_exactly_one_succeeds() {
    let node = pair().start().await;
    let address = node.addr();
    for round in 0..10 {
        let tag = format!("\"{}\"", shown(&node, "/v1.0/backends/b1").await["Revision"]);
        let mut outcomes = many(8, |index| {
            let name = format!("{round}-{index}");
            let request = put("/v1.0/backends/b1", &json!({ "Name": name })).header("If-Match", &tag);
            async move { (request.send(address).await.collect().await.status(), name) }
        })
        .await;
        outcomes.sort_unstable();
        let statuses: Vec<u16> = outcomes.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
        assert_eq!(shown(&node, "/v1.0/backends/b1").await["Name"], outcomes[0].1.as_str());
    }
}
