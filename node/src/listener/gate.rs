//! A client's socket that hands the server one request at a time.
//!
//! While a request is being answered the socket is still read, to notice that the client leaves; what it sends ahead
//! is held, up to a bound, until its turn. The head of a later request on the connection has a deadline here.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::rt::time::{Sleep, sleep};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;
use super::framing::RequestFraming;
use super::socket::Socket;

/// What a client may send ahead of its turn, in bytes. With more waiting its socket is left alone, and TCP tells it to
/// wait.
const MAX_AHEAD_BYTES: usize = 64 * 1024;

/// How much is read ahead at once.
const AHEAD_READ_BYTES: usize = 4 * 1024;

/// The answer to a head that does not arrive: the server has nothing in flight then, so it is written past it.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\naccess-control-allow-origin: *\r\n\r\n";

/// One client's socket behind its gate.
#[derive(Debug)]
pub struct GatedStream {
    socket: Socket,
    connection: Rc<Connection>,
    framing: RequestFraming,
    /// Sent ahead by the client, not yet given to the server.
    held: BytesMut,
    /// When the head that has begun must be complete; the server times the first one itself.
    deadline: Option<Pin<Box<Sleep>>>,
    head_timeout: Duration,
    is_first: bool,
    /// The server could not write all that it wanted to the last time: it has part of an answer left.
    is_behind: bool,
}

// === impl GatedStream ===

impl GatedStream {
    pub(super) fn new(socket: Socket, head_timeout: Duration) -> Self {
        Self {
            connection: Rc::new(Connection::new(socket.is_secure())),
            socket,
            framing: RequestFraming::default(),
            held: BytesMut::new(),
            deadline: None,
            head_timeout,
            is_first: true,
            is_behind: false,
        }
    }

    pub(super) fn connection(&self) -> Rc<Connection> {
        self.connection.clone()
    }

    /// Notes what the server gets; how much of it belongs to the current request.
    fn deliver(&mut self, bytes: &[u8]) -> usize {
        let taken = match self.framing.push(bytes) {
            Some(taken) => {
                self.connection.request_delivered();
                self.is_first = false;
                taken
            }
            None => bytes.len(),
        };
        if !self.framing.is_in_head() {
            self.deadline = None;
        } else if !self.is_first && self.deadline.is_none() {
            self.deadline = Some(Box::pin(sleep(self.head_timeout)));
        }
        taken
    }

    /// Notes whether the server got rid of all that it wanted to write.
    fn wrote(&mut self, wanted: usize, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.is_behind = !matches!(&result, Poll::Ready(Ok(written)) if *written == wanted);
        result
    }

    fn poll_next_request(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            let offered = buf.remaining().min(held.len());
            let taken = self.deliver(&held[..offered]);
            buf.put_slice(&held[..taken]);
            held.advance(taken);
            self.held = held;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.socket).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let read = &buf.filled()[before..];
                let taken = self.deliver(read);
                self.held.extend_from_slice(&read[taken..]);
                buf.set_filled(before + taken);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => self.poll_deadline(cx),
        }
    }

    /// The head takes too long: says so and ends the connection.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        if deadline.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.deadline = None;
        // Whether it can be told or not, it is over. In the middle of an answer it cannot.
        if !self.is_behind {
            self.socket.write_at_once(TOO_SLOW);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads while it is not the client's turn: an end is passed on at once, anything else waits.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Not zeroed: this runs for every piece of every answer, and hardly ever reads anything.
        let mut bytes = [MaybeUninit::uninit(); AHEAD_READ_BYTES];
        while self.held.len() < MAX_AHEAD_BYTES {
            let mut ahead = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.socket).poll_read(cx, &mut ahead) {
                Poll::Ready(Ok(())) if ahead.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => self.held.extend_from_slice(ahead.filled()),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => break,
            }
        }
        // With nothing held, the socket itself is all that the next request waits for.
        if !self.held.is_empty() {
            self.connection.wake_later(cx.waker());
        }
        Poll::Pending
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.is_busy() { self.poll_ahead(cx) } else { self.poll_next_request(cx, buf) }
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(buf.len(), result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.wrote(bufs.iter().map(|buf| buf.len()).sum(), result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// The server ends each of its turns with this.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_left_waiting() {
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
