//! A collector that takes spans by OTLP over HTTP, or does not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ollamaflow_tests::wait;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How it treats a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Takes,
    /// It reads, and says nothing.
    Hangs,
    /// It answers with this status.
    Refuses(u16),
}

#[derive(Default)]
struct Taken {
    messages: Vec<(String, Vec<u8>)>,
    spans: Vec<Span>,
    services: Vec<String>,
}

/// A running collector. It ends with the test.
pub struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    manner: Arc<Mutex<Manner>>,
}

impl Collector {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(Mutex::new(Taken::default()));
        let manner = Arc::new(Mutex::new(manner));
        let (theirs, how) = (taken.clone(), manner.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, theirs.clone(), how.clone()));
            }
        });
        Self { address, taken, manner }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn is_now(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn spans(&self) -> Vec<Span> {
        self.taken.lock().unwrap().spans.clone()
    }

    /// Heads and bodies, as they came.
    pub fn messages(&self) -> Vec<(String, Vec<u8>)> {
        self.taken.lock().unwrap().messages.clone()
    }

    pub fn services(&self) -> Vec<String> {
        self.taken.lock().unwrap().services.clone()
    }

    /// Waits for the spans of one request: that of the request itself comes with all others.
    pub async fn trace(&self) -> Tree {
        let trees = self.traces(1).await;
        trees.into_iter().next().unwrap()
    }

    /// Waits for so many requests.
    pub async fn traces(&self, count: usize) -> Vec<Tree> {
        let roots = || self.spans().into_iter().filter(is_root).count();
        wait::until("the spans are there", || roots() >= count).await;
        let spans = self.spans();
        let roots: Vec<Span> = spans.iter().filter(|span| is_root(span)).cloned().collect();
        assert_eq!(roots.len(), count);
        roots
            .into_iter()
            .map(|root| {
                let is_child =
                    |span: &&Span| span.trace_id == root.trace_id && span.parent_span_id == root.span_id;
                let mut children: Vec<Span> = spans.iter().filter(is_child).cloned().collect();
                children.sort_by_key(|span| span.start_time_unix_nano);
                Tree { root, children }
            })
            .collect()
    }
}

/// The span of a request, and its children in their order.
pub struct Tree {
    pub root: Span,
    pub children: Vec<Span>,
}

impl Tree {
    pub fn names(&self) -> Vec<&str> {
        self.children.iter().map(|span| span.name.as_str()).collect()
    }

    pub fn named(&self, name: &str) -> Vec<&Span> {
        self.children.iter().filter(|span| span.name == name).collect()
    }
}

fn is_root(span: &Span) -> bool {
    span.kind == 2
}

/// An attribute as text; empty if there is none.
pub fn attribute(span: &Span, name: &str) -> String {
    let pair = span.attributes.iter().find(|pair| pair.key == name);
    match pair.and_then(|pair| pair.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        None => String::new(),
        Some(other) => panic!("{name}: {other:?}"),
    }
}

pub fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == 2)
}

/// The trace and the span in hexadecimal digits, as `traceparent` has them.
pub fn place(span: &Span) -> String {
    format!("{}-{}", hex::encode(&span.trace_id), hex::encode(&span.span_id))
}

async fn serve(mut socket: TcpStream, taken: Arc<Mutex<Taken>>, manner: Arc<Mutex<Manner>>) {
    let mut bytes = Vec::new();
    loop {
        let Some((head, body)) = next(&mut socket, &mut bytes).await else { return };
        let how = *manner.lock().unwrap();
        let answer = match how {
            Manner::Takes => {
                let mut taken = taken.lock().unwrap();
                let message = ExportTraceServiceRequest::decode(&body[..]).unwrap();
                for resource_spans in message.resource_spans {
                    let resource = resource_spans.resource.unwrap();
                    let service = resource.attributes.iter().find(|pair| pair.key == "service.name").unwrap();
                    let Some(Value::StringValue(name)) = service.value.clone().unwrap().value else {
                        panic!()
                    };
                    taken.services.push(name);
                    for scope_spans in resource_spans.scope_spans {
                        assert_eq!(scope_spans.scope.unwrap().name, "ollamaflow");
                        taken.spans.extend(scope_spans.spans);
                    }
                }
                taken.messages.push((head, body));
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
            Manner::Hangs => std::future::pending().await,
            Manner::Refuses(status) => format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n"),
        };
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request: head and body.
async fn next(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ").map(|text| text.parse().unwrap())
            });
            let length: usize = length.unwrap();
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..end + 4 + length].to_vec();
                bytes.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        if socket.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}
