//! Clients that ask for a long stream and read nothing of it: what a proxy keeps of it for them.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::Client;
use super::streams::{self, Ending, Lines};

/// A stream that has not begun by then is not counted.
const BEGINNING: Duration = Duration::from_secs(10);
/// A stream that is not read by then is not whole.
const READING: Duration = Duration::from_secs(30);

/// Streams of which nothing was read; dropping them closes them.
#[derive(Debug)]
pub(crate) struct SlowReaders {
    clients: Vec<Client>,
}

/// Sends `request` on `count` connections, one after the other, and waits until each answer has begun.
pub(crate) async fn open(addr: SocketAddr, request: &[u8], count: usize) -> SlowReaders {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = async {
            let mut client = Client::connect(addr).await.ok()?;
            client.send(request).await.ok()?;
            client.peek_ok().await.ok()?.then_some(client)
        };
        clients.extend(tokio::time::timeout(BEGINNING, begun).await.ok().flatten());
    }
    SlowReaders { clients }
}

// === impl SlowReaders ===

impl SlowReaders {
    /// Streams that have begun.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Reads the first `count` streams to their ends: how many were tried, and how many of them have all `chunks`.
    pub(crate) async fn read(&mut self, count: usize, chunks: u32) -> (usize, usize) {
        let (mut tried, mut whole) = (0, 0);
        for client in self.clients.iter_mut().take(count) {
            let (mut lines, mut received) = (Lines::default(), 0);
            let read = streams::read_to_end(client, &mut lines, |_| received += 1);
            let ending = tokio::time::timeout(READING, read).await;
            tried += 1;
            whole += usize::from(ending == Ok(Ending::Complete) && received == chunks);
        }
        (tried, whole)
    }
}
