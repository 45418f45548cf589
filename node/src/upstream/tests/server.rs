//! The scripted server: accepts connections and lets the test read requests and write raw bytes.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::Target;

/// A small response that leaves the connection open.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A listener on a port of the system's choice.
pub(super) struct Server {
    listener: TcpListener,
    pub(super) target: Arc<Target>,
}

/// The server's side of one connection.
pub(super) struct Peer<S = TcpStream> {
    pub(super) stream: S,
    unread: Vec<u8>,
}

/// A request as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    /// Request line and header lines, without the empty line.
    pub(super) head: String,
    /// The body as sent: chunk framing is left in.
    pub(super) body: Vec<u8>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, target: Target::new("127.0.0.1", port, None).unwrap() }
    }

    pub(super) fn port(&self) -> u16 {
        self.target.port()
    }

    pub(super) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer::new(stream)
    }

    /// Accepts one connection, answers one request with raw bytes, and hands the connection back.
    pub(super) async fn answer(&self, response: impl AsRef<[u8]>) -> Peer {
        let mut peer = self.accept().await;
        peer.answer(response).await;
        peer
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The head of the next request; what follows it stays unread.
    pub(super) async fn request_head(&mut self) -> String {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert!(self.fill().await > 0, "closed inside a request head: {:?}", self.unread.escape_ascii());
        };
        let head = String::from_utf8(self.unread[..end].to_vec()).unwrap();
        self.unread.drain(..end + 4);
        head
    }

    /// The next request with its whole body.
    pub(super) async fn request(&mut self) -> Received {
        let head = self.request_head().await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = if let Some(length) = length {
            self.take(length.parse().unwrap()).await
        } else if head.contains("transfer-encoding: chunked") {
            self.take_through(b"0\r\n\r\n").await
        } else {
            Vec::new()
        };
        Received { head, body }
    }

    /// Reads a request and writes raw bytes.
    pub(super) async fn answer(&mut self, response: impl AsRef<[u8]>) -> Received {
        let request = self.request().await;
        self.send(response).await;
        request
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next `length` bytes.
    pub(super) async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.fill().await > 0, "closed inside a request body");
        }
        self.unread.drain(..length).collect()
    }

    async fn take_through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return self.take(at + end.len()).await;
            }
            assert!(self.fill().await > 0, "closed inside a request body");
        }
    }

    /// Waits until the client closes the connection (or resets it) and returns what it sent before.
    pub(super) async fn closed(&mut self) -> Vec<u8> {
        while let Ok(1..) = self.stream.read_buf(&mut self.unread).await {}
        std::mem::take(&mut self.unread)
    }

    async fn fill(&mut self) -> usize {
        self.unread.reserve(16 * 1024);
        self.stream.read_buf(&mut self.unread).await.unwrap()
    }
}

impl Peer<TcpStream> {
    /// Closes with a reset instead of a regular end.
    pub(super) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}
