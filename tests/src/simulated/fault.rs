//! What can be made to go wrong, and for which requests. Pure data with its JSON form:
//! `{"kind":"reset_after","frames":3,"times":1,"path_prefix":"/api/chat"}`.
//!
//! A *frame* is what an engine flushes at once: an NDJSON line, an SSE event. An answer that is not a stream has one
//! frame, its body; a fault after 0 frames cuts it in the middle.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A canned gzip member, for answers with `Content-Encoding: gzip`.
pub const GZIP_BODY: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 206, 207, 45, 40, 74, 45, 46, 78, 77, 81, 178, 42, 41, 42,
    77, 173, 229, 2, 0, 243, 253, 248, 248, 20, 0, 0, 0,
];

/// What [`GZIP_BODY`] holds.
pub const GZIP_BODY_DECODED: &str = "{\"compressed\":true}\n";

/// Paths by which a balancer looks after a backend. A fault without a path prefix spares them, so that `times: 1` is not
/// used up by a health check.
pub const fn probe_paths() -> &'static [&'static str] {
    &["/", "/health", "/api/version", "/api/status", "/api/tags", "/api/ps", "/v1/models"]
}

/// How a connection ends when a fault ends it before any answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndBy {
    /// Orderly.
    #[default]
    Fin,
    /// By a reset.
    Reset,
}

/// What happens to connections that are open when connects begin to be refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenConnections {
    /// They go on and may carry more requests.
    Keep,
    /// Each is closed once it carries no request.
    #[default]
    CloseWhenIdle,
    /// All are reset at once, as when a process dies.
    Reset,
}

/// What the two parts of a split frame are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitUnit {
    /// Two HTTP chunks.
    #[default]
    Chunks,
    /// One HTTP chunk in two TCP segments.
    Writes,
}

/// One way to fail, or to be correct in an unusual way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Closes the listener: connects are refused, the port stays reserved. Ends after `for_ms`, or when cleared.
    /// Concerns connections: `times`, paths and probability do not apply.
    Refuse {
        /// Milliseconds until it listens again.
        #[serde(default)]
        for_ms: Option<u64>,
        /// What happens to connections already open.
        #[serde(default)]
        open_connections: OpenConnections,
    },
    /// Accepts connections and ends them at once. Paths do not apply; note that health checks connect too.
    AcceptThenClose {
        /// How they end.
        #[serde(default)]
        by: EndBy,
    },
    /// Ends a connection when a second or later request arrives on it, without an answer.
    CloseOnReuse {
        /// How it ends.
        #[serde(default)]
        by: EndBy,
    },
    /// Reads a request and ends the connection without a byte of an answer.
    CloseBeforeHeaders {
        /// How it ends.
        #[serde(default)]
        by: EndBy,
    },
    /// Closes the connection some time after a complete answer which promised keep-alive.
    StaleKeepAlive {
        /// Milliseconds after the answer; 0 is at once.
        after_ms: u64,
    },
    /// Waits before the answer begins; without `for_ms`, until the client leaves.
    HangBeforeHeaders {
        /// Milliseconds until it goes on.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Sends the head and waits before the body; without `for_ms`, until the client leaves.
    HangAfterHeaders {
        /// Milliseconds until it goes on.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Waits within the stream; without `for_ms`, until the client leaves.
    HangMidStream {
        /// Frames before it.
        after_frames: u64,
        /// Milliseconds until it goes on.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Answers this instead of what was asked for.
    Answer {
        /// The status code.
        status: u16,
        /// Headers besides those of framing.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body as text; without it an error body in the format of the path.
        #[serde(default)]
        body: Option<String>,
        /// The body as base64, for what is not text. Wins over `body`.
        #[serde(default)]
        body_base64: Option<String>,
    },
    /// Answers an error with this message, in the format of the path.
    Error {
        /// The status code.
        status: u16,
        /// What it says.
        message: String,
    },
    /// Answers with a redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The `Location`.
        location: String,
    },
    /// Answers with this status before reading the request's body, and closes.
    EarlyResponse {
        /// The status, such as 413.
        status: u16,
        /// Go on reading (and throwing away) what the client sends, so that no reset destroys the answer.
        #[serde(default = "yes")]
        linger: bool,
    },
    /// `/` and `/health` answer this status; all else works.
    HealthFails {
        /// The status, such as 500.
        status: u16,
    },
    /// Dies by a reset.
    ResetAfter {
        /// Frames before it.
        frames: u64,
    },
    /// Dies by closing, without the end of the chunked body.
    CloseAfter {
        /// Frames before it.
        frames: u64,
    },
    /// Ends the body properly but too early, without `done:true` or `[DONE]`.
    EndWithoutMarker {
        /// Frames before it; without a value only the marker itself is missing.
        #[serde(default)]
        after_frames: Option<u64>,
    },
    /// Ends a stream with an error frame, as Ollama's native API does when a runner dies.
    ErrorFrame {
        /// Frames before it.
        after_frames: u64,
        /// The message.
        #[serde(default = "runner_died")]
        message: String,
    },
    /// Ends a stream as Ollama's `/v1` does when a runner dies: properly, with an empty chunk whose model is `""`, no finish
    /// reason, no marker. On the native API, where errors are not lost, the same as an error frame.
    LostError {
        /// Frames before it.
        after_frames: u64,
    },
    /// Sends a frame that is no JSON, then goes on.
    MalformedFrame {
        /// Frames before it.
        after_frames: u64,
        /// Its text, without line ends; by default a JSON object cut short.
        #[serde(default)]
        text: Option<String>,
    },
    /// Sends a chunk-size line that is no number, and closes.
    BadChunkHeader {
        /// Frames before it.
        after_frames: u64,
    },
    /// Declares more bytes than it sends, and closes: `Content-Length` of a whole answer, the size of a stream's first
    /// chunk.
    TruncatedLength {
        /// Bytes promised and not sent.
        missing: usize,
    },
    /// Sends the body bytes drop by drop.
    SlowBytes {
        /// Milliseconds between two drops.
        interval_ms: u64,
        /// Bytes of a drop.
        #[serde(default = "one")]
        bytes: usize,
        /// The head too.
        #[serde(default)]
        head: bool,
    },
    /// Sends each frame in two parts with a pause between.
    SplitFrames {
        /// Where the first part ends; a negative offset counts from the frame's end.
        offset: i64,
        /// Chunks or TCP segments.
        #[serde(default)]
        unit: SplitUnit,
        /// Milliseconds between the parts, so that the receiver sees them apart.
        #[serde(default = "one_ms")]
        gap_ms: u64,
    },
    /// Sends all frames (at most 1 MiB of them) as one chunk in one write.
    Coalesce,
    /// Sends interim (1xx) answers before the answer.
    Interim {
        /// Their status codes, such as 103.
        statuses: Vec<u16>,
    },
    /// Uses parts of chunked coding that few expect.
    ChunkExtras {
        /// Put after each chunk size, such as `;name=value`.
        #[serde(default)]
        extension: String,
        /// Trailer fields at the end.
        #[serde(default)]
        trailers: Vec<(String, String)>,
    },
}

/// A fault with its scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// How many requests (or connections) it happens to; without a value, all.
    #[serde(default)]
    pub times: Option<u32>,
    /// Only requests whose path starts with this. Without it, all but [`probe_paths`]; `"/"` is truly all.
    #[serde(default)]
    pub path_prefix: Option<String>,
    /// Chance from 0 to 1 that it happens to a request in scope; without it, 1.
    #[serde(default)]
    pub probability: Option<f64>,
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self { kind, times: None, path_prefix: None, probability: None }
    }
}

