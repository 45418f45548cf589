//! Clients of other APIs before a backend with OpenAI's: `vectors/openai-backend.json`, case by case. Upstream has no code
//! for this, so there is nothing to observe: the cases are the tables of the specification, row by row.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a harness reports failure to its test by panicking")]

use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::route::{Operation, Route, classify};
use ollamaflow_protocol::time::Timestamp;
use ollamaflow_protocol::translate::{Answer, Occasion, Request};
use serde::Deserialize;
use serde_json::Value;

const CASES: &str = include_str!("vectors/openai-backend.json");

const SENT: Timestamp = Timestamp::from_micros(1_767_323_045_000_000);
const NOW: Timestamp = Timestamp::from_micros(1_767_323_046_000_000);
const OCCASION: Occasion = Occasion { now: SENT, nonce: 0x5eed };

#[derive(Debug, Deserialize)]
struct File {
    requests: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    /// A path that is posted to, or `GET` and a path.
    endpoint: String,
    request: Value,
    /// The answer, if it takes no backend.
    here: Option<Value>,
    /// The field for which the request is refused.
    refused: Option<String>,
    backend: Option<Backend>,
    upstream: Option<Upstream>,
    response: Option<Response>,
}

/// What the backend is asked.
#[derive(Debug, Deserialize)]
struct Backend {
    path: String,
    request: Value,
    dropped: Vec<String>,
}

/// What it answers.
#[derive(Debug, Deserialize)]
struct Upstream {
    status: u16,
    stream: Option<String>,
    body: Option<Value>,
}

/// What the client gets.
#[derive(Debug, Deserialize)]
struct Response {
    status: u16,
    /// The lines of a stream.
    frames: Option<Vec<Value>>,
    body: Option<Value>,
}

fn operation(endpoint: &str) -> Operation {
    let (method, path) = endpoint.split_once(' ').unwrap_or(("POST", endpoint));
    match classify(method, path) {
        Route::Proxy(operation) => operation,
        other => panic!("{endpoint}: {other:?}"),
    }
}

/// Whether `ours` is what a case expects, in which `NOW` is a time, `NUM` a number, `ANY` a text, and what ends with `ID` an
/// id.
fn is(expected: &Value, ours: &Value) -> bool {
    match (expected, ours) {
        (Value::Object(expected), Value::Object(ours)) => {
            expected.len() == ours.len()
                && expected.iter().all(|(name, value)| ours.get(name).is_some_and(|ours| is(value, ours)))
        }
        (Value::Array(expected), Value::Array(ours)) => {
            expected.len() == ours.len()
                && expected.iter().zip(ours).all(|(expected, ours)| is(expected, ours))
        }
        (Value::String(expected), Value::Number(_)) => expected == "NUM",
        (Value::String(expected), Value::String(ours)) => match expected.strip_suffix("ID") {
            Some(kind) => ours.starts_with(kind) && ours != kind,
            None if expected == "NOW" => ours.parse::<Timestamp>().is_ok(),
            None => expected == "ANY" || expected == ours,
        },
        (Value::Number(expected), Value::Number(ours)) => {
            let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
            expected == ours || near(expected.as_f64().unwrap(), ours.as_f64().unwrap())
        }
        _ => expected == ours,
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{}: {e}", bytes.escape_ascii()))
}

// === impl Case ===

impl Case {
    /// Runs the case; what is not as expected is told.
    fn run(&self) -> Result<(), String> {
        let body = if self.request.is_null() { String::new() } else { self.request.to_string() };
        let request = Request::read(operation(&self.endpoint), None, body.as_bytes());
        if let Some(expected) = &self.here {
            let here = request.map_err(|refused| refused.message)?.answer_here(ApiFormat::OpenAI, OCCASION);
            return same("the answer", expected, &json(&here.ok_or("goes to a backend")?));
        }
        let written = request.and_then(|request| request.write(ApiFormat::OpenAI, OCCASION));
        let (mut written, backend) = match (written, &self.backend) {
            (Ok(written), Some(backend)) => (written, backend),
            (Ok(_), None) => return Err("is not refused".to_owned()),
            (Err(refused), _) if self.refused.is_some() && refused.field == self.refused => return Ok(()),
            (Err(refused), _) => return Err(format!("is refused: {refused:?}")),
        };
        if written.operation != operation(&backend.path) {
            return Err(format!("goes to {:?}", written.operation));
        }
        if !backend.request.is_null() {
            same("the backend's request", &backend.request, &json(&written.body))?;
        }
        if backend.dropped != written.dropped {
            return Err(format!("drops {:?}", written.dropped));
        }
        let (Some(upstream), Some(response)) = (&self.upstream, &self.response) else { return Ok(()) };
        respond(&mut written.answer, upstream, response)
    }
}

fn respond(answer: &mut Answer, upstream: &Upstream, response: &Response) -> Result<(), String> {
    if let (Some(stream), Some(expected)) = (&upstream.stream, &response.frames) {
        let mut out = Vec::new();
        answer.push(stream.as_bytes(), NOW, &mut out);
        answer.finish(NOW, &mut out);
        let ours: Vec<Value> =
            out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(json).collect();
        return same("the stream", &Value::from(expected.clone()), &Value::from(ours));
    }
    let body = upstream.body.as_ref().unwrap().to_string();
    let (status, body) = if upstream.status == 200 {
        let body = answer.whole("application/json", body.as_bytes(), NOW);
        (200, body.map_err(|e| format!("cannot be translated: {e}"))?)
    } else {
        answer.error(upstream.status, body.as_bytes())
    };
    if status != response.status {
        return Err(format!("has status {status}"));
    }
    same("the answer", response.body.as_ref().unwrap(), &json(&body))
}

fn same(what: &str, expected: &Value, ours: &Value) -> Result<(), String> {
    if is(expected, ours) { Ok(()) } else { Err(format!("{what} is {ours}\n    and not {expected}")) }
}

#[test]
fn every_row_of_the_tables_is_as_they_say() {
    let file: File = serde_json::from_str(CASES).unwrap();
    let wrong: Vec<String> = file
        .requests
        .iter()
        .filter_map(|case| Some(format!("{} {}", case.name, case.run().err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), file.requests.len(), wrong.join("\n"));
}
