//! Leaders are killed: how long until the survivors follow another one, and until a write is acknowledged again.

use std::time::{Duration, Instant};

use ollamaflow_tests::cluster::{Addresses, Cluster, Consistency, Write};
use serde_json::json;

use super::report::Sample;
use super::writes::millis;

/// Time between two looks at a survivor.
const LOOK: Duration = Duration::from_millis(5);
/// Time in which a cluster comes to rest between two kills.
const REST: Duration = Duration::from_secs(2);

/// In milliseconds from the kill.
pub(super) async fn measure(cluster: &mut Cluster, rounds: usize) -> Vec<Sample> {
    let (mut elected, mut written) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let leader = cluster.leader().await;
        let id = cluster.id(leader).await;
        let survivors = cluster.followers().await;
        let addresses = cluster.addresses();
        cluster.kill(leader);
        let killed = Instant::now();
        let name = format!("after the death of leader {round}");
        let writing = tokio::spawn(write(addresses.clone(), survivors[0], name));
        let others = survivors.iter().map(|node| tokio::spawn(follows(addresses.clone(), *node, id)));
        let mut last = killed;
        for other in others.collect::<Vec<_>>() {
            last = last.max(joined(other.await));
        }
        elected.push(millis(last.duration_since(killed)));
        written.push(millis(joined(writing.await).duration_since(killed)));
        cluster.start(leader).await;
        cluster.agree().await;
        tokio::time::sleep(REST).await;
    }
    vec![
        Sample {
            what: "from the kill of the leader to another one that both survivors follow".to_owned(),
            unit: "ms",
            target_max: Some(1500.0),
            values: elected,
        },
        Sample {
            what: "from the kill of the leader to an acknowledged write".to_owned(),
            unit: "ms",
            target_max: None,
            values: written,
        },
    ]
}

/// When a node follows a leader other than the dead one.
async fn follows(addresses: Addresses, node: usize, dead: u64) -> Instant {
    let mut admin = addresses.admin(node);
    loop {
        let status = admin.read("/v1.0/cluster", Consistency::Local).await.unwrap_or_default();
        if status["Leader"].as_u64().is_some_and(|leader| leader != dead) {
            return Instant::now();
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// When a write through a node is acknowledged; it is repeated until it is.
async fn write(addresses: Addresses, node: usize, name: String) -> Instant {
    let mut admin = addresses.admin(node);
    loop {
        if let Write::Done(_) = admin.update_backend("written", &json!({ "Name": name }), None).await {
            return Instant::now();
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn joined<T>(result: Result<T, tokio::task::JoinError>) -> T {
    result.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}
