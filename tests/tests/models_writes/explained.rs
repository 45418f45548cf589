//! What `explain` tells of changes.

use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use serde_json::{Value, json};

use crate::{backends, registry, setup};

async fn explained(node: &Node, path: &str, body: &Value) -> Value {
    let (status, explained) =
        node.admin("POST", &format!("/v1.0/frontends/f/explain?path={path}"), Some(body)).await;
    assert_eq!(status, 200, "{explained}");
    explained
}

#[tokio::test]
async fn it_tells_that_a_change_goes_to_each_backend_and_why_not_to_others() {
    let backends = backends::<2>(&registry(), &["m"]);
    let engine = SimulatedBackend::start(SimConfig::openai(["m"]));
    let node = setup(&backends[..1])
        .backend_with(&backends[1], |backend| backend.set("State", "Draining"))
        .backend_with(&engine, Backend::openai)
        .start()
        .await;
    let pull = explained(&node, "/api/pull", &json!({ "model": "m" })).await;
    assert_eq!((&pull["Policy"], &pull["Chosen"]), (&json!("EachBackend"), &Value::Null));
    let told: Vec<_> =
        pull["Candidates"].as_array().unwrap().iter().map(|it| (&it["Candidate"], &it["Reason"])).collect();
    let (yes, no) = (json!(true), json!(false));
    let (drained, other) = (json!("passed over: draining"), json!("it speaks the OpenAI API only"));
    assert_eq!(told, [(&yes, &Value::Null), (&no, &drained), (&no, &other)]);
    let delete = explained(&node, "/api/delete", &json!({ "model": "m" })).await;
    assert_eq!(delete["Candidates"][1]["Candidate"], true);
}

#[tokio::test]
async fn it_tells_that_nobody_may() {
    let backends = backends::<1>(&registry(), &["m"]);
    let node = setup(&backends).frontend("AllowModelManagement", false).start().await;
    let unload = json!({ "model": "m", "keep_alive": 0 });
    for (path, body) in [("/api/pull", json!({ "model": "m" })), ("/api/generate", unload)] {
        let told = explained(&node, path, &body).await;
        assert_eq!(told["Candidates"][0]["Candidate"], false);
        assert!(
            told["Candidates"][0]["Refusal"].as_str().unwrap().contains("AllowModelManagement"),
            "{told}"
        );
    }
    let load = explained(&node, "/api/generate", &json!({ "model": "m" })).await;
    assert_eq!(load["Chosen"], "b1", "a load is a request like any other then");
}
