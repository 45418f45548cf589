//! TLS, towards clients and towards backends.
//!
//! | file | what it proves |
//! |---|---|
//! | `clients` | HTTPS for clients: answers, streams, departures, deadlines |
//! | `certificates` | renewal without a restart, client certificates, settings that cannot be used |
//! | `backends` | a backend's own authority, the node's certificate, another server name |
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test, which is what is wanted")]

mod authority;
mod backends;
mod certificates;
mod clients;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ollamaflow_tests::node::{Node, NodeBuilder};
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::SimulatedBackend;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::authority::{Authority, Identity};

/// A connection of a client to a node.
type Connection = TlsStream<TcpStream>;

/// A node with this certificate, in front of one backend. It is not asked for anything yet: the harness speaks no TLS.
fn node_with(identity: &Identity, directory: &Path, engine: &SimulatedBackend) -> NodeBuilder {
    let (certificate, key) = identity.write(directory);
    Node::builder().frontend(frontend("f").backends(["b1"])).backend(backend("b1", engine)).settings(&json!({
        "Webserver": { "Ssl": { "Enable": true, "CertificateFile": certificate, "KeyFile": key } }
    }))
}

/// Connects, with a certificate if `shown`; the error is that of the handshake.
async fn connect(
    address: SocketAddr,
    authority: &Authority,
    shown: Option<&Identity>,
) -> std::io::Result<Connection> {
    let connector = TlsConnector::from(Arc::new(authority.client(shown)));
    let tcp = TcpStream::connect(address).await?;
    connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await
}

/// Sends a request and reads the answer to the end of the connection.
async fn exchange(connection: &mut Connection, request: &str) -> std::io::Result<String> {
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn post(path: &str, body: &serde_json::Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// A chat that is answered whole.
fn chat() -> serde_json::Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }], "stream": false })
}

/// Waits until the node takes requests: its backend is healthy.
async fn until_ready(node: &Node, authority: &Authority, shown: Option<&Identity>) {
    ollamaflow_tests::wait::until_answered("the node is ready", async || {
        let mut connection =
            connect(node.addr(), authority, shown).await.map_err(|e| format!("handshake: {e}"))?;
        let asked = exchange(&mut connection, &post("/api/chat", &chat())).await;
        let answer = asked.map_err(|e| format!("exchange: {e}"))?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) }
    })
    .await;
}
