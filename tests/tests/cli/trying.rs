//! `try`: a prompt through a frontend.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{Fault, SimConfig, SimulatedBackend};
use serde_json::json;

use crate::program::Operator;
use crate::{engine, node_of};

#[tokio::test]
async fn it_prints_the_words_and_what_was_measured() {
    let node = node_of([engine()]).await;
    let operator = Operator::of(&node);
    let printed = operator.run_with(&["try", "hello there"], "").await;
    assert_eq!(printed.code, 0, "{printed:?}");
    for part in
        ["the quick brown fox", "backend      b1 (1 attempt", "model        m", "first token  ", "tokens"]
    {
        assert!(printed.stdout.contains(part), "{part}: {printed:?}");
    }
    let json = operator.json("try hello --max-tokens 3 --model m").await;
    assert_eq!((json["Backend"].as_str(), json["Attempts"].as_u64()), (Some("b1"), Some(1)));
    assert_eq!((json["Tokens"].as_u64(), json["TokensAreCounted"].as_bool()), (Some(3), Some(true)));
    assert!(json["FirstTokenMs"].is_u64() && json["DurationMs"].is_u64(), "{json}");
    let asked = node.backends[0].requests_to("/api/chat");
    assert!(
        asked.iter().all(|request| request.header("authorization").is_none()),
        "the admin token stays here"
    );
}

#[tokio::test]
async fn a_backend_that_fails_first_is_seen_in_the_attempts() {
    let (broken, well) = (engine(), engine());
    broken.set_fault(Fault::from(ollamaflow_tests::simulated::FaultKind::status(500)).path("/api/chat"));
    let node = node_of([broken, well]).await;
    let operator = Operator::of(&node);
    let mut attempts = Vec::new();
    for _ in 0..2 {
        let json = operator.json("try x").await;
        assert_eq!(json["Backend"], "b2");
        attempts.push(json["Attempts"].as_u64().unwrap());
    }
    assert!(attempts.contains(&2), "{attempts:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure() {
    let engine = engine();
    engine.set_fault(Fault::from(ollamaflow_tests::simulated::FaultKind::error_frame(3)).path("/api/chat"));
    let node = node_of([engine]).await;
    let printed = Operator::of(&node).run("try x").await;
    assert_eq!(printed.code, 1, "{printed:?}");
    assert!(printed.stdout.contains("the quick"), "the words that came are shown: {printed:?}");
    assert!(printed.stderr.contains("the answer broke off"), "{printed:?}");
}

#[tokio::test]
async fn a_model_must_be_named_where_there_are_several() {
    let node = node_of([SimulatedBackend::start(SimConfig::ollama(["a", "b"]))]).await;
    let operator = Operator::of(&node);
    let error = operator.fails("try x", 1).await;
    assert!(error.contains("--model: a:latest, b:latest") || error.contains("--model: a, b"), "{error}");
    operator.done("frontends set f DefaultModel=b").await;
    assert!(operator.json("try x").await["Model"].as_str().unwrap().starts_with('b'));
    operator.fails("try x --model nope", 5).await;
}

#[tokio::test]
async fn each_frontend_is_reached_by_its_own_host_name() {
    let (one, other) = (engine(), engine());
    let node = Setup::new().backend(&one).backend(&other).start().await;
    let operator = Operator::of(&node);
    operator.done("frontends set f Backends=[\"b1\"]").await;
    operator.done("frontends set lan --create Hostname=llm.lan Backends=[\"b2\"]").await;
    operator.done("frontends set own --create Hostname=127.0.0.1 Backends=[\"b2\"]").await;
    assert!(operator.fails("try x", 1).await.contains("--frontend: f, lan, own"));
    let served = async |frontend: &str| {
        operator.json(&format!("try x --frontend {frontend} --model m")).await["Backend"].clone()
    };
    ollamaflow_tests::wait::until_answered("the new frontends route", async || {
        let body = json!({ "model": "m", "messages": [] });
        let request = Request::post("/api/chat").header("Host", "llm.lan").json(&body);
        match request.send(node.addr()).await.collect().await.header("x-ollamaflow-backend") {
            Some("b2") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(
        (served("f").await, served("lan").await, served("own").await),
        (json!("b1"), json!("b2"), json!("b2"))
    );
}

#[tokio::test]
async fn where_the_admin_api_has_an_address_of_its_own_clients_are_named_beside_it() {
    let engine = engine();
    let settings = json!({ "Admin": { "Listen": "127.0.0.1:0" } });
    let node = Node::builder()
        .frontend(frontend("f").backends(["b1"]))
        .backend(backend("b1", &engine))
        .settings(&settings)
        .start()
        .await;
    let admins = ollamaflow_tests::wait::until_some("the admin address is told", || {
        let logs = node.logs();
        let line = logs[..logs.rfind('\n')?].lines().find_map(|line| line.strip_prefix("admin API on "))?;
        Some(line.to_owned())
    });
    let operator = Operator::of(&node).env("OLLAMAFLOW_SERVER", &admins.await);
    ollamaflow_tests::wait::until_answered("the backend is healthy", async || {
        match operator.done("backends list").await {
            list if list.contains("up 00:") => Ok(()),
            list => Err(list),
        }
    })
    .await;
    let error = operator.fails("try x --model m", 5).await;
    assert!(error.contains("--client-url"), "{error}");
    assert_eq!(operator.json(&format!("try x --model m --client-url {}", node.url())).await["Backend"], "b1");
}
