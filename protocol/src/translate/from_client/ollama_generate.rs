//! Reads `POST /api/generate`.

use super::{Asked, FOLDED, ollama};
use crate::translate::Refused;
use crate::translate::completion::Completion;
use crate::translate::fields::Fields;
use crate::translate::to_client::ollama_generate::Echo;

/// Reads a request body.
pub(in crate::translate) fn read(body: &[u8]) -> Result<Asked<Completion, Echo>, Refused> {
    let mut fields = Fields::of_body(body, FOLDED)?;
    let mut dropped = Vec::new();
    let logprobs = ollama::logprobs(&mut fields)?;
    let completion = Completion {
        model: ollama::model(&mut fields)?,
        prompt: fields.text("prompt")?.unwrap_or_default(),
        suffix: ollama::filled(&mut fields, "suffix")?,
        stream: ollama::stream(&mut fields)?,
        options: ollama::options(&mut fields, &mut dropped)?,
        logprobs: logprobs.wanted.unwrap_or_default().then(|| logprobs.top.unwrap_or_default()),
        system: ollama::filled(&mut fields, "system")?,
        template: ollama::filled(&mut fields, "template")?,
        raw: fields.flag("raw")?.unwrap_or_default(),
        format: ollama::format(&mut fields)?,
        think: ollama::think(&mut fields)?,
        media: ollama::images(&mut fields)?,
        keep_alive: ollama::keep_alive(&mut fields)?,
        truncate: fields.flag("truncate")?,
        shift: fields.flag("shift")?,
    };
    // The tokens of an earlier answer mean nothing to another engine.
    let has_context = fields.array("context")?.is_some_and(|tokens| !tokens.is_empty());
    if has_context {
        dropped.push("context".to_owned());
    }
    if completion.raw && (completion.template.is_some() || completion.system.is_some() || has_context) {
        return Err(Refused::verbatim("raw", "raw mode does not support template, system, or context"));
    }
    dropped.extend(fields.rest());
    Ok(Asked { echo: Echo { model: completion.model.clone() }, request: completion, dropped })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::translate::chat::{Format, Media, Think};

    fn read_text(body: &str) -> Asked<Completion, Echo> {
        read(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_is_read_in_whole() {
        let asked = read_text(
            r#"{"model":"m","prompt":"p","suffix":"s","system":"y","template":"t","stream":false,"format":"json",
                "keep_alive":"5m","images":["AAAA"],"options":{"num_predict":5,"mirostat":1},"think":"low",
                "truncate":true,"shift":false,"logprobs":true,"top_logprobs":3,"width":8}"#,
        );
        let completion = asked.request;
        assert_eq!((completion.model.as_str(), completion.prompt.as_str()), ("m", "p"));
        assert_eq!(asked.echo.model, "m");
        assert_eq!(completion.suffix.as_deref(), Some("s"));
        assert_eq!(completion.system.as_deref(), Some("y"));
        assert_eq!(completion.template.as_deref(), Some("t"));
        assert!(!completion.stream && !completion.raw && completion.is_plain());
        assert!(matches!(completion.format, Format::Json));
        assert_eq!(completion.keep_alive, Some(json!("5m")));
        assert_eq!(completion.media, [Media::Inline { base64: "AAAA".to_owned(), media_type: None }]);
        assert_eq!(json!(completion.options), json!({"num_predict": 5}));
        assert_eq!(completion.think, Some(Think::Level("low".to_owned())));
        assert_eq!((completion.truncate, completion.shift), (Some(true), Some(false)));
        assert_eq!(completion.logprobs, Some(3));
        assert_eq!(asked.dropped, ["options.mirostat", "width"]);
    }

    #[test]
    fn what_is_empty_asks_for_nothing() {
        let asked =
            read_text(r#"{"MODEL":"m","suffix":"","system":"","template":"","raw":null,"context":[]}"#);
        let completion = asked.request;
        assert_eq!(completion.prompt, "");
        assert!(completion.stream && !completion.is_plain());
        assert_eq!((completion.system, completion.suffix, completion.template), (None, None, None));
        assert!(asked.dropped.is_empty());
    }

    #[test]
    fn context_and_debugging_are_dropped_and_named() {
        let asked = read_text(r#"{"model":"m","prompt":"p","context":[1,2],"_debug_render_only":true}"#);
        assert_eq!(asked.dropped, ["context", "_debug_render_only"]);
        assert!(read(br#"{"model":"m","context":"x"}"#).is_err());
    }

    #[test]
    fn a_raw_prompt_excludes_what_would_go_around_it() {
        for other in [r#""template":"t""#, r#""system":"s""#, r#""context":[1]"#] {
            let refused =
                read(format!(r#"{{"model":"m","prompt":"p","raw":true,{other}}}"#).as_bytes()).unwrap_err();
            assert_eq!(refused.message, "raw mode does not support template, system, or context");
        }
        assert!(read_text(r#"{"model":"m","prompt":"p","raw":true,"template":""}"#).request.is_plain());
    }

    #[test]
    fn alternatives_without_log_probabilities_ask_for_nothing() {
        let logprobs = |fields: &str| read_text(&format!(r#"{{"model":"m",{fields}}}"#)).request.logprobs;
        assert_eq!(logprobs(r#""top_logprobs":5"#), None);
        assert_eq!(logprobs(r#""logprobs":false,"top_logprobs":5"#), None);
        assert_eq!(logprobs(r#""logprobs":true"#), Some(0));
    }
}
