//! A TCP connection under full control of the test: exact bytes out, exact bytes in, and how it ended.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::SILENCE_LIMIT;
use super::request::Request;
use super::response::{NoResponse, Response};

/// How the other side ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// Orderly.
    Fin,
    /// By a reset.
    Reset,
}

/// What a read brought.
#[derive(Debug)]
pub(super) enum Read {
    Bytes,
    Closed(Close),
}

/// A connection to a server under test. Dropping it closes it; see [`abort`](Self::abort) for a reset.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    peer: SocketAddr,
    pub(super) inbox: BytesMut,
    /// When the bytes at the inbox's end came.
    pub(super) last_read_at: Instant,
    pub(super) close: Option<Close>,
    /// The answer to the last request has no body, whatever its head says.
    pub(super) bodiless: bool,
    read_limit: usize,
}

impl RawConnection {
    /// Connects; an error such as a refusal is the caller's to look at.
    pub async fn open(target: impl Into<SocketAddr>) -> io::Result<Self> {
        let peer = target.into();
        Self::over(TcpStream::connect(peer).await?, peer)
    }

    /// Connects with a small receive buffer: the server's writes soon block when this side does not read.
    pub async fn open_with_receive_buffer(target: impl Into<SocketAddr>, bytes: u32) -> io::Result<Self> {
        let peer = target.into();
        let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_recv_buffer_size(bytes)?;
        Self::over(socket.connect(peer).await?, peer)
    }

    fn over(stream: TcpStream, peer: SocketAddr) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            peer,
            inbox: BytesMut::new(),
            last_read_at: Instant::now(),
            close: None,
            bodiless: false,
            read_limit: 64 * 1024,
        })
    }

    /// The address of this side.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Each read takes this many bytes at most.
    pub fn limit_reads(&mut self, bytes: usize) {
        self.read_limit = bytes.max(1);
    }

    /// Sends these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Sends these bytes in parts, with a pause after each.
    pub async fn send_slowly(&mut self, bytes: &[u8], part_bytes: usize, pause: Duration) -> io::Result<()> {
        for part in bytes.chunks(part_bytes.max(1)) {
            self.stream.write_all(part).await?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Sends a request.
    pub async fn send_request(&mut self, request: &Request) -> io::Result<()> {
        self.bodiless = request.method == "HEAD";
        let wire = request.to_wire(self.peer);
        self.stream.write_all(&wire).await
    }

    /// Reads an answer's head; the body is read from what it gives.
    pub async fn response(self) -> Result<Response, NoResponse> {
        Response::read(self).await
    }

    /// Sends a request and reads the answer's head.
    pub async fn exchange(mut self, request: &Request) -> Result<Response, NoResponse> {
        match self.send_request(request).await {
            Ok(()) => self.response().await,
            // What the server said before it closed is still to be read.
            Err(_) => match self.response().await {
                Err(NoResponse::Closed) => Err(NoResponse::Reset),
                other => other,
            },
        }
    }

    /// The next raw bytes, as they come; nothing when the other side closed, see [`closed`](Self::closed).
    pub async fn read_some(&mut self) -> Option<Bytes> {
        if self.inbox.is_empty() {
            self.fill().await;
        }
        let bytes = self.inbox.split().freeze();
        Some(bytes).filter(|bytes| !bytes.is_empty())
    }

    /// All raw bytes until the other side closes.
    pub async fn read_to_end(&mut self) -> (Vec<u8>, Close) {
        let mut all = Vec::new();
        loop {
            match self.read_some().await {
                Some(bytes) => all.extend_from_slice(&bytes),
                None => return (all, self.close.unwrap_or(Close::Fin)),
            }
        }
    }

    /// Whether and how the other side closed, as far as was read.
    pub fn closed(&self) -> Option<Close> {
        self.close
    }

    /// Ends the sending side; the answer can still be read.
    pub async fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Resets the connection.
    pub fn abort(self) {
        // Without it the drop closes in an orderly way, and the test sees the difference.
        drop(self.stream.set_zero_linger());
    }

    /// Reads once. Panics after [`SILENCE_LIMIT`].
    pub(super) async fn fill(&mut self) -> Read {
        if let Some(close) = self.close {
            return Read::Closed(close);
        }
        self.inbox.reserve(self.read_limit);
        let mut limited = (&mut self.stream).take(self.read_limit as u64);
        let read = tokio::time::timeout(SILENCE_LIMIT, limited.read_buf(&mut self.inbox)).await;
        let Ok(read) = read else { panic!("no byte from {} for {SILENCE_LIMIT:?}", self.peer) };
        self.last_read_at = Instant::now();
        let close = match read {
            Ok(1..) => return Read::Bytes,
            Ok(0) => Close::Fin,
            Err(_) => Close::Reset,
        };
        self.close = Some(close);
        Read::Closed(close)
    }
}
