//! Images in requests: in the body itself, or somewhere else.

use crate::translate::Refused;
use crate::translate::chat::Media;

/// Types of the images that Ollama's own `/v1` takes (`openai/openai.go`, `decodeImageURL`).
const TYPES: [&str; 4] = ["image/jpeg", "image/jpg", "image/png", "image/webp"];

/// What clients of OpenAI's APIs are told of an image that is somewhere else (`openai/openai.go`).
pub(super) const REMOTE: &str =
    "image URLs are not currently supported, please use base64 encoded data instead";

/// The image at `url`, which a `data:` URL holds itself. `field` is where the client names it.
pub(super) fn at(url: String, field: &str) -> Result<Media, Refused> {
    // The scheme's case does not matter (RFC 3986, 3.1).
    let begins =
        |scheme: &str| url.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    if begins("http://") || begins("https://") {
        return Ok(Media::Remote { url, field: field.to_owned(), refusal: REMOTE });
    }
    let invalid = || Refused::verbatim(field, "invalid image input");
    let data = url.strip_prefix("data:").and_then(|data| data.split_once(";base64,"));
    let (media_type, data) = data.ok_or_else(invalid)?;
    if !media_type.is_empty() && !TYPES.contains(&media_type) {
        return Err(invalid());
    }
    let media_type = Some(media_type.to_owned()).filter(|media_type| !media_type.is_empty());
    Ok(Media::Inline { base64: base64(data).ok_or_else(invalid)?, media_type })
}

/// Standard, padded base64 without the line ends that Go's decoder passes over; `None` if it is none.
pub(super) fn base64(text: &str) -> Option<String> {
    let text = text.replace(['\r', '\n'], "");
    let digits = text.trim_end_matches('=');
    let is_whole = text.len().is_multiple_of(4) && text.len() - digits.len() <= 2;
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    (is_whole && digits.bytes().all(is_digit)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_holds_its_image_and_others_are_kept() {
        let inline = |base64: &str, media_type: Option<&str>| Media::Inline {
            base64: base64.to_owned(),
            media_type: media_type.map(str::to_owned),
        };
        let at = |url: &str| at(url.to_owned(), "f").unwrap();
        assert_eq!(at("data:image/png;base64,iVBORw0KGgo="), inline("iVBORw0KGgo=", Some("image/png")));
        assert_eq!(at("data:;base64,iVBO\r\nRw=="), inline("iVBORw==", None));
        let url = "hTTps://e.com/x.png";
        let (url, field) = (url.to_owned(), "f".to_owned());
        assert_eq!(at(&url), Media::Remote { url: url.clone(), field, refusal: REMOTE });
    }

    #[test]
    fn what_is_no_image_is_refused_in_upstreams_words() {
        for url in [
            "data:image/gif;base64,AAAA",
            "data:image/png,AAAA",
            "data:image/png;base64,AAA",
            "data:image/png;base64,A===",
            "data:image/png;base64,AA-_",
            "ftp://e.com/x.png",
            "",
        ] {
            assert_eq!(
                at(url.to_owned(), "f").unwrap_err(),
                Refused::verbatim("f", "invalid image input"),
                "{url}"
            );
        }
    }
}
