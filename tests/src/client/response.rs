//! Answers being read: head, pieces with their boundaries and times, and how the body ended.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

use std::io;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::frames::{Events, Lines};
use super::raw::{Close, RawConnection, Read};
use crate::chunked::{ChunkDecoder, ChunkError, Piece as ChunkPiece};

/// A head with more fields is malformed.
const HEADER_LIMIT: usize = 128;

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With all its bytes: the last chunk, the promised length, or the close that delimits it.
    Complete,
    /// By an orderly close before that, or with bytes that are no chunked coding.
    Truncated,
    /// By a reset.
    Reset,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoResponse {
    /// There is no connection.
    #[error("not connected: {0}")]
    NotConnected(io::Error),
    /// Closed before a complete head.
    #[error("the connection was closed before an answer")]
    Closed,
    /// Reset before a complete head.
    #[error("the connection was reset before an answer")]
    Reset,
    /// The head is not HTTP.
    #[error("malformed answer: {0}")]
    Malformed(String),
}

/// An answer's head.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// Minor version of HTTP/1.
    pub minor: u8,
    /// Fields in wire order and spelling.
    pub headers: Vec<(String, String)>,
    /// When it was complete.
    pub at: Instant,
}

/// Payload that came together: a chunk, or a read where there are no chunks.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The payload.
    pub bytes: Bytes,
    /// When its last byte was read.
    pub at: Instant,
}

#[derive(Debug)]
enum Body {
    Empty,
    Length { left: u64 },
    Chunked(ChunkDecoder),
    UntilClose,
}

/// What the next step of reading a body brought.
enum Step {
    Data(Bytes),
    /// A chunk ended.
    Boundary,
    Ended(End),
}

/// An answer whose body is being read.
#[derive(Debug)]
pub struct Response {
    /// The head.
    pub head: Head,
    /// Interim (1xx) heads before it.
    pub interim: Vec<Head>,
    connection: RawConnection,
    body: Body,
    end: Option<End>,
    trailers: Vec<(String, String)>,
    extensions: Vec<String>,
}

/// An answer read to its end.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The head.
    pub head: Head,
    /// All payload.
    pub body: Bytes,
    /// The same in its pieces.
    pub pieces: Vec<Piece>,
    /// How it ended.
    pub end: End,
    /// Trailer fields.
    pub trailers: Vec<(String, String)>,
    /// Chunk extensions, one for each chunk that had one.
    pub extensions: Vec<String>,
}

impl Head {
    /// The first header of this name, compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).first().copied()
    }

    /// All headers of this name, compared without case.
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        let matching = self.headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        matching.map(|(_, value)| value.as_str()).collect()
    }

    fn parse(inbox: &mut BytesMut, at: Instant) -> Result<Option<Self>, NoResponse> {
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut parsed = httparse::Response::new(&mut headers);
        let malformed = |e| NoResponse::Malformed(format!("{e}"));
        let httparse::Status::Complete(length) = parsed.parse(inbox).map_err(malformed)? else {
            return Ok(None);
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let head = Self {
            status: parsed.code.unwrap_or_default(),
            reason: parsed.reason.unwrap_or_default().to_owned(),
            minor: parsed.version.unwrap_or_default(),
            headers: parsed.headers.iter().map(|field| (field.name.to_owned(), text(field.value))).collect(),
            at,
        };
        drop(inbox.split_to(length));
        Ok(Some(head))
    }
}

