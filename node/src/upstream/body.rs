//! The request body: nothing, bytes in memory, or a stream.
//!
//! The first two can be sent again, to the same target or to another one. A stream can be read only once; the client
//! does not touch it before it holds a connection, and says whether it has.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

/// What the source of a streamed body reports when it fails; the client passes it on untouched.
pub type BodySourceError = Box<dyn std::error::Error + Send + Sync>;

/// The body of one request.
#[derive(Default)]
pub enum RequestBody {
    /// No body. Methods that usually have one (`POST`, `PUT`, `PATCH`) are sent with `Content-Length: 0`.
    #[default]
    Empty,
    /// A body in memory, sent with its length.
    Full(Bytes),
    /// A body that arrives while it is sent.
    Stream(BodyStream),
}

/// A body that arrives while it is sent, and can be sent only once.
pub struct BodyStream {
    length: Option<u64>,
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, BodySourceError>>>>,
    started: bool,
}

impl RequestBody {
    /// A streamed body: sent with `Content-Length` if `length` (in bytes) is given, else chunked.
    pub fn stream<S>(length: Option<u64>, stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, BodySourceError>> + 'static,
    {
        Self::Stream(BodyStream { length, stream: Box::pin(stream), started: false })
    }

    /// Whether the body can still be sent from its beginning: always, unless a stream was read from.
    pub fn is_replayable(&self) -> bool {
        match self {
            Self::Empty | Self::Full(_) => true,
            Self::Stream(body) => !body.started,
        }
    }
}

impl BodyStream {
    /// The length announced to the server, in bytes.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The pieces themselves, for one who sends them elsewhere.
    pub fn into_pieces(self) -> Pin<Box<dyn Stream<Item = Result<Bytes, BodySourceError>>>> {
        self.stream
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodySourceError>>> {
        self.started = true;
        self.stream.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for RequestBody {
    /// Without the bytes: they are what people ask their models.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => f.debug_struct("Full").field("bytes", &bytes.len()).finish(),
            Self::Stream(body) => f.debug_tuple("Stream").field(body).finish(),
        }
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyStream")
            .field("length", &self.length)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}
