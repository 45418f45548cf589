//! Whose fault an error answer is: what decides whether a request is tried elsewhere and whether its backend is
//! blamed for it.
//!
//! A status alone does not tell. Ollama answers 500 to some mistakes of clients (a wrong option type, a bad
//! `format`, a template error) as well as to a runner that died, and 404 to a model that another backend may have.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::time::Timestamp;

/// Whose fault an error answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client's, or a capability that the backend lacks: passed on, never tried again, nobody blamed.
    Client,
    /// This backend does not have the model; another one may.
    ModelMissing,
    /// The backend's: counts for its breaker, and another one may do better.
    Backend,
    /// Not to be told from one answer: the same words from a second backend make it the client's.
    Unclear,
    /// The backend has too much to do: it is left alone for a while, and not blamed.
    Busy,
}

/// Longer bodies are not read for words: engines' errors have a few hundred bytes.
const MAX_BODY: usize = 64 * 1024;

/// The longest time that a backend is left alone because it asked for it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What errors of a dead or broken engine say, in lower case.
const RUNNER_FAULTS: [&str; 13] = [
    // Ollama: llm/server.go, server/sched.go and the runners below them.
    "model runner has unexpectedly stopped",
    "an error was encountered while running the model",
    "unexpected server status",
    "timed out waiting for llama runner",
    "llama runner process has terminated",
    "llama runner process no longer running",
    "context canceled",
    // The GPU, whoever reports it.
    "out of memory",
    "cudamalloc",
    "cuda error",
    // vLLM: v1/engine/exceptions.py, and the engine before that.
    "enginecore encountered an issue",
    "enginedeaderror",
    "background loop has errored",
];

/// The verdict on an answer with an error status; `None` for 1xx to 3xx. `body` may be only its beginning.
pub fn of_answer(status: u16, body: &[u8]) -> Option<Fault> {
    Some(match status {
        ..400 => return None,
        404 if lacks_model(body) => Fault::ModelMissing,
        // The request did not come in time, and nobody can tell whose line was slow.
        408 => Fault::Unclear,
        // 529 is Anthropic's "overloaded".
        429 | 503 | 529 => Fault::Busy,
        // 501 and 505 are capabilities: it would answer the same again.
        400..=499 | 501 | 505 => Fault::Client,
        502 | 504 => Fault::Backend,
        _ => match error_text(body) {
            Some(text) => of_message(&text),
            None => of_message(&String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)])),
        },
    })
}

/// The same for a request for embeddings, of which an input that is too long is the client's mistake, whatever the status
/// says: llama.cpp and older versions of Ollama answer 500 to it.
pub fn of_embeddings_answer(status: u16, body: &[u8]) -> Option<Fault> {
    let is_too_long = matches!(status, 400 | 413 | 422 | 500)
        && error_text(body).is_some_and(|words| is_too_long_input(&words));
    if is_too_long { Some(Fault::Client) } else { of_answer(status, body) }
}

/// The verdict on the message of an error frame inside of a stream: the backend's fault if an engine says that it
/// broke, else unclear.
pub fn of_message(message: &str) -> Fault {
    let message = message.to_ascii_lowercase();
    if RUNNER_FAULTS.iter().any(|marker| message.contains(marker)) { Fault::Backend } else { Fault::Unclear }
}

/// Whether the words of an error about an embedding say that the input is longer than the model's context.
pub(crate) fn is_too_long_input(words: &str) -> bool {
    /// In lower case.
    const MARKERS: [&str; 11] = [
        // Ollama.
        "input length exceeds the context length",
        "input length exceeds maximum context length",
        // OpenAI, vLLM, SGLang.
        "maximum context length",
        "longer than the maximum model length",
        "longer than the model's context length",
        // llama.cpp and what is built on it, which has a limit for one batch, too.
        "input is too large to process",
        "tokens) is too large to process",
        "is larger than the max context size",
        "exceeds the available context size",
        // Hugging Face's TEI.
        "`inputs` must have less than",
        "`inputs` must have at most",
    ];
    let words = words.to_ascii_lowercase();
    MARKERS.iter().any(|marker| words.contains(marker))
}

