//! `UseStickySessions`: a client stays on the backend that answered it, as long as it may be served there.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{EndBy, FaultKind, SimulatedBackend};
use serde_json::{Value, json};

use crate::setup::{Setup, explain_request, sessions, wait_explained};
use crate::{
    ask, at, attempts, backend_of, backends_of, chat, chat_body, count_of, decision, embed, ollama, served_by,
};

const BACKENDS: usize = 3;

fn backends() -> [SimulatedBackend; BACKENDS] {
    std::array::from_fn(|_| ollama())
}

fn sticky() -> Setup {
    Setup::new()
        .frontend("UseStickySessions", true)
        .settings(json!({ "StickyHeaders": ["X-Conversation", "X-User"] }))
}

async fn node_over(backends: &[SimulatedBackend]) -> Node {
    backends.iter().fold(sticky(), Setup::backend).start().await
}

fn of(client: &str, request: Request) -> Request {
    request.header("X-Conversation", client)
}

/// The backend that the hash names for a client that has no session.
async fn home(node: &Node, client: &str) -> String {
    let request = Request::post("/v1.0/frontends/f/explain").json(&chat_body("m", "x", false));
    explain_request(node, of(client, request)).await["Chosen"].as_str().unwrap().to_owned()
}

fn index(name: &str) -> usize {
    name.trim_start_matches('b').parse::<usize>().unwrap() - 1
}

#[tokio::test]
async fn a_client_stays_on_the_backend_that_answered_it_first() {
    let backends = backends();
    let node = node_over(&backends).await;
    for client in ["alice", "bob", "carol", "dave"] {
        let first = ask(&node, of(client, chat(false))).await;
        assert_eq!((first.status(), decision(&first)), (200, "Sticky; hash"));
        for _ in 0..4 {
            let answer = ask(&node, of(client, chat(true))).await;
            assert_eq!((served_by(&answer), decision(&answer)), (served_by(&first), "Sticky; session"));
        }
    }
}

#[tokio::test]
async fn clients_are_spread_over_the_backends() {
    let backends = backends();
    let node = node_over(&backends).await;
    let mut names = Vec::new();
    for client in 0..45 {
        names.push(backend_of(&node, of(&format!("client {client}"), chat(false))).await);
    }
    for name in ["b1", "b2", "b3"] {
        assert!(count_of(&names, name) >= 4, "{names:?}");
    }
}

#[tokio::test]
async fn the_first_header_of_the_list_that_is_there_and_not_empty_names_the_client() {
    let backends = backends();
    let node = node_over(&backends).await;
    let named = [
        chat(false).header("X-User", "u").header("X-Conversation", "c"),
        chat(false).header("X-User", "v").header("X-Conversation", ""),
        chat(false).header("X-User", "w"),
        chat(false).header("X-User", "").header("X-Other", "z"),
    ];
    let mut clients = Vec::new();
    for request in named {
        assert_eq!(ask(&node, request).await.status(), 200);
    }
    for session in sessions(&node, "").await {
        assert_eq!(session["Frontend"], "f");
        clients.push(session["Client"].as_str().unwrap().to_owned());
    }
    clients.sort_unstable();
    assert_eq!(clients, ["127.0.0.1", "c", "v", "w"]);
}

#[tokio::test]
async fn a_client_without_such_a_header_is_known_by_its_address() {
    let backends = backends();
    let node = node_over(&backends).await;
    let names = backends_of(&node, 6, || chat(false)).await;
    assert_eq!(count_of(&names, &names[0]), 6, "{names:?}");
}

#[tokio::test]
async fn labels_win_over_a_session() {
    let backends = backends();
    let node = node_over(&backends).await;
    let bound = backend_of(&node, of("alice", chat(false))).await;
    for other in ["b1", "b2", "b3"].into_iter().filter(|name| **name != *bound) {
        assert_eq!(backend_of(&node, at(other, of("alice", chat(false)))).await, other);
    }
}

#[tokio::test]
async fn permissions_win_over_a_session() {
    let backends = backends();
    let no_embeddings = |backend: Backend| backend.set("AllowEmbeddings", false);
    let node = sticky()
        .backend_with(&backends[0], no_embeddings)
        .backend_with(&backends[1], no_embeddings)
        .backend(&backends[2])
        .start()
        .await;
    for client in ["alice", "bob", "carol", "dave"] {
        backend_of(&node, of(client, chat(false))).await;
        assert_eq!(backend_of(&node, of(client, embed())).await, "b3", "{client}");
    }
}

#[tokio::test]
async fn removal_from_the_frontend_ends_a_session() {
    let backends = backends();
    let node = node_over(&backends).await;
    let bound = backend_of(&node, of("alice", chat(false))).await;
    let others: Vec<&str> = ["b1", "b2", "b3"].into_iter().filter(|name| **name != *bound).collect();
    let (frontend, objects) = backends.iter().fold(sticky(), Setup::backend).objects();
    node.rewrite_objects([frontend.clone().backends(others.iter().copied())], objects.clone()).await;
    ollamaflow_tests::wait::until_answered("the session's backend is left", async || {
        let answer = ask(&node, of("alice", chat(false))).await;
        if served_by(&answer) == bound { Err(bound.clone()) } else { Ok(()) }
    })
    .await;
    let now = backend_of(&node, of("alice", chat(false))).await;
    assert!(others.contains(&now.as_str()));
    // Its return does not draw the client back from where it is now.
    node.rewrite_objects([frontend], objects).await;
    wait_explained(&node, &chat_body("m", "x", false), &bound, "Candidate", &json!(true)).await;
    assert_eq!(backend_of(&node, of("alice", chat(false))).await, now);
}