impl Response {
    /// Reads a head.
    pub(super) async fn read(mut connection: RawConnection) -> Result<Self, NoResponse> {
        let mut interim = Vec::new();
        loop {
            if let Some(head) = Head::parse(&mut connection.inbox, connection.last_read_at)? {
                if (100..200).contains(&head.status) && head.status != 101 {
                    interim.push(head);
                    continue;
                }
                let body = body_of(&head, connection.bodiless)?;
                let (trailers, extensions) = (Vec::new(), Vec::new());
                return Ok(Self { head, interim, connection, body, end: None, trailers, extensions });
            }
            match connection.fill().await {
                Read::Bytes => {}
                Read::Closed(Close::Fin) => return Err(NoResponse::Closed),
                Read::Closed(Close::Reset) => return Err(NoResponse::Reset),
            }
        }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first header of this name, compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The next piece: a whole chunk where there are chunks, else what a read brings. A chunk cut short is a piece too.
    /// Nothing at the end, see [`end`](Self::end).
    pub async fn next_piece(&mut self) -> Option<Piece> {
        let mut bytes = BytesMut::new();
        while self.end.is_none() {
            match self.step().await {
                Step::Data(data) => bytes.extend_from_slice(&data),
                Step::Boundary => break,
                Step::Ended(end) => self.end = Some(end),
            }
            if !matches!(self.body, Body::Chunked(_)) && !bytes.is_empty() {
                break;
            }
        }
        let piece = Piece { bytes: bytes.freeze(), at: self.connection.last_read_at };
        Some(piece).filter(|piece| !piece.bytes.is_empty())
    }

    /// How the body ended, once its pieces are used up.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Reads at most `read_bytes`, then again each `interval` for a while; gives the number of payload bytes read.
    pub async fn read_slowly(&mut self, read_bytes: usize, interval: Duration, time: Duration) -> usize {
        let started = Instant::now();
        let mut length = 0;
        self.connection.limit_reads(read_bytes);
        while self.end.is_none() {
            match self.step().await {
                Step::Data(data) => length += data.len(),
                Step::Boundary => continue,
                Step::Ended(end) => self.end = Some(end),
            }
            if started.elapsed() >= time {
                break;
            }
            tokio::time::sleep(interval).await;
        }
        length
    }

    /// The rest of the answer.
    pub async fn collect(self) -> Collected {
        self.collect_reusable().await.0
    }

    /// The rest of the answer, and the connection for another request.
    pub async fn collect_reusable(mut self) -> (Collected, RawConnection) {
        let mut pieces = Vec::new();
        while let Some(piece) = self.next_piece().await {
            pieces.push(piece);
        }
        let body: Vec<&[u8]> = pieces.iter().map(|piece| piece.bytes.as_ref()).collect();
        let body = Bytes::from(body.concat());
        let end = self.end.unwrap_or(End::Truncated);
        let Self { head, trailers, extensions, connection, .. } = self;
        (Collected { head, body, pieces, end, trailers, extensions }, connection)
    }

    /// The body as NDJSON lines.
    pub fn lines(self) -> Lines {
        Lines::of(self)
    }

    /// The body as server-sent events.
    pub fn events(self) -> Events {
        Events::of(self)
    }

    /// Leaves, by a reset.
    pub fn abort(self) {
        self.connection.abort();
    }

    /// Leaves, by closing.
    pub fn close(self) {
        drop(self.connection);
    }

    /// The connection, for what this type cannot do.
    pub fn into_connection(self) -> RawConnection {
        self.connection
    }

    async fn step(&mut self) -> Step {
        loop {
            match self.take_from_inbox() {
                Ok(Some(step)) => return step,
                Ok(None) => {}
                Err(_) => return Step::Ended(End::Truncated),
            }
            match (self.connection.fill().await, &self.body) {
                (Read::Bytes, _) => {}
                (Read::Closed(Close::Reset), _) => return Step::Ended(End::Reset),
                (Read::Closed(Close::Fin), Body::UntilClose) => return Step::Ended(End::Complete),
                (Read::Closed(Close::Fin), _) => return Step::Ended(End::Truncated),
            }
        }
    }

    fn take_from_inbox(&mut self) -> Result<Option<Step>, ChunkError> {
        let inbox = &mut self.connection.inbox;
        match &mut self.body {
            Body::Empty | Body::Length { left: 0 } => Ok(Some(Step::Ended(End::Complete))),
            _ if inbox.is_empty() => Ok(None),
            Body::UntilClose => Ok(Some(Step::Data(inbox.split().freeze()))),
            Body::Length { left } => {
                let take = usize::try_from(*left).map_or(inbox.len(), |left| left.min(inbox.len()));
                *left -= take as u64;
                Ok(Some(Step::Data(inbox.split_to(take).freeze())))
            }
            Body::Chunked(decoder) => loop {
                match decoder.next(inbox)? {
                    None => return Ok(None),
                    Some(ChunkPiece::Data(data)) => return Ok(Some(Step::Data(data))),
                    Some(ChunkPiece::End) => return Ok(Some(Step::Boundary)),
                    Some(ChunkPiece::Finished) => return Ok(Some(Step::Ended(End::Complete))),
                    Some(ChunkPiece::Trailer(name, value)) => self.trailers.push((name, value)),
                    Some(ChunkPiece::Start { extension }) if extension.is_empty() => {}
                    Some(ChunkPiece::Start { extension }) => self.extensions.push(extension),
                }
            },
        }
    }
}

impl Collected {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first header of this name, compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. Panics when it is none.
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(e) => panic!("status {}, body is not JSON ({e}): {}", self.head.status, self.text()),
        }
    }
}

fn body_of(head: &Head, bodiless: bool) -> Result<Body, NoResponse> {
    if bodiless || matches!(head.status, 204 | 304) {
        return Ok(Body::Empty);
    }
    if let Some(coding) = head.header("transfer-encoding") {
        return if coding.trim().eq_ignore_ascii_case("chunked") {
            Ok(Body::Chunked(ChunkDecoder::new()))
        } else {
            Err(NoResponse::Malformed(format!("transfer encoding {coding}")))
        };
    }
    match head.headers_named("content-length").as_slice() {
        [] => Ok(Body::UntilClose),
        [length] => match length.trim().parse() {
            Ok(left) => Ok(Body::Length { left }),
            Err(e) => Err(NoResponse::Malformed(format!("content length {length}: {e}"))),
        },
        lengths => Err(NoResponse::Malformed(format!("content lengths {lengths:?}"))),
    }
}
