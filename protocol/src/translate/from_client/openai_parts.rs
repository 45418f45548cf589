//! Reads the content of a message of OpenAI's chat: a string, or parts of text, images and sounds.

use serde_json::value::RawValue;

use super::openai::{text, type_name};
use crate::translate::Refused;
use crate::translate::chat::Media;
use crate::translate::fields::Fields;

/// What a message says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Content {
    /// All texts, joined by an empty line: what Ollama makes of messages of the same role that follow each other
    /// (`template/template.go`, `collate`).
    pub(super) text: String,
    pub(super) media: Vec<Media>,
}

/// One part.
enum Part {
    Text(String),
    Media(Media),
}

// === impl Content ===

impl Content {
    /// Reads the content at `path`.
    pub(super) fn read(raw: &RawValue, path: &str, dropped: &mut Vec<String>) -> Result<Self, Refused> {
        if raw.get().starts_with('"') {
            let text = text(raw).ok_or_else(|| Refused::field(path, "is not valid Unicode"))?;
            return Ok(Self { text, media: Vec::new() });
        }
        let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
            return Err(Self::mistyped(path, type_name(raw)));
        };
        let mut texts = Vec::new();
        let mut media = Vec::new();
        for (index, part) in parts.into_iter().enumerate() {
            match Part::read(part, &format!("{path}[{index}]"), dropped)? {
                Part::Text(text) => texts.push(text),
                Part::Media(file) => media.push(file),
            }
        }
        Ok(Self { text: texts.join("\n\n"), media })
    }

    /// The refusal of content that is neither a string nor an array.
    pub(super) fn mistyped(path: &str, type_name: &str) -> Refused {
        Refused::verbatim(path, format!("invalid message content type: {type_name}"))
    }
}

// === impl Part ===

impl Part {
    /// Go reads parts as maps, whose keys match exactly.
    fn read(raw: &RawValue, path: &str, dropped: &mut Vec<String>) -> Result<Self, Refused> {
        let malformed = || Refused::verbatim(path, "invalid message format");
        let mut part = Fields::of_value(raw, false, path).map_err(|_| malformed())?;
        let kind = part.raw("type").and_then(text).unwrap_or_default();
        let read = match kind.as_str() {
            "text" => Self::Text(part.raw("text").and_then(text).ok_or_else(malformed)?),
            "image_url" => {
                let url = part.raw("image_url").ok_or_else(malformed)?;
                Self::Media(image(url, &part.path("image_url"), dropped)?.ok_or_else(malformed)?)
            }
            "input_audio" => {
                let audio = part.object("input_audio").map_err(|_| malformed())?;
                let mut audio = audio.ok_or_else(malformed)?;
                let sound = sound(&mut audio)?.ok_or_else(malformed)?;
                dropped.extend(audio.rest());
                Self::Media(sound)
            }
            _ => return Err(malformed()),
        };
        dropped.extend(part.rest());
        Ok(read)
    }
}

/// An image by its URL, which is a string or in an object; `None` if there is none.
fn image(raw: &RawValue, path: &str, dropped: &mut Vec<String>) -> Result<Option<Media>, Refused> {
    if let Some(url) = text(raw) {
        return super::image::at(url, path).map(Some);
    }
    let Ok(mut image) = Fields::of_value(raw, false, path) else { return Ok(None) };
    let url = image.raw("url").and_then(text);
    dropped.extend(image.rest());
    url.map(|url| super::image::at(url, &image.path("url"))).transpose()
}

