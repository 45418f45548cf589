//! Images and sounds: what they are, and those that have to be fetched before they can be passed on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::chat::Media;

/// What a file is, as far as an API has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'m> {
    /// An image; its media type.
    Image(&'m str),
    /// A sound; its format in OpenAI's words, such as `wav`.
    Sound(&'m str),
}

/// An image that a request names by its URL and that the backend cannot fetch itself.
#[derive(Debug)]
pub struct RemoteMedia<'a>(pub(super) &'a mut Media);

// === impl RemoteMedia ===

impl RemoteMedia<'_> {
    /// Where it is; only the client's word.
    pub fn url(&self) -> &str {
        match &*self.0 {
            Media::Remote { url, .. } => url,
            Media::Inline { .. } => "",
        }
    }

    /// Where in the client's body it is named.
    pub fn field(&self) -> &str {
        match &*self.0 {
            Media::Remote { field, .. } => field,
            Media::Inline { .. } => "",
        }
    }

    /// Puts the file in its place: `base64` is standard and padded.
    pub fn fetched(self, base64: String, media_type: Option<String>) {
        *self.0 = Media::Inline { base64, media_type };
    }
}

// === impl Kind ===

impl<'m> Kind<'m> {
    /// What a file is by its first bytes; else what the client calls it; else a JPEG, which is what upstream takes
    /// anything unknown for.
    pub(super) fn of(base64: &str, named: Option<&'m str>) -> Self {
        Self::sniffed(base64).or_else(|| Self::named(named?)).unwrap_or(Self::Image("image/jpeg"))
    }

    fn sniffed(base64: &str) -> Option<Self> {
        /// The longest signature, in bytes, and the base64 that holds it.
        const BYTES: usize = 12;
        const DIGITS: usize = 16;
        let digits = base64.as_bytes();
        let mut bytes = [0; BYTES];
        let len = STANDARD.decode_slice(&digits[..digits.len().min(DIGITS)], &mut bytes).ok()?;
        match &bytes[..len] {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Image("image/png")),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Image("image/jpeg")),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Image("image/gif")),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => Some(Self::Image("image/webp")),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E'] => Some(Self::Sound("wav")),
            [b'I', b'D', b'3', ..] => Some(Self::Sound("mp3")),
            // A frame without a tag before it: eleven bits of sync, and layer III.
            [0xff, second, ..] if second & 0b1110_0110 == 0b1110_0010 => Some(Self::Sound("mp3")),
            [b'f', b'L', b'a', b'C', ..] => Some(Self::Sound("flac")),
            [b'O', b'g', b'g', b'S', ..] => Some(Self::Sound("ogg")),
            _ => None,
        }
    }

    fn named(media_type: &'m str) -> Option<Self> {
        match media_type.split_once('/')? {
            ("audio", format) => Some(Self::Sound(format)),
            ("image", _) => Some(Self::Image(media_type)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sniffed(bytes: &[u8]) -> Option<Kind<'static>> {
        Kind::sniffed(&STANDARD.encode(bytes))
    }

    #[test]
    fn files_are_known_by_their_first_bytes() {
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], Kind::Image("image/png")),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Kind::Image("image/jpeg")),
            (b"\xff\xd8\xff", Kind::Image("image/jpeg")),
            (b"GIF89a\x01\0", Kind::Image("image/gif")),
            (b"GIF87a", Kind::Image("image/gif")),
            (b"RIFF\x24\0\0\0WEBPVP8 ", Kind::Image("image/webp")),
            (b"RIFF\x24\0\0\0WAVEfmt ", Kind::Sound("wav")),
            (b"ID3\x04\0\0", Kind::Sound("mp3")),
            (b"\xff\xfb\x90\x44", Kind::Sound("mp3")),
            (b"\xff\xf3\x40\xc0", Kind::Sound("mp3")),
            (b"fLaC\0\0\0\x22", Kind::Sound("flac")),
            (b"OggS\0\x02", Kind::Sound("ogg")),
        ] {
            assert_eq!(sniffed(bytes), Some(kind), "{}", bytes.escape_ascii());
        }
        // The last one is AAC: the same sync, another layer.
        for bytes in
            [&b""[..], b"x", b"RIFF\x24\0\0\0AVI ", b"GIF88a", b"\x89PNG", b"BM", b"\xff\xf1\x50\x80"]
        {
            assert_eq!(sniffed(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_bytes_win_over_the_name_and_what_is_neither_is_a_jpeg() {
        let png = "iVBORw0KGgo=";
        assert_eq!(Kind::of(png, Some("image/webp")), Kind::Image("image/png"));
        assert_eq!(Kind::of("AAAA", Some("image/avif")), Kind::Image("image/avif"));
        assert_eq!(Kind::of("AAAA", Some("audio/pcm16")), Kind::Sound("pcm16"));
        for named in [None, Some(""), Some("application/pdf"), Some("image")] {
            assert_eq!(Kind::of("AAAA", named), Kind::Image("image/jpeg"), "{named:?}");
        }
        assert_eq!(Kind::of("", None), Kind::Image("image/jpeg"));
    }

    proptest! {
        #[test]
        fn no_text_makes_sniffing_panic(text in "\\PC{0,40}", named in "\\PC{0,10}") {
            let _ = Kind::of(&text, Some(&named));
        }

        #[test]
        fn only_the_beginning_of_a_file_counts(tail in proptest::collection::vec(any::<u8>(), 0..40)) {
            let file = [&b"\x89PNG\r\n\x1a\n"[..], &tail].concat();
            prop_assert_eq!(sniffed(&file), Some(Kind::Image("image/png")));
        }
    }
}
