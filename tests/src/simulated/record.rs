//! What was received, remembered for tests: the last requests with their headers in wire order and their bodies.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::Value;

/// How a request's body was delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceivedFraming {
    /// No body.
    None,
    /// By a `Content-Length` of so many bytes.
    ContentLength(u64),
    /// By chunks.
    Chunked,
}

/// A request as it arrived.
#[derive(Clone, Debug, Serialize)]
pub struct ReceivedRequest {
    /// Counts the requests of this backend, from 1; a reset begins anew.
    pub sequence: u64,
    /// Counts the connections of this backend: equal numbers mean the same connection.
    pub connection: u64,
    /// The operation it was taken for, as in the statistics.
    pub operation: &'static str,
    /// The method, as sent.
    pub method: String,
    /// The path, without the query, not decoded.
    pub path: String,
    /// What follows `?`, not decoded.
    pub query: Option<String>,
    /// Minor version of HTTP/1.
    pub http_minor: u8,
    /// Header fields in the order and spelling of the wire.
    pub headers: Vec<(String, String)>,
    /// How the body was delimited.
    pub framing: ReceivedFraming,
    /// Bytes of the whole body.
    pub body_length: u64,
    /// The body, or the beginning of it that is remembered. Base64 in JSON when it is not text.
    #[serde(serialize_with = "text_or_base64")]
    pub body: Bytes,
}

impl ReceivedRequest {
    /// The first header of this name, compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).first().copied()
    }

    /// All headers of this name, compared without case.
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        let matching = self.headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        matching.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The last requests, oldest first.
#[derive(Debug, Default)]
pub(super) struct RequestRing {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: VecDeque<ReceivedRequest>,
    last_sequence: u64,
}

impl RequestRing {
    /// Remembers a request, forgetting the oldest ones above `capacity`.
    pub(super) fn push(&self, mut request: ReceivedRequest, capacity: usize) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last_sequence += 1;
        request.sequence = inner.last_sequence;
        inner.kept.push_back(request);
        while inner.kept.len() > capacity {
            inner.kept.pop_front();
        }
    }

    pub(super) fn list(&self) -> Vec<ReceivedRequest> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.kept.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Inner::default();
    }
}

fn text_or_base64<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    super::payload::Payload::of(body).serialize(serializer)
}
