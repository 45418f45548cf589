//! The death of a leader as clients see it: how long nobody is answered on the nodes that survive, and how long no change is
//! acknowledged. Three nodes, clients that know all of them, and one upstream.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ollamaflow_tests::cluster::{Addresses, Cluster, Write};
use ollamaflow_tests::objects::{backend, frontend};
use serde_json::json;
use tokio::task::JoinSet;

use crate::load::client::Client;
use crate::load::request::{self, Api, SMALL_BODY_BYTES};
use crate::suite::progress;
use crate::wire::script::{ANSWER_LEAST_BYTES, Script};

/// Clients that take the nodes in turn and try the next one when one fails, as behind a virtual address.
const WANDERERS: usize = 4;
/// Pause between two requests of a client: the cluster is to be asked often, not to be worked to capacity.
const BETWEEN: Duration = Duration::from_millis(1);
/// Pause after a write that was not acknowledged.
const AFTER_REFUSAL: Duration = Duration::from_millis(5);
/// Time in which a cluster comes to rest between two kills.
const REST: Duration = Duration::from_secs(1);

/// What clients saw of one leader's death. Times are in milliseconds.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct FailoverSample {
    pub(crate) round: u32,
    /// Longest time between two successful requests on the same surviving node, after the kill.
    pub(crate) request_gap: f64,
    /// The same before the kill: what the machine itself does.
    pub(crate) quiet_request_gap: f64,
    /// Longest time until a client that goes on to the next node had its answer, after the kill.
    pub(crate) wanderer_wait: f64,
    /// Longest time between two acknowledged changes, after the kill.
    pub(crate) write_gap: f64,
    /// The same before the kill.
    pub(crate) quiet_write_gap: f64,
    /// Requests that failed on surviving nodes.
    pub(crate) failed: u64,
    /// Requests that succeeded on surviving nodes.
    pub(crate) succeeded: u64,
}

/// What the clients of one round share; one thread, so plain cells.
#[derive(Default)]
struct Shared {
    ends: Cell<bool>,
    failed: Cell<u64>,
    /// When wanderers began to ask, and when they had their answers.
    waits: RefCell<Vec<(Instant, Instant)>>,
    writes: RefCell<Vec<Instant>>,
}

/// Kills `rounds` leaders, one after the other.
pub(crate) async fn measure(upstream: SocketAddr, rounds: u32, watch_ms: [u64; 2]) -> Vec<FailoverSample> {
    let mut cluster = Cluster::builder()
        .direct()
        .frontend(frontend("all").hostname("*").backends(["engine"]))
        .backend(
            // Limits that nobody reaches: a queue would be measured otherwise.
            backend("engine", upstream)
                .openai()
                .set("MaxParallelRequests", 1_000)
                .set("RateLimitRequestsThreshold", 1_000_000_000),
        )
        .settings(&json!({ "HealthCheck": null }))
        .start()
        .await;
    for node in cluster.running() {
        cluster.node(node).wait_healthy(&["engine"]).await;
    }
    let written = json!({ "Identifier": "written", "Name": "written", "Active": false });
    cluster.admin(0).create_backend(&written).await.done();
    let mut samples = Vec::new();
    for round in 0..rounds {
        progress(&format!("death of leader {} of {rounds}", round + 1));
        samples.push(one(&mut cluster, round, watch_ms).await);
        cluster.agree().await;
        tokio::time::sleep(REST).await;
    }
    samples
}

async fn one(cluster: &mut Cluster, round: u32, watch_ms: [u64; 2]) -> FailoverSample {
    let leader = cluster.leader().await;
    let survivors = cluster.followers().await;
    let addresses = cluster.addresses();
    let shared = Rc::new(Shared::default());
    let mut clients = JoinSet::new();
    let mut successes = Vec::new();
    for addr in survivors.iter().filter_map(|node| addresses.get(*node)) {
        let times = Rc::new(RefCell::new(Vec::new()));
        clients.spawn_local(stay(addr, Rc::clone(&shared), Rc::clone(&times)));
        successes.push(times);
    }
    let all: Vec<SocketAddr> = (0..cluster.len()).filter_map(|node| addresses.get(node)).collect();
    for first in 0..WANDERERS {
        let mut nodes = all.clone();
        nodes.rotate_left(first % all.len().max(1));
        clients.spawn_local(wander(nodes, Rc::clone(&shared)));
    }
    clients.spawn_local(write(addresses.clone(), survivors.clone(), Rc::clone(&shared)));

    let [before, after] = watch_ms.map(Duration::from_millis);
    tokio::time::sleep(BETWEEN * 200).await;
    let start = Instant::now();
    tokio::time::sleep(before).await;
    let killed = Instant::now();
    cluster.kill(leader);
    tokio::time::sleep(after).await;
    let end = Instant::now();
    shared.ends.set(true);
    cluster.start(leader).await;
    while clients.join_next().await.is_some() {}

    let gap = |from, to| {
        successes.iter().map(|times| longest_gap(&times.borrow(), from, to)).max().unwrap_or(to - from)
    };
    let waits = shared.waits.borrow();
    let wait =
        waits.iter().filter(|(_, answered)| *answered >= killed).map(|(asked, answered)| *answered - *asked);
    let writes = shared.writes.borrow();
    FailoverSample {
        round,
        request_gap: millis(gap(killed, end)),
        quiet_request_gap: millis(gap(start, killed)),
        wanderer_wait: millis(wait.max().unwrap_or(end - killed)),
        write_gap: millis(longest_gap(&writes, killed, end)),
        quiet_write_gap: millis(longest_gap(&writes, start, killed)),
        failed: shared.failed.get(),
        succeeded: successes.iter().map(|times| times.borrow().len() as u64).sum(),
    }
}

