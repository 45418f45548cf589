//! The queue of a frontend: first in, first out, and nobody waits for a backend that could not serve him anyway.

use ollamaflow_tests::client::{self, Collected};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::SimulatedBackend;
use tokio::task::JoinHandle;

use crate::setup::{Setup, asking, occupy, queueing, wait_idle, wait_models, wait_queued};
use crate::{at, chat, chat_with, ollama, ollama_having, queue_ms, saying, served_by};

/// The texts of the chats that a backend has got, in their order, without those by which slots are occupied.
fn heard(backend: &SimulatedBackend) -> Vec<String> {
    let requests = backend.requests_to("/api/chat");
    let texts =
        requests.iter().map(|request| request.json()["messages"][0]["content"].as_str().unwrap().to_owned());
    texts.filter(|text| text != "hello").collect()
}

/// All are answered with 200.
async fn are_answered(waiting: Vec<JoinHandle<Collected>>) {
    for answer in waiting {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_request_that_finds_all_backends_full_waits_until_one_frees_a_slot() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new().capped(&one, 1).capped(&two, 1).start().await;
    let _held = occupy(&node, &one, "b1", 1).await;
    let mut held = occupy(&node, &two, "b2", 1).await;
    let waiting = queueing(&node, chat(false), 1).await;
    held.pop().unwrap().leave();
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status(), served_by(&answer)), (200, "b2"));
    assert!(queue_ms(&answer) > 0, "it waited: {:?}", answer.head);
    wait_queued(&node, 0).await;
}

#[tokio::test]
async fn waiters_are_served_in_the_order_of_their_arrival() {
    let backend = ollama();
    let node = Setup::new().capped(&backend, 1).start().await;
    let mut held = occupy(&node, &backend, "b1", 1).await;
    let mut waiting = Vec::new();
    let texts = ["1", "2", "3", "4", "5", "6"];
    for (index, text) in texts.iter().enumerate() {
        waiting.push(queueing(&node, saying(text, index % 2 == 0), index as u64 + 1).await);
    }
    held.pop().unwrap().leave();
    are_answered(waiting).await;
    assert_eq!(heard(&backend), texts);
}

#[tokio::test]
async fn a_new_request_never_overtakes_a_waiter_that_could_use_the_same_slot() {
    let backend = ollama();
    let node = Setup::new().capped(&backend, 1).start().await;
    for round in 0..10 {
        let mut held = occupy(&node, &backend, "b1", 1).await;
        // Two, so that the queue has taken up the first one for certain when both are counted.
        let first = queueing(&node, saying(&format!("{round} first"), false), 1).await;
        let second = queueing(&node, saying(&format!("{round} second"), false), 2).await;
        // Both at the same moment: the slot is freed and a new request comes.
        held.pop().unwrap().leave();
        let new = asking(&node, saying(&format!("{round} new"), false));
        are_answered(vec![first, second, new]).await;
    }
    let of_round = |round| ["first", "second", "new"].map(|name| format!("{round} {name}"));
    let expected: Vec<String> = (0..10).flat_map(of_round).collect();
    assert_eq!(heard(&backend), expected);
}

#[tokio::test]
async fn a_waiter_whose_model_is_elsewhere_does_not_block_those_behind_it() {
    let (one, two) = (ollama_having(&["m", "a"]), ollama_having(&["m", "b"]));
    let node = Setup::new().capped(&one, 1).capped(&two, 1).start().await;
    wait_models(&node, "a", &[("b1", true), ("b2", false)]).await;
    wait_models(&node, "b", &[("b1", false), ("b2", true)]).await;
    let _one_is_full = occupy(&node, &one, "b1", 1).await;
    let mut two_is_full = occupy(&node, &two, "b2", 1).await;
    let for_a = queueing(&node, chat_with("a"), 1).await;
    let for_b = queueing(&node, chat_with("b"), 2).await;
    two_is_full.pop().unwrap().leave();
    assert_eq!(served_by(&for_b.await.unwrap()), "b2");
    // And one that comes now finds a free slot of its own, past the waiter.
    assert_eq!(served_by(&asking(&node, chat_with("b")).await.unwrap()), "b2");
    assert!(!for_a.is_finished());
    for_a.abort();
}

#[tokio::test]
async fn a_waiter_that_only_one_backend_may_serve_is_not_starved_by_those_that_any_may_serve() {
    let (one, two) = (ollama(), ollama());
    for backend in [&one, &two] {
        backend.knobs(|knobs| knobs.ttft_ms = 10);
    }
    let node = Setup::new().capped(&one, 1).capped(&two, 1).start().await;
    let address = node.addr();
    // Others come without end, more than both backends can serve.
    let others: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                loop {
                    assert_eq!(chat(false).send(address).await.collect().await.status(), 200);
                }
            })
        })
        .collect();
    let answers = client::many(5, move |_| async move {
        at("b1", saying("particular", false)).send(address).await.collect().await
    });
    for answer in answers.await {
        assert_eq!((answer.status(), served_by(&answer)), (200, "b1"));
        assert!(queue_ms(&answer) < 5_000, "at most so many were before it: {:?}", answer.head);
    }
    for other in others {
        assert!(!other.is_finished(), "the others were served too");
        other.abort();
    }
    wait_idle(&node).await;
}

#[tokio::test]
async fn frontends_that_share_a_backend_take_turns() {
    let backend = ollama();
    let setup = Setup::new().capped(&backend, 1);
    let (frontend, _) = setup.objects();
    let named = |host: &str| frontend.clone().set("Identifier", host).hostname(host);
    let node: Node = setup.start_with([named("one"), named("two")]).await;
    let mut held = {
        backend.knobs(|knobs| {
            knobs.endless = true;
            knobs.tokens_per_second = 0.001;
        });
        let response = chat(true).host("one").send(node.addr()).await;
        backend.knobs(|knobs| {
            knobs.endless = false;
            knobs.tokens_per_second = 0.0;
        });
        vec![response]
    };
    let mut waiting = Vec::new();
    for (index, host) in ["one", "one", "one", "one", "two", "two", "two", "two"].into_iter().enumerate() {
        waiting.push(queueing(&node, saying(host, false).host(host), index as u64 + 1).await);
    }
    held.pop().unwrap().abort();
    are_answered(waiting).await;
    let mut lead = 0_i32;
    for host in heard(&backend) {
        lead += if host == "one" { 1 } else { -1 };
        assert!(lead.abs() <= 2, "one frontend was {lead} ahead: {:?}", heard(&backend));
    }
    assert_eq!(lead, 0);
}

#[tokio::test]
async fn the_queue_of_one_frontend_does_not_hinder_another_with_free_backends() {
    let (one, two) = (ollama(), ollama());
    let setup = Setup::new().capped(&one, 1).capped(&two, 1);
    let (frontend, _) = setup.objects();
    let named = |host: &str, backend: &str| {
        frontend.clone().set("Identifier", host).hostname(host).backends([backend])
    };
    let node = setup.start_with([named("one", "b1"), named("two", "b2")]).await;
    one.knobs(|knobs| knobs.ttft_ms = 3_600_000);
    let waiting: Vec<_> = (0..5).map(|_| asking(&node, chat(false).host("one"))).collect();
    wait_queued(&node, 4).await;
    let answer = asking(&node, chat(false).host("two")).await.unwrap();
    assert_eq!((answer.status(), queue_ms(&answer)), (200, 0));
    waiting.iter().for_each(JoinHandle::abort);
}
