//! `PrefixAffinity`: the same conversation goes to the same backend, on every node, without any shared state.

use std::collections::BTreeSet;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::SimulatedBackend;
use serde_json::{Value, json};

use crate::setup::{Setup, occupy};
use crate::{ask, backend_of, decision, ollama, queue_ms, served_by};

const BACKENDS: usize = 3;

fn backends() -> [SimulatedBackend; BACKENDS] {
    std::array::from_fn(|_| ollama())
}

async fn node_over(backends: &[SimulatedBackend], affinity_wait_ms: u32) -> Node {
    let setup = Setup::balanced("PrefixAffinity").frontend("AffinityWaitMs", affinity_wait_ms);
    backends.iter().fold(setup, |setup, backend| setup.capped(backend, 4)).start().await
}

/// The conversation of this number after so many turns, in either API.
fn conversation(number: usize, turns: usize, path: &str) -> Request {
    let said = |role: &str, text: String| json!({ "role": role, "content": text });
    let mut messages: Vec<Value> = vec![
        said("system", "You are a helpful assistant.".to_owned()),
        said("user", format!("Question {number} of somebody")),
    ];
    for turn in 1..turns {
        messages.push(said("assistant", format!("answer {turn}")));
        messages.push(said("user", format!("and then {turn}?")));
    }
    Request::post(path)
        .json(&json!({ "model": "m", "messages": messages, "stream": turns.is_multiple_of(2) }))
}

#[tokio::test]
async fn the_same_conversation_goes_to_the_same_backend_turn_after_turn() {
    let backends = backends();
    let node = node_over(&backends, 3000).await;
    let mut homes = BTreeSet::new();
    for number in 0..24 {
        let home = backend_of(&node, conversation(number, 1, "/api/chat")).await;
        for turns in 2..4 {
            let answer = ask(&node, conversation(number, turns, "/api/chat")).await;
            assert_eq!(served_by(&answer), home, "conversation {number}, turn {turns}");
            assert_eq!(decision(&answer), "PrefixAffinity; home");
        }
        homes.insert(home);
    }
    assert_eq!(homes.len(), BACKENDS, "conversations are spread: {homes:?}");
}

#[tokio::test]
async fn two_nodes_agree_without_sharing_state() {
    let backends = backends();
    let (one, two) = (node_over(&backends, 3000).await, node_over(&backends, 3000).await);
    for number in 0..20 {
        let path = if number % 2 == 0 { "/api/chat" } else { "/v1/chat/completions" };
        let here = backend_of(&one, conversation(number, 1, path)).await;
        assert_eq!(backend_of(&two, conversation(number, 2, path)).await, here, "conversation {number}");
    }
}

#[tokio::test]
async fn a_home_that_stays_full_is_left_after_affinity_wait_ms() {
    let backends = backends();
    let node = node_over(&backends, 200).await;
    let home = backend_of(&node, conversation(1, 1, "/api/chat")).await;
    let index: usize = home.trim_start_matches('b').parse::<usize>().unwrap() - 1;
    let held = occupy(&node, &backends[index], &home, 4).await;
    let answer = ask(&node, conversation(1, 2, "/api/chat")).await;
    assert_eq!(answer.status(), 200);
    assert_ne!(served_by(&answer), home);
    assert!(queue_ms(&answer) < 2000, "{:?}", answer.head);
    drop(held);
    crate::setup::wait_idle(&node).await;
    assert_eq!(backend_of(&node, conversation(1, 3, "/api/chat")).await, home, "it comes back");
}

#[tokio::test]
async fn only_the_conversations_of_a_backend_that_leaves_move() {
    let backends = backends();
    let node = node_over(&backends, 3000).await;
    let mut before = Vec::new();
    for number in 0..15 {
        before.push(backend_of(&node, conversation(number, 1, "/api/chat")).await);
    }
    let setup = Setup::balanced("PrefixAffinity");
    let (frontend, objects) =
        backends.iter().fold(setup, |setup, backend| setup.capped(backend, 4)).objects();
    node.rewrite_objects([frontend.backends(["b1", "b2"])], objects).await;
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
    ollamaflow_tests::wait::until_answered("b3 is out of the frontend", async || {
        let explained = crate::setup::explain(&node, &body).await;
        let candidates = explained["Candidates"].as_array().unwrap();
        let out = !candidates.iter().any(|one| one["Backend"] == "b3" && one["Candidate"] == true);
        if out { Ok(()) } else { Err(explained.to_string()) }
    })
    .await;
    for (number, home) in before.iter().enumerate() {
        let now = backend_of(&node, conversation(number, 2, "/api/chat")).await;
        if home == "b3" {
            assert_ne!(now, "b3");
        } else {
            assert_eq!(now, *home, "conversation {number}");
        }
    }
}
