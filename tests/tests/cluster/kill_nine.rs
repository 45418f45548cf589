//! Nodes are killed with signal 9 again and again, at random instants, under writers on all nodes. Afterwards every
//! acknowledged write is on all nodes, in one order, none twice.

use std::time::Duration;

use ollamaflow_tests::cluster::{Cluster, Consistency};
use ollamaflow_tests::wait::until_within;

use super::ledger;
use super::scale;
use super::writer::{Writers, lists};

/// Cycles unless `OLLAMAFLOW_TEST_CYCLES` says otherwise; the whole proof takes 200.
const CYCLES: usize = 20;
/// Writers at the same time.
const WRITERS: usize = 4;
/// Cycles after which all writers must have got on.
const BREATH: usize = 10;
/// How long that may take: each of them may wait for an answer that a dead node owes it.
const BREATH_PATIENCE: Duration = Duration::from_secs(60);

/// A time below this many milliseconds.
fn moment(milliseconds: u64) -> Duration {
    Duration::from_micros(fastrand::u64(..milliseconds * 1000))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kills_at_any_instant() {
    let cycles = scale("OLLAMAFLOW_TEST_CYCLES", CYCLES);
    let mut cluster = Cluster::of_three().await;
    let writers = Writers::start(WRITERS, &cluster.addresses());
    for cycle in 0..cycles {
        tokio::time::sleep(moment(400)).await;
        let victims = if cycle % 5 == 4 { 2 } else { 1 };
        let mut nodes = [0, 1, 2];
        fastrand::shuffle(&mut nodes);
        for &victim in &nodes[..victims] {
            cluster.kill(victim);
            tokio::time::sleep(moment(100)).await;
        }
        tokio::time::sleep(moment(1500)).await;
        for &victim in &nodes[..victims] {
            if fastrand::u8(..4) == 0 {
                // Now and then it dies again while it starts.
                cluster.node_mut(victim).restart_and_kill(moment(250)).await;
            }
            cluster.start(victim).await;
        }
        if cycle % BREATH == BREATH - 1 {
            let before = writers.acknowledged();
            cluster.leader().await;
            until_within("writes go on", BREATH_PATIENCE, || writers.acknowledged() > before).await;
        }
    }
    let told = writers.stop().await;
    let agreement = cluster.agree().await;
    let mut seen = Vec::new();
    for node in cluster.running() {
        let mut admin = cluster.admin(node);
        let lists = lists(&mut admin).await;
        assert_eq!(ledger::faults(&told, &lists), Vec::<String>::new(), "on node {node}");
        seen.push((lists, super::history(&mut admin).await));
        let all = admin.read("/v1.0/backends", Consistency::Linearizable).await.unwrap();
        assert!(all.as_array().unwrap().len() >= seen[0].0.len());
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "nodes differ");
    super::assert_dense(&seen[0].1);
    let count = |wanted: fn(&ledger::Fate) -> bool| told.iter().filter(|told| wanted(&told.fate)).count();
    println!(
        "{cycles} cycles: {} writes acknowledged, {} seen later, {} unknown, {} not made; revision {}",
        count(|fate| matches!(fate, ledger::Fate::Acknowledged(_))),
        count(|fate| matches!(fate, ledger::Fate::Seen)),
        count(|fate| matches!(fate, ledger::Fate::Unknown)),
        count(|fate| matches!(fate, ledger::Fate::NotMade)),
        agreement.revision,
    );
    assert!(told.len() > cycles, "hardly any writes were tried");
}
