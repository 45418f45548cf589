//! `State` and `Active` of a backend: draining takes nothing new and finishes what it has; disabled takes no part.

use ollamaflow_tests::client::End;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{Operation, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::setup::{Setup, active_requests, occupy, queueing, wait_active, wait_explained, wait_idle};
use crate::{ask, at, backends_of, chat, chat_body, count_of, ollama, served_by, whole_text};

fn setup(one: &SimulatedBackend, two: &SimulatedBackend, change: impl FnOnce(Backend) -> Backend) -> Setup {
    Setup::new().backend_with(one, change).backend(two)
}

/// Gives `b1` other properties, and waits until requests heed them.
async fn rewrite(node: &Node, setup: Setup, candidate: bool) {
    let (frontend, backends) = setup.objects();
    node.rewrite_objects([frontend], backends).await;
    wait_explained(node, &chat_body("m", "x", false), "b1", "Candidate", &json!(candidate)).await;
}

/// Two backends; a stream at `b1` is under way while it is given this property; it ends as if nothing had happened.
async fn finishes_what_it_has(property: &str, value: Value) {
    let (one, two) = (ollama(), ollama());
    let node = setup(&one, &two, |backend| backend).start().await;
    one.knobs(|knobs| knobs.tokens_per_second = 30.0);
    let mut lines = at("b1", chat(true)).send(node.addr()).await.lines();
    let first = lines.expect_next().await.json();
    rewrite(&node, setup(&one, &two, |backend| backend.set(property, value)), false).await;
    assert_eq!(backends_of(&node, 4, || chat(false)).await, ["b2"; 4]);
    assert_eq!(one.stats().in_flight(), 1, "the stream is still there");
    let (rest, end) = lines.collect().await;
    let objects: Vec<Value> = rest.iter().map(ollamaflow_tests::client::Frame::json).collect();
    let text: String = std::iter::once(&first)
        .chain(&objects)
        .filter_map(|object| object["message"]["content"].as_str())
        .collect();
    assert_eq!((text, end), (whole_text(), End::Complete));
    assert_eq!(objects.last().unwrap()["done"], true);
    assert_eq!(one.stats().received(), 1);
}

#[tokio::test]
async fn a_draining_backend_finishes_what_it_has_and_takes_nothing_new() {
    finishes_what_it_has("State", json!("Draining")).await;
}

#[tokio::test]
async fn a_disabled_backend_finishes_what_it_has_and_takes_nothing_new() {
    finishes_what_it_has("State", json!("Disabled")).await;
    finishes_what_it_has("Active", json!(false)).await;
}

#[tokio::test]
async fn a_removed_backend_finishes_what_it_has() {
    let (one, two) = (ollama(), ollama());
    let node = setup(&one, &two, |backend| backend).start().await;
    one.knobs(|knobs| knobs.tokens_per_second = 30.0);
    let mut lines = at("b1", chat(true)).send(node.addr()).await.lines();
    lines.expect_next().await;
    let (frontend, mut backends) = setup(&one, &two, |backend| backend).objects();
    backends.remove(0);
    node.rewrite_objects([frontend.backends(["b2"])], backends).await;
    let (rest, end) = lines.collect().await;
    assert_eq!((rest.last().unwrap().json()["done"].clone(), end), (json!(true), End::Complete));
    assert_eq!(backends_of(&node, 2, || chat(false)).await, ["b2"; 2]);
}

#[tokio::test]
async fn active_false_is_the_state_disabled_and_the_other_way_round() {
    let (one, two) = (ollama(), ollama());
    let node = setup(&one, &two, |backend| backend.set("Active", false)).start().await;
    let (_, shown) = node.admin("GET", "/v1.0/backends/b1", None).await;
    assert_eq!((&shown["Active"], &shown["State"]), (&json!(false), &json!("Disabled")));
    rewrite(&node, setup(&one, &two, |backend| backend.set("State", "Active")), true).await;
    let (_, shown) = node.admin("GET", "/v1.0/backends/b1", None).await;
    assert_eq!((&shown["Active"], &shown["State"]), (&json!(true), &json!("Active")));
}

#[tokio::test]
async fn a_draining_backend_is_probed_and_a_disabled_one_is_not() {
    let (one, two) = (ollama(), ollama());
    let node = setup(&one, &two, |backend| backend.set("State", "Draining")).start().await;
    let probes = |backend: &SimulatedBackend| backend.stats().operation(Operation::Root).total;
    let before = probes(&one);
    wait::until("a draining one is probed", || probes(&one) >= before + 2).await;
    rewrite(&node, setup(&one, &two, |backend| backend.set("State", "Disabled")), false).await;
    // What was under way may still arrive.
    let other = probes(&two);
    wait::until("the other one is probed", || probes(&two) > other).await;
    let (before, other) = (probes(&one), probes(&two));
    wait::until("the other one is probed again and again", || probes(&two) >= other + 3).await;
    assert_eq!(probes(&one), before);
}

#[tokio::test]
async fn a_draining_backend_that_is_made_active_again_takes_requests() {
    let (one, two) = (ollama(), ollama());
    let node = setup(&one, &two, |backend| backend.set("State", "Draining")).start().await;
    assert_eq!(backends_of(&node, 4, || chat(false)).await, ["b2"; 4]);
    rewrite(&node, setup(&one, &two, |backend| backend), true).await;
    let names = backends_of(&node, 8, || chat(false)).await;
    // It may catch up on a turn.
    assert!((4..=5).contains(&count_of(&names, "b1")), "{names:?}");
}

#[tokio::test]
async fn waiters_of_a_backend_that_drains_go_to_the_others() {
    let (one, two) = (ollama(), ollama());
    let capped = |change: fn(Backend) -> Backend| {
        Setup::new()
            .backend_with(&one, |backend| change(backend.set("MaxParallelRequests", 1)))
            .capped(&two, 1)
    };
    let node = capped(|backend| backend).start().await;
    let mut at_one = occupy(&node, &one, "b1", 1).await;
    let mut at_two = occupy(&node, &two, "b2", 1).await;
    let waiting = queueing(&node, chat(false), 1).await;
    rewrite(&node, capped(|backend| backend.set("State", "Draining")), false).await;
    at_one.pop().unwrap().leave();
    wait_active(&node, &[0, 1]).await;
    assert!(!waiting.is_finished(), "a slot of one that drains is none");
    at_two.pop().unwrap().leave();
    assert_eq!(served_by(&waiting.await.unwrap()), "b2");
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_frontend_whose_only_backend_drains_answers_502() {
    let backend = ollama();
    let node = Setup::new().backend_with(&backend, |backend| backend.set("State", "Draining")).start().await;
    assert_eq!(ask(&node, chat(false)).await.status(), 502);
    assert_eq!(active_requests(&node).await, [0]);
}
