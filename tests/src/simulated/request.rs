//! Reading requests: bytes of a [`Link`] in, heads and bodies out. Strict, so that a proxy which forwards something
//! ambiguous is told.

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::library::digest_text;
use super::link::Link;
use super::record::ReceivedFraming;
use crate::chunked::{ChunkDecoder, Piece};

/// A head of more bytes is refused.
const HEAD_LIMIT_BYTES: usize = 256 * 1024;
/// More header fields are refused.
const HEADER_LIMIT: usize = 256;

/// A request's head.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub method: String,
    /// Without the query, not decoded.
    pub path: String,
    pub query: Option<String>,
    pub minor: u8,
    /// In wire order and spelling.
    pub headers: Vec<(String, String)>,
    pub framing: ReceivedFraming,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The client closed or reset, between requests or within one.
    Gone,
    /// What came is not HTTP, or too much of it.
    Refused { status: u16, message: String },
}

impl Head {
    /// The first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut matching = self.headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        matching.next().map(|(_, value)| value.as_str())
    }

    /// Whether the connection may carry another request.
    pub(super) fn keeps_alive(&self) -> bool {
        let close = self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.minor == 1 && !close
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) fn expects_continue(&self) -> bool {
        self.framing != ReceivedFraming::None
            && self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }
}

/// Takes a head off the inbox if it is complete.
pub(super) fn parse_head(inbox: &mut BytesMut) -> Result<Option<Head>, ReadError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(inbox) {
        Ok(httparse::Status::Complete(length)) => {
            let head = head_of(&parsed)?;
            drop(inbox.split_to(length));
            Ok(Some(head))
        }
        Ok(httparse::Status::Partial) if inbox.len() > HEAD_LIMIT_BYTES => {
            Err(refused(431, "request header fields too large"))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(e) => Err(refused(400, &format!("bad request: {e}"))),
    }
}

/// Reads the whole body; more than `limit_bytes` is refused.
pub(super) async fn read_body(
    link: &mut Link,
    framing: ReceivedFraming,
    limit_bytes: usize,
) -> Result<Bytes, ReadError> {
    let mut body = BytesMut::new();
    for_each_piece(link, framing, |piece| {
        if body.len() + piece.len() > limit_bytes {
            return Err(refused(413, "request body too large"));
        }
        body.extend_from_slice(piece);
        Ok(())
    })
    .await?;
    Ok(body.freeze())
}

/// Reads the whole body and throws it away; gives its length and its digest.
pub(super) async fn hash_body(link: &mut Link, framing: ReceivedFraming) -> Result<(u64, String), ReadError> {
    let (mut length, mut hash) = (0, Sha256::new());
    for_each_piece(link, framing, |piece| {
        length += piece.len() as u64;
        hash.update(piece);
        Ok(())
    })
    .await?;
    Ok((length, digest_text(&hash.finalize())))
}

async fn for_each_piece(
    link: &mut Link,
    framing: ReceivedFraming,
    mut take: impl FnMut(&[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    match framing {
        ReceivedFraming::None => Ok(()),
        ReceivedFraming::ContentLength(length) => {
            let mut left = length;
            while left > 0 {
                if link.inbox.is_empty() {
                    more(link).await?;
                }
                let available =
                    usize::try_from(left).map_or(link.inbox.len(), |left| left.min(link.inbox.len()));
                take(&link.inbox.split_to(available))?;
                left -= available as u64;
            }
            Ok(())
        }
        ReceivedFraming::Chunked => {
            let mut decoder = ChunkDecoder::new();
            loop {
                match decoder.next(&mut link.inbox) {
                    Ok(Some(Piece::Data(data))) => take(&data)?,
                    Ok(Some(Piece::Finished)) => return Ok(()),
                    Ok(Some(_)) => {}
                    Ok(None) => more(link).await?,
                    Err(e) => return Err(refused(400, &format!("bad request body: {e}"))),
                }
            }
        }
    }
}

async fn more(link: &mut Link) -> Result<(), ReadError> {
    match link.fill().await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(ReadError::Gone),
    }
}

fn head_of(parsed: &httparse::Request<'_, '_>) -> Result<Head, ReadError> {
    let target = parsed.path.unwrap_or("/");
    // Absolute form: a client that takes us for a proxy, or a proxy that forgot to rewrite.
    let origin =
        target.strip_prefix("http://").map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
    let (path, query) = match origin.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (origin, None),
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers: Vec<_> =
        parsed.headers.iter().map(|field| (field.name.to_owned(), text(field.value))).collect();
    Ok(Head {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query,
        minor: parsed.version.unwrap_or(1),
        framing: framing_of(&headers)?,
        headers,
    })
}

fn framing_of(headers: &[(String, String)]) -> Result<ReceivedFraming, ReadError> {
    let named = |name: &'static str| {
        headers
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let lengths: Vec<&str> = named("content-length").collect();
    let codings: Vec<&str> = named("transfer-encoding").collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(ReceivedFraming::None),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(ReceivedFraming::Chunked),
        ([], _) => Err(refused(501, "unsupported transfer encoding")),
        ([length, others @ ..], []) => {
            let digits = length.bytes().all(|byte| byte.is_ascii_digit());
            let parsed = digits.then(|| length.parse().ok()).flatten();
            match parsed {
                Some(parsed) if others.iter().all(|other| other == length) => {
                    Ok(ReceivedFraming::ContentLength(parsed))
                }
                _ => Err(refused(400, "bad content length")),
            }
        }
        _ => Err(refused(400, "both content length and transfer encoding")),
    }
}

fn refused(status: u16, message: &str) -> ReadError {
    ReadError::Refused { status, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(wire: &str) -> Result<Option<Head>, ReadError> {
        parse_head(&mut BytesMut::from(wire))
    }

    #[test]
    fn headers_keep_order_spelling_and_repetition() {
        let head = parse("GET /p?q=1 HTTP/1.1\r\nb: 2\r\nA: 1\r\nb: 3\r\n\r\n").unwrap().unwrap();
        let names: Vec<_> = head.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(names, ["b=2", "A=1", "b=3"]);
        assert_eq!((head.path.as_str(), head.query.as_deref()), ("/p", Some("q=1")));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for fields in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: -1\r\n",
            "Transfer-Encoding: gzip\r\n",
        ] {
            let result = parse(&format!("POST / HTTP/1.1\r\n{fields}\r\n"));
            assert!(matches!(result, Err(ReadError::Refused { .. })), "{fields}");
        }
    }
}
