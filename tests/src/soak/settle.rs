//! Afterwards: the node is quiet, has counted what the clients have counted, and is as it was before.

use std::fmt;
use std::time::{Duration, Instant};

use super::ledger::Totals;
use super::order::HOSTS;
use super::world::World;
use crate::client::Request;
use crate::node::Node;

/// How long the node may take to become quiet, and to give back what it holds.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Open files more than at the start which are no leak: the connections of probes that are under way.
const FILES_SLACK: usize = 16;

/// Memory more than before which is no leak: a tenth, for the allocator's spare pages, and as much as a small node takes.
const RSS_SLACK_PERCENT: u64 = 10;
const RSS_SLACK_BYTES: u64 = 16 * 1024 * 1024;

/// What the node's process takes of the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    rss_bytes: u64,
    open_files: usize,
}

/// Requests by their outcome, as the node has counted them.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeCounts {
    complete: Option<u64>,
    error: Option<u64>,
    cancelled: Option<u64>,
}

impl State {
    pub(super) fn of(node: &Node) -> Self {
        Self { rss_bytes: node.rss_bytes(), open_files: node.open_files() }
    }

    /// Memory beyond what it was and the slack.
    pub(super) fn memory_over(self, before: Self) -> Option<String> {
        let limit = before.rss_bytes + before.rss_bytes * RSS_SLACK_PERCENT / 100 + RSS_SLACK_BYTES;
        let (now, then) = (self.rss_bytes, before.rss_bytes);
        (now > limit).then(|| format!("resident memory grew from {then} to {now} bytes"))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB resident, {} open files", self.rss_bytes / 1024, self.open_files)
    }
}

impl NodeCounts {
    pub(super) async fn of(node: &Node) -> Self {
        let metrics = node.metrics().await;
        let counted = |outcome| metrics.count("ollamaflow_requests_total", &[("outcome", outcome)]);
        Self { complete: counted("complete"), error: counted("error"), cancelled: counted("cancelled") }
    }

    fn total(self) -> u64 {
        [self.complete, self.error, self.cancelled].into_iter().flatten().sum()
    }
}

impl fmt::Display for NodeCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { complete, error, cancelled } = self;
        let shown = |count: &Option<u64>| count.map_or("none".to_owned(), |count| count.to_string());
        let (complete, error, cancelled) = (shown(complete), shown(error), shown(cancelled));
        write!(f, "total {}: complete {complete}, error {error}, cancelled {cancelled}", self.total())
    }
}

/// Waits until no request is anywhere. What stays is a violation.
pub(super) async fn wait_quiet(world: &World) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let noise = noise(world).await;
        if noise.is_empty() || Instant::now() >= deadline {
            return noise;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn noise(world: &World) -> Vec<String> {
    let mut noise = Vec::new();
    match world.node.health().await {
        Err(e) => noise.push(format!("no health list: {e}")),
        Ok(backends) => {
            for backend in backends.iter().filter(|backend| backend["ActiveRequests"] != 0) {
                let (name, active) = (&backend["Identifier"], &backend["ActiveRequests"]);
                noise.push(format!("{name} has {active} active requests afterwards"));
            }
        }
    }
    match world.node.metrics().await.count("ollamaflow_queue_length", &[]) {
        Some(0) => {}
        other => noise.push(format!("the queues hold {other:?} requests afterwards")),
    }
    for (index, backend) in world.backends.iter().enumerate() {
        let in_flight = backend.stats().in_flight();
        if in_flight != 0 {
            noise.push(format!("backend b{} still works on {in_flight} requests", index + 1));
        }
    }
    noise
}

/// Waits until the node has no more files open than at the start: idle connections to backends are kept for a while. What
/// stays more is a violation.
pub(super) async fn wait_files(node: &Node, start: State) -> Option<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = node.open_files();
        if now <= start.open_files + FILES_SLACK {
            return None;
        }
        if Instant::now() >= deadline {
            return Some(format!("open files grew from {} to {now}", start.open_files));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Both ends have counted the same. A client that left may have been anything to the node: it may have had the whole answer
/// on its way; all other classes are the same on both sides.
pub(super) fn compare_counts(clients: &Totals, node: &NodeCounts) -> Vec<String> {
    let (Some(complete), Some(error), Some(cancelled)) = (node.complete, node.error, node.cancelled) else {
        return vec!["/metrics has no ollamaflow_requests_total by outcome".to_owned()];
    };
    let mut differences = Vec::new();
    if node.total() != clients.total() {
        differences.push(format!(
            "clients made {} requests, the node counted {}",
            clients.total(),
            node.total()
        ));
    }
    let bounds = [
        ("complete", complete, clients.done),
        ("error", error, clients.failed + clients.cut),
        ("cancelled", cancelled, 0),
    ];
    for (name, counted, least) in bounds {
        if !(least..=least + clients.gone).contains(&counted) {
            differences.push(format!(
                "the node counted {counted} {name}; clients saw {least}, and {} left",
                clients.gone
            ));
        }
    }
    differences
}

/// A further request to each frontend is served. Circuits and cool-downs may take a moment.
pub(super) async fn still_serves(world: &World) -> Vec<String> {
    let mut refused = Vec::new();
    for host in HOSTS {
        let body = serde_json::json!({ "model": "m", "prompt": "still there", "stream": false });
        let request = Request::post("/api/generate").host(host).json(&body);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = request.send(world.node.addr()).await.collect().await;
            if answer.status() == 200 {
                break;
            }
            if Instant::now() >= deadline {
                refused.push(format!("frontend {host} does not serve afterwards: {}", answer.text()));
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_equal_but_for_what_a_client_that_left_may_have_been() {
        let clients = Totals { done: 70, failed: 18, cut: 2, gone: 10, violated: 0 };
        let counts = |complete, error, cancelled| NodeCounts {
            complete: Some(complete),
            error: Some(error),
            cancelled: Some(cancelled),
        };
        for good in [counts(70, 20, 10), counts(74, 23, 3), counts(80, 20, 0)] {
            assert_eq!(compare_counts(&clients, &good), Vec::<String>::new(), "{good}");
        }
        for bad in [counts(70, 20, 9), counts(69, 21, 10), counts(75, 14, 11), counts(81, 20, 0)] {
            assert!(!compare_counts(&clients, &bad).is_empty(), "{bad}");
        }
        let missing = NodeCounts { complete: None, error: None, cancelled: None };
        assert_eq!(compare_counts(&clients, &missing).len(), 1);
    }
}
