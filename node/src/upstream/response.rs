//! The response as the gateway sees it, and its body, which reads on from the connection.
//!
//! The body owns the connection. At its end the connection goes back to the pool, if the exchange allows it; at any
//! fault, and when the body is dropped before its end, the connection is closed on the spot.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderName, HeaderValue, StatusCode};

use super::client::Shared;
use super::decode::{BodyDecoder, BodyKind, DecodeLimits};
use super::error::BodyError;
use super::io::Io;

/// A response whose head has arrived.
#[derive(Debug)]
pub struct Response {
    /// The final status; interim ones are not reported.
    pub status: StatusCode,
    /// All header lines in the order received, repeats kept, framing and hop-by-hop ones included (how the body ends is
    /// told by [`ResponseBody::kind`]). The values share one allocation.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; drop it to end the exchange.
    pub body: ResponseBody,
    /// Whether the connection had served another request before.
    pub reused: bool,
}

/// A response body that is read as it arrives.
///
/// Dropping it before its end closes the connection at once, which is what makes a server stop generating.
pub struct ResponseBody {
    kind: BodyKind,
    /// Payload that is decoded but not yet taken.
    ready: Bytes,
    state: State,
    watcher: Option<Watcher>,
}

/// Sees each piece of a body when it is taken; dropped with the body.
pub type Watcher = Box<dyn FnMut(&Bytes)>;

enum State {
    Reading {
        io: Io,
        decoder: BodyDecoder,
        pool_key: Option<u64>,
        shared: Rc<Shared>,
    },
    /// Broken behind the payload that is ready.
    Failed(BodyError),
    Complete,
    /// The fault was reported.
    Aborted,
}

/// The first look at a body: what came in the same read as the head.
pub(super) struct Intake {
    decoder: BodyDecoder,
    payload: Bytes,
    /// The server sent more than the response.
    surplus: bool,
}

impl ResponseBody {
    /// `pool_key`: where the connection goes at the end of the body; without one it is closed.
    pub(super) fn new(
        kind: BodyKind,
        io: Io,
        intake: Intake,
        pool_key: Option<u64>,
        shared: Rc<Shared>,
    ) -> Self {
        let Intake { decoder, payload, surplus } = intake;
        let pool_key = pool_key.filter(|_| !surplus);
        let mut body = Self {
            kind,
            ready: payload,
            state: State::Reading { io, decoder, pool_key, shared },
            watcher: None,
        };
        body.settle();
        body
    }

    /// How the end of the body is found.
    pub fn kind(&self) -> BodyKind {
        self.kind
    }

    /// Shows each further piece to `watcher`.
    pub fn watch(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    /// Whether the whole body was received and taken. Stays false after an error.
    pub fn is_end(&self) -> bool {
        self.ready.is_empty() && matches!(self.state, State::Complete)
    }

    /// The payload of the next read, without framing, as one piece; `None` after the last one.
    ///
    /// # Errors
    /// See [`BodyError`]; the payload before the fault is handed out first, and `None` follows it.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if !self.ready.is_empty() {
                let piece = mem::take(&mut self.ready);
                if let Some(watcher) = &mut self.watcher {
                    watcher(&piece);
                }
                return Poll::Ready(Some(Ok(piece)));
            }
            match &self.state {
                State::Reading { .. } => ready!(self.poll_read(cx)),
                State::Complete | State::Aborted => return Poll::Ready(None),
                State::Failed(_) => {
                    let State::Failed(error) = mem::replace(&mut self.state, State::Aborted) else {
                        continue;
                    };
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    /// One read from the connection, decoded.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Reading { io, decoder, pool_key, shared } = &mut self.state else {
            return Poll::Ready(());
        };
        let mut scratch = shared.scratch.borrow_mut();
        match ready!(io.poll_read(cx, &mut scratch)) {
            Ok(0) => {
                *pool_key = None;
                decoder.close();
            }
            Ok(count) => {
                let (payload, surplus) = absorb(decoder, &mut scratch[..count]);
                self.ready = payload;
                if surplus {
                    *pool_key = None;
                }
            }
            Err(error) => {
                drop(scratch);
                self.state = State::Failed(error.into());
                return Poll::Ready(());
            }
        }
        drop(scratch);
        self.settle();
        Poll::Ready(())
    }

    /// Parts with the connection as soon as nothing more is to be read from it.
    fn settle(&mut self) {
        let State::Reading { decoder, .. } = &self.state else { return };
        let Some(outcome) = decoder.outcome() else { return };
        let next = match outcome {
            Ok(()) => State::Complete,
            Err(fault) => State::Failed(fault.into()),
        };
        if let State::Reading { io, pool_key: Some(target), shared, .. } = mem::replace(&mut self.state, next)
            && outcome.is_ok()
        {
            shared.pool.put(target, io);
        }
    }
}

impl Stream for ResponseBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_data(cx)
    }
}

impl fmt::Debug for ResponseBody {
    /// Says where the body stands, not what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Reading { .. } => "reading",
            State::Failed(_) => "failed",
            State::Complete => "complete",
            State::Aborted => "aborted",
        };
        f.debug_struct("ResponseBody")
            .field("kind", &self.kind)
            .field("ready_bytes", &self.ready.len())
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

impl Intake {
    /// Decodes `rest`, the bytes after the head.
    pub(super) fn begin(kind: BodyKind, limits: DecodeLimits, rest: &mut [u8]) -> Self {
        let mut decoder = BodyDecoder::new(kind, limits);
        let (payload, surplus) = absorb(&mut decoder, rest);
        Self { decoder, payload, surplus }
    }
}

/// Decodes a buffer and copies exactly its payload; tells whether something followed the end of the body. A fault stays
/// in the decoder.
fn absorb(decoder: &mut BodyDecoder, buffer: &mut [u8]) -> (Bytes, bool) {
    match decoder.decode(buffer) {
        Ok(found) => {
            let surplus = decoder.outcome().is_some() && found.used < buffer.len();
            (Bytes::copy_from_slice(&buffer[found.data]), surplus)
        }
        Err(_) => (Bytes::new(), false),
    }
}
