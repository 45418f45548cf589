//! Calls to a small server, and to servers that misbehave.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use ollamaflow_protocol::object::Secret;

use super::*;
use crate::settings::Sources;

/// A server that stands in for a node and remembers what it was asked.
pub(in crate::cli) struct Node {
    pub(in crate::cli) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

/// A request as the server got it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Seen {
    /// Method, path and query.
    pub(in crate::cli) line: String,
    headers: Vec<(String, String)>,
    pub(in crate::cli) body: String,
}

impl Seen {
    pub(in crate::cli) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Node {
    pub(in crate::cli) fn start(answer: impl Fn(&Seen) -> HttpResponse + Send + Sync + 'static) -> Self {
        let (started, start) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, remembered) = (Arc::new(answer), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let run = async move {
                let server = HttpServer::new(move || {
                    let (answer, seen) = (Arc::clone(&answer), Arc::clone(&remembered));
                    App::new().default_service(web::to(move |request: HttpRequest, body: Bytes| {
                        let asked = Seen::of(&request, &body);
                        seen.lock().unwrap().push(asked.clone());
                        let response = answer(&asked);
                        async move { response }
                    }))
                });
                let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                started.send((address, server.handle())).unwrap();
                server.await.unwrap();
            };
            actix_web::rt::System::new().block_on(run);
        });
        let (address, handle) = start.recv().unwrap();
        Self { url: format!("http://{address}"), seen, handle, thread: Some(thread) }
    }

    pub(in crate::cli) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(in crate::cli) fn access(&self) -> Access {
        access(&self.url)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The command is sent before the future is awaited.
        drop(self.handle.stop(false));
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Seen {
    fn of(request: &HttpRequest, body: &[u8]) -> Self {
        let text = |value: &actix_web::http::header::HeaderValue| value.to_str().unwrap().to_owned();
        Self {
            line: format!("{} {}", request.method(), request.uri()),
            headers: request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

/// What a command printed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Printed {
    pub(in crate::cli) verdict: Verdict,
    pub(in crate::cli) output: String,
    pub(in crate::cli) errors: String,
}

pub(in crate::cli) fn printed(
    command: impl FnOnce(&mut dyn Write, &mut dyn Write) -> io::Result<Verdict>,
) -> Printed {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let verdict = command(&mut output, &mut errors).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Printed { verdict, output: text(output), errors: text(errors) }
}

fn access(url: &str) -> Access {
    let sources = Sources::of_file(PathBuf::from("/nonexistent/ollamaflow.json"));
    Access { server: Some(url.to_owned()), token: Some(Secret::new("hunter2")), client_url: None, sources }
}

fn sent(url: &str, call: Call) -> Result<Answer, RemoteError> {
    let remote = access(url).connect()?;
    block_on(remote.send(call))
}

/// A server that answers one connection with these bytes and closes it.
fn raw(answer: &'static [u8]) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let mut length = 0;
        while !head[..length].windows(4).any(|end| end == b"\r\n\r\n") {
            let read = stream.read(&mut head[length..]).unwrap();
            assert_ne!(read, 0);
            length += read;
        }
        stream.write_all(answer).unwrap();
    });
    (url, thread)
}

#[test]
fn a_call_carries_the_token_and_its_body() {
    let node = Node::start(|_| HttpResponse::Ok().insert_header(("ETag", "\"7\"")).body("{\"A\":1}"));
    let call =
        Call::put("/v1.0/catalog?validate=true").header("if-match", "\"6\"").json(&serde_json::json!([1]));
    let answer = sent(&node.url, call).unwrap();
    assert_eq!((answer.etag.as_deref(), &answer.body[..]), (Some("\"7\""), &b"{\"A\":1}"[..]));
    let [seen] = &node.seen()[..] else { panic!("one request") };
    assert_eq!((seen.line.as_str(), seen.body.as_str()), ("PUT /v1.0/catalog?validate=true", "[1]"));
    assert_eq!(seen.header("authorization"), Some("Bearer hunter2"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("if-match"), Some("\"6\""));
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_node() {
    let node = Node::start(|_| {
        let body = "{\"Error\":\"Conflict\",\"Message\":\"b1 is\\u001b there\",\"StatusCode\":409}";
        HttpResponse::Conflict().body(body)
    });
    let error = sent(&node.url, Call::get("/")).unwrap_err();
    assert!(matches!(error, RemoteError::Refused { status: 409, .. }));
    assert_eq!(error.to_string(), "b1 is  there");
}

#[test]
fn whoever_does_not_answer_as_a_node_is_named() {
    for body in ["<html>", "{}", "{\"Message\":\"\"}"] {
        let node = Node::start(move |_| HttpResponse::BadGateway().body(body));
        let error = sent(&node.url, Call::get("/")).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{} answered 502 Bad Gateway, and not as a node does: is it one?", node.url)
        );
    }
    let node = Node::start(|_| HttpResponse::Found().insert_header(("Location", "/other")).finish());
    assert!(matches!(sent(&node.url, Call::get("/")), Err(RemoteError::Refused { status: 302, .. })));
    assert_eq!(node.seen().len(), 1, "the token does not follow a redirect");
    let node = Node::start(|_| HttpResponse::Ok().body("hunter2"));
    let error = sent(&node.url, Call::get("/")).unwrap().read::<u64>().unwrap_err().to_string();
    assert!(error.contains("line 1, column 1") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_node_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = sent(&url, Call::get("/")).unwrap_err();
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("cannot reach {url}: ")), "{error}");
}

#[test]
fn a_call_of_a_client_carries_no_admin_token() {
    let node = Node::start(|_| HttpResponse::Ok().body("{}"));
    sent(&node.url, Call::post("/api/chat").for_frontend("llm.lan")).unwrap();
    let [seen] = &node.seen()[..] else { panic!("one request") };
    assert_eq!((seen.header("authorization"), seen.header("host")), (None, Some("llm.lan")));
}

#[test]
fn lines_come_one_by_one_and_refusals_as_ever() {
    let node = Node::start(|seen| match seen.line.as_str() {
        "POST /lines" => HttpResponse::Ok().insert_header(("X-A", "b")).body("one\n\ntwo\r\nthree"),
        _ => HttpResponse::Forbidden().body("{\"error\":\"not allowed\"}"),
    });
    let remote = access(&node.url).connect().unwrap();
    let read = async {
        let mut lines = remote.stream(Call::post("/lines"), TIMEOUT).await?;
        assert_eq!(lines.header("x-a"), Some("b"));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await? {
            all.push(String::from_utf8(line.to_vec()).unwrap());
        }
        Ok::<_, RemoteError>(all)
    };
    assert_eq!(block_on(read).unwrap(), ["one", "two\r", "three"]);
    let refused = block_on(remote.stream(Call::post("/other"), TIMEOUT)).err().unwrap();
    assert_eq!(refused.to_string(), "not allowed");
}

#[test]
fn the_sentence_of_an_error_is_found_in_every_api() {
    for body in [
        serde_json::json!({ "Message": "m" }),
        serde_json::json!({ "error": "m" }),
        serde_json::json!({ "error": { "message": "m" } }),
    ] {
        assert_eq!(sentence(&body), Some("m"));
    }
    assert_eq!(sentence(&serde_json::json!({ "error": {} })), None);
}

#[test]
fn an_answer_that_was_cut_off_is_none() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
    ] {
        let (url, thread) = raw(answer);
        let outcome = sent(&url, Call::get("/")).and_then(|answer| answer.read::<Value>());
        assert!(matches!(outcome, Err(RemoteError::Answer { .. })), "{outcome:?}");
        thread.join().unwrap();
    }
}

#[test]
fn a_silent_node_is_not_waited_for_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut remote = access(&format!("http://{}", listener.local_addr().unwrap())).connect().unwrap();
    remote.timeout = Duration::from_millis(50);
    let outcome = block_on(remote.send(Call::get("/")));
    assert!(matches!(outcome, Err(RemoteError::Silent { .. })), "{outcome:?}");
}
