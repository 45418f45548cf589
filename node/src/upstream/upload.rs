//! The sending half of an exchange: request head, framing and body, written without copying any of them.
//!
//! A request goes out in segments of at most four parts, each segment with one vectored write: first the head with its
//! framing lines and a body that is in memory, then one segment per piece of a streamed body.

use std::fmt::{self, Write as _};
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Method;
use smallvec::SmallVec;

use super::body::{BodySourceError, BodyStream, RequestBody};
use super::head::RequestHead;
use super::io::Io;
use super::target::Target;

/// Room for the lines written here: a host line, a framing line, the empty line.
const USUAL_FRAMING_BYTES: usize = 128;

/// Why the request could not be written to its end.
#[derive(Debug)]
pub(super) enum UploadError {
    /// The connection failed.
    Write(io::Error),
    /// The body's source failed.
    Source(BodySourceError),
    /// The body's source did not keep to its length.
    Length(&'static str),
}

/// What is left to be written of one request.
pub(super) struct Upload<'a> {
    /// The segment being written: `lead`, `framing`, `payload`, `tail`, in this order.
    lead: &'a [u8],
    framing: Framing,
    payload: Bytes,
    tail: &'static [u8],
    /// Bytes of the segment that were written.
    written: usize,
    source: Source<'a>,
}

/// The lines written here, kept on the stack.
#[derive(Default)]
struct Framing(SmallVec<[u8; USUAL_FRAMING_BYTES]>);

/// Where the next segment comes from.
enum Source<'a> {
    None,
    Sized { body: &'a mut BodyStream, remaining: u64 },
    Chunked { body: &'a mut BodyStream },
}

impl<'a> Upload<'a> {
    pub(super) fn new(target: &Target, head: &'a RequestHead, body: &'a mut RequestBody) -> Self {
        let mut framing = Framing::default();
        if !head.has_host() {
            framing.0.extend_from_slice(b"host: ");
            framing.0.extend_from_slice(target.authority().as_bytes());
            framing.0.extend_from_slice(b"\r\n");
        }
        let (payload, source) = match body {
            RequestBody::Empty => {
                if matches!(*head.method(), Method::POST | Method::PUT | Method::PATCH) {
                    framing.content_length(0);
                }
                (Bytes::new(), Source::None)
            }
            RequestBody::Full(bytes) => {
                framing.content_length(bytes.len() as u64);
                (bytes.clone(), Source::None)
            }
            RequestBody::Stream(body) => {
                let source = Source::new(body);
                match &source {
                    Source::Sized { remaining, .. } => framing.content_length(*remaining),
                    _ => framing.0.extend_from_slice(b"transfer-encoding: chunked\r\n"),
                }
                (Bytes::new(), source)
            }
        };
        framing.0.extend_from_slice(b"\r\n");
        Self { lead: head.lines(), framing, payload, tail: b"", written: 0, source }
    }

    /// Writes on; ready when the whole request has left this process.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, io: &mut Io) -> Poll<Result<(), UploadError>> {
        loop {
            ready!(self.poll_segment(cx, io)).map_err(UploadError::Write)?;
            match ready!(self.poll_source(cx)) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_segment(&mut self, cx: &mut Context<'_>, io: &mut Io) -> Poll<io::Result<()>> {
        loop {
            let parts = [self.lead, &self.framing.0, &self.payload, self.tail];
            let mut skip = self.written;
            let mut slices: SmallVec<[IoSlice<'_>; 4]> = SmallVec::new();
            for part in parts {
                let unwritten = part.get(skip..).unwrap_or_default();
                skip = skip.saturating_sub(part.len());
                if !unwritten.is_empty() {
                    slices.push(IoSlice::new(unwritten));
                }
            }
            if slices.is_empty() {
                // A record that TLS holds back would stay there while the source keeps us waiting.
                return io.poll_flush(cx);
            }
            match ready!(io.poll_write(cx, &slices))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
    }

    /// Prepares the next segment; nothing if there is none.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), UploadError>>> {
        let piece = match &mut self.source {
            Source::None | Source::Sized { remaining: 0, .. } => return Poll::Ready(None),
            Source::Sized { body, .. } | Source::Chunked { body } => ready!(poll_piece(body, cx)),
        };
        let piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(UploadError::Source(error)))),
            None => return Poll::Ready(Some(self.finish())),
        };
        let length = piece.len() as u64;
        match &mut self.source {
            Source::Sized { remaining, .. } => match remaining.checked_sub(length) {
                Some(rest) => {
                    *remaining = rest;
                    self.segment(None, piece, b"");
                }
                None => return Poll::Ready(Some(Err(UploadError::Length("longer")))),
            },
            _ => self.segment(Some(length), piece, b"\r\n"),
        }
        Poll::Ready(Some(Ok(())))
    }

    /// The source has ended.
    fn finish(&mut self) -> Result<(), UploadError> {
        if let Source::Sized { .. } = self.source {
            return Err(UploadError::Length("shorter"));
        }
        self.source = Source::None;
        self.segment(None, Bytes::new(), b"0\r\n\r\n");
        Ok(())
    }

    fn segment(&mut self, chunk_size: Option<u64>, payload: Bytes, tail: &'static [u8]) {
        self.lead = b"";
        self.framing.0.clear();
        if let Some(size) = chunk_size {
            self.framing.chunk_size(size);
        }
        self.payload = payload;
        self.tail = tail;
        self.written = 0;
    }
}

impl<'a> Source<'a> {
    fn new(body: &'a mut BodyStream) -> Self {
        match body.length() {
            Some(length) => Self::Sized { body, remaining: length },
            None => Self::Chunked { body },
        }
    }
}

/// The next piece that is not empty: an empty chunk would end the body.
fn poll_piece(body: &mut BodyStream, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodySourceError>>> {
    loop {
        match ready!(body.poll_next(cx)) {
            Some(Ok(piece)) if piece.is_empty() => {}
            other => return Poll::Ready(other),
        }
    }
}

impl Framing {
    fn content_length(&mut self, length: u64) {
        self.0.extend_from_slice(b"content-length: ");
        self.0.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }

    fn chunk_size(&mut self, size: u64) {
        // Writing to memory cannot fail.
        let _ = write!(self, "{size:x}\r\n");
    }
}

impl fmt::Write for Framing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
