//! The kinds of images that models take: what they are called, and how they begin.

use ollamaflow_protocol::header;

/// A kind of image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImageType {
    Png,
    Jpeg,
    Webp,
    Gif,
}

/// Bytes by which each of them can be told. No image is shorter.
pub(super) const TOLD_BY: usize = 12;

// === impl ImageType ===

impl ImageType {
    /// By the value of a `Content-Type`. `image/jpg` is no such type, but is what many say.
    pub(super) fn named(content_type: &str) -> Option<Self> {
        let essence = header::media_type(content_type);
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        [Self::Png, Self::Jpeg, Self::Webp, Self::Gif]
            .into_iter()
            .find(|kind| is(kind.name()))
            .or_else(|| is("image/jpg").then_some(Self::Jpeg))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
        }
    }

    /// Whether such an image begins like this. `start` are the first [`TOLD_BY`] bytes.
    pub(super) fn begins(self, start: &[u8]) -> bool {
        match self {
            Self::Png => start.starts_with(b"\x89PNG\r\n\x1a\n"),
            Self::Jpeg => start.starts_with(b"\xff\xd8\xff"),
            Self::Webp => start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WEBP"),
            Self::Gif => start.starts_with(b"GIF87a") || start.starts_with(b"GIF89a"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_by_its_name_whatever_follows_it() {
        for (content_type, kind) in [
            ("image/png", Some(ImageType::Png)),
            ("IMAGE/JPEG; charset=binary", Some(ImageType::Jpeg)),
            ("image/jpg", Some(ImageType::Jpeg)),
            (" image/webp ;x", Some(ImageType::Webp)),
            ("image/gif", Some(ImageType::Gif)),
            ("image/svg+xml", None),
            ("image/png2", None),
            ("text/html", None),
            ("application/octet-stream", None),
            ("", None),
        ] {
            assert_eq!(ImageType::named(content_type), kind, "{content_type}");
        }
    }

    #[test]
    fn each_type_is_told_by_its_first_bytes_and_by_no_others() {
        let starts: [(ImageType, &[u8]); 5] = [
            (ImageType::Png, b"\x89PNG\r\n\x1a\n\0\0\0\r"),
            (ImageType::Jpeg, b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01"),
            (ImageType::Webp, b"RIFF\x10\0\0\0WEBP"),
            (ImageType::Gif, b"GIF89a\x01\0\x01\0\0\0"),
            (ImageType::Gif, b"GIF87a\x01\0\x01\0\0\0"),
        ];
        for kind in [ImageType::Png, ImageType::Jpeg, ImageType::Webp, ImageType::Gif] {
            for (other, start) in starts {
                assert_eq!(start.len(), TOLD_BY);
                assert_eq!(kind.begins(start), kind == other, "{kind:?}: {start:?}");
                assert!(!kind.begins(&start[..2]));
            }
            for start in [&b""[..], b"<!DOCTYPE html", b"RIFF\x10\0\0\0WAVE", b"GIF88a      "] {
                assert!(!kind.begins(start), "{kind:?}: {start:?}");
            }
        }
    }
}
