//! What can be seen of `LoadBalancing` from outside: shares, and who is avoided. The choices themselves are pure functions with
//! tests of their own.

use ollamaflow_tests::client;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::SimulatedBackend;

use crate::setup::{Setup, occupy, wait_active};
use crate::{backend_of, backends_of, chat, count_of, ollama};

async fn three(policy: &str) -> ([SimulatedBackend; 3], Node) {
    let backends: [SimulatedBackend; 3] = std::array::from_fn(|_| ollama());
    let node = backends.iter().fold(Setup::balanced(policy), Setup::backend).start().await;
    (backends, node)
}

fn shares(names: &[String]) -> [usize; 3] {
    ["b1", "b2", "b3"].map(|name| count_of(names, name))
}

#[tokio::test]
async fn round_robin_takes_one_after_the_other() {
    let (_backends, node) = three("RoundRobin").await;
    let names = backends_of(&node, 12, || chat(false)).await;
    assert_eq!(shares(&names), [4; 3]);
    for window in names.windows(3) {
        assert_eq!(shares(window), [1; 3], "{names:?}");
    }
}

#[tokio::test]
async fn random_takes_any_of_them() {
    let (_backends, node) = three("Random").await;
    let names = backends_of(&node, 90, || chat(false)).await;
    // Fewer than 12 of 90 where 30 are expected: one run in a hundred thousand.
    assert!(shares(&names).iter().all(|share| *share >= 12), "{:?}", shares(&names));
    assert!(names.windows(2).any(|pair| pair[0] == pair[1]), "it is not one after the other");
}

#[tokio::test]
async fn weighted_takes_each_as_often_as_its_weight_says() {
    let backends: [SimulatedBackend; 3] = std::array::from_fn(|_| ollama());
    let setup =
        backends.iter().zip([5, 2, 1]).fold(Setup::balanced("Weighted"), |setup, (backend, weight)| {
            setup.backend_with(backend, |backend| backend.set("Weight", weight))
        });
    let node = setup.start().await;
    let names = backends_of(&node, 32, || chat(false)).await;
    assert_eq!(shares(&names), [20, 8, 4]);
    let longest = names.chunk_by(|one, two| one == two).map(<[String]>::len).max();
    assert!(longest <= Some(4), "they are mixed: {names:?}");
}

#[tokio::test]
async fn least_connections_takes_the_one_with_the_fewest_in_flight_over_its_capacity() {
    let (large, small) = (ollama(), ollama());
    let node = Setup::balanced("LeastConnections").capped(&large, 10).capped(&small, 4).start().await;
    let _six_of_ten = occupy(&node, &large, "b1", 6).await;
    assert_eq!(backends_of(&node, 4, || chat(false)).await, ["b2"; 4]);
    let _three_of_four = occupy(&node, &small, "b2", 3).await;
    assert_eq!(backends_of(&node, 4, || chat(false)).await, ["b1"; 4]);
}

#[tokio::test]
async fn least_connections_spreads_what_comes_at_once_by_capacity() {
    let (large, small) = (ollama(), ollama());
    for backend in [&large, &small] {
        backend.knobs(|knobs| knobs.ttft_ms = 400);
    }
    let node = Setup::balanced("LeastConnections").capped(&large, 12).capped(&small, 4).start().await;
    let address = node.addr();
    let asking = tokio::spawn(client::many(8, move |_| async move {
        chat(false).send(address).await.collect().await.status()
    }));
    wait_active(&node, &[6, 2]).await;
    assert_eq!(asking.await.unwrap(), [200; 8]);
}

#[tokio::test]
async fn least_latency_avoids_the_slow_one() {
    let (slow, fast) = (ollama(), ollama());
    slow.knobs(|knobs| knobs.ttft_ms = 100);
    let node = Setup::balanced("LeastLatency").backend(&slow).backend(&fast).start().await;
    for _ in 0..3 {
        for name in ["b1", "b2"] {
            backend_of(&node, crate::at(name, chat(false))).await;
        }
    }
    let names = backends_of(&node, 30, || chat(true)).await;
    let at_slow = count_of(&names, "b1");
    println!("{at_slow} of 30 requests went to the slow one");
    assert!(at_slow <= 3, "{names:?}");
}

#[tokio::test]
async fn least_latency_counts_the_time_to_the_first_token_and_not_that_of_the_whole_answer() {
    let (long, slow) = (ollama(), ollama());
    // Its first token comes at once, its answer takes 110 ms.
    long.knobs(|knobs| knobs.tokens_per_second = 200.0);
    slow.knobs(|knobs| {
        knobs.ttft_ms = 70;
        knobs.tokens = 1;
    });
    let node = Setup::balanced("LeastLatency").backend(&long).backend(&slow).start().await;
    for _ in 0..3 {
        for name in ["b1", "b2"] {
            backend_of(&node, crate::at(name, chat(true))).await;
        }
    }
    let names = backends_of(&node, 12, || chat(true)).await;
    assert!(count_of(&names, "b1") >= 10, "{names:?}");
}
