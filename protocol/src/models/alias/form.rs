//! The name of the model in a form (`multipart/form-data`, RFC 7578), which a transcription's request is.

use std::ops::Range;

use memchr::memmem;

use super::body::AliasError;
use crate::header::media_type;

/// Most bytes of a boundary (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// The model that a form names; `None` if it names none, or is no form.
pub fn model_of_form(content_type: &str, body: &[u8]) -> Option<String> {
    let delimiter = delimiter(content_type)?;
    let places = models(&delimiter, body)?;
    places.into_iter().find_map(|place| Some(std::str::from_utf8(body.get(place)?).ok()?.to_owned()))
}

/// Every model that a form names; `None` if that cannot be told.
pub fn models_of_form(content_type: &str, body: &[u8]) -> Option<Vec<String>> {
    let places = models(&delimiter(content_type)?, body)?;
    let names = places.into_iter().map(|place| Some(std::str::from_utf8(body.get(place)?).ok()?.to_owned()));
    names.collect()
}

/// A form with another model: every field `model` gets it, and where there is none, one is put first.
///
/// # Errors
/// [`AliasError::NotAForm`] if the parts cannot be told apart.
pub fn named_in_form(content_type: &str, body: &[u8], target: &str) -> Result<Vec<u8>, AliasError> {
    let delimiter = delimiter(content_type).ok_or(AliasError::NotAForm)?;
    let places = models(&delimiter, body).ok_or(AliasError::NotAForm)?;
    let mut text = Vec::with_capacity(body.len() + (places.len() + 1) * (target.len() + 128));
    let mut from = 0;
    if places.is_empty() {
        text.extend_from_slice(delimiter.as_bytes());
        text.extend_from_slice(b"\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n");
        text.extend_from_slice(target.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    for place in places {
        text.extend_from_slice(&body[from..place.start]);
        text.extend_from_slice(target.as_bytes());
        from = place.end;
    }
    text.extend_from_slice(&body[from..]);
    Ok(text)
}

/// What begins each part: the boundary of the form behind two dashes.
fn delimiter(content_type: &str) -> Option<String> {
    if !media_type(content_type).eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(content_type, "boundary")?;
    let is_good = !boundary.is_empty() && boundary.len() <= MAX_BOUNDARY;
    is_good.then(|| format!("--{boundary}"))
}

/// A parameter of a header value, such as `form-data; name="x"`. Quoted ones have no escapes in what is read here.
fn parameter<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (key, behind) = rest.split_once('=')?;
        let behind = behind.trim_start();
        let (text, after) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (text, after) = quoted.split_once('"')?;
                (text, after.split_once(';').map_or("", |(_, after)| after))
            }
            None => behind.split_once(';').unwrap_or((behind, "")),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(text.trim());
        }
        rest = after;
    }
}

/// The values of the fields `model`; `None` if the body does not end as a form does.
fn models(delimiter: &str, body: &[u8]) -> Option<Vec<Range<usize>>> {
    let boundary = memmem::Finder::new(delimiter.as_bytes());
    // What comes before the first part is of no meaning.
    let mut at = boundary.find(body)? + delimiter.len();
    let mut places = Vec::new();
    loop {
        let part = body.get(at..)?;
        if part.starts_with(b"--") {
            return Some(places);
        }
        // The head begins behind the line of the delimiter; the value behind the head, up to the next delimiter's line.
        let head = at + memmem::find(part, b"\r\n")? + 2;
        let value = match body.get(head..)? {
            empty if empty.starts_with(b"\r\n") => head + 2,
            behind => head + memmem::find(behind, b"\r\n\r\n")? + 4,
        };
        let end = end(&boundary, body, value)?;
        if is_model(&body[head..value]) {
            places.push(value..end);
        }
        at = end + 2 + delimiter.len();
    }
}

