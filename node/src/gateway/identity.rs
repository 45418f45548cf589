//! Names of one request: its id, and its place in a distributed trace.

use serde_json::{Map, Value};

use crate::telemetry::Parent;

/// Where an id says which kind it is, and what it says.
const VERSION_BITS: u128 = 0xf << 76;
const VERSION_4: u128 = 0x4 << 76;
const VARIANT_BITS: u128 = 0x3 << 62;
const VARIANT_1: u128 = 0x2 << 62;

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// Length of a `traceparent`.
const TRACEPARENT: usize = 55;

/// A `traceparent` that is sent.
pub(super) type Traceparent = [u8; TRACEPARENT];

/// A random 128-bit id in UUID text form (version 4), as the original's GUIDs.
#[derive(Clone, Debug)]
pub(crate) struct RequestId {
    text: [u8; 36],
}

// === impl RequestId ===

impl RequestId {
    /// Unique enough to find one request in logs; not a secret.
    pub(crate) fn random() -> Self {
        let number = fastrand::u128(..) & !(VERSION_BITS | VARIANT_BITS) | VERSION_4 | VARIANT_1;
        let digits = digits(number);
        let mut text = [b'-'; 36];
        text[..8].copy_from_slice(&digits[..8]);
        text[9..13].copy_from_slice(&digits[8..12]);
        text[14..18].copy_from_slice(&digits[12..16]);
        text[19..23].copy_from_slice(&digits[16..20]);
        text[24..].copy_from_slice(&digits[20..]);
        Self { text }
    }

    pub(super) fn as_bytes(&self) -> &[u8; 36] {
        &self.text
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }
}

/// Names the request in an error body of Anthropic's API, where its clients look for it: by the id that the headers have.
pub(super) fn named(error: Vec<u8>, id: &RequestId) -> Vec<u8> {
    let Ok(mut object) = serde_json::from_slice::<Map<String, Value>>(&error) else { return error };
    object.insert("request_id".to_owned(), Value::from(id.as_str()));
    Value::Object(object).to_string().into_bytes()
}

/// The `traceparent` to send upstream (W3C Trace Context level 1): the client's trace with a span id of our own,
/// or a new trace, marked as not sampled, since this node records none.
pub(super) fn traceparent(received: Option<&str>) -> Traceparent {
    let mut text = *b"00-................................-................-00";
    match received.and_then(parse) {
        Some((trace, _, flags)) => {
            text[3..35].copy_from_slice(trace.as_bytes());
            text[53..].copy_from_slice(flags.as_bytes());
        }
        None => text[3..35].copy_from_slice(&digits(fastrand::u128(1..))),
    }
    text[36..52].copy_from_slice(&digits(fastrand::u64(1..).into())[16..]);
    text
}

/// The `traceparent` of a span that is recorded.
pub(super) fn traceparent_of(trace: u128, span: u64) -> Traceparent {
    let mut text = *b"00-................................-................-01";
    text[3..35].copy_from_slice(&digits(trace));
    text[36..52].copy_from_slice(&digits(span.into())[16..]);
    text
}

/// The span of the client that a `traceparent` names; none if it is not valid.
pub(super) fn parent(received: Option<&str>) -> Option<Parent> {
    let (trace, span, flags) = received.and_then(parse)?;
    Some(Parent {
        trace: u128::from_str_radix(trace, 16).ok()?,
        span: u64::from_str_radix(span, 16).ok()?,
        is_sampled: u8::from_str_radix(flags, 16).ok()? & SAMPLED != 0,
    })
}

/// The digits of a number, in the case that the formats of ids ask for.
fn digits(number: u128) -> [u8; 32] {
    let mut text = [0; 32];
    // Two digits for each byte: the lengths agree.
    let _ = hex::encode_to_slice(number.to_be_bytes(), &mut text);
    text
}

/// (trace id, span id, flags) of a valid header.
fn parse(header: &str) -> Option<(&str, &str, &str)> {
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let mut parts = header.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let valid = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && !zero(trace)
        && hex(span, 16)
        && !zero(span)
        && hex(flags, 2)
        && (version != "00" || parts.next().is_none());
    valid.then_some((trace, span, flags))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn request_ids_are_version_4_uuids_and_differ() {
        let (one, two) = (RequestId::random(), RequestId::random());
        assert_ne!(one.as_bytes(), two.as_bytes());
        let parts: Vec<usize> = one.as_str().split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }

    proptest! {
        #[test]
        fn digits_are_those_of_the_formatter(number in any::<u128>()) {
            prop_assert_eq!(digits(number).to_vec(), format!("{number:032x}").into_bytes());
        }
    }

    fn sent(received: &str) -> String {
        String::from_utf8(traceparent(Some(received)).to_vec()).unwrap()
    }

    #[test]
    fn a_valid_trace_is_continued_with_a_span_of_our_own() {
        let received = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let sent = sent(received);
        assert_eq!(sent[..36], received[..36]);
        let (trace, _, flags) = parse(&sent).unwrap();
        assert_eq!((trace, flags), ("4bf92f3577b34da6a3ce929d0e0e4736", "01"));
        assert_ne!(sent, received);
    }

    #[test]
    fn the_client_s_span_is_read_and_one_of_our_own_written() {
        let (trace, span) = (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7);
        let read = |flags: &str| {
            parent(Some(&format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}")))
        };
        assert_eq!(read("01"), Some(Parent { trace, span, is_sampled: true }));
        assert_eq!(read("02"), Some(Parent { trace, span, is_sampled: false }));
        assert_eq!(read("1"), None);
        assert_eq!(parent(None), None);
        assert_eq!(traceparent_of(trace, span), *b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    }

    #[test]
    fn an_invalid_trace_is_replaced() {
        for received in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            let sent = sent(received);
            let (trace, _, flags) = parse(&sent).unwrap();
            assert_ne!(trace, "4bf92f3577b34da6a3ce929d0e0e4736", "{received}");
            assert_eq!(flags, "00");
        }
    }
}
