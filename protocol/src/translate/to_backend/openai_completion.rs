//! Writes `POST /v1/completions`.

use serde::Serialize;

use super::Said;
use super::openai::{Sampling, Streaming, given};
use crate::translate::Refused;
use crate::translate::chat::Format;
use crate::translate::completion::Completion;

/// A request body.
#[derive(Debug, Serialize)]
struct Body<'c> {
    model: &'c str,
    prompt: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<&'c str>,
    #[serde(flatten)]
    sampling: Sampling<'c>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u64>,
    #[serde(flatten)]
    streaming: Streaming,
}

/// Writes a request body. The prompt is continued as it is; images, and an answer in a given form, are nothing that this
/// API could be asked for.
pub(in crate::translate) fn write(completion: &Completion) -> Result<Said, Refused> {
    if !completion.media.is_empty() {
        return Err(Refused::field("images", "cannot be a part of a prompt that is continued as it is"));
    }
    if !matches!(completion.format, Format::Text) {
        return Err(Refused::field("format", "cannot be asked for where a prompt is continued as it is"));
    }
    let mut dropped = Vec::new();
    let body = Body {
        model: &completion.model,
        prompt: &completion.prompt,
        suffix: completion.suffix.as_deref(),
        sampling: Sampling::of(&completion.options, &mut dropped)?,
        logprobs: completion.logprobs,
        streaming: Streaming::of(completion.stream),
    };
    let is_said = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    dropped.extend(given(&[
        ("system", is_said(&completion.system)),
        ("template", is_said(&completion.template)),
        ("think", completion.think.is_some()),
        ("keep_alive", completion.keep_alive.is_some()),
        ("truncate", completion.truncate.is_some()),
        ("shift", completion.shift.is_some()),
    ]));
    Said::of(&body, dropped)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::translate::chat::{Media, Think};

    fn written(completion: &Completion) -> Value {
        serde_json::from_slice(&write(completion).unwrap().body).unwrap()
    }

    #[test]
    fn the_least_completion_says_nothing_that_nobody_asked_for() {
        let completion =
            Completion { model: "m".to_owned(), prompt: "p".to_owned(), ..Completion::default() };
        let said = write(&completion).unwrap();
        assert_eq!(said.body, br#"{"model":"m","prompt":"p","stream":false}"#);
        assert!(said.dropped.is_empty());
    }

    #[test]
    fn a_raw_prompt_is_continued_with_the_same_sampling() {
        let completion = Completion {
            model: "m".to_owned(),
            prompt: "def f(".to_owned(),
            suffix: Some("return".to_owned()),
            stream: true,
            options: json!({"num_predict": 9, "temperature": 0, "stop": ["\n"]}).as_object().unwrap().clone(),
            logprobs: Some(2),
            raw: true,
            ..Completion::default()
        };
        let expected = json!({
            "model": "m", "prompt": "def f(", "suffix": "return", "max_tokens": 9, "temperature": 0, "stop": ["\n"],
            "logprobs": 2, "stream": true, "stream_options": {"include_usage": true},
        });
        assert_eq!(written(&completion), expected);
    }

    #[test]
    fn what_this_api_has_no_word_for_is_dropped_and_named() {
        let completion = Completion {
            options: json!({"num_ctx": 8}).as_object().unwrap().clone(),
            system: Some("s".to_owned()),
            template: Some("t".to_owned()),
            raw: true,
            think: Some(Think::On),
            keep_alive: Some(json!("5m")),
            truncate: Some(true),
            shift: Some(false),
            ..Completion::default()
        };
        let dropped = write(&completion).unwrap().dropped;
        assert_eq!(dropped, ["num_ctx", "system", "template", "think", "keep_alive", "truncate", "shift"]);
        let empty = Completion {
            system: Some(String::new()),
            template: Some(String::new()),
            ..Completion::default()
        };
        assert!(write(&empty).unwrap().dropped.is_empty());
    }

    #[test]
    fn what_would_change_the_answer_is_refused() {
        let media = vec![Media::Inline { base64: "AAAA".to_owned(), media_type: None }];
        let refused = write(&Completion { media, ..Completion::default() }).unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("images"));
        let refused = write(&Completion { format: Format::Json, ..Completion::default() }).unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("format"));
        assert!(refused.message.starts_with("format "), "{refused}");
    }
}
