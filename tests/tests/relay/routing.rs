//! Which of several backends gets a request.

use std::collections::BTreeMap;

use ollamaflow_tests::client;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};

use crate::{chat, ollama, served_by};
use ollamaflow_tests::setup::Setup;

/// Which backends answer so many requests, one after another, each with these labels (or none).
async fn turns(node: &Node, count: usize, labels: impl Fn(usize) -> Option<&'static str>) -> Vec<String> {
    let mut order = Vec::with_capacity(count);
    for index in 0..count {
        let request = match labels(index) {
            Some(label) => chat(false).header("X-OllamaFlow-Label", label),
            None => chat(false),
        };
        let answer = request.send(node.addr()).await.collect().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        order.push(served_by(&answer).to_owned());
    }
    order
}

fn shares(order: &[String]) -> BTreeMap<&str, usize> {
    let mut shares = BTreeMap::new();
    for backend in order {
        *shares.entry(backend.as_str()).or_default() += 1;
    }
    shares
}

fn four() -> [SimulatedBackend; 4] {
    std::array::from_fn(|_| ollama())
}

fn over(backends: &[SimulatedBackend]) -> Setup {
    backends.iter().fold(Setup::new(), Setup::backend)
}

#[tokio::test]
async fn round_robin_starts_with_the_first_backend_and_goes_around_exactly() {
    let backends = four();
    let node = over(&backends).start().await;
    let order = turns(&node, 40, |_| None).await;
    assert_eq!(order[..5], ["b1", "b2", "b3", "b4", "b1"]);
    assert!(order.chunks(4).all(|round| round == ["b1", "b2", "b3", "b4"]), "{order:?}");
    assert!(backends.iter().all(|backend| backend.stats().received() == 10));
}

#[tokio::test]
async fn round_robin_shares_requests_that_come_at_once_evenly() {
    let backends = four();
    let node = over(&backends).start().await;
    let address = node.addr();
    let served = client::many(200, |_| async move {
        served_by(&chat(false).send(address).await.collect().await).to_owned()
    })
    .await;
    for (backend, share) in shares(&served) {
        // Two threads that choose at the same moment may pass each other by a turn.
        assert!(share.abs_diff(50) <= 2, "{backend} got {share} of 200");
    }
}

#[tokio::test]
async fn round_robin_stays_even_when_one_backend_is_unhealthy() {
    let backends = four();
    backends[1].set_fault(FaultKind::HealthFails { status: 500 });
    let node = over(&backends).start_with_healthy(&["b1", "b3", "b4"]).await;
    let order = turns(&node, 30, |_| None).await;
    assert_eq!(shares(&order), BTreeMap::from([("b1", 10), ("b3", 10), ("b4", 10)]));
    assert_eq!(backends[1].stats().received(), 0);
}

#[tokio::test]
async fn round_robin_stays_even_when_candidate_sets_alternate() {
    let backends: [_; 3] = std::array::from_fn(|_| ollama());
    let labelled = |backend: ollamaflow_tests::objects::Backend| backend.set("Labels", vec!["gpu"]);
    let node = Setup::new()
        .backend_with(&backends[0], labelled)
        .backend_with(&backends[1], labelled)
        .backend(&backends[2])
        .start()
        .await;
    let order = turns(&node, 60, |index| (index % 2 == 0).then_some("gpu")).await;
    assert_eq!(shares(&order), BTreeMap::from([("b1", 20), ("b2", 20), ("b3", 20)]));
}

#[tokio::test]
async fn a_backend_that_recovers_gets_its_share_again_and_is_not_flooded() {
    let backends: [_; 2] = std::array::from_fn(|_| ollama());
    backends[1].set_fault(FaultKind::HealthFails { status: 500 });
    let node = over(&backends).start_with_healthy(&["b1"]).await;
    turns(&node, 20, |_| None).await;
    backends[1].clear_faults();
    node.wait_healthy(&["b1", "b2"]).await;
    let order = turns(&node, 20, |_| None).await;
    let share = shares(&order)["b2"];
    assert!((10..=12).contains(&share), "{order:?}");
}

#[tokio::test]
async fn random_reaches_every_backend_in_no_fixed_order() {
    let backends = four();
    let node = over(&backends).frontend("LoadBalancing", "Random").start().await;
    let order = turns(&node, 120, |_| None).await;
    let shares = shares(&order);
    // The chance that a fair choice misses one of four in 120 draws is below 1e-14.
    assert_eq!(shares.len(), 4, "{shares:?}");
    let first = &order[..4];
    assert!(!order.chunks(4).all(|round| round == first), "{order:?}");
}

#[tokio::test]
async fn an_inactive_backend_gets_no_request() {
    let backends: [_; 2] = std::array::from_fn(|_| ollama());
    let node = Setup::new()
        .backend_with(&backends[0], |backend| backend.set("Active", false))
        .backend(&backends[1])
        .start()
        .await;
    assert_eq!(shares(&turns(&node, 6, |_| None).await), BTreeMap::from([("b2", 6)]));
    assert_eq!(backends[0].stats().received(), 0);
}

#[tokio::test]
async fn a_backend_that_stands_in_for_a_sick_one_keeps_its_own_turn() {
    let (sick, well) = (ollama(), ollama());
    let node = Setup::new().backend(&sick).backend(&well).start().await;
    sick.set_fault(FaultKind::status(502));
    let order = turns(&node, 8, |_| None).await;
    assert_eq!(shares(&order), BTreeMap::from([("b2", 8)]));
    // Every second request is the sick one's turn; if the stand-in paid for it, all of them would be.
    assert_eq!(sick.stats().received(), 4);
}
