//! Requests per second: of a backend (`RateLimitRequestsThreshold`) and of a client (`RateLimitPerClient`).

use std::time::{Duration, Instant};

use ollamaflow_tests::client::{self, Collected, RawConnection};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use serde_json::{Value, json};

use crate::setup::{Setup, occupy, sessions};
use crate::{ask, backend_of, chat, ollama, openai_chat, queue_ms, served_by};

fn limit(requests: u32) -> impl FnOnce(Backend) -> Backend {
    move |backend| backend.set("RateLimitRequestsThreshold", requests)
}

/// A 429 which tells when to come back.
fn assert_slow_down(answer: &Collected) {
    assert_eq!(answer.status(), 429, "{}", answer.text());
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let message = if body["error"].is_object() { &body["error"]["message"] } else { &body["error"] };
    assert!(message.is_string(), "{body}");
}

#[tokio::test]
async fn a_backend_gets_a_burst_of_its_limit_and_then_so_many_a_second() {
    let backend = ollama();
    let node = Setup::new().backend_with(&backend, limit(10)).start().await;
    let address = node.addr();
    let started = Instant::now();
    let answers = client::many(18, move |_| async move { chat(false).send(address).await.collect().await });
    let answers = answers.await;
    let took = started.elapsed();
    assert!(answers.iter().all(|answer| answer.status() == 200));
    // Ten at once, eight more at ten a second.
    assert!((Duration::from_millis(700)..Duration::from_secs(4)).contains(&took), "{took:?}");
    let at_once = answers.iter().filter(|answer| queue_ms(answer) < 50).count();
    assert!((10..=12).contains(&at_once), "{at_once} did not wait");
}

#[tokio::test]
async fn beyond_the_limit_of_one_backend_another_is_chosen() {
    let (limited, other) = (ollama(), ollama());
    let node = Setup::new()
        .backend_with(&limited, |backend| limit(2)(backend).set("Priority", 0))
        .backend_with(&other, |backend| backend.set("Priority", 1))
        .start()
        .await;
    let started = Instant::now();
    for _ in 0..8 {
        let answer = ask(&node, chat(false)).await;
        assert_eq!((answer.status(), queue_ms(&answer)), (200, 0), "nobody waits while another is free");
    }
    let received = limited.stats().received();
    let allowed = 2.0 + 2.0 * started.elapsed().as_secs_f64();
    assert!((2.0..=allowed + 1.0).contains(&f64::from(u32::try_from(received).unwrap())), "{received}");
    assert_eq!(other.stats().received(), 8 - received);
}

#[tokio::test]
async fn beyond_the_limit_of_all_backends_and_with_a_full_queue_the_answer_is_429_with_retry_after() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new()
        .frontend("MaxQueueLength", 0)
        .backend_with(&one, limit(1))
        .backend_with(&two, limit(1))
        .start()
        .await;
    let mut refused = Vec::new();
    for index in 0..6 {
        let request = if index % 2 == 0 { chat(true) } else { openai_chat(false) };
        let answer = ask(&node, request).await;
        if answer.status() != 200 {
            refused.push(answer);
        }
    }
    assert!((2..=4).contains(&refused.len()), "{} refused", refused.len());
    refused.iter().for_each(assert_slow_down);
}

#[tokio::test]
async fn a_full_backend_beside_a_limited_one_makes_it_503() {
    let (full, limited) = (ollama(), ollama());
    let node = Setup::new()
        .frontend("MaxQueueLength", 0)
        .capped(&full, 1)
        .backend_with(&limited, limit(1))
        .start()
        .await;
    let _held = occupy(&node, &full, "b1", 1).await;
    assert_eq!(backend_of(&node, chat(false)).await, "b2");
    assert_eq!(ask(&node, chat(false)).await.status(), 503);
}

#[tokio::test]
async fn a_limit_of_zero_is_none() {
    let backend = ollama();
    let node = Setup::new().backend_with(&backend, limit(0)).start().await;
    let address = node.addr();
    let waits = client::many(60, move |_| async move {
        let answer = chat(false).send(address).await.collect().await;
        (answer.status(), queue_ms(&answer))
    });
    assert_eq!(waits.await, [(200, 0); 60]);
}

/// A frontend that takes three requests a second from each client.
async fn per_client(settings: Value) -> (ollamaflow_tests::simulated::SimulatedBackend, Node) {
    let backend = ollama();
    let node = Setup::new().frontend("RateLimitPerClient", 3).settings(settings).backend(&backend).start();
    let node = node.await;
    (backend, node)
}

/// Asks until the limit is reached, which must be after three or, on a slow machine, a few more.
async fn use_up(node: &Node, request: impl Fn() -> client::Request) {
    for served in 0.. {
        let answer = ask(node, request()).await;
        if answer.status() != 200 {
            assert_slow_down(&answer);
            assert!((3..10).contains(&served), "{served} were served");
            return;
        }
    }
}

#[tokio::test]
async fn a_client_beyond_rate_limit_per_client_gets_429_with_retry_after() {
    let (backend, node) = per_client(json!({})).await;
    use_up(&node, || chat(false)).await;
    let received = backend.stats().received();
    assert!(received < 10, "what is refused reaches no backend");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(ask(&node, openai_chat(false)).await.status(), 200, "one more has become free");
}

#[tokio::test]
async fn the_client_limit_is_kept_before_the_body_is_read() {
    let (_backend, node) = per_client(json!({})).await;
    use_up(&node, || chat(false)).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    let answer = connection.response().await.unwrap();
    assert_eq!(answer.status(), 429);
}

#[tokio::test]
async fn the_client_limit_is_that_of_each_client_alone() {
    let (_backend, node) = per_client(json!({ "TrustedProxies": ["127.0.0.0/8"] })).await;
    let from = |address: &'static str| move || chat(false).header("X-Forwarded-For", address);
    use_up(&node, from("192.0.2.1")).await;
    for _ in 0..3 {
        assert_eq!(ask(&node, from("192.0.2.2")()).await.status(), 200);
    }
}

#[tokio::test]
async fn the_client_limit_is_that_of_each_frontend_alone() {
    let backend = ollama();
    let setup = Setup::new().frontend("RateLimitPerClient", 3).backend(&backend);
    let (frontend, _) = setup.objects();
    let named = |host: &str| frontend.clone().set("Identifier", host).hostname(host);
    let node = setup.start_with([named("one"), named("two")]).await;
    use_up(&node, || chat(false).host("one")).await;
    for _ in 0..3 {
        assert_eq!(ask(&node, chat(false).host("two")).await.status(), 200);
    }
}

#[tokio::test]
async fn a_request_that_waits_for_the_limit_is_served_in_its_turn_and_not_refused() {
    let backend = ollama();
    let node = Setup::new().backend_with(&backend, limit(5)).start().await;
    for _ in 0..7 {
        let answer = ask(&node, chat(false)).await;
        assert_eq!((answer.status(), served_by(&answer)), (200, "b1"));
    }
    assert!(sessions(&node, "").await.is_empty());
}
