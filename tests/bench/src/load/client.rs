//! One client connection: sends prepared requests, reads answers. No pool, no retry, no timeout of its own except the
//! one that keeps a dead proxy from hanging the run.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::decoder::{DecodeError, Decoder, Progress};

/// Longest wait for anything: far beyond what a working proxy needs, so it only ends a run that hangs.
const STUCK: Duration = Duration::from_secs(30);
/// Read buffer at the start; an answer of 1 KiB fits.
const READ_BYTES: usize = 4 * 1024;
/// What an answer with status 200 begins with.
const OK_HEAD: &[u8; 12] = b"HTTP/1.1 200";

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    socket: TcpStream,
    input: Vec<u8>,
    decoder: Decoder,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The connection failed, or was closed before or inside the answer.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The answer is not HTTP.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Nothing came for half a minute.
    #[error("no answer within {} s", STUCK.as_secs())]
    Stuck,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// The answer goes on.
    More,
    /// The answer is complete.
    Done,
    /// The connection ended inside the answer.
    Cut,
}

// === impl Client ===

impl Client {
    /// Connects, without Nagle's delay.
    pub(crate) async fn connect(addr: SocketAddr) -> Result<Self, ClientError> {
        let socket =
            tokio::time::timeout(STUCK, TcpStream::connect(addr)).await.map_err(|_| ClientError::Stuck)??;
        socket.set_nodelay(true)?;
        Ok(Self { socket, input: Vec::with_capacity(READ_BYTES), decoder: Decoder::new() })
    }

    /// Sends a whole request and prepares for its answer.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<(), ClientError> {
        self.decoder = Decoder::new();
        self.input.clear();
        Ok(self.socket.write_all(request).await?)
    }

    /// Waits for bytes once; body bytes go to `body`. The connection's end is a [`Read::Cut`], as is its reset.
    pub(crate) async fn read(&mut self, body: &mut impl FnMut(&[u8])) -> Result<Read, ClientError> {
        match self.socket.read_buf(&mut self.input).await {
            Ok(0) if self.decoder.ends_at_close() => Ok(Read::Done),
            Ok(0) => Ok(Read::Cut),
            Ok(_) => match self.decoder.push(&mut self.input, body)? {
                Progress::More => Ok(Read::More),
                Progress::Done => Ok(Read::Done),
            },
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Read::Cut),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request and reads the whole answer without keeping its body: the status, and how long the body is.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, usize), ClientError> {
        self.send(request).await?;
        let mut length = 0;
        let status = self.drain(&mut |bytes| length += bytes.len()).await?;
        Ok((status, length))
    }

    /// Waits for the head of an answer without taking anything out of the socket; whether it has status 200.
    pub(crate) async fn peek_ok(&self) -> Result<bool, ClientError> {
        let mut start = [0; OK_HEAD.len()];
        loop {
            let seen = self.socket.peek(&mut start).await?;
            if seen == 0 || seen == start.len() {
                return Ok(seen == start.len() && start == *OK_HEAD);
            }
            // Some bytes of the line are there: peeking would not wait for the others.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Like [`exchange`](Self::exchange), but bounded in time and with the body.
    pub(crate) async fn fetch(&mut self, request: &[u8]) -> Result<Answer, ClientError> {
        let mut body = Vec::new();
        self.send(request).await?;
        let mut keep = |bytes: &[u8]| body.extend_from_slice(bytes);
        let status =
            tokio::time::timeout(STUCK, self.drain(&mut keep)).await.map_err(|_| ClientError::Stuck)??;
        Ok(Answer { status, body })
    }

    /// The status of the current answer, 0 before its head.
    pub(crate) fn status(&self) -> u16 {
        self.decoder.status()
    }

    /// Whether the connection can carry another request after a complete answer.
    pub(crate) fn keep_alive(&self) -> bool {
        self.decoder.keep_alive()
    }

    async fn drain(&mut self, body: &mut impl FnMut(&[u8])) -> Result<u16, ClientError> {
        loop {
            match self.read(body).await? {
                Read::More => {}
                Read::Done => return Ok(self.decoder.status()),
                Read::Cut => return Err(ClientError::Io(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }
}
