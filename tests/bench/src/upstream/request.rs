//! Reads a request's head out of a byte buffer: as much as the upstream needs and no more. In: bytes; out: where the
//! message ends and how to answer it. Does no I/O.

use super::answer::Framing;
use crate::wire::script::{self, Script};

/// Headers a proxy may send at most; one more and the request is refused.
const MAX_HEADERS: usize = 64;

/// A request whose head is complete.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Bytes of the head.
    pub(crate) head_len: usize,
    /// Bytes of the body that follows.
    pub(crate) body_len: usize,
    /// What is asked for.
    pub(crate) wanted: Wanted,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A GET of this path: health check or model list.
    Document(String),
    /// A HEAD: the same without a body.
    HeadOnly,
    /// Anything else: the scripted answer in this framing.
    Scripted(Script, Framing),
    /// Anything else without a script in the head: as the body says.
    Unscripted(Framing),
}

/// Why a request cannot be answered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BadRequest {
    /// Not HTTP/1.
    #[error("not an http/1.1 request: {0}")]
    Syntax(#[from] httparse::Error),
    /// A body without a length: this upstream reads none, to stay cheap.
    #[error("send the body with a content-length")]
    NoLength,
    /// An unreadable `x-bench` header.
    #[error("{0}")]
    Script(#[from] script::UnknownScript),
}

/// The request at the front of `bytes`, or `None` while its head is incomplete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Request>, BadRequest> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_len) = request.parse(bytes)? else {
        return Ok(None);
    };
    let mut body_len = 0;
    let mut script = None;
    for header in &*request.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            body_len = text(header.value).parse().map_err(|_| BadRequest::NoLength)?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(BadRequest::NoLength);
        } else if header.name.eq_ignore_ascii_case(script::HEADER) {
            script = Some(text(header.value).parse()?);
        }
    }
    let path = request.path.unwrap_or("/");
    let wanted = match request.method {
        Some("GET") => Wanted::Document(path.to_owned()),
        Some("HEAD") => Wanted::HeadOnly,
        _ => {
            let framing = if path.starts_with("/v1/") { Framing::Sse } else { Framing::Ndjson };
            script.map_or(Wanted::Unscripted(framing), |script| Wanted::Scripted(script, framing))
        }
    };
    Ok(Some(Request { head_len, body_len, wanted }))
}

// === impl Wanted ===

impl Wanted {
    /// The same, with the script of the body where the head had none; without either it is a plain answer.
    pub(crate) fn with_body(self, body: &[u8]) -> Result<Self, BadRequest> {
        match self {
            Self::Unscripted(framing) => {
                Ok(Self::Scripted(Script::in_body(body).unwrap_or(Ok(Script::Answer))?, framing))
            }
            scripted => Ok(scripted),
        }
    }
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripted_post_is_understood() {
        let bytes =
            b"POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX-Bench: stream 3 50\r\n\r\n{}";
        let request = parse(bytes).unwrap().unwrap();
        assert_eq!(request.head_len, bytes.len() - 2);
        assert_eq!(request.body_len, 2);
        let script = Script::Stream { chunks: 3, interval_us: 50 };
        assert_eq!(request.wanted, Wanted::Scripted(script, Framing::Ndjson));
    }

    #[test]
    fn the_openai_paths_stream_events() {
        let request =
            parse(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 0\r\n\r\n").unwrap().unwrap();
        assert_eq!(request.wanted, Wanted::Unscripted(Framing::Sse));
        assert_eq!(request.wanted.with_body(b"{}"), Ok(Wanted::Scripted(Script::Answer, Framing::Sse)));
        let unscripted = Wanted::Unscripted(Framing::Sse);
        let asked = unscripted.with_body(br#"{"content":"x-bench idle; word"}"#);
        assert_eq!(asked, Ok(Wanted::Scripted(Script::Idle, Framing::Sse)));
        assert!(Wanted::Unscripted(Framing::Sse).with_body(br#"{"content":"x-bench dance;"}"#).is_err());
    }

    #[test]
    fn half_a_head_waits_for_more() {
        assert_eq!(parse(b"POST /api/chat HTTP/1.1\r\nHost: a\r\n"), Ok(None));
        assert_eq!(parse(b""), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(parse(b"\0\0\0 nonsense\r\n\r\n").is_err());
        assert_eq!(
            parse(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"),
            Err(BadRequest::NoLength)
        );
        assert!(parse(b"POST / HTTP/1.1\r\nx-bench: dance\r\n\r\n").is_err());
    }
}
