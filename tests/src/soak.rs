//! The soak: hundreds of clients of both APIs send a great many requests through a real node to simulated backends which are
//! killed, restarted, reset, hung, slowed and overloaded at random. Each request ends in exactly one of three ways, as its
//! client sees it; the node must have counted the same; and afterwards it must be as it was before.
//!
//! `order` says what a client asks for and when it leaves, `judge` what an answer was (pure), `client` sends and reads,
//! `world` holds node and backends, `weather` makes the trouble, `ledger` counts, `settle` compares with the node's own
//! counts and with the state before.

mod client;
mod judge;
mod ledger;
mod order;
mod settle;
mod weather;
mod world;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use self::ledger::Ledger;
use self::settle::State;
use self::world::World;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Requests of the measured part; the warm-up comes on top.
    pub requests: u64,
    /// Clients at once, each with one request at a time.
    pub clients: u64,
    /// Seed of all dice.
    pub seed: u64,
    /// The longest the measured part may take.
    pub limit: Duration,
}

/// A part of the requests goes before, so that pools, buffers and tables have their usual size when the state is looked at.
const WARM_UP_SHARE: u64 = 10;

/// Time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Runs the soak and prints a summary. Gives the violations, of which there must be none.
pub async fn run(plan: Plan) -> Vec<String> {
    let world = Arc::new(World::start(plan.seed).await);
    let ledger = Arc::new(Ledger::default());

    let start = State::of(&world.node);
    say(&format!("start:  {start}"));

    let warm_up = (plan.requests / WARM_UP_SHARE).max(plan.clients * 2);
    say(&format!("warm-up: {warm_up} requests by {} clients", plan.clients));
    drive(&world, &ledger, plan, warm_up).await;
    let mut violations = settle::wait_quiet(&world).await;
    // Connections are closed by then; memory that was used once stays with the allocator.
    violations.extend(settle::wait_files(&world.node, start).await);
    let before = State::of(&world.node);
    say(&format!("before: {before}"));

    say(&format!("soak: {} requests by {} clients", plan.requests, plan.clients));
    let started = Instant::now();
    drive(&world, &ledger, plan, plan.requests).await;
    let took = started.elapsed();
    violations.extend(settle::wait_quiet(&world).await);
    say(&format!("{} requests in {took:.1?}, killed {} times", plan.requests, world.kills()));

    violations.extend(settle::wait_files(&world.node, start).await);
    let after = State::of(&world.node);
    say(&format!("after:  {after}"));
    violations.extend(after.memory_over(before));
    let node = settle::NodeCounts::of(&world.node).await;
    let clients = ledger.totals();
    say(&format!("clients: {clients}"));
    say(&format!("node:    {node}"));
    say(&format!("backends received {} inference requests", world.received()));
    violations.extend(settle::compare_counts(&clients, &node));
    violations.extend(ledger.violations());
    if clients.total() < plan.requests + warm_up {
        violations.push(format!("only {} requests were made in the time", clients.total()));
    }
    violations.extend(settle::still_serves(&world).await);
    violations
}

/// Prints a line at once, also into a pipe.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nothing is left to report to when this fails.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// So many requests by all clients at once, under changing weather.
async fn drive(world: &Arc<World>, ledger: &Arc<Ledger>, plan: Plan, requests: u64) {
    let weather = weather::start(Arc::clone(world), plan.seed ^ requests);
    let goal = ledger.begun() + requests;
    let deadline = Instant::now() + plan.limit;
    let mut clients = JoinSet::new();
    for index in 0..plan.clients {
        let dice =
            fastrand::Rng::with_seed(plan.seed.wrapping_add(goal).wrapping_mul(31).wrapping_add(index));
        clients.spawn(client::run(Arc::clone(world), Arc::clone(ledger), dice, goal, deadline));
    }
    let mut progress = tokio::time::interval(PROGRESS_INTERVAL);
    progress.reset();
    loop {
        tokio::select! {
            ended = clients.join_next() => match ended {
                Some(Ok(())) => {}
                Some(Err(e)) => ledger.violate(format!("a client panicked: {e}")),
                None => break,
            },
            _ = progress.tick() => say(&format!("  {}", ledger.totals())),
        }
    }
    weather.clear_up().await;
}
