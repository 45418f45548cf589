//! The request head, written by the gateway straight into one buffer.
//!
//! In go a method, a request target and header lines; the client adds `Host` (unless written here), the body's framing
//! and the empty line when it sends, so that one head can be sent again and to another target. Nothing that could split
//! or re-frame the request gets in.

use std::fmt;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method};

/// Room for a usual head, so that writing it does not grow the buffer.
const USUAL_HEAD_BYTES: usize = 512;

/// Request line and header lines of one request.
#[derive(Clone)]
pub struct RequestHead {
    lines: Vec<u8>,
    method: Method,
    has_host: bool,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHead {
    /// `CONNECT` asks for a tunnel, which this client cannot be.
    #[error("method connect is not supported")]
    Connect,
    /// The request target is not a path, or has a byte in it that would end the request line.
    #[error("request target must be a path without blanks and control characters")]
    Target,
    /// A header value has a control character in it.
    #[error("header value must not contain control characters")]
    Value,
    /// The framing headers are the client's to write: it knows the body.
    #[error("content-length and transfer-encoding are written by the client")]
    Framing,
}

impl RequestHead {
    /// A head without header lines. `path_and_query` is sent as it is: `/…`, or `*` for a server-wide `OPTIONS`.
    ///
    /// # Errors
    /// [`InvalidHead::Connect`] or [`InvalidHead::Target`].
    pub fn new(method: &Method, path_and_query: &str) -> Result<Self, InvalidHead> {
        if method == Method::CONNECT {
            return Err(InvalidHead::Connect);
        }
        let is_path = path_and_query.starts_with('/') || path_and_query == "*";
        if !is_path || path_and_query.bytes().any(|byte| byte <= b' ' || byte == b'#' || byte == 0x7f) {
            return Err(InvalidHead::Target);
        }
        let mut lines = Vec::with_capacity(USUAL_HEAD_BYTES.max(path_and_query.len() + 64));
        lines.extend_from_slice(method.as_str().as_bytes());
        lines.push(b' ');
        lines.extend_from_slice(path_and_query.as_bytes());
        lines.extend_from_slice(b" HTTP/1.1\r\n");
        Ok(Self { lines, method: method.clone(), has_host: false })
    }

    /// Adds a header line; repeats are kept. Hop-by-hop headers are the caller's to leave out.
    ///
    /// # Errors
    /// [`InvalidHead::Value`] or [`InvalidHead::Framing`]; nothing is written then.
    pub fn header(&mut self, name: &HeaderName, value: &[u8]) -> Result<&mut Self, InvalidHead> {
        // Looks at every byte: values are short, and a loop without an early exit is vectorised.
        let is_control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
        if value.iter().fold(false, |found, &byte| found | is_control(byte)) {
            return Err(InvalidHead::Value);
        }
        self.line(name, value)
    }

    /// The same for a value that was received: it is known to have no control characters in it.
    ///
    /// # Errors
    /// [`InvalidHead::Framing`]; nothing is written then.
    pub fn received(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<&mut Self, InvalidHead> {
        self.line(name, value.as_bytes())
    }

    fn line(&mut self, name: &HeaderName, value: &[u8]) -> Result<&mut Self, InvalidHead> {
        if name == CONTENT_LENGTH || name == TRANSFER_ENCODING {
            return Err(InvalidHead::Framing);
        }
        self.has_host |= name == HOST;
        let name = name.as_str().as_bytes();
        self.lines.reserve(name.len() + value.len() + 4);
        self.lines.extend_from_slice(name);
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
        Ok(self)
    }

    /// The request's method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Whether a `Host` line was written; otherwise the client writes the target's.
    pub fn has_host(&self) -> bool {
        self.has_host
    }

    /// The lines written so far, each with its line end. There are secrets among them.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

impl fmt::Debug for RequestHead {
    /// Without the lines: there are secrets among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("bytes", &self.lines.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, AUTHORIZATION};

    use super::*;

    fn head() -> RequestHead {
        RequestHead::new(&Method::GET, "/").unwrap()
    }

    #[test]
    fn lines_are_written_in_order_and_repeats_are_kept() {
        let mut head = RequestHead::new(&Method::POST, "/api/chat?x={y}").unwrap();
        head.header(&ACCEPT, b"a")
            .unwrap()
            .header(&ACCEPT, b"")
            .unwrap()
            .header(&AUTHORIZATION, b"Bearer \xfc\tx")
            .unwrap();
        let expected =
            b"POST /api/chat?x={y} HTTP/1.1\r\naccept: a\r\naccept: \r\nauthorization: Bearer \xfc\tx\r\n";
        assert_eq!(head.lines(), expected);
        assert!(!head.has_host());
    }

    #[test]
    fn a_value_cannot_add_a_line() {
        for value in [&b"a\r\nx: y"[..], b"a\nb", b"a\rb", b"a\0b", b"\x1b[31m", b"a\x7f"] {
            let mut head = head();
            assert_eq!(head.header(&ACCEPT, value).unwrap_err(), InvalidHead::Value);
            assert_eq!(head.lines(), b"GET / HTTP/1.1\r\n", "nothing is written of a refused line");
        }
    }

    #[test]
    fn a_target_cannot_end_the_request_line() {
        for target in ["", "x", "http://h/", "/a b", "/a\r\nx: y", "/a\0", "/a\tb", "/#f", "/\x7f", "*x"] {
            assert_eq!(
                RequestHead::new(&Method::GET, target).unwrap_err(),
                InvalidHead::Target,
                "{target:?}"
            );
        }
        assert!(RequestHead::new(&Method::OPTIONS, "*").is_ok());
        assert!(RequestHead::new(&Method::GET, "/v1/modèle?q=%20").is_ok());
    }

    #[test]
    fn framing_is_left_to_the_client() {
        assert_eq!(head().header(&CONTENT_LENGTH, b"5").unwrap_err(), InvalidHead::Framing);
        assert_eq!(head().header(&TRANSFER_ENCODING, b"chunked").unwrap_err(), InvalidHead::Framing);
        assert_eq!(RequestHead::new(&Method::CONNECT, "/").unwrap_err(), InvalidHead::Connect);
    }

    #[test]
    fn debug_output_keeps_secrets() {
        let mut head = head();
        head.header(&AUTHORIZATION, b"Bearer secret").unwrap();
        assert!(!format!("{head:?}").contains("secret"));
    }

    #[test]
    fn a_host_line_is_noticed() {
        let mut head = head();
        head.header(&HOST, b"h").unwrap();
        assert!(head.has_host());
    }
}