#[tokio::test]
async fn a_session_is_bound_to_the_backend_that_answered_and_not_to_one_that_failed() {
    let backends = backends();
    let node = node_over(&backends).await;
    let home = home(&node, "alice").await;
    backends[index(&home)].set_fault(FaultKind::CloseBeforeHeaders { by: EndBy::Reset });
    let answer = ask(&node, of("alice", chat(false))).await;
    assert_eq!((answer.status(), attempts(&answer)), (200, 2));
    let bound = served_by(&answer).to_owned();
    assert_ne!(bound, home);
    backends[index(&home)].clear_faults();
    for _ in 0..3 {
        let answer = ask(&node, of("alice", chat(false))).await;
        assert_eq!((served_by(&answer), decision(&answer)), (bound.as_str(), "Sticky; session"));
    }
}

#[tokio::test]
async fn no_session_is_made_before_a_backend_has_answered() {
    let backends = backends();
    let node = node_over(&backends).await;
    for backend in &backends {
        backend.set_fault(FaultKind::status(400).times(1));
    }
    assert_eq!(ask(&node, of("alice", chat(false))).await.status(), 400);
    assert!(sessions(&node, "").await.is_empty());
    for backend in &backends {
        backend.set_faults(vec![FaultKind::CloseBeforeHeaders { by: EndBy::Fin }.into()]);
    }
    assert!(ask(&node, of("alice", chat(false))).await.status() >= 500);
    assert!(sessions(&node, "").await.is_empty());
}

#[tokio::test]
async fn a_session_whose_backend_is_down_moves_and_stays_where_it_moved() {
    let backends = backends();
    let down_at_once = |backend: Backend| backend.set("UnhealthyThreshold", 1);
    let setup = backends.iter().fold(sticky(), |setup, backend| setup.backend_with(backend, down_at_once));
    let node = setup.start().await;
    let bound = backend_of(&node, of("alice", chat(false))).await;
    backends[index(&bound)].stop();
    node.wait_unhealthy(&bound).await;
    let now = backend_of(&node, of("alice", chat(false))).await;
    assert_ne!(now, bound);
    backends[index(&bound)].restart();
    node.wait_healthy(&[&bound]).await;
    assert_eq!(backend_of(&node, of("alice", chat(false))).await, now);
}

#[tokio::test]
async fn a_client_that_moves_between_nodes_keeps_its_backend() {
    let backends = backends();
    let (one, two) = (node_over(&backends).await, node_over(&backends).await);
    for client in 0..20 {
        let client = format!("client {client}");
        let here = backend_of(&one, of(&client, chat(false))).await;
        assert_eq!(backend_of(&two, of(&client, chat(false))).await, here, "{client}");
    }
}

#[tokio::test]
async fn the_hash_heeds_weights() {
    let backends = [ollama(), ollama()];
    let node = sticky()
        .backend_with(&backends[0], |backend| backend.set("Weight", 9))
        .backend_with(&backends[1], |backend| backend.set("Weight", 1))
        .start()
        .await;
    let mut names = Vec::new();
    for client in 0..60 {
        names.push(backend_of(&node, of(&format!("client {client}"), chat(false))).await);
    }
    let light = count_of(&names, "b2");
    assert!((1..=16).contains(&light), "{light} of 60 where 6 are expected");
}

#[tokio::test]
async fn the_health_list_tells_which_backends_have_sessions() {
    let backends = backends();
    let node = node_over(&backends).await;
    let bound = backend_of(&node, of("alice", chat(false))).await;
    for backend in node.health().await.unwrap() {
        assert_eq!(backend["IsSticky"], backend["Identifier"] == bound.as_str(), "{backend}");
    }
}

#[tokio::test]
async fn without_sticky_sessions_there_are_none() {
    let backends = backends();
    let node = node_over(&backends).await;
    let (frontend, objects) = backends.iter().fold(Setup::new(), Setup::backend).objects();
    node.rewrite_objects([frontend], objects).await;
    ollamaflow_tests::wait::until_answered("requests are spread again", async || {
        let answer = ask(&node, of("alice", chat(false))).await;
        let plain = decision(&answer).starts_with("RoundRobin");
        if plain { Ok(()) } else { Err(decision(&answer).to_owned()) }
    })
    .await;
    let names = backends_of(&node, 6, || of("alice", chat(false))).await;
    assert_eq!(["b1", "b2", "b3"].map(|name| count_of(&names, name)), [2; 3]);
    let explained: Value =
        explain_request(&node, Request::post("/v1.0/frontends/f/explain").json(&chat_body("m", "x", false)))
            .await;
    assert_eq!(explained["Policy"], "RoundRobin");
}
