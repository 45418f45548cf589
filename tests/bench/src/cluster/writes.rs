//! Writes: how long until they are acknowledged, and how soon after that the other nodes route by them.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::{NoResponse, RawConnection, Request};
use ollamaflow_tests::cluster::{Addresses, Cluster};
use serde_json::json;

use super::Amounts;
use super::report::Sample;

/// Clients that write at the same time.
const CLIENTS: usize = 8;
/// A frontend that no node routes by after this long ends the run.
const ROUTING_PATIENCE: Duration = Duration::from_secs(10);

/// Time to the acknowledgement of one write, in milliseconds: through the leader, through a follower, and with many
/// clients on all nodes.
pub(super) async fn measure(cluster: &Cluster, amounts: Amounts) -> Vec<Sample> {
    let leader = cluster.leader().await;
    let follower = cluster.followers().await[0];
    let addresses = cluster.addresses();
    create(&addresses, leader, "written").await;
    let through_leader = series(&addresses, leader, "written", amounts.writes).await;
    let through_follower = series(&addresses, follower, "written", amounts.writes).await;
    for client in 0..CLIENTS {
        create(&addresses, leader, &format!("written-{client}")).await;
    }
    let together = ollamaflow_tests::client::many(CLIENTS, |client| {
        let addresses = addresses.clone();
        async move {
            let node = client % addresses.count();
            series(&addresses, node, &format!("written-{client}"), amounts.concurrent_writes).await
        }
    })
    .await;
    let sample = |what: &str, values| Sample { what: what.to_owned(), unit: "ms", target_max: None, values };
    vec![
        sample("admin write through the leader, one client", through_leader),
        sample("admin write through a follower, one client", through_follower),
        sample("admin write, 8 clients on all nodes", together.concat()),
    ]
}

async fn create(addresses: &Addresses, node: usize, id: &str) {
    let backend = json!({ "Identifier": id, "Name": id, "Active": false });
    addresses.admin(node).create_backend(&backend).await.done();
}

async fn series(addresses: &Addresses, node: usize, id: &str, count: usize) -> Vec<f64> {
    let mut admin = addresses.admin(node);
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let changes = json!({ "Name": format!("name {number}") });
        let start = Instant::now();
        admin.update_backend(id, &changes, None).await.done();
        times.push(millis(start.elapsed()));
    }
    times
}

/// Time from a write's acknowledgement to the first request that another node routes by it, in milliseconds. Requests
/// follow one after the other on each of the other nodes from before the write; what is routed before the
/// acknowledgement counts as 0. A request's own time is part of the figure.
pub(super) async fn measure_routing(cluster: &Cluster, rounds: usize) -> Sample {
    let addresses = cluster.addresses();
    let mut times = Vec::with_capacity(rounds * 2);
    let moving =
        json!({ "Identifier": "moving", "Name": "moving", "Hostname": "h.test", "Backends": ["engine"] });
    addresses.admin(0).write(Request::new("PUT", "/v1.0/frontends").json(&moving)).await.done();
    for round in 0..rounds {
        let writer = round % cluster.len();
        let host = format!("h{round}.test");
        let readers = cluster.running().into_iter().filter(|node| *node != writer);
        let readers: Vec<_> =
            readers.map(|node| tokio::spawn(routed(addresses.clone(), node, host.clone()))).collect();
        // They poll before there is anything to be found.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let change = Request::new("PUT", "/v1.0/frontends/moving").json(&json!({ "Hostname": host }));
        addresses.admin(writer).write(change).await.done();
        let acknowledged = Instant::now();
        for reader in readers {
            let routed = reader.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
            times.push(millis(routed.saturating_duration_since(acknowledged)));
        }
    }
    Sample {
        what: "from the acknowledgement of a write to routing by it on another node".to_owned(),
        unit: "ms",
        target_max: Some(50.0),
        values: times,
    }
}

/// When the first request for a host was answered by a backend.
#[expect(clippy::panic, reason = "there is nothing to measure in a cluster that does not work")]
async fn routed(addresses: Addresses, node: usize, host: String) -> Instant {
    let start = Instant::now();
    let mut connection = None;
    while start.elapsed() < ROUTING_PATIENCE {
        let answered = ask(&addresses, node, &host, connection.take()).await;
        if let Ok((200, _)) = answered {
            return Instant::now();
        }
        connection = answered.ok().map(|(_, connection)| connection);
        tokio::task::yield_now().await;
    }
    panic!("node {node} does not route to {host} after {ROUTING_PATIENCE:?}")
}

/// Asks for the models of a host, on a kept connection if there is one; the status, and the connection again.
pub(super) async fn ask(
    addresses: &Addresses,
    node: usize,
    host: &str,
    connection: Option<RawConnection>,
) -> Result<(u16, RawConnection), NoResponse> {
    let connection = match (connection, addresses.get(node)) {
        (Some(connection), _) => connection,
        (None, Some(address)) => RawConnection::open(address).await.map_err(NoResponse::NotConnected)?,
        (None, None) => return Err(NoResponse::Closed),
    };
    let response = connection.exchange(&Request::get("/api/tags").host(host)).await?;
    let (answer, connection) = response.collect_reusable().await;
    Ok((answer.status(), connection))
}

pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
