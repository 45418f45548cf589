//! The one route table of client traffic: (method, path) in, [`Route`] out.
//!
//! Paths are compared by segments after percent-decoding, as the engines behind us do: otherwise
//! `/v1/chat%2Fcompletions` would reach a backend as a completion without having been seen as one.
//! Sources: the original's table, Ollama's own router, and the OpenAI and Anthropic paths that Ollama serves.

mod operation;

use std::borrow::Cow;

pub use self::operation::{ClientProtocol, Kind, Operation};

/// The routes of clients that are documented: method, path with its parameters in braces, operation. A parameter at the
/// end may hold slashes where [`classify`] says so.
pub const DOCUMENTED: [(&str, &str, Operation); 27] = [
    ("POST", "/api/generate", Operation::OllamaGenerate),
    ("POST", "/api/chat", Operation::OllamaChat),
    ("POST", "/api/chat/generate", Operation::OllamaChat),
    ("POST", "/api/embed", Operation::OllamaEmbed),
    ("POST", "/api/embeddings", Operation::OllamaEmbeddings),
    ("GET", "/api/tags", Operation::OllamaTags),
    ("GET", "/api/ps", Operation::OllamaPs),
    ("POST", "/api/show", Operation::OllamaShow),
    ("POST", "/api/pull", Operation::OllamaPull),
    ("POST", "/api/push", Operation::OllamaPush),
    ("POST", "/api/create", Operation::OllamaCreate),
    ("POST", "/api/copy", Operation::OllamaCopy),
    ("DELETE", "/api/delete", Operation::OllamaDelete),
    ("HEAD", "/api/blobs/{digest}", Operation::OllamaBlob),
    ("POST", "/api/blobs/{digest}", Operation::OllamaBlob),
    ("GET", "/api/version", Operation::OllamaVersion),
    ("POST", "/api/{path}", Operation::OllamaOther),
    ("POST", "/v1/chat/completions", Operation::OpenAiChat),
    ("POST", "/v1/completions", Operation::OpenAiCompletion),
    ("POST", "/v1/embeddings", Operation::OpenAiEmbeddings),
    ("GET", "/v1/models", Operation::OpenAiModels),
    ("GET", "/v1/models/{model}", Operation::OpenAiModel),
    ("POST", "/v1/responses", Operation::OpenAiResponses),
    ("POST", "/v1/messages", Operation::AnthropicMessages),
    ("POST", "/v1/messages/count_tokens", Operation::AnthropicCountTokens),
    ("POST", "/v1/audio/transcriptions", Operation::OpenAiTranscription),
    ("POST", "/v1/{path}", Operation::OpenAiOther),
];

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET` or `HEAD /`
    Root,
    /// `GET` or `HEAD /favicon.ico`
    Favicon,
    /// Anything below `/v1.0/`
    Admin,
    /// To a backend.
    Proxy(Operation),
    /// The path is known, the method is not: the value of `Allow`.
    MethodNotAllowed {
        /// Comma-separated methods that the path takes.
        allow: &'static str,
    },
    /// `.` or `..` as a path segment: a backend could resolve it to a path that was not classified.
    DotSegment,
    /// No such path.
    NotFound,
}

/// Finds the route of a request line. `method` is upper case as received; `path` has no query.
pub fn classify(method: &str, path: &str) -> Route {
    let path = decode(path);
    let mut segments = Segments::default();
    for segment in path.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty()) {
        if segment == b"." || segment == b".." {
            return Route::DotSegment;
        }
        segments.push(segment);
    }
    match segments.as_slice() {
        [] => by_method(method, Route::Root, "GET, HEAD"),
        [b"favicon.ico"] => by_method(method, Route::Favicon, "GET, HEAD"),
        [b"v1.0", ..] => Route::Admin,
        [b"api", rest @ ..] if !rest.is_empty() => ollama(method, rest),
        [b"v1", rest @ ..] if !rest.is_empty() => openai(method, rest),
        _ => Route::NotFound,
    }
}

/// The error shape for a path, whether or not it has a route. `path` has no query.
pub fn client_protocol(path: &str) -> ClientProtocol {
    let path = decode(path);
    let mut segments = path.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty());
    match (segments.next(), segments.next()) {
        (Some(b"api"), _) => ClientProtocol::Ollama,
        (Some(b"v1"), Some(b"messages")) => ClientProtocol::Anthropic,
        (Some(b"v1"), _) => ClientProtocol::OpenAi,
        _ => ClientProtocol::Admin,
    }
}

/// The model that a path below `/v1/models/` names. Names may hold slashes, escaped or not.
pub fn model_of(path: &str) -> Option<String> {
    let decoded = decode(path);
    let path = String::from_utf8_lossy(&decoded);
    let mut rest = path.trim_start_matches('/');
    for segment in ["v1", "models"] {
        rest = rest.strip_prefix(segment)?.strip_prefix('/')?.trim_start_matches('/');
    }
    let model = rest.trim_end_matches('/');
    (!model.is_empty()).then(|| model.to_owned())
}

/// The path below `/v1/models/` that names a model: what [`model_of`] reads.
pub fn path_of_model(model: &str) -> String {
    let mut path = String::from("/v1/models/");
    for byte in model.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'@' => {
                path.push(char::from(byte));
            }
            _ => {
                let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
                path.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    path
}

/// The common methods of paths that are passed through.
const ANY: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The first four segments of a path; a fifth only matters as "more".
#[derive(Default)]
struct Segments<'a> {
    kept: [&'a [u8]; 5],
    len: usize,
}

// === impl Segments ===

impl<'a> Segments<'a> {
    fn push(&mut self, segment: &'a [u8]) {
        if let Some(slot) = self.kept.get_mut(self.len) {
            *slot = segment;
            self.len += 1;
        }
    }

    fn as_slice(&self) -> &[&'a [u8]] {
        &self.kept[..self.len]
    }
}

fn ollama(method: &str, rest: &[&[u8]]) -> Route {
    let operation = match rest {
        [b"generate"] => Operation::OllamaGenerate,
        [b"chat"] | [b"chat", b"generate"] => Operation::OllamaChat,
        [b"embed"] => Operation::OllamaEmbed,
        [b"embeddings"] => Operation::OllamaEmbeddings,
        [b"tags"] => Operation::OllamaTags,
        [b"ps"] => Operation::OllamaPs,
        [b"show"] => Operation::OllamaShow,
        [b"pull"] => Operation::OllamaPull,
        [b"push"] => Operation::OllamaPush,
        [b"create"] => Operation::OllamaCreate,
        [b"copy"] => Operation::OllamaCopy,
        [b"delete"] => Operation::OllamaDelete,
        [b"blobs", _] => Operation::OllamaBlob,
        [b"version"] => Operation::OllamaVersion,
        _ => return passed_through(method, Operation::OllamaOther),
    };
    let allow = match operation {
        Operation::OllamaTags | Operation::OllamaPs | Operation::OllamaVersion => "GET, HEAD",
        Operation::OllamaDelete => "DELETE",
        Operation::OllamaBlob => "HEAD, POST",
        _ => "POST",
    };
    by_method(method, Route::Proxy(operation), allow)
}

fn openai(method: &str, rest: &[&[u8]]) -> Route {
    let operation = match rest {
        [b"chat", b"completions"] => Operation::OpenAiChat,
        [b"completions"] => Operation::OpenAiCompletion,
        [b"embeddings"] => Operation::OpenAiEmbeddings,
        [b"models"] => Operation::OpenAiModels,
        // Model names may hold slashes (`org/model`), escaped or not.
        [b"models", ..] => Operation::OpenAiModel,
        [b"responses"] => Operation::OpenAiResponses,
        [b"messages"] => Operation::AnthropicMessages,
        [b"messages", b"count_tokens"] => Operation::AnthropicCountTokens,
        [b"audio", b"transcriptions"] => Operation::OpenAiTranscription,
        _ => return passed_through(method, Operation::OpenAiOther),
    };
    let allow = match operation {
        // OpenAI deletes fine-tuned models by DELETE; no engine does.
        Operation::OpenAiModels | Operation::OpenAiModel => "GET, HEAD",
        _ => "POST",
    };
    by_method(method, Route::Proxy(operation), allow)
}

/// Every method goes through but two: `CONNECT` asks for a tunnel, and `TRACE` for the credentials that this node adds.
fn passed_through(method: &str, operation: Operation) -> Route {
    if matches!(method, "CONNECT" | "TRACE") {
        return Route::MethodNotAllowed { allow: ANY };
    }
    Route::Proxy(operation)
}

fn by_method(method: &str, route: Route, allow: &'static str) -> Route {
    // By a byte and not by `", "`: that would be a search of two characters for each request.
    let mut allowed = allow.split(',').map(|one| one.strip_prefix(' ').unwrap_or(one));
    if allowed.any(|allowed| allowed == method) { route } else { Route::MethodNotAllowed { allow } }
}

/// Percent-decodes once; malformed escapes stay as they are (they then match no literal).
fn decode(path: &str) -> Cow<'_, [u8]> {
    let bytes = path.as_bytes();
    if memchr::memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                if let (Some(high), Some(low)) = (hex(*high), hex(*low)) {
                    decoded.push(high << 4 | low);
                    rest = after;
                    continue;
                }
                decoded.push(first);
            }
            _ => decoded.push(first),
        }
        rest = tail;
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_at_its_place_in_the_list_of_all() {
        assert!(Operation::ALL.iter().enumerate().all(|(place, operation)| *operation as usize == place));
        assert_eq!(Operation::OpenAiOther as usize + 1, Operation::ALL.len(), "the last one");
    }

    #[test]
    fn every_documented_endpoint_is_recognised() {
        let table = [
            ("GET", "/", Route::Root),
            ("HEAD", "/", Route::Root),
            ("GET", "/favicon.ico", Route::Favicon),
            ("POST", "/api/generate", Route::Proxy(Operation::OllamaGenerate)),
            ("POST", "/api/chat", Route::Proxy(Operation::OllamaChat)),
            ("POST", "/api/chat/generate", Route::Proxy(Operation::OllamaChat)),
            ("POST", "/api/embed", Route::Proxy(Operation::OllamaEmbed)),
            ("POST", "/api/embeddings", Route::Proxy(Operation::OllamaEmbeddings)),
            ("GET", "/api/tags", Route::Proxy(Operation::OllamaTags)),
            ("HEAD", "/api/tags", Route::Proxy(Operation::OllamaTags)),
            ("GET", "/api/ps", Route::Proxy(Operation::OllamaPs)),
            ("POST", "/api/show", Route::Proxy(Operation::OllamaShow)),
            ("POST", "/api/pull", Route::Proxy(Operation::OllamaPull)),
            ("POST", "/api/push", Route::Proxy(Operation::OllamaPush)),
            ("POST", "/api/create", Route::Proxy(Operation::OllamaCreate)),
            ("POST", "/api/copy", Route::Proxy(Operation::OllamaCopy)),
            ("DELETE", "/api/delete", Route::Proxy(Operation::OllamaDelete)),
            ("HEAD", "/api/blobs/sha256:ab", Route::Proxy(Operation::OllamaBlob)),
            ("POST", "/api/blobs/sha256:ab", Route::Proxy(Operation::OllamaBlob)),
            ("GET", "/api/version", Route::Proxy(Operation::OllamaVersion)),
            ("POST", "/api/me", Route::Proxy(Operation::OllamaOther)),
            ("POST", "/v1/chat/completions", Route::Proxy(Operation::OpenAiChat)),
            ("POST", "/v1/completions", Route::Proxy(Operation::OpenAiCompletion)),
            ("POST", "/v1/embeddings", Route::Proxy(Operation::OpenAiEmbeddings)),
            ("GET", "/v1/models", Route::Proxy(Operation::OpenAiModels)),
            ("GET", "/v1/models/llama3.2:latest", Route::Proxy(Operation::OpenAiModel)),
            ("GET", "/v1/models/org/model", Route::Proxy(Operation::OpenAiModel)),
            ("GET", "/v1/models/org%2Fmodel", Route::Proxy(Operation::OpenAiModel)),
            ("POST", "/v1/responses", Route::Proxy(Operation::OpenAiResponses)),
            ("POST", "/v1/messages", Route::Proxy(Operation::AnthropicMessages)),
            ("POST", "/v1/messages/count_tokens", Route::Proxy(Operation::AnthropicCountTokens)),
            ("POST", "/v1/audio/transcriptions", Route::Proxy(Operation::OpenAiTranscription)),
            ("GET", "/v1/rerank", Route::Proxy(Operation::OpenAiOther)),
            ("PATCH", "/v1/a/b/c/d/e/f/g", Route::Proxy(Operation::OpenAiOther)),
            ("GET", "/v1.0/backends/health", Route::Admin),
            ("GET", "/api", Route::NotFound),
            ("GET", "/v1", Route::NotFound),
            ("GET", "/metrics", Route::NotFound),
            ("GET", "/openapi.json", Route::NotFound),
            ("GET", "/explorer", Route::NotFound),
        ];
        for (method, path, route) in table {
            assert_eq!(classify(method, path), route, "{method} {path}");
        }
    }

    #[test]
    fn what_is_documented_is_routed_and_every_operation_is_documented() {
        for (method, path, operation) in DOCUMENTED {
            let path = path.replace(['{', '}'], "");
            assert_eq!(classify(method, &path), Route::Proxy(operation), "{method} {path}");
        }
        // The variants are numbered in their order, and the last one is this.
        let last = Operation::OpenAiOther as usize;
        for number in 0..=last {
            let is_it = |(_, _, operation): &(&str, &str, Operation)| *operation as usize == number;
            assert!(DOCUMENTED.iter().any(is_it), "operation {number} is not documented");
        }
    }

    #[test]
    fn empty_segments_are_dropped() {
        assert_eq!(classify("POST", "//api//chat/"), Route::Proxy(Operation::OllamaChat));
    }

    #[test]
    fn escaped_literals_cannot_hide_an_operation() {
        assert_eq!(classify("POST", "/v1/chat%2Fcompletions"), Route::Proxy(Operation::OpenAiChat));
        assert_eq!(classify("POST", "/api/%63hat"), Route::Proxy(Operation::OllamaChat));
        assert_eq!(classify("POST", "/api/%zzchat"), Route::Proxy(Operation::OllamaOther));
    }

    #[test]
    fn dot_segments_are_refused_in_every_spelling() {
        for path in ["/api/../metrics", "/api/%2e%2e/metrics", "/v1/./models", "/v1/..%2fmetrics"] {
            assert_eq!(classify("GET", path), Route::DotSegment, "{path}");
        }
    }

    #[test]
    fn a_wrong_method_names_the_allowed_ones() {
        let allow = |method, path| match classify(method, path) {
            Route::MethodNotAllowed { allow } => allow,
            other => panic!("{method} {path}: {other:?}"),
        };
        assert_eq!(allow("GET", "/api/chat"), "POST");
        assert_eq!(allow("POST", "/api/tags"), "GET, HEAD");
        assert_eq!(allow("POST", "/api/delete"), "DELETE");
        assert_eq!(allow("DELETE", "/"), "GET, HEAD");
        assert_eq!(allow("GET", "/v1/chat/completions"), "POST");
        assert_eq!(allow("CONNECT", "/api/foo"), ANY);
        assert_eq!(allow("TRACE", "/v1/foo"), ANY);
    }

    #[test]
    fn a_path_may_name_a_model() {
        assert_eq!(model_of("/v1/models/m").as_deref(), Some("m"));
        assert_eq!(model_of("//v1//models/Qwen%2FQwen2.5:7b/").as_deref(), Some("Qwen/Qwen2.5:7b"));
        assert_eq!(model_of("/v1/models/a/b").as_deref(), Some("a/b"));
        for path in ["/v1/models", "/v1/models/", "/v1/chat/completions", "/api/tags"] {
            assert_eq!(model_of(path), None, "{path}");
        }
    }

    #[test]
    fn a_model_has_a_path() {
        for (model, path) in [
            ("llama3.2:1b", "/v1/models/llama3.2:1b"),
            ("Qwen/Qwen2.5-3B", "/v1/models/Qwen/Qwen2.5-3B"),
            ("a b?%\u{e9}", "/v1/models/a%20b%3F%25%C3%A9"),
        ] {
            assert_eq!(path_of_model(model), path);
            assert_eq!(model_of(path).as_deref(), Some(model));
        }
    }

    #[test]
    fn errors_take_the_shape_of_the_path() {
        assert_eq!(client_protocol("/api/nope"), ClientProtocol::Ollama);
        assert_eq!(client_protocol("/v1/nope"), ClientProtocol::OpenAi);
        assert_eq!(client_protocol("/v1/messages"), ClientProtocol::Anthropic);
        assert_eq!(client_protocol("/v1/messages/count_tokens"), ClientProtocol::Anthropic);
        assert_eq!(client_protocol("/v1.0/frontends"), ClientProtocol::Admin);
        assert_eq!(client_protocol("/nope"), ClientProtocol::Admin);
    }
}