/// The longest time within `from` to `to` in which none of `times`, which are in order, lies.
fn longest_gap(times: &[Instant], from: Instant, to: Instant) -> Duration {
    let within = times.iter().copied().filter(|time| (from..to).contains(time)).chain([to]);
    let mut last = from;
    let gaps = within.map(|time| time - std::mem::replace(&mut last, time));
    gaps.max().unwrap_or_default()
}

/// A client of one node.
async fn stay(addr: SocketAddr, shared: Rc<Shared>, times: Rc<RefCell<Vec<Instant>>>) {
    let request = request::chat(Api::Openai, Script::Answer, SMALL_BODY_BYTES);
    let mut connection = None;
    while !shared.ends.get() {
        if ask(addr, &mut connection, &request).await {
            times.borrow_mut().push(Instant::now());
        } else {
            shared.failed.set(shared.failed.get() + 1);
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// A client of all nodes: each request to the next one, and on to the next when it fails.
async fn wander(nodes: Vec<SocketAddr>, shared: Rc<Shared>) {
    let request = request::chat(Api::Openai, Script::Answer, SMALL_BODY_BYTES);
    let mut connections: Vec<Option<Client>> = nodes.iter().map(|_| None).collect();
    let mut turn = 0;
    while !shared.ends.get() {
        let asked = Instant::now();
        let mut answered = false;
        while !answered && !shared.ends.get() {
            turn = (turn + 1) % nodes.len();
            answered = ask(nodes[turn], &mut connections[turn], &request).await;
        }
        if answered {
            shared.waits.borrow_mut().push((asked, Instant::now()));
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Whether a whole answer came, on a kept connection if there is one.
async fn ask(addr: SocketAddr, connection: &mut Option<Client>, request: &[u8]) -> bool {
    let mut client = match connection.take() {
        Some(client) => client,
        None => match Client::connect(addr).await {
            Ok(client) => client,
            Err(_) => return false,
        },
    };
    let whole = matches!(client.exchange(request).await, Ok((200, length)) if length >= ANSWER_LEAST_BYTES);
    if whole && client.keep_alive() {
        *connection = Some(client);
    }
    whole
}

/// A client that changes an object again and again, through whichever surviving node takes it.
async fn write(addresses: Addresses, survivors: Vec<usize>, shared: Rc<Shared>) {
    let mut admins: Vec<_> = survivors.iter().map(|node| addresses.admin(*node)).collect();
    let (mut turn, mut number) = (0, 0_u64);
    while !shared.ends.get() {
        number += 1;
        let changes = json!({ "Name": format!("name {number}") });
        if let Write::Done(_) = admins[turn].update_backend("written", &changes, None).await {
            shared.writes.borrow_mut().push(Instant::now());
        } else {
            turn = (turn + 1) % admins.len();
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_counts_both_ends_and_nothing_outside() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let gap = |times: &[u64], from, to| {
            let times: Vec<_> = times.iter().map(|ms| at(*ms)).collect();
            longest_gap(&times, at(from), at(to)).as_millis()
        };
        assert_eq!(gap(&[10, 20, 50, 60], 0, 65), 30);
        assert_eq!(gap(&[40, 50], 0, 60), 40, "from the beginning");
        assert_eq!(gap(&[10, 20], 0, 60), 40, "to the end");
        assert_eq!(gap(&[5, 200], 10, 110), 100, "what is outside does not count");
        assert_eq!(gap(&[], 0, 60), 60);
    }
}
