//! Many open streams on which nothing happens after the first chunk: what they cost a proxy in memory and time.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::client::{Client, Read};

/// Streams that are being opened at the same time; all at once would only measure the backlog.
const OPENING: usize = 64;
/// A stream whose first chunk takes longer is not counted as open.
const LIMIT: Duration = Duration::from_secs(10);

/// Open streams; dropping them closes them.
#[derive(Debug)]
pub(crate) struct IdleStreams {
    clients: Vec<Client>,
}

/// Opens `count` streams and waits for the first chunk of each.
pub(crate) async fn open(addr: SocketAddr, request: &[u8], count: usize) -> IdleStreams {
    let request: Rc<[u8]> = request.into();
    let mut opening = JoinSet::new();
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        if opening.len() >= OPENING
            && let Some(Ok(Some(client))) = opening.join_next().await
        {
            clients.push(client);
        }
        let request = Rc::clone(&request);
        opening.spawn_local(
            async move { tokio::time::timeout(LIMIT, one(addr, &request)).await.ok().flatten() },
        );
    }
    while let Some(opened) = opening.join_next().await {
        if let Ok(Some(client)) = opened {
            clients.push(client);
        }
    }
    IdleStreams { clients }
}

async fn one(addr: SocketAddr, request: &[u8]) -> Option<Client> {
    let mut client = Client::connect(addr).await.ok()?;
    client.send(request).await.ok()?;
    let mut received = 0;
    while received == 0 {
        let read = client.read(&mut |bytes| received += bytes.len()).await.ok()?;
        if read != Read::More || (client.status() != 0 && client.status() != 200) {
            return None;
        }
    }
    Some(client)
}

// === impl IdleStreams ===

impl IdleStreams {
    /// Streams that are open.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }
}
