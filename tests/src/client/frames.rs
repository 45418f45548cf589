//! Streams as their frames: NDJSON lines and server-sent events, each with the time it was complete. Frames are put together
//! from the payload, never taken for chunks.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

use std::time::Instant;

use bytes::BytesMut;
use serde_json::Value;

use super::response::{End, Response};

/// A frame as text, without the line ends that delimit it.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The text.
    pub text: String,
    /// When it was complete.
    pub at: Instant,
}

/// A server-sent event.
#[derive(Debug, Clone)]
pub struct Event {
    /// The `event` field.
    pub name: Option<String>,
    /// The `data` fields, joined by line feeds.
    pub data: String,
    /// The event as it came.
    pub text: String,
    /// When it was complete.
    pub at: Instant,
}

/// The lines of a body.
#[derive(Debug)]
pub struct Lines {
    reader: FrameReader,
}

/// The events of a body.
#[derive(Debug)]
pub struct Events {
    reader: FrameReader,
}

#[derive(Debug)]
struct FrameReader {
    response: Response,
    buffer: BytesMut,
    /// Bytes at the buffer's beginning in which no delimiter begins.
    searched: usize,
    /// What ends a frame, longest first.
    delimiters: &'static [&'static [u8]],
    last_at: Instant,
}

impl Frame {
    /// The text as JSON. Panics when it is none.
    pub fn json(&self) -> Value {
        parse(&self.text)
    }
}

impl Event {
    /// The data as JSON. Panics when it is none.
    pub fn json(&self) -> Value {
        parse(&self.data)
    }

    /// Whether it is `[DONE]`.
    pub fn is_done(&self) -> bool {
        self.data == "[DONE]"
    }

    fn of(frame: Frame) -> Self {
        let fields: Vec<(&str, &str)> = frame.text.lines().map(field).collect();
        let data: Vec<&str> =
            fields.iter().filter(|(name, _)| *name == "data").map(|(_, value)| *value).collect();
        let name = fields.iter().find(|(name, _)| *name == "event").map(|(_, value)| (*value).to_owned());
        Self { name, data: data.join("\n"), at: frame.at, text: frame.text }
    }
}

impl Lines {
    pub(super) fn of(response: Response) -> Self {
        Self { reader: FrameReader::of(response, &[b"\n"]) }
    }

    /// The next line; nothing at the end, see [`end`](Self::end).
    pub async fn next(&mut self) -> Option<Frame> {
        self.reader.next().await
    }

    /// The next line. Panics at the end.
    pub async fn expect_next(&mut self) -> Frame {
        let Some(frame) = self.next().await else { panic!("the stream ended: {:?}", self.end()) };
        frame
    }

    /// All lines left, and how the body ended.
    pub async fn collect(mut self) -> (Vec<Frame>, End) {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        (frames, self.end().unwrap_or(End::Truncated))
    }

    /// How the body ended, once all lines were read.
    pub fn end(&self) -> Option<End> {
        self.reader.response.end()
    }

    /// The answer, to leave it or to read on in another way.
    pub fn into_response(self) -> Response {
        self.reader.response
    }
}

impl Events {
    pub(super) fn of(response: Response) -> Self {
        Self { reader: FrameReader::of(response, &[b"\r\n\r\n", b"\n\n"]) }
    }

    /// The next event; nothing at the end, see [`end`](Self::end).
    pub async fn next(&mut self) -> Option<Event> {
        self.reader.next().await.map(Event::of)
    }

    /// The next event. Panics at the end.
    pub async fn expect_next(&mut self) -> Event {
        let Some(event) = self.next().await else { panic!("the stream ended: {:?}", self.end()) };
        event
    }

    /// All events left, and how the body ended.
    pub async fn collect(mut self) -> (Vec<Event>, End) {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        (events, self.end().unwrap_or(End::Truncated))
    }

    /// How the body ended, once all events were read.
    pub fn end(&self) -> Option<End> {
        self.reader.response.end()
    }

    /// The answer, to leave it or to read on in another way.
    pub fn into_response(self) -> Response {
        self.reader.response
    }
}

impl FrameReader {
    fn of(response: Response, delimiters: &'static [&'static [u8]]) -> Self {
        let last_at = response.head.at;
        Self { response, buffer: BytesMut::new(), searched: 0, delimiters, last_at }
    }

    /// The next frame. What is left without a delimiter at the end is a frame too.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((at, length)) = self.delimiter() {
                let frame = self.buffer.split_to(at);
                drop(self.buffer.split_to(length));
                return Some(self.frame(&frame));
            }
            let Some(piece) = self.response.next_piece().await else {
                let rest = self.buffer.split();
                self.searched = 0;
                return (!rest.is_empty()).then(|| self.frame(&rest));
            };
            self.last_at = piece.at;
            self.buffer.extend_from_slice(&piece.bytes);
        }
    }

    /// Where the next delimiter is, and its length.
    fn delimiter(&mut self) -> Option<(usize, usize)> {
        let unsearched = &self.buffer[self.searched..];
        let found = self.delimiters.iter().filter_map(|delimiter| {
            let at = unsearched.windows(delimiter.len()).position(|window| window == *delimiter)?;
            Some((self.searched + at, delimiter.len()))
        });
        let first = found.min_by_key(|(at, _)| *at);
        let longest = self.delimiters.iter().map(|delimiter| delimiter.len()).max().unwrap_or(1);
        self.searched = if first.is_some() { 0 } else { (self.buffer.len() + 1).saturating_sub(longest) };
        first
    }

    fn frame(&self, bytes: &[u8]) -> Frame {
        Frame { text: String::from_utf8_lossy(bytes).into_owned(), at: self.last_at }
    }
}

/// An event stream's field: its name and its value without the one space after the colon.
fn field(line: &str) -> (&str, &str) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name, value.strip_prefix(' ').unwrap_or(value))
}

fn parse(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value) => value,
        Err(e) => panic!("not JSON ({e}): {text}"),
    }
}