/// A sound; `None` if it has no data.
fn sound(audio: &mut Fields<'_>) -> Result<Option<Media>, Refused> {
    let format = audio.text("format")?;
    let Some(data) = audio.text("data")? else { return Ok(None) };
    let base64 =
        super::image::base64(&data).ok_or_else(|| Refused::field(audio.path("data"), "must be base64"))?;
    Ok(Some(Media::Inline { base64, media_type: format.map(|format| format!("audio/{format}")) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<(Content, Vec<String>), Refused> {
        let raw: &RawValue = serde_json::from_str(content).unwrap();
        let mut dropped = Vec::new();
        Ok((Content::read(raw, "messages[0].content", &mut dropped)?, dropped))
    }

    fn message(content: &str) -> String {
        read(content).unwrap_err().message
    }

    fn inline(base64: &str, media_type: Option<&str>) -> Media {
        Media::Inline { base64: base64.to_owned(), media_type: media_type.map(str::to_owned) }
    }

    #[test]
    fn parts_become_one_text_and_its_media_in_order() {
        let (content, dropped) = read(
            r#"[{"type":"text","text":"what"},
                {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo=","detail":"low"}},
                {"type":"image_url","image_url":"data:;base64,AAAA"},
                {"type":"text","text":"tail","cache_control":{}},
                {"type":"input_audio","input_audio":{"data":"iVBO","format":"wav"}}]"#,
        )
        .unwrap();
        assert_eq!(content.text, "what\n\ntail");
        let media = [
            inline("iVBORw0KGgo=", Some("image/png")),
            inline("AAAA", None),
            inline("iVBO", Some("audio/wav")),
        ];
        assert_eq!(content.media, media);
        assert_eq!(
            dropped,
            ["messages[0].content[1].image_url.detail", "messages[0].content[3].cache_control"]
        );
    }

    #[test]
    fn an_image_elsewhere_is_kept_with_the_place_where_it_is_named() {
        let url = "https://example.com/x.png";
        for (content, field) in [
            (format!(r#"[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]"#), "image_url.url"),
            (format!(r#"[{{"type":"image_url","image_url":"{url}"}}]"#), "image_url"),
        ] {
            let field = format!("messages[0].content[0].{field}");
            let (url, refusal) = (url.to_owned(), super::super::image::REMOTE);
            assert_eq!(read(&content).unwrap().0.media, [Media::Remote { url, field, refusal }]);
        }
    }

    #[test]
    fn images_that_upstream_does_not_take_are_refused_in_its_words() {
        for url in [
            "data:image/gif;base64,iVBORw0KGgo=",
            "data:image/png,raw",
            "data:image/png;base64,iVBORw0KGgo",
            "data:image/png;base64,iVBO-w_KGgo=",
            "data:image/png;base64,A===",
            "data:image/png;base64,AA=A",
            "ftp://example.com/x.png",
            "iVBORw0KGgo=",
            "",
        ] {
            let content = format!(r#"[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]"#);
            assert_eq!(message(&content), "invalid image input", "{url}");
        }
    }

    #[test]
    fn base64_in_lines_is_taken_as_go_takes_it() {
        let (content, _) =
            read(r#"[{"type":"image_url","image_url":"data:image/webp;base64,iVBO\r\nRw0K\n"}]"#).unwrap();
        assert_eq!(content.media, [inline("iVBORw0K", Some("image/webp"))]);
    }

    #[test]
    fn what_is_no_part_is_refused_in_upstreams_words() {
        for content in [
            r#"["text"]"#,
            "[null]",
            r#"[{"type":"file","file":{}}]"#,
            r#"[{"type":"text"}]"#,
            r#"[{"type":"text","text":7}]"#,
            r#"[{"text":"no type"}]"#,
            r#"[{"type":"image_url"}]"#,
            r#"[{"type":"image_url","image_url":{}}]"#,
            r#"[{"type":"image_url","image_url":7}]"#,
            r#"[{"type":"input_audio"}]"#,
            r#"[{"type":"input_audio","input_audio":{"format":"wav"}}]"#,
        ] {
            assert_eq!(message(content), "invalid message format", "{content}");
        }
    }

    #[test]
    fn content_of_another_type_is_refused_by_its_type() {
        assert_eq!(message("null"), "invalid message content type: <nil>");
        assert_eq!(message("7"), "invalid message content type: float64");
        assert_eq!(message("true"), "invalid message content type: bool");
        assert_eq!(message("{}"), "invalid message content type: map[string]interface {}");
        assert_eq!(message(r#""half of an emoji: \ud83d""#), "messages[0].content is not valid Unicode");
    }
}
