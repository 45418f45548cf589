//! One TCP connection of the simulated backend: reading ahead, writing, and noticing that the client left even while
//! nothing is written. Bytes only; HTTP is above.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;

/// Bytes read ahead (pipelined requests) while an answer is under way. When they are in, a departure is noticed by
/// writing only.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// The client closed or reset the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientGone;

/// How a connection is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    Fin,
    Reset,
}

/// A connection and what was read from it but not used yet.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    pub inbox: BytesMut,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Self {
        // Each write is to be its own segment; a socket that cannot do this still works.
        drop(stream.set_nodelay(true));
        Self { stream, inbox: BytesMut::with_capacity(4096) }
    }

    /// Reads more into the inbox; 0 is the end.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        self.inbox.reserve(16 * 1024);
        self.stream.read_buf(&mut self.inbox).await
    }

    /// Writes all, unless the client leaves first. For use once the request has been read.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        let (mut reader, mut writer) = self.stream.split();
        tokio::select! {
            biased;
            () = watch_peer(&mut reader, &mut self.inbox) => Err(ClientGone),
            written = writer.write_all(bytes) => written.map_err(|_| ClientGone),
        }
    }

    /// Writes all without looking at what arrives. For answers to requests that are not read.
    pub(super) async fn send_unwatched(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        self.stream.write_all(bytes).await.map_err(|_| ClientGone)
    }

    /// Does some work, unless the client leaves first.
    pub(super) async fn watched<T>(&mut self, work: impl Future<Output = T>) -> Result<T, ClientGone> {
        let (mut reader, _) = self.stream.split();
        tokio::select! {
            biased;
            () = watch_peer(&mut reader, &mut self.inbox) => Err(ClientGone),
            done = work => Ok(done),
        }
    }

    /// Ends the sending side and throws away what comes until the client closes, for a while at most. Without it, closing
    /// with unread bytes would send a reset, which may destroy an answer the client has not read yet.
    pub(super) async fn linger(&mut self, at_most: Duration) {
        drop(self.stream.shutdown().await);
        let discard = async {
            loop {
                self.inbox.clear();
                if !matches!(self.fill().await, Ok(1..)) {
                    return;
                }
            }
        };
        drop(tokio::time::timeout(at_most, discard).await);
    }

    /// Closes.
    pub(super) async fn close(mut self, farewell: Farewell) {
        match farewell {
            Farewell::Fin => drop(self.stream.shutdown().await),
            Farewell::Reset => drop(self.stream.set_zero_linger()),
        }
    }
}

/// Ends when the client closes or resets; a half-closed connection counts, as it does for Go's HTTP server.
async fn watch_peer(reader: &mut ReadHalf<'_>, inbox: &mut BytesMut) {
    loop {
        if inbox.len() >= READ_AHEAD_BYTES {
            return std::future::pending().await;
        }
        inbox.reserve(4096);
        if !matches!(reader.read_buf(inbox).await, Ok(1..)) {
            return;
        }
    }
}
