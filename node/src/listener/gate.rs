//! A client's socket that hands the server one request at a time.
//!
//! While a request is being answered the socket is still read, to notice that the client leaves; what it sends ahead
//! is held, up to a bound, until its turn. The head of a later request on the connection has a deadline here.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

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

/// What the server gets of a request in one of its turns at most. It reads into one buffer of 8 KiB, which it lets grow when
/// less than 1 KiB of it is free and it may read on, and keeps as it is for as long as the connection lives: 100 KiB more for
/// each stream that began with a long prompt. What it has read it takes out of the buffer behind each turn.
const TURN_BYTES: usize = 7 * 1024;

/// With less room than this the server makes more.
const LEAST_ROOM_BYTES: usize = 1024;

/// Behind so much of a request the server may read as it likes: it is no prompt but an upload, and turns cost time.
const UPLOAD_BYTES: usize = 1024 * 1024;

/// The answer to a head that does not arrive: the server has nothing in flight then, so it is written past it.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\naccess-control-allow-origin: *\r\n\r\n";

/// How long a connection may be idle. The server would start a timer behind each answer and stop it before the next
/// request: this one runs through, and looks how long the connection has been idle when it has run down.
#[derive(Debug)]
struct Idling {
    keep_alive: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

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
    /// Ends the connection when it is idle for too long.
    idling: Option<Idling>,
    is_first: bool,
    /// The server has got enough for this turn.
    is_turn_over: bool,
    /// What it got of the current request.
    request: usize,
    /// The server could not write all that it wanted to the last time: it has part of an answer left.
    is_behind: bool,
}

// === impl GatedStream ===

impl GatedStream {
    /// Idle connections are kept for `keep_alive`; without it that is not looked after here.
    pub(super) fn new(socket: Socket, head_timeout: Duration, keep_alive: Option<Duration>) -> Self {
        Self {
            connection: Rc::new(Connection::new(socket.is_secure())),
            socket,
            framing: RequestFraming::default(),
            held: BytesMut::new(),
            deadline: None,
            head_timeout,
            idling: keep_alive.map(Idling::new),
            is_first: true,
            is_turn_over: false,
            request: 0,
            is_behind: false,
        }
    }

    pub(super) fn connection(&self) -> Rc<Connection> {
        self.connection.clone()
    }

    /// Notes what the server gets; how much of it belongs to the current request.
    fn deliver(&mut self, bytes: &[u8]) -> usize {
        let taken = if let Some(taken) = self.framing.push(bytes) {
            self.connection.request_delivered();
            self.is_first = false;
            self.request = 0;
            taken
        } else {
            self.request = self.request.saturating_add(bytes.len());
            bytes.len()
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
        if std::mem::take(&mut self.is_turn_over) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let limit = if self.request < UPLOAD_BYTES { TURN_BYTES } else { usize::MAX };
        if !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            let offered = buf.remaining().min(held.len()).min(limit);
            let taken = self.deliver(&held[..offered]);
            buf.put_slice(&held[..taken]);
            held.advance(taken);
            self.held = held;
            self.is_turn_over = limit < usize::MAX;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match self.poll_socket(cx, buf, limit) {
            Poll::Ready(Ok(())) => {
                let read = &buf.filled()[before..];
                let taken = self.deliver(read);
                self.held.extend_from_slice(&read[taken..]);
                let is_full = read.len() >= limit || buf.remaining() < LEAST_ROOM_BYTES;
                self.is_turn_over = is_full && limit < usize::MAX;
                buf.set_filled(before + taken);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending if self.framing.is_in_head() => self.poll_deadline(cx),
            Poll::Pending if self.is_idle_for_too_long(cx) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads so much at most.
    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        limit: usize,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() <= limit {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let mut bytes = [MaybeUninit::uninit(); TURN_BYTES];
        let mut piece = ReadBuf::uninit(&mut bytes);
        let result = Pin::new(&mut self.socket).poll_read(cx, &mut piece);
        buf.put_slice(piece.filled());
        result
    }

    fn is_idle_for_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let (connection, framing) = (&self.connection, &self.framing);
        let since = || connection.idle_since().filter(|_| framing.is_idle());
        self.idling.as_mut().is_some_and(|idling| idling.poll(since, cx))
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
        // It begins to run while the first request is answered, and is never too long then.
        self.is_idle_for_too_long(cx);
        // With nothing held, the socket itself is all that the next request waits for.
        if !self.held.is_empty() {
            self.connection.wake_later(cx.waker());
        }
        Poll::Pending
    }
}

// === impl Idling ===

impl Idling {
    fn new(keep_alive: Duration) -> Self {
        Self { keep_alive, timer: None }
    }

    /// Whether the connection has been idle for too long. Wakes the task again when it may have.
    fn poll(&mut self, since: impl Fn() -> Option<Instant>, cx: &mut Context<'_>) -> bool {
        let timer = match &mut self.timer {
            // It has been asked already, and wakes the connection's one task.
            Some(timer) if !timer.is_elapsed() => return false,
            Some(timer) => timer,
            none => none.insert(Box::pin(sleep(self.keep_alive))),
        };
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let end = since().unwrap_or(now) + self.keep_alive;
            if end <= now {
                return true;
            }
            timer.as_mut().reset(end.into());
        }
        false
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