/// The words of an error body, trimmed, for comparing what two backends say; `None` if it has none.
///
/// Reads Ollama's `{"error": text}`, OpenAI's and Anthropic's `{"error": {"message": text}}`, vLLM's older
/// `{"message": text, "object": "error"}` and `FastAPI`'s `{"detail": …}`, whose list of mistakes is given as JSON.
pub fn error_text(body: &[u8]) -> Option<String> {
    let text = match Body::parse(body)?.0 {
        Value::String(text) => text,
        // Only `detail` is ever a list.
        other => other.to_string(),
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The time that a `Retry-After` asks for: seconds or a date in any of the three spellings (RFC 9110, 10.2.3). At
/// most 60 s; a date that has passed is zero; `None` for anything else.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are still a number, and a long time.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let since_epoch = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or_default());
    Some(since_epoch.saturating_sub(now).min(MAX_RETRY_AFTER))
}

/// What an error body says (a text, or `FastAPI`'s list), and the code beside it.
struct Body(Value, Option<Value>);

// === impl Body ===

impl Body {
    fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_BODY {
            return None;
        }
        let Ok(Value::Object(mut body)) = serde_json::from_slice(body) else { return None };
        match body.remove("error") {
            Some(text @ Value::String(_)) => return Some(Self(text, body.remove("code"))),
            Some(Value::Object(mut error)) => {
                let text = error.remove("message").filter(Value::is_string)?;
                return Some(Self(text, error.remove("code")));
            }
            _ => {}
        }
        if let Some(text) = body.remove("message").filter(Value::is_string) {
            return Some(Self(text, body.remove("code")));
        }
        let detail = body.remove("detail").filter(|detail| detail.is_string() || detail.is_array())?;
        Some(Self(detail, None))
    }
}

/// Whether a 404 says that the model is missing, and not the path or something else.
fn lacks_model(body: &[u8]) -> bool {
    let Some(Body(Value::String(text), code)) = Body::parse(body) else { return false };
    if code.is_some_and(|code| code == "model_not_found") {
        return true;
    }
    let text = text.trim().to_ascii_lowercase();
    // Ollama: `model 'x' not found`, `model "x" not found, try pulling it first`.
    let ollama = text.strip_prefix("model ").is_some_and(|rest| {
        (rest.starts_with('\'') && rest.contains("' not found"))
            || (rest.starts_with('"') && rest.contains("\" not found"))
    });
    // vLLM: "The model `x` does not exist."; OpenAI says more after it.
    ollama || text.starts_with("the model `") && text.contains("` does not exist")
}

