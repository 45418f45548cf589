//! Clients that send the next request when the last is answered: the load of the small-request scenario, bounded by
//! time ([`for_window`]) or by count ([`count`], where system calls or instructions are counted).

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Probe;
use super::client::Client;
use crate::clock::{CpuTime, monotonic_ns};
use crate::latency::Latency;
use crate::wire::script::ANSWER_LEAST_BYTES;

/// Pause after a failure, so that a dead proxy does not turn the clients into a busy loop.
const AFTER_FAILURE: Duration = Duration::from_millis(5);
/// How long clients may take to finish their last request before they are given up.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How long a counted load may take: a proxy under valgrind is 50 times slower, one that hangs must not hang the run.
const COUNT_LIMIT: Duration = Duration::from_secs(120);

/// What a load did in its measured window.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Requests answered with 200 and a whole body.
    pub(crate) completed: u64,
    /// Requests that failed, or got another status or less than was answered.
    pub(crate) failed: u64,
    /// Length of the window.
    pub(crate) elapsed: Duration,
    /// CPU time of the process under test within the window.
    pub(crate) cpu: CpuTime,
    /// Time from before the write to after the last byte, of the completed requests.
    pub(crate) latency: Latency,
}

/// What the clients share; one thread, so plain cells.
struct Shared {
    addr: SocketAddr,
    request: Vec<u8>,
    /// Requests that may still be started.
    budget: Cell<u64>,
    completed: Cell<u64>,
    failed: Cell<u64>,
    latency: RefCell<Latency>,
}

/// Runs `concurrency` clients for `warm_up` and then `window`; only the window counts.
pub(crate) async fn for_window(
    addr: SocketAddr,
    request: Vec<u8>,
    concurrency: usize,
    warm_up: Duration,
    window: Duration,
    cpu: Probe<'_>,
) -> Outcome {
    let shared = Shared::new(addr, request, u64::MAX);
    let clients = start(&shared, concurrency);
    tokio::time::sleep(warm_up).await;

    let cpu_before = cpu();
    let start = Instant::now();
    shared.completed.set(0);
    shared.failed.set(0);
    shared.latency.borrow_mut().clear();
    tokio::time::sleep(window).await;
    let elapsed = start.elapsed();
    let outcome = shared.outcome(elapsed, cpu().since(cpu_before));

    shared.budget.set(0);
    finish(clients).await;
    outcome
}

/// Sends exactly `requests` with `concurrency` clients.
pub(crate) async fn count(
    addr: SocketAddr,
    request: Vec<u8>,
    concurrency: usize,
    requests: u64,
    cpu: Probe<'_>,
) -> Outcome {
    let cpu_before = cpu();
    let start_time = Instant::now();
    let shared = Shared::new(addr, request, requests);
    let mut clients = start(&shared, concurrency);
    drop(tokio::time::timeout(COUNT_LIMIT, async { while clients.join_next().await.is_some() {} }).await);
    shared.outcome(start_time.elapsed(), cpu().since(cpu_before))
}

fn start(shared: &Rc<Shared>, concurrency: usize) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..concurrency {
        clients.spawn_local(run(Rc::clone(shared)));
    }
    clients
}

async fn finish(mut clients: JoinSet<()>) {
    // What is still open after the time is aborted with the set.
    drop(tokio::time::timeout(LAST_ANSWERS, async { while clients.join_next().await.is_some() {} }).await);
}

async fn run(shared: Rc<Shared>) {
    let mut connection = None;
    while shared.take_one() {
        let Some(mut client) = kept_or_new(connection.take(), shared.addr).await else {
            shared.fail().await;
            continue;
        };
        let start_ns = monotonic_ns();
        match client.exchange(&shared.request).await {
            Ok((200, length)) if length >= ANSWER_LEAST_BYTES => {
                shared.latency.borrow_mut().record(monotonic_ns() - start_ns);
                shared.completed.set(shared.completed.get() + 1);
                if client.keep_alive() {
                    connection = Some(client);
                }
            }
            _ => shared.fail().await,
        }
    }
}

async fn kept_or_new(kept: Option<Client>, addr: SocketAddr) -> Option<Client> {
    match kept {
        Some(client) => Some(client),
        None => Client::connect(addr).await.ok(),
    }
}

// === impl Shared ===

impl Shared {
    fn new(addr: SocketAddr, request: Vec<u8>, budget: u64) -> Rc<Self> {
        Rc::new(Self {
            addr,
            request,
            budget: Cell::new(budget),
            completed: Cell::new(0),
            failed: Cell::new(0),
            latency: RefCell::new(Latency::new()),
        })
    }

    fn take_one(&self) -> bool {
        let left = self.budget.get();
        self.budget.set(left.saturating_sub(1));
        left > 0
    }

    async fn fail(&self) {
        self.failed.set(self.failed.get() + 1);
        tokio::time::sleep(AFTER_FAILURE).await;
    }

    fn outcome(&self, elapsed: Duration, cpu: CpuTime) -> Outcome {
        Outcome {
            completed: self.completed.get(),
            failed: self.failed.get(),
            elapsed,
            cpu,
            latency: self.latency.borrow().clone(),
        }
    }
}
