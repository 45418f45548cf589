//! Frontends and backends: looking at them and changing them.

use ollamaflow_tests::setup::{Setup, wait_idle};
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};
use ollamaflow_tests::{client::Request, wait};
use serde_json::json;

use crate::program::Operator;
use crate::{engine, node_of};

#[tokio::test]
async fn lists_show_every_object_with_its_state() {
    let node = node_of([engine(), engine()]).await;
    let operator = Operator::of(&node);
    let backends = operator.done("backends list").await;
    let lines: Vec<&str> = backends.lines().collect();
    assert!(lines[0].starts_with("BACKEND  ADDRESS"), "{backends}");
    assert!(
        lines[1].starts_with("b1") && lines[1].contains("Active") && lines[1].contains("up 00:"),
        "{backends}"
    );
    assert_eq!(lines.len(), 3, "{backends}");
    assert!(operator.done("frontends list").await.contains("b1,b2"));
    let json = operator.json("backends list").await;
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert!(json[0]["HealthySinceUtc"].is_string());
    assert_eq!(operator.json("frontends get f").await["Backends"], json!(["b1", "b2"]));
    assert!(operator.done("frontends get f").await.contains("Hostname"));
}

#[tokio::test]
async fn an_object_is_made_changed_and_removed() {
    let node = node_of([engine()]).await;
    let operator = Operator::of(&node);
    let made =
        operator.done("backends set b9 --create Hostname=127.0.0.1 Port=9 Labels=[\"x\"] Active=false").await;
    assert_eq!(made, "backend b9 was created\n");
    let shown = operator.json("backends get b9").await;
    assert_eq!((&shown["Port"], &shown["Labels"]), (&json!(9), &json!(["x"])));
    let dry = operator.done("backends set b9 Weight=3 --dry-run").await;
    assert!(dry.contains("would be changed") && dry.contains("Weight"), "{dry}");
    assert_eq!(operator.json("backends get b9").await["Weight"], 1);
    let changed = operator.json("backends set b9 Weight=3").await;
    assert_eq!(changed["Weight"], 3);
    assert!(operator.done("backends set b9 Weight=3").await.contains("nothing was changed"));
    assert_eq!(operator.done("backends remove b9").await, "backend b9 was removed\n");
    assert!(operator.fails("backends get b9", 5).await.contains("b9"));
}

#[tokio::test]
async fn what_the_node_refuses_is_told_with_what_to_do() {
    let node = node_of([engine()]).await;
    let operator = Operator::of(&node);
    for (line, code, told) in [
        ("backends set nope Weight=1", 5, "--create makes \"nope\""),
        ("backends set b1 --create Port=1", 6, "leave --create out"),
        ("backends set b1 Weigth=1", 1, "--lenient"),
        ("backends set b1 Port=x", 1, "Port must be"),
        ("backends remove b1", 6, "still used by frontend f"),
        ("backends remove nope", 5, "nope"),
        ("frontends get nope", 5, "nope"),
        ("backends drain nope", 5, "nope"),
    ] {
        let error = operator.fails(line, code).await;
        assert!(error.contains(told), "{line}: {error}");
    }
    operator.done("backends set b1 Weigth=1 Weight=2 --lenient").await;
    operator.done("backends remove b1 --force").await;
    assert_eq!(operator.json("frontends get f").await["Backends"], json!([]));
}

#[tokio::test]
async fn a_file_that_is_older_than_the_object_overwrites_nothing() {
    let node = node_of([engine()]).await;
    let operator = Operator::of(&node);
    let stored = operator.json("backends get b1").await;
    operator.file("b1.json", &stored.to_string());
    operator.done("backends set b1 Weight=5").await;
    let error = operator.fails("backends set b1 --file b1.json", 6).await;
    assert!(error.contains("backends get b1") && error.contains("nothing was changed"), "{error}");
    assert_eq!(operator.json("backends get b1").await["Weight"], 5);
    let revision = stored["Revision"].as_u64().unwrap();
    operator.fails(&format!("backends set b1 Weight=6 --revision {revision}"), 6).await;
    let mut newer = operator.json("backends get b1").await;
    newer["Weight"] = json!(7);
    let printed = operator.run_with(&["backends", "set", "b1", "--file", "-"], &newer.to_string()).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    assert_eq!(operator.json("backends get b1").await["Weight"], 7);
}

#[tokio::test]
async fn a_secret_goes_in_by_a_file_and_never_comes_out() {
    let node = node_of([engine()]).await;
    let operator = Operator::of(&node);
    let secret = json!({ "BearerToken": "hunter2", "Headers": { "X-Key": "hunter2" } }).to_string();
    let printed = operator.run_with(&["backends", "set", "b1", "--file", "-"], &secret).await;
    assert!(printed.code == 0 && printed.stdout.contains("BearerToken"), "{printed:?}");
    let mut all = format!("{printed:?}");
    for line in
        ["backends get b1", "backends get b1 --json", "backends list --json", "export", "status --json"]
    {
        all.push_str(&operator.done(line).await);
    }
    assert!(!all.contains("hunter2") && all.contains("********"), "{all}");
    operator.file("whole.json", &operator.json("backends get b1").await.to_string());
    operator.done("backends set b1 --file whole.json").await;
    operator.done("export --include-secrets secrets.json").await;
    let exported = std::fs::read_to_string(operator.path("secrets.json")).unwrap();
    assert!(exported.contains("hunter2"), "a mark that is sent back keeps the secret");
}

#[tokio::test]
async fn draining_waits_for_what_is_in_flight() {
    let slow = SimulatedBackend::start(SimConfig::ollama(["m"]).with_knobs(|knobs| {
        knobs.tokens_per_second = 10.0;
    }));
    let node = Setup::new().backend(&slow).start().await;
    let operator = Operator::of(&node);
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
    let stream = Request::post("/api/chat").json(&body).send(node.addr()).await;
    wait::until("the request is there", || slow.requests_to("/api/chat").len() == 1).await;
    let told = operator.done("backends drain b1").await;
    assert!(told.contains("finishes 1 requests"), "{told}");
    let error = operator.fails("backends drain b1 --wait 0", 1).await;
    assert!(error.contains("goes on draining"), "{error}");
    let reading = tokio::spawn(async move { stream.collect().await.status() });
    assert!(operator.done("backends drain b1 --wait 60").await.contains("no request in flight"));
    assert_eq!(reading.await.unwrap(), 200);
    wait_idle(&node).await;
    assert!(operator.fails("try x --model m", 1).await.contains("drain"));
    operator.done("backends enable b1").await;
    assert_eq!(operator.json("backends get b1").await["State"], "Active");
    operator.done("backends disable b1").await;
    assert_eq!(operator.json("backends get b1").await["Active"], false);
    operator.done("frontends disable f").await;
    assert!(operator.fails("try x --frontend f", 1).await.contains("frontends enable f"));
    operator.done("frontends enable f").await;
}
