//! The response body: strips the framing of a buffer in place and knows exactly where the body ends.
//!
//! In go buffers as they were read, and the end of the connection; out comes the place of the payload within each
//! buffer. Nothing is kept between two buffers but a few counters.

use std::ops::Range;

use super::DecodeLimits;
use super::chunked::{ChunkedDecoder, bounded};
use super::framing::BodyKind;

/// Why a body cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("connection closed before the end of the body")]
    Truncated,
    #[error("malformed chunked body: {0}")]
    BadChunk(&'static str),
    #[error("trailers are larger than allowed")]
    TrailerTooLarge,
}

/// What one pass over a buffer gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Where in the buffer the payload now is; may be empty.
    pub(crate) data: Range<usize>,
    /// How much of the buffer belongs to this response; less than all of it only when the body has ended.
    pub(crate) used: usize,
}

/// Decodes one body of a known [`BodyKind`].
#[derive(Debug, Clone)]
pub(crate) struct BodyDecoder {
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Sized(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
    Ended,
    Failed(BodyFault),
}

impl BodyDecoder {
    pub(crate) fn new(kind: BodyKind, limits: DecodeLimits) -> Self {
        let state = match kind {
            BodyKind::Empty | BodyKind::Sized(0) => State::Ended,
            BodyKind::Sized(length) => State::Sized(length),
            BodyKind::Chunked => State::Chunked(ChunkedDecoder::new(limits.trailer_bytes)),
            BodyKind::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Decodes `buffer` in place. A fault behind some payload is reported after that payload: by
    /// [`outcome`](Self::outcome), and by every later call.
    pub(crate) fn decode(&mut self, buffer: &mut [u8]) -> Result<Decoded, BodyFault> {
        let decoded = match &mut self.state {
            State::Sized(remaining) => {
                let length = bounded(*remaining, buffer.len());
                *remaining -= length as u64;
                if *remaining == 0 {
                    self.state = State::Ended;
                }
                Decoded { data: 0..length, used: length }
            }
            State::Chunked(chunked) => {
                let step = chunked.decode(buffer);
                if chunked.is_end() {
                    self.state = State::Ended;
                } else if let Some(fault) = step.fault {
                    self.state = State::Failed(fault);
                    if step.data.is_empty() {
                        return Err(fault);
                    }
                }
                Decoded { data: step.data, used: step.used }
            }
            State::UntilClose => Decoded { data: 0..buffer.len(), used: buffer.len() },
            State::Ended => Decoded { data: 0..0, used: 0 },
            State::Failed(fault) => return Err(*fault),
        };
        Ok(decoded)
    }

    /// The peer closed the connection in good order: a clean end if only a close could end the body, a truncation
    /// ([`outcome`](Self::outcome) tells) if it had not ended.
    pub(crate) fn close(&mut self) {
        match self.state {
            State::UntilClose => self.state = State::Ended,
            State::Sized(_) | State::Chunked(_) => self.state = State::Failed(BodyFault::Truncated),
            State::Ended | State::Failed(_) => {}
        }
    }

    /// How decoding ended: with the whole body or with a fault; nothing while more is to come.
    pub(crate) fn outcome(&self) -> Option<Result<(), BodyFault>> {
        match self.state {
            State::Ended => Some(Ok(())),
            State::Failed(fault) => Some(Err(fault)),
            State::Sized(_) | State::Chunked(_) | State::UntilClose => None,
        }
    }
}