impl FaultKind {
    /// An answer with this status and the usual error body.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: None, body_base64: None }
    }

    /// A JSON answer with this status.
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self::Answer { status, headers, body: Some(body.to_string()), body_base64: None }
    }

    /// Too busy: 503 as a full queue, or 429 as a rate limit. `retry_after_s` seconds are asked for in `Retry-After`.
    pub fn busy(status: u16, retry_after_s: u64) -> Self {
        let headers = vec![("Retry-After".to_owned(), retry_after_s.to_string())];
        Self::Answer { status, headers, body: None, body_base64: None }
    }

    /// A 500 that is the client's fault: what Ollama says to an option of the wrong type, on each backend the same.
    pub fn client_fault() -> Self {
        Self::Error { status: 500, message: "option \"temperature\" must be of type float32".to_owned() }
    }

    /// A 500 that is the backend's fault: its runner died.
    pub fn runner_fault() -> Self {
        Self::Error { status: 500, message: runner_died() }
    }

    /// A 200 answer compressed with gzip; [`GZIP_BODY_DECODED`] is what it holds.
    pub fn gzip() -> Self {
        let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let body = super::payload::to_base64(GZIP_BODY);
        Self::Answer { status: 200, headers, body: None, body_base64: Some(body) }
    }

    /// Refuses connects, and closes open connections once idle, until cleared.
    pub fn refuse() -> Self {
        Self::Refuse { for_ms: None, open_connections: OpenConnections::default() }
    }

    /// A malformed frame after so many good ones.
    pub fn malformed_frame(after_frames: u64) -> Self {
        Self::MalformedFrame { after_frames, text: None }
    }

    /// A stream that ends with an error frame.
    pub fn error_frame(after_frames: u64) -> Self {
        Self::ErrorFrame { after_frames, message: runner_died() }
    }

    /// Each frame in two chunks, cut at `offset`.
    pub fn split_frames(offset: i64) -> Self {
        Self::SplitFrames { offset, unit: SplitUnit::Chunks, gap_ms: one_ms() }
    }

    /// One byte of the body each `interval_ms`.
    pub fn slow_bytes(interval_ms: u64) -> Self {
        Self::SlowBytes { interval_ms, bytes: one(), head: false }
    }

    /// Happens `times` times.
    pub fn times(self, times: u32) -> Fault {
        Fault::from(self).times(times)
    }

    /// Happens to requests below this path.
    pub fn path(self, prefix: &str) -> Fault {
        Fault::from(self).path(prefix)
    }

    /// Happens with this chance.
    pub fn probability(self, probability: f64) -> Fault {
        Fault::from(self).probability(probability)
    }
}

impl Fault {
    /// The same, `times` times only.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The same, for requests below this path only.
    #[must_use]
    pub fn path(mut self, prefix: &str) -> Self {
        self.path_prefix = Some(prefix.to_owned());
        self
    }

    /// The same, with this chance.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = Some(probability);
        self
    }
}

/// What Ollama says when a runner dies under a request.
fn runner_died() -> String {
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error"
        .to_owned()
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn one_ms() -> u64 {
    1
}
