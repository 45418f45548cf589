//! Tests of the response decoder alone: no sockets, every split.

mod body;
mod corpus;
mod framing;
mod head;
mod property;

use super::super::decode_property::{End, Transcript, USUAL, check, replay};
use super::{BodyFault, BodyKind, HeadFault};

/// Decodes a whole byte stream and makes sure that no split of it matters.
fn decode(stream: impl AsRef<[u8]>) -> Transcript {
    let stream = stream.as_ref();
    check(stream, false, USUAL, 7);
    replay(false, USUAL, [stream])
}

/// The framing of a response with these header lines (each with its line end).
fn kind(lines: &str) -> Result<(BodyKind, bool), HeadFault> {
    let transcript = decode(format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
    match (transcript.head, transcript.end) {
        (Some(head), _) => Ok((head.framing.kind, head.framing.reusable)),
        (None, End::BadHead(fault)) => Err(fault),
        (None, end) => panic!("neither a head nor a fault: {end:?}"),
    }
}

/// The payload of a whole chunked response with this raw body, or its fault.
fn chunked(raw: &str) -> Result<String, BodyFault> {
    let transcript = decode(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{raw}"));
    match transcript.end {
        End::Complete(_) => Ok(String::from_utf8(transcript.body).unwrap()),
        End::BadBody(fault) => Err(fault),
        end => panic!("the head was not accepted: {end:?}"),
    }
}