/// Where the value ends that begins at `value`: before the line break of the next delimiter.
fn end(boundary: &memmem::Finder<'_>, body: &[u8], value: usize) -> Option<usize> {
    let mut from = value;
    loop {
        let found = from + boundary.find(body.get(from..)?)?;
        if found >= value + 2 && body[..found].ends_with(b"\r\n") {
            return Some(found - 2);
        }
        from = found + 1;
    }
}

/// Whether the head of a part is that of the field `model`.
fn is_model(head: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(head) else { return false };
    head.split("\r\n").any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("content-disposition")
                && parameter(value, "name") == Some("model")
                && parameter(value, "filename").is_none()
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; charset=utf-8; boundary=\"x y\"";

    fn form(parts: &[(&str, &str)]) -> String {
        let part =
            |(head, value): &(&str, &str)| format!("--x y\r\nContent-Disposition: {head}\r\n\r\n{value}\r\n");
        let parts: String = parts.iter().map(part).collect();
        format!("{parts}--x y--\r\n")
    }

    fn named(body: &str) -> Result<String, AliasError> {
        named_in_form(TYPE, body.as_bytes(), "whisper-1").map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn the_field_gets_another_name_and_all_else_stays() {
        let file = ("form-data; name=\"file\"; filename=\"model\"", "RIFF\r\n--x\r\n\r\n--x y x\u{0}");
        let other = ("form-data; name=\"language\"", "model");
        let model = |name| ("form-data; NAME=model", name);
        let asked = form(&[file, model("gpt-4o-transcribe"), other]);
        assert_eq!(model_of_form(TYPE, asked.as_bytes()).as_deref(), Some("gpt-4o-transcribe"));
        assert_eq!(named(&asked), Ok(form(&[file, model("whisper-1"), other])));
        assert_eq!(
            named(&form(&[model(""), model("a")])),
            Ok(form(&[model("whisper-1"), model("whisper-1")]))
        );
        let without = form(&[file, other]);
        assert_eq!(model_of_form(TYPE, without.as_bytes()), None);
        let quoted = ("form-data; name=\"model\"", "whisper-1");
        assert_eq!(named(&without), Ok(form(&[quoted, file, other])));
        assert_eq!(named("--x y--"), Ok(form(&[quoted]).trim_end().to_owned()));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for body in
            ["", "{}", "--x y", "--x y\r\n", "--x y\r\n\r\nv", "--x y\r\n\r\nv\r\n--x y", "--x y\r\nA: b\r\n"]
        {
            assert_eq!(named(body), Err(AliasError::NotAForm), "{body}");
            assert_eq!(model_of_form(TYPE, body.as_bytes()), None, "{body}");
        }
        for content_type in ["", "application/json", "multipart/form-data", "multipart/form-data; boundary="]
        {
            let refused = named_in_form(content_type, b"--x y--", "m");
            assert_eq!(refused, Err(AliasError::NotAForm), "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_read(fields in proptest::collection::vec("[a-z\r\n-]{0,9}", 0..4), at in 0usize..4) {
            let head = |name: &str| format!("form-data; name=\"{name}\"");
            let mut parts: Vec<_> = fields.iter().map(|value| (head("x"), value.as_str())).collect();
            parts.insert(at.min(parts.len()), (head("model"), "asked"));
            let parts: Vec<_> = parts.iter().map(|(head, value)| (head.as_str(), *value)).collect();
            let changed = named(&form(&parts)).unwrap();
            prop_assert_eq!(model_of_form(TYPE, changed.as_bytes()), Some("whisper-1".to_owned()));
            prop_assert_eq!(named_in_form(TYPE, changed.as_bytes(), "asked").unwrap(), form(&parts).into_bytes());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![
            Just(b"--x y".to_vec()), Just(b"\r\n".to_vec()), Just(b"--".to_vec()), any::<u8>().prop_map(|byte| vec![byte]),
        ], 0..20)) {
            let bytes = bytes.concat();
            let _ = (model_of_form(TYPE, &bytes), named_in_form(TYPE, &bytes, "m"));
        }
    }
}
