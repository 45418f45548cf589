//! `Priority`: a lower tier gets requests only while all of the higher ones are down or full.

use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::SimulatedBackend;

use crate::setup::{Setup, occupy, wait_idle};
use crate::{ask, attempts, backend_of, backends_of, chat, count_of, ollama, queue_ms};

/// `b1` of priority 20, `b2` and `b3` of priority 10 with one slot each.
async fn tiers() -> ([SimulatedBackend; 3], Node) {
    let backends = std::array::from_fn(|_| ollama());
    let [last, first, second] = &backends;
    let higher = |backend: ollamaflow_tests::objects::Backend| {
        backend.set("Priority", 10).set("MaxParallelRequests", 1).set("UnhealthyThreshold", 1)
    };
    let node = Setup::new()
        .backend_with(last, |backend| backend.set("Priority", 20))
        .backend_with(first, higher)
        .backend_with(second, higher)
        .start()
        .await;
    (backends, node)
}

#[tokio::test]
async fn the_lower_number_is_the_higher_tier_and_gets_everything_while_it_has_room() {
    let (backends, node) = tiers().await;
    let names = backends_of(&node, 10, || chat(false)).await;
    assert_eq!((count_of(&names, "b1"), count_of(&names, "b2"), count_of(&names, "b3")), (0, 5, 5));
    assert_eq!(backends[0].stats().received(), 0);
}

#[tokio::test]
async fn the_lower_tier_gets_requests_without_a_wait_when_the_higher_is_full() {
    let ([_last, first, second], node) = tiers().await;
    let mut held = occupy(&node, &first, "b2", 1).await;
    assert_eq!(backends_of(&node, 3, || chat(false)).await, ["b3"; 3], "one of the tier has room");
    held.extend(occupy(&node, &second, "b3", 1).await);
    for _ in 0..3 {
        let answer = ask(&node, chat(false)).await;
        assert_eq!((crate::served_by(&answer), queue_ms(&answer)), ("b1", 0));
    }
    drop(held);
    wait_idle(&node).await;
    assert_ne!(backend_of(&node, chat(false)).await, "b1", "room again");
}

#[tokio::test]
async fn the_lower_tier_gets_requests_when_the_higher_is_down() {
    let ([_last, first, second], node) = tiers().await;
    first.stop();
    second.stop();
    node.wait_unhealthy("b2").await;
    node.wait_unhealthy("b3").await;
    assert_eq!(backends_of(&node, 3, || chat(false)).await, ["b1"; 3]);
    first.restart();
    node.wait_healthy(&["b2"]).await;
    assert_eq!(backends_of(&node, 3, || chat(false)).await, ["b2"; 3]);
}

#[tokio::test]
async fn a_retry_goes_to_the_lower_tier_when_all_of_the_higher_have_failed() {
    use ollamaflow_tests::simulated::{EndBy, FaultKind};
    let ([_last, first, second], node) = tiers().await;
    for backend in [&first, &second] {
        backend.set_fault(FaultKind::CloseBeforeHeaders { by: EndBy::Reset });
    }
    let answer = ask(&node, chat(false)).await;
    assert_eq!((crate::served_by(&answer), attempts(&answer)), ("b1", 3));
}
