//! The file of observed cases, and what one of them does with our translation.

use std::fs;
use std::path::Path;

use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::route::{ClientProtocol, Operation, Route, classify};
use ollamaflow_protocol::time::Timestamp;
use ollamaflow_protocol::translate::{Answer, Occasion, Refused, Request, Translated};
use ollamaflow_protocol::wire::{Ending, error_body_of};
use serde::Deserialize;
use serde_json::{Value, json};

/// When every answer of the tests is made.
const NOW: Timestamp = Timestamp::from_micros(1_767_323_046_000_000);
const OCCASION: Occasion = Occasion { now: NOW, nonce: 0x5eed };

#[derive(Debug, Deserialize)]
pub(crate) struct File {
    pub(crate) cases: Vec<Case>,
}

/// One case, as upstream's own code was observed to treat it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    method: String,
    endpoint: String,
    #[serde(default)]
    pub(crate) request: Value,
    /// Instead of `request`, what is no JSON.
    request_raw: Option<String>,
    /// What the request became; absent if it was refused.
    pub(crate) ollama_request: Option<Value>,
    upstream: Upstream,
    pub(crate) response: Response,
}

/// What the backend answered.
#[derive(Clone, Debug, Deserialize)]
struct Upstream {
    status: u16,
    #[serde(default)]
    chunks: Vec<Value>,
    /// The error line behind the chunks.
    error_after: Option<String>,
    /// The error, if the status is one.
    error: Option<String>,
}

/// What the client got.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Not known here of ours if the status is an error: the node gives it.
    pub(crate) content_type: Option<String>,
    pub(crate) body: Option<Value>,
    pub(crate) sse_events: Option<Vec<String>>,
}

/// What our translation makes of a case.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The body of the backend's request; absent if the client's was refused.
    pub(crate) request: Option<Value>,
    pub(crate) response: Response,
}

// === impl File ===

impl File {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The same of a file that may be of another kind.
    pub(crate) fn of_cases(path: &Path) -> Option<Self> {
        let value: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        value.get("cases").is_some().then(|| Self::read(path))
    }
}

// === impl Case ===

impl Case {
    /// Whether the words of its error are those of Go's decoder, which are no part of the API.
    pub(crate) fn is_undecodable(&self) -> bool {
        self.request_raw.is_some()
    }

    /// Does what a node would do.
    pub(crate) fn run(&self) -> Outcome {
        let operation = self.operation();
        assert!(Request::is_translatable(operation, ApiFormat::Ollama), "{}", self.name);
        let Translated { body, mut answer, .. } = match self.translate() {
            Ok(translated) => translated,
            Err(refused) => return Outcome { request: None, response: refusal(operation, &refused) },
        };
        // A `GET` has none.
        let request = serde_json::from_slice(&body).ok();
        Outcome { request, response: self.respond(&mut answer) }
    }

    /// The streamed answer with the backend's bytes in these pieces; `None` if the case has no stream.
    pub(crate) fn stream(&self, pieces: impl Fn(&[u8]) -> Vec<&[u8]>) -> Option<Vec<u8>> {
        let mut answer = self.translate().ok()?.answer;
        if self.upstream.status != 200 || !answer.is_stream() {
            return None;
        }
        let bytes = self.upstream.lines();
        Some(streamed(&mut answer, &pieces(&bytes)))
    }

    /// How many bytes the backend's stream has.
    pub(crate) fn stream_len(&self) -> usize {
        self.upstream.lines().len()
    }

    fn operation(&self) -> Operation {
        match classify(&self.method, &self.endpoint) {
            Route::Proxy(operation) => operation,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    fn translate(&self) -> Result<Translated, Refused> {
        let body = match &self.request_raw {
            Some(raw) => raw.clone(),
            None if self.request.is_null() => String::new(),
            None => self.request.to_string(),
        };
        // The path of the endpoint has no model in it; upstream asks for it by this name.
        let path_model = self.ollama_request.as_ref().and_then(|request| request["name"].as_str());
        let request = Request::read(self.operation(), path_model, body.as_bytes())?;
        request.write(ApiFormat::Ollama, OCCASION)
    }

    fn respond(&self, answer: &mut Answer) -> Response {
        if let Some(error) = &self.upstream.error {
            let body = json!({ "error": error }).to_string();
            let (status, body) = answer.error(self.upstream.status, body.as_bytes());
            return Response::whole(status, None, &body);
        }
        if answer.is_stream() {
            let bytes = self.upstream.lines();
            let frames = frames(&streamed(answer, &[&bytes]));
            let content_type = Some(answer.media_type().to_owned());
            return Response { status: 200, content_type, body: None, sse_events: Some(frames) };
        }
        let body = self.upstream.chunks.first().map(Value::to_string).unwrap_or_default();
        let body = answer.whole("application/json; charset=utf-8", body.as_bytes(), NOW);
        let body = body.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        Response::whole(200, Some(answer.media_type()), &body)
    }
}

// === impl Upstream ===

impl Upstream {
    /// The stream as it comes over the wire.
    fn lines(&self) -> Vec<u8> {
        let error = self.error_after.as_ref().map(|error| json!({ "error": error }));
        let lines = self.chunks.iter().chain(&error).map(|line| format!("{line}\n"));
        lines.collect::<String>().into_bytes()
    }
}

// === impl Response ===

impl Response {
    fn whole(status: u16, content_type: Option<&str>, body: &[u8]) -> Self {
        let body = serde_json::from_slice(body).unwrap_or_else(|e| panic!("{}: {e}", body.escape_ascii()));
        Self { status, content_type: content_type.map(str::to_owned), body: Some(body), sse_events: None }
    }
}

fn streamed(answer: &mut Answer, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        answer.push(piece, NOW, &mut out);
    }
    answer.finish(NOW, &mut out);
    assert_ne!(answer.ending(), Ending::Missing);
    out
}

/// The frames of a stream of server-sent events, without the blank lines that end them.
fn frames(stream: &[u8]) -> Vec<String> {
    let stream = String::from_utf8(stream.to_vec()).unwrap_or_else(|e| panic!("{e}"));
    let Some(stream) = stream.strip_suffix("\n\n") else { return vec![stream] };
    stream.split("\n\n").map(str::to_owned).collect()
}

/// What a node answers to a request that cannot be translated.
fn refusal(operation: Operation, refused: &Refused) -> Response {
    let body = error_body_of(operation.protocol(), 400, &refused.message, refused.field.as_deref());
    let body = body.unwrap_or_else(|| panic!("{:?}", ClientProtocol::Admin));
    Response::whole(400, None, body.as_bytes())
}
