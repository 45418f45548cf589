//! The response head: finds its end, parses it once, keeps header values as slices of one shared block.
//!
//! In go the bytes of a connection in any pieces; out comes one final [`Head`]. Interim responses (`1xx`) are read over,
//! a bounded number of them; `101` is refused because this client never asks for an upgrade.
//!
//! Line ends: CRLF, and a bare LF in its place (RFC 9112 §2.2 allows it; nothing is re-sent verbatim, so it cannot
//! confuse the next hop). Folded lines, blanks before a colon, empty lines before the status line and header values
//! with control bytes are refused.

use std::mem::{self, MaybeUninit};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode};

use super::framing::{Framing, FramingHeaders};
use super::{DecodeLimits, HEADERS_CEILING};

/// More interim responses than this before the final one are taken for an attack or a loop.
const MAX_INTERIM_RESPONSES: u8 = 16;

/// What every response starts with; anything else is known not to be HTTP before a line end is seen.
const PREFIX: &[u8; 7] = b"HTTP/1.";

/// A final response head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// In the order received, repeats kept; names are lower case, values are slices of one block.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) framing: Framing,
}

/// Why a response head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadFault {
    #[error("response head is larger than allowed")]
    TooLarge,
    #[error("malformed response head: {0}")]
    Malformed(&'static str),
}

/// Reads heads until the first final one.
#[derive(Debug)]
pub(crate) struct HeadDecoder {
    limits: DecodeLimits,
    head_request: bool,
    interims: u8,
    /// The beginning of a head whose end has not arrived. Empty (and unallocated) when a head comes in one piece.
    partial: BytesMut,
}

impl HeadDecoder {
    /// `head_request`: the request's method was `HEAD`, so that no body follows whatever the headers say.
    pub(crate) fn new(head_request: bool, limits: DecodeLimits) -> Self {
        Self { limits, head_request, interims: 0, partial: BytesMut::new() }
    }

    /// Reads on. Returns how many bytes of `input` belong to heads, and the final head once it is complete; without it
    /// all of `input` was taken.
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<(usize, Option<Head>), HeadFault> {
        let mut used = 0;
        while used < input.len() {
            let (taken, block) = self.next_block(&input[used..])?;
            used += taken;
            let Some(block) = block else { break };
            let head = self.parse(&block)?;
            if !head.status.is_informational() {
                return Ok((used, Some(head)));
            }
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(HeadFault::Malformed("switching protocols was not asked for"));
            }
            self.interims += 1;
            if self.interims > MAX_INTERIM_RESPONSES {
                return Err(HeadFault::Malformed("too many interim responses"));
            }
        }
        Ok((used, None))
    }

    /// The next whole head as a block of its own, with the number of bytes taken from `input`.
    fn next_block(&mut self, input: &[u8]) -> Result<(usize, Option<Bytes>), HeadFault> {
        let before = self.partial.len();
        let prefix = PREFIX.get(before..).unwrap_or_default();
        if prefix.iter().zip(input).any(|(expected, byte)| expected != byte) {
            return Err(HeadFault::Malformed("not an http/1 status line"));
        }
        let room = self.limits.head_bytes.saturating_sub(before);
        let within = &input[..input.len().min(room)];
        if before == 0 {
            if let Some(length) = head_length(within, 0) {
                return Ok((length, Some(Bytes::copy_from_slice(&within[..length]))));
            }
            self.partial.extend_from_slice(within);
        } else {
            self.partial.extend_from_slice(within);
            // The empty line may have begun in the bytes kept: `\n\r` before, `\n` now.
            if let Some(length) = head_length(&self.partial, before.saturating_sub(2)) {
                let mut block = mem::take(&mut self.partial);
                block.truncate(length);
                return Ok((length - before, Some(block.freeze())));
            }
        }
        if within.len() < input.len() { Err(HeadFault::TooLarge) } else { Ok((input.len(), None)) }
    }

    fn parse(&self, block: &Bytes) -> Result<Head, HeadFault> {
        let mut table = [const { MaybeUninit::uninit() }; HEADERS_CEILING];
        let table = &mut table[..self.limits.headers.min(HEADERS_CEILING)];
        let mut response = httparse::Response::new(&mut []);
        let parsed =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, block, table);
        match parsed {
            Ok(httparse::Status::Complete(length)) if length == block.len() => {}
            Ok(_) => return Err(HeadFault::Malformed("misplaced empty line")),
            Err(httparse::Error::TooManyHeaders) => return Err(HeadFault::TooLarge),
            Err(error) => return Err(HeadFault::Malformed(reason(error))),
        }
        let status = response
            .code
            .and_then(|code| StatusCode::from_u16(code).ok())
            .ok_or(HeadFault::Malformed("invalid status code"))?;
        let mut framing = FramingHeaders::default();
        let mut headers = Vec::with_capacity(response.headers.len());
        for header in response.headers.iter() {
            let name = HeaderName::from_bytes(header.name.as_bytes())
                .map_err(|_| HeadFault::Malformed("invalid header name"))?;
            framing.observe(&name, header.value).map_err(HeadFault::Malformed)?;
            let value = HeaderValue::from_maybe_shared(block.slice_ref(header.value))
                .map_err(|_| HeadFault::Malformed("invalid header value"))?;
            headers.push((name, value));
        }
        let framing = framing
            .conclude(status, response.version == Some(1), self.head_request)
            .map_err(HeadFault::Malformed)?;
        Ok(Head { status, headers, framing })
    }

    /// Whether any byte of a response was seen (an interim one counts).
    pub(crate) fn has_begun(&self) -> bool {
        self.interims > 0 || !self.partial.is_empty()
    }
}

/// The length of the head at the beginning of `bytes`, including its empty line. No line end before `from` can end it.
fn head_length(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|index| from + index + 1).find_map(|line| {
        match &bytes[line..] {
            [b'\n', ..] => Some(line + 1),
            [b'\r', b'\n', ..] => Some(line + 2),
            _ => None,
        }
    })
}

fn reason(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "invalid header name",
        httparse::Error::HeaderValue => "invalid header value",
        httparse::Error::NewLine => "invalid line end",
        httparse::Error::Status => "invalid status line",
        httparse::Error::Version => "unsupported http version",
        httparse::Error::Token | httparse::Error::TooManyHeaders => "invalid byte",
    }
}
