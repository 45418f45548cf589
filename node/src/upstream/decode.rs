//! The response decoder: bytes in, head and body out, no I/O, no clock, no allocation beyond its limits.
//!
//! [`HeadDecoder`] turns the bytes of a connection into one final response [`Head`] (interim `1xx` heads are skipped);
//! the head's framing then makes a [`BodyDecoder`], which strips the framing *in place* and reports which part of
//! the buffer is payload. Both keep only what a split in an unlucky place forces them to keep, so that a stream that
//! waits for its next token holds no buffer.
//!
//! The one rule above all: a message is never cut short silently and never read past its end. What cannot be framed
//! beyond doubt is refused.
//!
//! This module knows nothing of sockets, pools or targets, and imports nothing else of the crate: the fuzz target
//! (`node/fuzz`) compiles it alone.

mod body;
mod chunked;
mod framing;
mod head;
#[cfg(test)]
mod tests;

pub(crate) use self::body::{BodyDecoder, BodyFault};
pub use self::framing::BodyKind;
pub(crate) use self::head::{Head, HeadDecoder, HeadFault};

/// Bounds of what a peer may make the decoders hold or read through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecodeLimits {
    /// Most bytes of one response head, from the status line to the empty line.
    pub(crate) head_bytes: usize,
    /// Most header lines of one response head; values above [`HEADERS_CEILING`] mean that ceiling.
    pub(crate) headers: usize,
    /// Most bytes of all trailer lines after the last chunk.
    pub(crate) trailer_bytes: usize,
}

/// No response may have more header lines than this, whatever the settings say: it sizes the parser's stack table.
pub(crate) const HEADERS_CEILING: usize = 256;
