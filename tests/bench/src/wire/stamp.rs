//! The send time inside a chunk: `@` and sixteen hex digits of [`monotonic_ns`](crate::clock::monotonic_ns), fixed in
//! width so that the upstream can patch it into a prepared frame and harmless inside a JSON string.

/// Hex digits after the mark.
pub(crate) const DIGITS: usize = 16;
/// The mark before the digits; the canned chunks use it for nothing else.
pub(crate) const MARK: u8 = b'@';

/// Writes `ns` as [`DIGITS`] lower-case hex digits.
pub(crate) fn write(ns: u64, digits: &mut [u8; DIGITS]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = HEX[(ns >> (4 * place) & 0xf) as usize];
    }
}

/// The first stamp in `line`, in nanoseconds.
pub(crate) fn read(line: &[u8]) -> Option<u64> {
    let start = memchr::memchr(MARK, line)? + 1;
    let digits = line.get(start..start + DIGITS)?;
    digits.iter().try_fold(0_u64, |ns, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some(ns << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_stamp_is_read_back() {
        for ns in [0, 1, 0xdead_beef, u64::MAX] {
            let mut digits = [0; DIGITS];
            write(ns, &mut digits);
            let line = [b"{\"content\":\"@".as_slice(), &digits, b" token\"}"].concat();
            assert_eq!(read(&line), Some(ns));
        }
    }

    #[test]
    fn a_line_without_a_whole_stamp_has_none() {
        for line in [b"".as_slice(), b"{}", b"@", b"@0123", b"@000000000000000g"] {
            assert_eq!(read(line), None);
        }
    }
}
