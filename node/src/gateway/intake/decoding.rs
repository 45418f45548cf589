//! Request bodies in a content coding: engines take none, so what is sent on is decoded, piece by piece as it arrives.
//!
//! Memory is bounded by one piece and the window of the coding, whatever a body says of itself. How much may come out
//! in all is for the reader to count.

use std::io::{self, BufRead, ErrorKind, Read};

use actix_web::http::header::{self, HeaderMap};
use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;
use ollamaflow_protocol::route::Operation;
use zstd::stream::read::Decoder as ZstdDecoder;

use crate::gateway::refusal::Refusal;

/// The codings that are taken, for `Accept-Encoding`. Not `deflate`: some senders mean another format by it than the
/// standard does (RFC 9110 §8.4.1.2).
pub(in crate::gateway) const ACCEPTED_CODINGS: &str = "gzip, zstd";

/// Largest window of zstd, as a power of two: 8 MiB, which is also all that its senders may use over HTTP (RFC 9659 §3).
const WINDOW_LOG: u32 = 23;

/// Largest piece that comes out at once; a piece that goes in may unfold into a thousand of them.
const PIECE_BYTES: usize = 32 * 1024;

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

/// A body on its way out of its coding.
pub(super) struct Decoding {
    coding: Coding,
    decoder: Decoder,
    piece: Box<[u8]>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Decoded bytes, at least one.
    Piece(Bytes),
    /// Nothing before more of the body is [fed](Decoding::feed), or its [end](Decoding::end).
    Starved,
    /// Nothing any more: the body was decoded to its end.
    Complete,
}

enum Decoder {
    Gzip(MultiGzDecoder<Arrived>),
    Zstd(ZstdDecoder<'static, Arrived>),
}

/// What has arrived and was not decoded yet. To the decoders it is a socket that does not block.
#[derive(Default)]
struct Arrived {
    bytes: Bytes,
    is_end: bool,
}

/// Whether bodies of this operation are decoded. A blob is stored as it is, and its digest is that of the bytes sent.
pub(in crate::gateway) fn is_decoded(operation: Operation) -> bool {
    operation != Operation::OllamaBlob
}

// === impl Coding ===

impl Coding {
    /// The coding that the head of a request names, if any.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let mut coding = None;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let value = String::from_utf8_lossy(value.as_bytes());
            for name in value.split(',').map(|name| name.trim_matches([' ', '\t'])) {
                if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                    continue;
                }
                // One coding inside another helps nobody but bombs.
                match Self::named(name) {
                    Some(known) if coding.is_none() => coding = Some(known),
                    _ => return Err(Refusal::UnknownCoding(value.into_owned())),
                }
            }
        }
        Ok(coding)
    }

    fn named(name: &str) -> Option<Self> {
        // `x-gzip` is the same (RFC 9110 §8.4.1.3).
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return Some(Self::Gzip);
        }
        name.eq_ignore_ascii_case("zstd").then_some(Self::Zstd)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn refusal(self, error: &io::Error) -> Refusal {
        let why = match error.kind() {
            ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            _ => error.to_string(),
        };
        Refusal::Undecodable { coding: self.name(), why }
    }
}

// === impl Decoding ===

impl Decoding {
    /// Of a body of which nothing has arrived yet.
    pub(super) fn begin(coding: Coding) -> Result<Self, Refusal> {
        let decoder = Decoder::new(coding).map_err(|e| coding.refusal(&e))?;
        Ok(Self { coding, decoder, piece: vec![0; PIECE_BYTES].into_boxed_slice() })
    }

    /// Takes the next bytes of the body. To be called when it is [starved](Step::Starved) only.
    pub(super) fn feed(&mut self, bytes: Bytes) {
        self.decoder.arrived().bytes = bytes;
    }

    /// Nothing more will arrive.
    pub(super) fn end(&mut self) {
        self.decoder.arrived().is_end = true;
    }

    /// Decodes the next piece.
    ///
    /// # Errors
    /// [`Refusal::Undecodable`] if the body is broken, ends too early, or is followed by something else.
    pub(super) fn step(&mut self) -> Result<Step, Refusal> {
        match self.decoder.read(&mut self.piece) {
            Ok(0) => Ok(Step::Complete),
            Ok(length) => {
                Ok(Step::Piece(Bytes::copy_from_slice(self.piece.get(..length).unwrap_or_default())))
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(Step::Starved),
            Err(e) => Err(self.coding.refusal(&e)),
        }
    }
}

// === impl Decoder ===

impl Decoder {
    fn new(coding: Coding) -> io::Result<Self> {
        let nothing = Arrived::default();
        Ok(match coding {
            Coding::Gzip => Self::Gzip(MultiGzDecoder::new(nothing)),
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::with_buffer(nothing)?;
                decoder.window_log_max(WINDOW_LOG)?;
                Self::Zstd(decoder)
            }
        })
    }

    fn arrived(&mut self) -> &mut Arrived {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(into),
            Self::Zstd(decoder) => decoder.read(into),
        }
    }
}

// === impl Arrived ===

impl Read for Arrived {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Arrived {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() && !self.is_end {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(&self.bytes)
    }

    fn consume(&mut self, length: usize) {
        self.bytes.advance(length.min(self.bytes.len()));
    }
}

#[cfg(test)]
mod tests;
