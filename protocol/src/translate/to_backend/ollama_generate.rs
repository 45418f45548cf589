//! Writes `POST /api/generate`.

use serde::Serialize;

use super::Said;
use super::ollama::{self, Common, Form, Thinking};
use crate::translate::Refused;
use crate::translate::completion::Completion;

/// A request body.
#[derive(Debug, Serialize)]
struct Body<'c> {
    model: &'c str,
    prompt: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'c str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    raw: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'c str>,
    #[serde(flatten)]
    common: Common<'c>,
}

/// Writes a request body.
pub(in crate::translate) fn write(completion: &Completion) -> Result<Said, Refused> {
    let body = Body {
        model: &completion.model,
        prompt: &completion.prompt,
        suffix: completion.suffix.as_deref(),
        system: completion.system.as_deref(),
        template: completion.template.as_deref(),
        raw: completion.raw,
        images: ollama::images(&completion.media)?,
        common: Common {
            stream: completion.stream,
            format: Form::of(&completion.format),
            keep_alive: completion.keep_alive.as_ref(),
            options: &completion.options,
            think: completion.think.as_ref().map(Thinking::of),
            truncate: completion.truncate,
            shift: completion.shift,
            logprobs: completion.logprobs.map(|_| true),
            top_logprobs: completion.logprobs,
        },
    };
    Said::of(&body, Vec::new())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::translate::chat::{Format, Media, Think};

    fn written(completion: &Completion) -> Value {
        serde_json::from_slice(&write(completion).unwrap().body).unwrap()
    }

    #[test]
    fn the_least_completion_says_whether_it_streams_and_nothing_that_nobody_asked_for() {
        let body = write(&Completion { model: "m".to_owned(), ..Completion::default() }).unwrap().body;
        assert_eq!(body, br#"{"model":"m","prompt":"","stream":false}"#);
    }

    #[test]
    fn everything_ollama_has_a_word_for_is_written() {
        let completion = Completion {
            model: "m".to_owned(),
            prompt: "p".to_owned(),
            suffix: Some("s".to_owned()),
            stream: true,
            options: json!({"top_k": 1}).as_object().unwrap().clone(),
            logprobs: Some(2),
            system: Some("y".to_owned()),
            template: Some("t".to_owned()),
            raw: true,
            format: Format::Json,
            think: Some(Think::On),
            media: vec![Media::Inline { base64: "AA==".to_owned(), media_type: None }],
            keep_alive: Some(json!(0)),
            truncate: Some(true),
            shift: Some(false),
        };
        assert_eq!(
            written(&completion),
            json!({
                "model": "m", "prompt": "p", "suffix": "s", "stream": true, "options": {"top_k": 1},
                "logprobs": true, "top_logprobs": 2, "system": "y", "template": "t", "raw": true,
                "format": "json", "think": true, "images": ["AA=="], "keep_alive": 0, "truncate": true,
                "shift": false,
            })
        );
    }

    #[test]
    fn an_image_that_is_no_file_yet_is_refused() {
        let (url, field) = ("https://e.com".to_owned(), "images[0]".to_owned());
        let media = vec![Media::Remote { url, field, refusal: "no URLs" }];
        let refused = write(&Completion { media, ..Completion::default() }).unwrap_err();
        assert_eq!(refused, Refused::verbatim("images[0]", "no URLs"));
    }
}
