//! What must hold for every byte stream a peer can send, written once for the property tests, the seed corpus and the
//! fuzz target.
//!
//! In go arbitrary bytes; the only output is a panic if a rule is broken.

use super::decode::{BodyDecoder, BodyFault, BodyKind, DecodeLimits, Head, HeadDecoder, HeadFault};

/// Limits small enough for arbitrary input to reach them.
pub(crate) const TIGHT: DecodeLimits = DecodeLimits { head_bytes: 256, headers: 8, trailer_bytes: 32 };

/// Limits as a client uses them.
pub(crate) const USUAL: DecodeLimits =
    DecodeLimits { head_bytes: 65_536, headers: 128, trailer_bytes: 16_384 };

/// Everything the decoders say about one byte stream that then ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) head: Option<Head>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

/// How a byte stream was understood at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A whole response, in this many bytes.
    Complete(usize),
    /// The stream ended inside a head.
    NoHead,
    BadHead(HeadFault),
    BadBody(BodyFault),
}

/// Decodes `pieces` as they would be read from a connection that is closed after the last one.
pub(crate) fn replay<'a>(
    head_request: bool,
    limits: DecodeLimits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Transcript {
    let mut decoder = HeadDecoder::new(head_request, limits);
    let mut head = None;
    let mut body: Option<BodyDecoder> = None;
    let mut payload = Vec::new();
    let mut total = 0;
    for piece in pieces {
        let mut buffer = piece.to_vec();
        let mut rest = &mut buffer[..];
        if body.is_none() {
            let (used, found) = match decoder.decode(rest) {
                Ok(step) => step,
                Err(fault) => return Transcript { head, body: payload, end: End::BadHead(fault) },
            };
            assert!(found.is_some() || used == rest.len(), "bytes were left over without a head");
            assert!(found.is_some() || used == 0 || decoder.has_begun(), "bytes were read and forgotten");
            total += used;
            rest = &mut rest[used..];
            body = found.as_ref().map(|head| BodyDecoder::new(head.framing.kind, limits));
            head = found;
        }
        let Some(body) = &mut body else { continue };
        let Ok(found) = body.decode(rest) else { break };
        assert!(found.used <= rest.len() && found.data.end <= found.used, "payload outside of what was read");
        assert!(body.outcome().is_some() || found.used == rest.len(), "bytes were left over inside a body");
        payload.extend_from_slice(&rest[found.data]);
        total += found.used;
        if body.outcome().is_some() {
            break;
        }
    }
    let Some(mut body) = body else { return Transcript { head, body: payload, end: End::NoHead } };
    body.close();
    let end = match body.outcome() {
        Some(Ok(())) => End::Complete(total),
        Some(Err(fault)) => End::BadBody(fault),
        None => unreachable!("a closed connection leaves no question open"),
    };
    Transcript { head, body: payload, end }
}

/// Checks one byte stream: any split gives what the whole gives, and nothing grows beyond its bounds.
///
/// `seed` chooses the sizes of the pieces.
pub(crate) fn check(data: &[u8], head_request: bool, limits: DecodeLimits, seed: u64) {
    let whole = replay(head_request, limits, [data]);
    assert!(whole.body.len() <= data.len(), "payload came from nowhere");
    if let Some(head) = &whole.head {
        assert!(head.headers.len() <= limits.headers, "more header lines than allowed");
        let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        assert!(bytes <= limits.head_bytes, "a larger head than allowed");
        match head.framing.kind {
            BodyKind::Empty => assert_eq!(whole.body.len(), 0, "payload without a body"),
            BodyKind::Sized(length) => {
                let received = whole.body.len() as u64;
                assert!(received <= length, "more payload than announced");
                assert_eq!(
                    received == length,
                    matches!(whole.end, End::Complete(_)),
                    "an end in the wrong place"
                );
            }
            BodyKind::Chunked | BodyKind::UntilClose => {}
        }
    }
    if let End::Complete(used) = whole.end {
        assert!(used <= data.len(), "read past the input");
    }
    assert_eq!(replay(head_request, limits, data.chunks(1)), whole, "byte by byte");
    assert_eq!(replay(head_request, limits, pieces(data, seed)), whole, "in pieces");
}

/// Checks a corpus entry or fuzzer input: two bytes that choose request method, limits and pieces, then the stream.
pub(crate) fn check_entry(entry: &[u8]) {
    let [options, seed, data @ ..] = entry else { return };
    let limits = if options & 2 == 0 { USUAL } else { TIGHT };
    check(data, options & 1 == 1, limits, u64::from(*seed));
}

/// `data` in pieces of one to 16 bytes, or of any size if the generator says so.
fn pieces(mut data: &[u8], seed: u64) -> impl Iterator<Item = &[u8]> {
    let mut state = seed;
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        // Knuth's MMIX generator: good enough to vary sizes, and the same everywhere.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [high, wide, ..] = state.to_be_bytes();
        let most = if wide < 32 { data.len() } else { 16 };
        let (piece, rest) = data.split_at((1 + usize::from(high) % most).min(data.len()));
        data = rest;
        Some(piece)
    })
}
