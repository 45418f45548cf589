//! The time as lines have it: RFC 3339, UTC, microseconds.

use std::cell::Cell;
use std::io::Write as _;

use ollamaflow_protocol::time::Timestamp;

/// Length of `yyyy-MM-ddTHH:mm:ss.ffffffZ`.
const LENGTH: usize = 27;
/// How much of it is the same for a whole second.
const SECOND: usize = 20;

thread_local! {
    /// The last second that was written, and its text up to the point.
    static LAST: Cell<(i64, [u8; SECOND])> = const { Cell::new((i64::MIN, [0; SECOND])) };
}

/// Writes the time. What is the same for a second is written once in a second.
pub(super) fn write(at: Timestamp, out: &mut Vec<u8>) {
    let micros = at.as_micros();
    let (second, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (known, mut text) = LAST.get();
    if known != second {
        let mut whole = Vec::with_capacity(LENGTH);
        // Writing to memory does not fail.
        let _ = write!(whole, "{at}");
        let Some(start) = whole.first_chunk::<SECOND>() else { return };
        text = *start;
        LAST.set((second, text));
    }
    out.extend_from_slice(&text);
    let mut digits = *b"000000Z";
    let mut rest = fraction;
    for digit in digits[..6].iter_mut().rev() {
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_gives_the_same_text() {
        for micros in [0, 1, 999_999, 1_000_000, 1_759_944_278_120_000, 1_759_944_278_000_007, -1] {
            let at = Timestamp::from_micros(micros);
            let mut out = Vec::new();
            write(at, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), at.to_string());
        }
    }
}
