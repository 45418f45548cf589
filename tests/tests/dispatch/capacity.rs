//! `MaxParallelRequests`: a hard cap, permits that are held as long as the answer lasts, and what happens beside a full
//! backend.

use ollamaflow_tests::client::{self, End, Request};
use ollamaflow_tests::simulated::FaultKind;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::setup::{
    Setup, active_requests, asking, occupy, wait_active, wait_explained, wait_idle, wait_queued,
};
use crate::{ask, at, backend_of, chat, chat_body, ollama, openai_chat, served_by};

#[tokio::test]
async fn max_parallel_requests_is_a_hard_cap_on_what_a_backend_receives() {
    const CAP: u32 = 3;
    let backend = ollama();
    backend.knobs(|knobs| knobs.ttft_ms = 20);
    let node = Setup::new().capped(&backend, CAP).start().await;
    let address = node.addr();
    let answers = client::many(30, move |index| async move {
        let request = if index % 2 == 0 { chat(index % 4 == 0) } else { openai_chat(index % 4 == 1) };
        let answer = request.send(address).await.collect().await;
        (answer.status(), answer.end)
    });
    assert_eq!(answers.await, [(200, End::Complete); 30]);
    let counted = backend.stats().inference;
    assert_eq!((counted.completed, counted.in_flight_max), (30, u64::from(CAP)));
}

#[tokio::test]
async fn a_request_holds_its_permit_until_its_answer_has_been_relayed_to_its_end() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.tokens = 6;
        knobs.tokens_per_second = 20.0;
    });
    let node = Setup::new().capped(&backend, 4).start().await;
    let mut lines = chat(true).send(node.addr()).await.lines();
    for _ in 0..3 {
        lines.expect_next().await;
        assert_eq!(active_requests(&node).await, [1]);
    }
    let (rest, end) = lines.collect().await;
    assert_eq!((rest.last().unwrap().json()["done"].clone(), end), (json!(true), End::Complete));
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_request_that_runs_no_model_takes_a_permit_too() {
    let backend = ollama();
    let node = Setup::new().frontend("MaxQueueLength", 0).capped(&backend, 1).start().await;
    backend.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/api/echo"));
    let waiting = asking(&node, Request::get("/api/echo/x"));
    wait_active(&node, &[1]).await;
    assert_eq!(ask(&node, chat(false)).await.status(), 503);
    waiting.abort();
    wait_idle(&node).await;
    assert_eq!(ask(&node, chat(false)).await.status(), 200);
}

#[tokio::test]
async fn a_request_that_finds_a_backend_full_goes_to_one_that_is_not() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new().capped(&one, 1).capped(&two, 1).start().await;
    let held = occupy(&node, &one, "b1", 1).await;
    for _ in 0..4 {
        assert_eq!(backend_of(&node, chat(false)).await, "b2");
    }
    drop(held);
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_lower_cap_takes_nothing_from_what_runs_and_holds_for_what_comes() {
    let backend = ollama();
    let setup = || Setup::new().frontend("MaxQueueLength", 0);
    let node = setup().capped(&backend, 2).start().await;
    let mut held = occupy(&node, &backend, "b1", 2).await;
    let (frontend, backends) = setup().capped(&backend, 1).objects();
    node.rewrite_objects([frontend], backends).await;
    wait_explained(&node, &chat_body("m", "x", false), "b1", "MaxParallelRequests", &json!(1)).await;
    assert_eq!(active_requests(&node).await, [2], "what runs goes on");
    held.pop().unwrap().leave();
    wait_active(&node, &[1]).await;
    assert_eq!(ask(&node, chat(false)).await.status(), 503);
    held.pop().unwrap().leave();
    wait_active(&node, &[0]).await;
    assert_eq!(ask(&node, chat(false)).await.status(), 200);
}

#[tokio::test]
async fn a_higher_cap_lets_waiters_go_on_at_once() {
    let backend = ollama();
    let node = Setup::new().capped(&backend, 1).start().await;
    let held = occupy(&node, &backend, "b1", 1).await;
    let waiting = asking(&node, chat(false));
    wait_queued(&node, 1).await;
    let (frontend, backends) = Setup::new().capped(&backend, 2).objects();
    node.rewrite_objects([frontend], backends).await;
    assert_eq!(waiting.await.unwrap().status(), 200);
    drop(held);
}

#[tokio::test]
async fn a_backend_that_comes_takes_waiters_at_once() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new().capped(&one, 1).start().await;
    let held = occupy(&node, &one, "b1", 1).await;
    let waiting = asking(&node, chat(false));
    wait_queued(&node, 1).await;
    let (frontend, backends) = Setup::new().capped(&one, 1).capped(&two, 1).objects();
    node.rewrite_objects([frontend], backends).await;
    assert_eq!(served_by(&waiting.await.unwrap()), "b2");
    drop(held);
}

#[tokio::test]
async fn frontends_that_share_a_backend_share_its_cap() {
    const CAP: u32 = 2;
    let backend = ollama();
    backend.knobs(|knobs| knobs.ttft_ms = 10);
    let setup = Setup::new().capped(&backend, CAP);
    let (frontend, _) = setup.objects();
    let named = |host: &str| frontend.clone().set("Identifier", host).hostname(host);
    let node = setup.start_with([named("one"), named("two")]).await;
    let address = node.addr();
    let statuses = client::many(20, move |index| async move {
        let host = if index % 2 == 0 { "one" } else { "two" };
        chat(false).host(host).send(address).await.collect().await.status()
    });
    assert_eq!(statuses.await, [200; 20]);
    assert_eq!(backend.stats().inference.in_flight_max, u64::from(CAP));
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_slot_to_the_next_at_once() {
    let backend = ollama();
    let node = Setup::new().capped(&backend, 1).start().await;
    for _ in 0..5 {
        let mut held = occupy(&node, &backend, "b1", 1).await;
        let waiting = asking(&node, at("b1", chat(false)));
        wait_queued(&node, 1).await;
        held.pop().unwrap().leave();
        assert_eq!(waiting.await.unwrap().status(), 200);
    }
    wait::until_eq("the backend has noticed", || backend.stats().cancelled(), 5).await;
    wait_idle(&node).await;
}