/// Whether an error answer says that the server does not know the path, and not that something at the path is missing.
pub fn is_unknown_path(status: u16, body: &[u8]) -> bool {
    /// What routers say: Go's, Python's, llama.cpp's, Node's.
    const WORDS: [&str; 6] = [
        "404 page not found",
        "not found",
        "file not found",
        "page not found",
        "404 not found",
        "no such route",
    ];
    match status {
        405 => true,
        404 => match error_text(body) {
            Some(words) => WORDS.contains(&words.trim_end_matches('.').to_ascii_lowercase().as_str()),
            // A page for people, or nothing.
            None => body.len() <= MAX_BODY && of_answer(status, body) != Some(Fault::ModelMissing),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_input_that_is_too_long_is_the_clients_fault_whatever_the_status_says() {
        let error = |words: &str| format!(r#"{{"error":{{"message":"{words}","type":"x"}}}}"#);
        for (status, words) in [
            (400, "the input length exceeds the context length"),
            (500, "input length exceeds maximum context length"),
            (400, "This model's maximum context length is 512 tokens. However, you requested 1451 tokens"),
            (400, "The decoder prompt (length 9) is longer than the maximum model length of 8. Make sure"),
            (500, "input is too large to process. increase the physical batch size"),
            (500, "input (992 tokens) is too large to process. increase the physical batch size (512)"),
            (400, "input (9739 tokens) is larger than the max context size (8192 tokens). skipping"),
            (
                400,
                "request (9739 tokens) exceeds the available context size (8192 tokens), try increasing it",
            ),
        ] {
            let body = error(words);
            assert!(is_too_long_input(words), "{words}");
            assert_eq!(of_embeddings_answer(status, body.as_bytes()), Some(Fault::Client), "{words}");
            assert_eq!(of_embeddings_answer(503, body.as_bytes()), Some(Fault::Busy), "{words}");
        }
        for words in ["CUDA out of memory", "the model's context is broken", ""] {
            let body = error(words);
            assert!(!is_too_long_input(words), "{words}");
            assert_eq!(
                of_embeddings_answer(500, body.as_bytes()),
                of_answer(500, body.as_bytes()),
                "{words}"
            );
        }
    }

    #[test]
    fn answers_that_are_no_errors_have_no_verdict() {
        for status in [0, 100, 200, 206, 304, 399] {
            assert_eq!(of_answer(status, b"{\"error\":\"x\"}"), None, "{status}");
        }
    }

    #[test]
    fn the_status_decides_where_it_can() {
        for (status, fault) in [
            (400, Fault::Client),
            (401, Fault::Client),
            (403, Fault::Client),
            (404, Fault::Client),
            (408, Fault::Unclear),
            (413, Fault::Client),
            (422, Fault::Client),
            (429, Fault::Busy),
            (499, Fault::Client),
            (500, Fault::Unclear),
            (501, Fault::Client),
            (502, Fault::Backend),
            (503, Fault::Busy),
            (504, Fault::Backend),
            (505, Fault::Client),
            (507, Fault::Unclear),
            (529, Fault::Busy),
            (999, Fault::Unclear),
        ] {
            assert_eq!(of_answer(status, b""), Some(fault), "{status}");
            assert_eq!(of_answer(status, b"{\"error\":\"nothing known\"}"), Some(fault), "{status}");
        }
    }

    #[test]
    fn a_404_is_a_missing_model_only_if_it_says_so() {
        for body in [
            r#"{"error":"model 'llama3' not found"}"#,
            r#"{"error":"model \"llama3:latest\" not found, try pulling it first"}"#,
            r#"{"error":{"message":"model 'x' not found","type":"not_found_error","param":null,"code":null}}"#,
            r#"{"type":"error","error":{"type":"not_found_error","message":"model 'x' not found"}}"#,
            r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","code":404}"#,
            r#"{"error":{"message":"The model `x` does not exist or you do not have access to it."}}"#,
            r#"{"error":{"message":"gone","code":"model_not_found"}}"#,
        ] {
            assert_eq!(of_answer(404, body.as_bytes()), Some(Fault::ModelMissing), "{body}");
            assert_eq!(of_answer(400, body.as_bytes()), Some(Fault::Client), "{body}");
        }
        for body in [
            "404 page not found",
            r#"{"detail":"Not Found"}"#,
            r#"{"error":"blob \"sha256:x\" not found"}"#,
            r#"{"error":"model file not found"}"#,
            r#"{"error":null}"#,
        ] {
            assert_eq!(of_answer(404, body.as_bytes()), Some(Fault::Client), "{body}");
        }
    }

    #[test]
    fn an_unknown_path_is_told_from_a_missing_model() {
        for body in [
            "404 page not found",
            "",
            "<html>Not Found</html>",
            r#"{"detail":"Not Found"}"#,
            r#"{"error":"not found"}"#,
            r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#,
        ] {
            assert!(is_unknown_path(404, body.as_bytes()), "{body}");
        }
        for body in [
            r#"{"error":"model 'x' not found"}"#,
            r#"{"error":{"message":"Response with id 'resp_1' not found.","type":"invalid_request_error"}}"#,
        ] {
            assert!(!is_unknown_path(404, body.as_bytes()), "{body}");
        }
        assert!(is_unknown_path(405, b"405 method not allowed"));
        assert!(!is_unknown_path(400, b"") && !is_unknown_path(501, b"not found"));
    }

    #[test]
    fn a_500_is_the_backends_only_if_an_engine_broke() {
        for body in [
            r#"{"error":"model runner has unexpectedly stopped, this may be due to resource limitations"}"#,
            r#"{"error":"llama runner process has terminated: exit status 2"}"#,
            r#"{"error":{"message":"CUDA out of memory. Tried to allocate 2 GiB"}}"#,
            "cudaMalloc failed: out of memory",
            r#"{"detail":"EngineCore encountered an issue. See stack trace (above) for the root cause."}"#,
        ] {
            assert_eq!(of_answer(500, body.as_bytes()), Some(Fault::Backend), "{body}");
            assert_eq!(of_message(body), Fault::Backend, "{body}");
        }
        let mistake = "option \"temperature\" must be of type float32";
        assert_eq!(of_message(mistake), Fault::Unclear);
        assert_eq!(of_answer(500, mistake.as_bytes()), Some(Fault::Unclear));
    }

    #[test]
    fn the_words_of_an_error_are_found_in_every_shape() {
        for body in [
            r#"{"error":" x "}"#,
            r#"{"error":"x","signin_url":"https://ollama.com"}"#,
            "{\"error\":\"x\"}\n",
            r#"{"error":{"message":"x","type":"api_error","param":null,"code":null}}"#,
            r#"{"type":"error","error":{"type":"api_error","message":"x"},"request_id":"req_1"}"#,
            r#"{"object":"error","message":"x","type":"BadRequestError","param":null,"code":400}"#,
            r#"{"detail":"x"}"#,
        ] {
            assert_eq!(error_text(body.as_bytes()).as_deref(), Some("x"), "{body}");
        }
        assert_eq!(error_text(br#"{"detail":[{"loc":["body"]}]}"#).as_deref(), Some(r#"[{"loc":["body"]}]"#));
        for body in
            ["", "x", "[]", "{}", r#"{"error":""}"#, r#"{"error":{}}"#, r#"{"error":7}"#, r#"{"message":1}"#]
        {
            assert_eq!(error_text(body.as_bytes()), None, "{body}");
        }
        let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(MAX_BODY));
        assert_eq!(error_text(long.as_bytes()), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_long() {
        let now: Timestamp = "1994-11-06T08:49:27.5Z".parse().unwrap();
        let after = |value| retry_after(value, now);
        assert_eq!(after("0"), Some(Duration::ZERO));
        assert_eq!(after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(after("3600"), Some(Duration::from_secs(60)));
        assert_eq!(after("99999999999999999999999999"), Some(Duration::from_secs(60)));
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(after(date), Some(Duration::from_millis(9500)), "{date}");
        }
        assert_eq!(after("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("Sat, 06 Nov 2094 08:49:00 GMT"), Some(Duration::from_secs(60)));
        for value in ["", "soon", "-1", "1.5", "+1", "1e3"] {
            assert_eq!(after(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_verdict_panic(
            status in any::<u16>(), body in proptest::collection::vec(any::<u8>(), 0..80), text in "\\PC{0,30}",
            micros in any::<i64>(),
        ) {
            let verdict = of_answer(status, &body);
            prop_assert_eq!(verdict.is_none(), status < 400);
            let _ = error_text(&body);
            let _ = of_message(&text);
            let waited = retry_after(&text, Timestamp::from_micros(micros));
            prop_assert!(waited.is_none_or(|waited| waited <= MAX_RETRY_AFTER));
        }

        #[test]
        fn every_message_is_found_again(message in "\\PC{0,30}") {
            let expected = Some(message.trim().to_owned()).filter(|message| !message.is_empty());
            for body in [
                serde_json::json!({"error": message}),
                serde_json::json!({"error": {"message": message}}),
                serde_json::json!({"message": message, "object": "error"}),
                serde_json::json!({"detail": message}),
            ] {
                prop_assert_eq!(&error_text(body.to_string().as_bytes()), &expected);
            }
        }
    }
}
