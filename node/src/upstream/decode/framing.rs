//! How long a response body is: the headers that frame it, and the verdict of RFC 9112 §6.3.
//!
//! In go the header lines that say something about framing, one by one; out comes a [`Framing`] or the reason why the
//! message is refused. Knows nothing of buffers.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, StatusCode};

/// How the end of a response body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// There is no body: an answer to `HEAD`, or status 204 or 304.
    Empty,
    /// `Content-Length` announced this many bytes (may be zero).
    Sized(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Neither was given: the body ends when the server closes the connection.
    UntilClose,
}

/// What a head says about the body after it and about the connection under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    pub(crate) kind: BodyKind,
    /// Whether another request may follow on the connection once the body has ended.
    pub(crate) reusable: bool,
}

/// The framing headers seen so far in one head.
#[derive(Debug, Default)]
pub(super) struct FramingHeaders {
    length: Option<u64>,
    coding: Coding,
    close: bool,
    keep_alive: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Coding {
    #[default]
    None,
    Chunked,
}

impl FramingHeaders {
    /// Takes one header line into account.
    ///
    /// # Errors
    /// The reason for which the message cannot be framed beyond doubt.
    pub(super) fn observe(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), &'static str> {
        match *name {
            CONTENT_LENGTH => self.observe_length(value),
            TRANSFER_ENCODING => self.observe_coding(value),
            CONNECTION => {
                self.observe_connection(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The verdict, once all header lines were observed. `head_request`: the request's method was `HEAD`.
    pub(super) fn conclude(
        &self,
        status: StatusCode,
        http_11: bool,
        head_request: bool,
    ) -> Result<Framing, &'static str> {
        let persistent = !self.close && (http_11 || self.keep_alive);
        if head_request || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            return Ok(Framing { kind: BodyKind::Empty, reusable: persistent });
        }
        match (self.coding, self.length) {
            // HTTP/1.0 knows no transfer codings: whoever sends one through such a hop is confused about framing.
            (Coding::Chunked, _) if !http_11 => Err("transfer-encoding in an http/1.0 response"),
            // Both headers: the coding wins, and the connection is suspect (RFC 9112 §6.3, item 3).
            (Coding::Chunked, length) => {
                Ok(Framing { kind: BodyKind::Chunked, reusable: persistent && length.is_none() })
            }
            (Coding::None, Some(length)) => {
                Ok(Framing { kind: BodyKind::Sized(length), reusable: persistent })
            }
            (Coding::None, None) => Ok(Framing { kind: BodyKind::UntilClose, reusable: false }),
        }
    }

    /// Equal repeats are harmless (RFC 9110 §8.6), as lines or as a list; everything else is refused.
    fn observe_length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        for element in value.split(|&byte| byte == b',') {
            let length = parse_decimal(element.trim_ascii()).ok_or("invalid content-length")?;
            if self.length.is_some_and(|earlier| earlier != length) {
                return Err("differing content-length values");
            }
            self.length = Some(length);
        }
        Ok(())
    }

    /// `chunked`, once, is the only coding this client can undo, and it never asks for another (no `TE`).
    fn observe_coding(&mut self, value: &[u8]) -> Result<(), &'static str> {
        for element in list_elements(value) {
            if self.coding == Coding::Chunked || !element.eq_ignore_ascii_case(b"chunked") {
                return Err("unsupported transfer-encoding");
            }
            self.coding = Coding::Chunked;
        }
        if self.coding == Coding::None {
            return Err("empty transfer-encoding");
        }
        Ok(())
    }

    fn observe_connection(&mut self, value: &[u8]) {
        for element in list_elements(value) {
            self.close |= element.eq_ignore_ascii_case(b"close");
            self.keep_alive |= element.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

/// The non-empty elements of a comma-separated header value.
fn list_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Digits only: no sign, no blank, no overflow (`u64::from_str` would take a leading `+`).
fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}
