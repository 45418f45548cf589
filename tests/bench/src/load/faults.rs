//! Upstreams that misbehave: does a truncated stream arrive as a complete one, and does a request fail because the
//! pooled connection it was sent on was being closed.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::Client;
use super::request::{self, Api, SHORT_BODY_BYTES};
use super::streams::{self, Ending, Lines};
use crate::wire::script::{Cut, Script};

/// Whole chunks before the cut.
const CHUNKS: u32 = 5;
/// The upstream closes this long after its answer.
const CLOSE_AFTER_US: u32 = 1_000;
/// The client's pause between requests, spread evenly: from well before the close to well after it.
const THINK_US: std::ops::Range<u64> = 400..2_200;
/// A truncated answer that has not ended by then counts as hanging.
const LIMIT: Duration = Duration::from_secs(5);

/// How truncated streams arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Truncations {
    /// Streams tried.
    pub(crate) tried: u64,
    /// Properly terminated without an error: a reader takes them for whole. The fault looked for.
    pub(crate) reported_complete: u64,
    /// Properly terminated, with an error in the body.
    pub(crate) error_reported: u64,
    /// Closed inside the message.
    pub(crate) cut: u64,
    /// Answered with another status, or not at all in time.
    pub(crate) other: u64,
}

/// How requests fared on connections that the upstream closes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct StaleRace {
    /// Requests sent.
    pub(crate) tried: u64,
    /// Requests without a complete 200.
    pub(crate) failed: u64,
}

/// Reads `count` truncated streams, one after the other, half of them cut inside a chunk.
pub(crate) async fn truncations(addr: SocketAddr, api: Api, count: u64) -> Truncations {
    let mut result = Truncations::default();
    for index in 0..count {
        let cut = if index % 2 == 0 { Cut::BetweenChunks } else { Cut::InsideChunk };
        let bytes = request::chat(api, Script::Truncate { after_chunks: CHUNKS, cut }, SHORT_BODY_BYTES);
        result.tried += 1;
        match tokio::time::timeout(LIMIT, one_truncated(addr, &bytes)).await {
            Ok(Some(Ending::Complete | Ending::SilentlyShort)) => result.reported_complete += 1,
            Ok(Some(Ending::ErrorReported)) => result.error_reported += 1,
            Ok(Some(Ending::Cut)) => result.cut += 1,
            Ok(Some(Ending::Refused) | None) | Err(_) => result.other += 1,
        }
    }
    result
}

async fn one_truncated(addr: SocketAddr, request: &[u8]) -> Option<Ending> {
    let mut client = Client::connect(addr).await.ok()?;
    client.send(request).await.ok()?;
    Some(streams::read_to_end(&mut client, &mut Lines::default(), |_| {}).await)
}

/// Sends `count` POSTs one after the other, with pauses around the moment at which the upstream closes.
pub(crate) async fn stale_race(addr: SocketAddr, api: Api, count: u64) -> StaleRace {
    let bytes = request::chat(api, Script::CloseAfter { delay_us: CLOSE_AFTER_US }, SHORT_BODY_BYTES);
    let mut random = fastrand::Rng::with_seed(1);
    let mut result = StaleRace::default();
    let mut connection = None;
    for _ in 0..count {
        let pause = Duration::from_micros(random.u64(THINK_US));
        // A thread's sleep: the runtime's timers resolve 1 ms, too coarse for this race.
        drop(tokio::task::spawn_blocking(move || std::thread::sleep(pause)).await);
        result.tried += 1;
        match one_exchange(addr, connection.take(), &bytes).await {
            Some(client) => connection = Some(client),
            None => result.failed += 1,
        }
    }
    result
}

/// The connection to go on with, or `None` if the request failed.
async fn one_exchange(addr: SocketAddr, kept: Option<Client>, request: &[u8]) -> Option<Client> {
    let mut client = match kept {
        Some(client) if client.keep_alive() => client,
        _ => Client::connect(addr).await.ok()?,
    };
    let answer = client.fetch(request).await.ok()?;
    (answer.status == 200).then_some(client)
}
