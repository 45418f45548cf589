//! Files inside of requests, as Go's decoder takes them.

use crate::translate::Refused;
use crate::translate::chat::Media;

/// A file from its base64, which must be standard and padded; `path` is where it is. Line breaks are taken out, as Go
/// does it.
pub(super) fn inline(base64: String, path: &str) -> Result<Media, Refused> {
    let is_break = |c: char| matches!(c, '\r' | '\n');
    let base64 = if base64.contains(is_break) { base64.replace(is_break, "") } else { base64 };
    if !is_base64(base64.as_bytes()) {
        return Err(Refused::field(path, "must be standard, padded base64, without a data: prefix"));
    }
    Ok(Media::Inline { base64, media_type: None })
}

fn is_base64(text: &[u8]) -> bool {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    text.len().is_multiple_of(4)
        && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = |three: &[u8]| {
            let bits =
                three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
            let digit = |index| char::from(DIGITS[bits >> (18 - 6 * index) & 63]);
            (0..4).map(|index| if index > three.len() { '=' } else { digit(index) }).collect::<String>()
        };
        bytes.chunks(3).map(digits).collect()
    }

    #[test]
    fn only_standard_padded_base64_is_a_file() {
        for base64 in ["", "AAAA", "AA==", "AAA=", "iVBORw0KGgo=", "+/+/"] {
            let media = inline(base64.to_owned(), "images[0]").unwrap();
            assert_eq!(media, Media::Inline { base64: base64.to_owned(), media_type: None });
        }
        for other in [
            "A",
            "AA",
            "AAA",
            "iVBORw0KGgo",
            "a-_b",
            "A===",
            "====",
            "AA=A",
            "=AAA",
            "AA AA===",
            "data:,AAAA",
        ] {
            assert!(inline(other.to_owned(), "images[0]").is_err(), "{other}");
        }
    }

    #[test]
    fn line_breaks_are_taken_out() {
        let media = inline("AAAA\r\nAA\n==".to_owned(), "images[0]").unwrap();
        assert_eq!(media, Media::Inline { base64: "AAAAAA==".to_owned(), media_type: None });
    }

    proptest! {
        #[test]
        fn every_file_is_taken_and_none_without_its_padding(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let base64 = encode(&bytes);
            prop_assert!(is_base64(base64.as_bytes()));
            if let Some(unpadded) = base64.strip_suffix('=') {
                prop_assert!(!is_base64(unpadded.as_bytes()));
            }
        }
    }
}
