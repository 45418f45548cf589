//! Requests as values.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::Value;

use super::raw::RawConnection;
use super::response::{NoResponse, Response};

/// A request. `Host` and `Content-Length` are added unless given.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
    chunk_bytes: Option<usize>,
}

impl Request {
    /// Any method; the target is sent as it is.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
            chunk_bytes: None,
        }
    }

    /// A `GET`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST`.
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// Adds a header; a name may come twice.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The `Host`, by which frontends are told apart.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.header("Host", host)
    }

    /// `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// A JSON body.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.header("Content-Type", "application/json").body(value.to_string())
    }

    /// A body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the body in chunks of this many bytes rather than with a length.
    #[must_use]
    pub fn chunked(mut self, chunk_bytes: usize) -> Self {
        self.chunk_bytes = Some(chunk_bytes.max(1));
        self
    }

    /// Sends it over a connection of its own. Panics when there is no answer.
    pub async fn send(&self, target: impl Into<SocketAddr>) -> Response {
        let target = target.into();
        match self.try_send(target).await {
            Ok(response) => response,
            Err(e) => panic!("no answer to {} {} from {target}: {e}", self.method, self.target),
        }
    }

    /// Sends it over a connection of its own.
    pub async fn try_send(&self, target: impl Into<SocketAddr>) -> Result<Response, NoResponse> {
        let connection = RawConnection::open(target).await.map_err(NoResponse::NotConnected)?;
        connection.exchange(self).await
    }

    /// The bytes of the request.
    pub fn to_wire(&self, peer: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let has = |name: &str| self.headers.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
        let mut line = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
        if !has("host") {
            line("Host", &peer.to_string());
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        match (&self.body, self.chunk_bytes) {
            (Some(_), Some(_)) => line("Transfer-Encoding", "chunked"),
            (Some(body), None) if !has("content-length") => line("Content-Length", &body.len().to_string()),
            _ => {}
        }
        head.push_str("\r\n");
        let mut wire = head.into_bytes();
        let body = self.body.as_deref().unwrap_or_default();
        match self.chunk_bytes.filter(|_| self.body.is_some()) {
            None => wire.extend_from_slice(body),
            Some(chunk_bytes) => {
                for chunk in body.chunks(chunk_bytes) {
                    wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    wire.extend_from_slice(chunk);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(b"0\r\n\r\n");
            }
        }
        wire
    }
}
