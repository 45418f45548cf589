//! `frontends explain`: where a request would go.

use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};

use crate::engine;
use crate::program::Operator;

#[tokio::test]
async fn it_tells_where_a_request_would_go_and_why_not_elsewhere() {
    let with = engine();
    let without = SimulatedBackend::start(SimConfig::ollama(["other"]));
    let node = Setup::new().backend(&with).backend(&without).start().await;
    let operator = Operator::of(&node);
    let text = operator.done("frontends explain f --model m").await;
    assert!(text.contains("outcome   goes to b1"), "{text}");
    let other = text.lines().find(|line| line.starts_with("b2")).unwrap();
    assert!(other.contains("absent") && other.contains("another backend has"), "{text}");
    let json = operator.json("frontends explain f --model m").await;
    assert_eq!((json["Chosen"].as_str(), json["Model"].as_str()), (Some("b1"), Some("m:latest")));
    assert!(with.requests_to("/api/chat").is_empty(), "nothing is sent");
    operator.file("body.json", r#"{"model": "other", "input": "x"}"#);
    let embedding = operator.json("frontends explain f --file body.json --path /v1/embeddings").await;
    assert_eq!(embedding["Chosen"], "b2");
    assert!(operator.fails("frontends explain f --path /nope", 1).await.contains("path"));
    operator.fails("frontends explain g", 5).await;
}
