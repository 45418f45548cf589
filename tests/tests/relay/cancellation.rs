//! Clients that leave: the backend's work ends with theirs, at once and in every phase.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::{RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::{FaultKind, Knobs, SimulatedBackend};
use ollamaflow_tests::wait;

use crate::scripted::ScriptedBackend;
use crate::{chat, ollama, openai_chat};
use ollamaflow_tests::setup::{Setup, active_requests, wait_idle};

/// Clients of each test, unless they keep the machine busy.
const CLIENTS: usize = 20;
const BUSY_CLIENTS: usize = 6;

/// An hour, which no test waits for.
const AGES_MS: u64 = 3_600_000;

/// One token in that time.
const TOKENS_PER_SECOND: f64 = 1.0 / 3600.0;

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Fin,
    Reset,
}

const LEAVES: [Leave; 2] = [Leave::Fin, Leave::Reset];

impl Leave {
    fn now(self, connection: RawConnection) {
        match self {
            Self::Fin => drop(connection),
            Self::Reset => connection.abort(),
        }
    }
}

async fn one(change: impl FnOnce(&mut Knobs)) -> (SimulatedBackend, Node) {
    let backend = ollama();
    backend.knobs(change);
    let node = Setup::new().backend(&backend).start().await;
    (backend, node)
}

/// A client which has asked and reads so many lines.
async fn asking(node: &Node, request: &Request, lines: usize) -> RawConnection {
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send_request(request).await.unwrap();
    if lines == 0 {
        return connection;
    }
    let mut frames = connection.response().await.unwrap().lines();
    for _ in 0..lines {
        frames.expect_next().await;
    }
    frames.into_response().into_connection()
}

/// All clients are there at once and leave one after another; the backend notices each departure.
async fn each_departure_reaches_the_backend(
    phase: &str,
    count: usize,
    request: Request,
    lines: usize,
    change: impl Fn(&mut Knobs),
) {
    for leave in LEAVES {
        let (backend, node) = one(&change).await;
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(asking(&node, &request, lines).await);
        }
        wait::until_eq("all are in flight", || backend.stats().in_flight(), count as u64).await;
        assert_eq!(active_requests(&node).await, [count as u64]);

        let mut delays = Vec::new();
        for (gone, client) in clients.into_iter().enumerate() {
            let left = Instant::now();
            leave.now(client);
            while backend.stats().cancelled() <= gone as u64 {
                assert!(
                    left.elapsed() < wait::PATIENCE,
                    "{phase}, {leave:?}: departure {gone} is not noticed"
                );
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            delays.push(left.elapsed());
        }
        delays.sort_unstable();
        println!(
            "{phase}, {leave:?}: {count} departures, cancelled at the backend after {:?} (median), {:?} (max)",
            delays[count / 2],
            delays[count - 1],
        );

        let stats = backend.stats();
        assert_eq!((stats.cancelled(), stats.in_flight(), stats.running), (count as u64, 0, 0));
        assert_eq!((stats.received(), stats.completed()), (count as u64, 0), "nothing was tried again");
        wait_idle(&node).await;
    }
}

#[tokio::test]
async fn leaving_before_the_first_byte_cancels() {
    each_departure_reaches_the_backend("before the first byte", CLIENTS, chat(true), 0, |knobs| {
        knobs.ttft_ms = AGES_MS;
    })
    .await;
}

#[tokio::test]
async fn leaving_between_head_and_first_byte_cancels() {
    each_departure_reaches_the_backend(
        "between head and first byte",
        CLIENTS,
        openai_chat(true),
        0,
        |knobs| {
            knobs.ttft_ms = AGES_MS;
            knobs.early_headers = true;
        },
    )
    .await;
}

#[tokio::test]
async fn leaving_while_a_whole_answer_is_made_cancels() {
    each_departure_reaches_the_backend("during a whole answer", CLIENTS, chat(false), 0, |knobs| {
        knobs.ttft_ms = AGES_MS;
    })
    .await;
}

#[tokio::test]
async fn leaving_between_two_frames_cancels() {
    each_departure_reaches_the_backend("between two frames", CLIENTS, chat(true), 1, |knobs| {
        knobs.tokens_per_second = TOKENS_PER_SECOND;
    })
    .await;
}

#[tokio::test]
async fn leaving_a_fast_stream_cancels() {
    each_departure_reaches_the_backend("during a fast stream", BUSY_CLIENTS, chat(true), 3, |knobs| {
        knobs.endless = true;
        knobs.frame_bytes = Some(10_000);
    })
    .await;
}

#[tokio::test]
async fn leaving_while_a_second_backend_is_tried_cancels_that_one() {
    for leave in LEAVES {
        let (first, second) = (ollama(), ollama());
        let node = Setup::new().backend(&first).backend(&second).start().await;
        first.set_fault(FaultKind::status(503));
        second.set_fault(FaultKind::HangBeforeHeaders { for_ms: None });
        let client = asking(&node, &chat(true), 0).await;
        wait::until_eq("the second backend works", || second.stats().in_flight(), 1).await;
        leave.now(client);
        wait::until_eq("it is cancelled", || second.stats().cancelled(), 1).await;
        wait_idle(&node).await;
        assert_eq!(first.stats().received(), 1);
    }
}

#[tokio::test]
async fn leaving_within_the_request_body_ends_the_upload() {
    for leave in LEAVES {
        let mut backend = ScriptedBackend::start();
        let node = Setup::new().backend(&backend).start().await;
        let mut client = RawConnection::open(node.addr()).await.unwrap();
        client.send("POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n").await.unwrap();
        client.send(vec![b'x'; 2_000_000]).await.unwrap();
        let mut conversation = backend.next().await;
        conversation.read_body(1_000_000).await;
        leave.now(client);
        conversation.gone().await;
        wait_idle(&node).await;
    }
}

#[tokio::test]
async fn leaving_within_a_body_that_no_backend_has_yet_starts_nothing() {
    let (backend, node) = one(|_| {}).await;
    let mut client = RawConnection::open(node.addr()).await.unwrap();
    client.send("POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{\"model\"").await.unwrap();
    client.abort();
    assert_eq!(chat(false).send(node.addr()).await.status(), 200);
    wait_idle(&node).await;
    assert_eq!(backend.stats().received(), 1);
}

#[tokio::test]
async fn a_client_that_stays_is_not_cancelled_by_others_that_leave() {
    let (backend, node) = one(|knobs| knobs.tokens_per_second = 200.0).await;
    let stays = chat(true).send(node.addr()).await;
    for leave in LEAVES {
        leave.now(asking(&node, &chat(true), 1).await);
    }
    let (lines, _) = stays.lines().collect().await;
    assert_eq!(lines.last().unwrap().json()["done"], true);
    wait::until_eq("two are cancelled", || backend.stats().cancelled(), 2).await;
}
