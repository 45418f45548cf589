//! Nodes with a full catalog are killed and started: how soon a request is proxied again, with the other nodes there and
//! with none of them.

use std::time::{Duration, Instant};

use ollamaflow_tests::cluster::Cluster;
use serde_json::json;

use super::report::Sample;
use super::writes::{ask, millis};
use super::{Amounts, HOST};

/// Time between two requests to a node that does not serve yet.
const LOOK: Duration = Duration::from_millis(2);

/// In milliseconds from the start of the process.
pub(super) async fn measure(cluster: &mut Cluster, amounts: Amounts) -> Vec<Sample> {
    fill(cluster, amounts.objects).await;
    let mut with_others = Vec::new();
    for round in 0..amounts.restarts {
        let node = round % cluster.len();
        cluster.kill(node);
        with_others.push(restart(cluster, node).await);
        cluster.agree().await;
    }
    let mut alone = Vec::new();
    for round in 0..amounts.restarts {
        for node in 0..cluster.len() {
            cluster.kill(node);
        }
        alone.push(restart(cluster, round % cluster.len()).await);
    }
    for node in 0..cluster.len() {
        cluster.kill(node);
    }
    cluster.start_together(&[0, 1, 2]).await;
    cluster.agree().await;
    let objects = amounts.objects;
    let sample = |what: String, values| Sample { what, unit: "ms", target_max: Some(1000.0), values };
    vec![
        sample(format!("restart to serving, {objects} objects, other nodes there"), with_others),
        sample(format!("restart to serving, {objects} objects, no other node there"), alone),
    ]
}

/// Half of the objects are backends that rest, half are frontends before them.
async fn fill(cluster: &Cluster, objects: usize) {
    let leader = cluster.leader().await;
    let mut admin = cluster.admin(leader);
    for number in 0..objects / 2 {
        let id = format!("b{number}");
        admin.create_backend(&json!({ "Identifier": id, "Name": id, "Active": false })).await.done();
        let frontend = json!({ "Identifier": format!("f{number}"), "Name": id, "Hostname": format!("f{number}.test"), "Backends": [id] });
        let creation = ollamaflow_tests::client::Request::new("PUT", "/v1.0/frontends").json(&frontend);
        admin.write(creation).await.done();
    }
    cluster.agree().await;
}

/// Time until a request through a node reaches its backend.
async fn restart(cluster: &mut Cluster, node: usize) -> f64 {
    let start = Instant::now();
    cluster.start(node).await;
    let addresses = cluster.addresses();
    let mut connection = None;
    loop {
        let answered = ask(&addresses, node, HOST, connection.take()).await;
        if let Ok((200, _)) = answered {
            return millis(start.elapsed());
        }
        connection = answered.ok().map(|(_, connection)| connection);
        tokio::time::sleep(LOOK).await;
    }
}
