//! Backends that speak TLS by certificates of their own authority, and want to see one of the node.

use std::net::SocketAddr;
use std::sync::Arc;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{Backend, backend, frontend};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;

/// A server of that name that answers every request with the name that its client has asked for (SNI).
struct Server(SocketAddr);

impl Server {
    async fn start(authority: &Authority, name: &str, demands: bool) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server(&authority.vouch(name), demands)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A handshake that fails is the client's to tell.
                tokio::spawn(serve(acceptor.clone(), stream));
            }
        });
        Self(address)
    }

    fn backend(&self) -> Backend {
        backend("b1", self.0).set("Ssl", true)
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let name = stream.get_ref().1.server_name().unwrap_or("nobody").to_owned();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    let body =
        format!(r#"{{"model":"m","message":{{"role":"assistant","content":"{name} {host}"}},"done":true}}"#);
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// What a request through a node with this backend is answered, once the backend is healthy.
async fn answered(backend: Backend) -> String {
    let node = Node::builder().frontend(frontend("f").backends(["b1"])).backend(backend).start().await;
    node.wait_healthy(&["b1"]).await;
    let answer =
        Request::post("/api/chat").json(&crate::chat()).send(node.addr()).await.collect().await.json();
    answer["message"]["content"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn a_backend_is_verified_by_its_own_authority() {
    let authority = Authority::new();
    let server = Server::start(&authority, "127.0.0.1", false).await;
    let known = server.backend().set("TlsCa", authority.pem.clone());
    let node = Node::builder().frontend(frontend("f").backends(["b1"])).backend(known).start().await;
    node.wait_healthy(&["b1"]).await;
    let stranger = server.backend().set("TlsCa", Authority::new().pem);
    let node = Node::builder().frontend(frontend("f").backends(["b1"])).backend(stranger).start().await;
    node.wait_unhealthy("b1").await;
}

#[tokio::test]
async fn a_backend_is_asked_for_another_name_and_verified_by_it() {
    let authority = Authority::new();
    let server = Server::start(&authority, "engine.internal", false).await;
    let named = server.backend().set("TlsCa", authority.pem.clone()).set("TlsServerName", "engine.internal");
    let text = answered(named).await;
    assert_eq!(text, format!("engine.internal {}", server.0), "the host stays that of the backend");
}

#[tokio::test]
async fn the_node_shows_a_backend_its_certificate() {
    let authority = Authority::new();
    let server = Server::start(&authority, "127.0.0.1", true).await;
    let identity = authority.vouch("node");
    let plain = server.backend().set("TlsCa", authority.pem.clone());
    let shown = plain.clone().set("TlsCertificate", identity.certificate).set("TlsKey", identity.key);
    assert!(answered(shown).await.ends_with(&server.0.to_string()));
    let node = Node::builder().frontend(frontend("f").backends(["b1"])).backend(plain).start().await;
    node.wait_unhealthy("b1").await;
}

#[tokio::test]
async fn the_key_is_never_shown_and_survives_a_change_of_something_else() {
    let authority = Authority::new();
    let server = Server::start(&authority, "127.0.0.1", true).await;
    let node = Node::builder().frontend(frontend("f")).start().await;
    let identity = authority.vouch("node");
    let body = json!({
        "Identifier": "b1", "Hostname": "127.0.0.1", "Port": server.0.port(), "Ssl": true, "TlsCa": authority.pem,
        "TlsCertificate": identity.certificate, "TlsKey": identity.key
    });
    let (status, created) = node.admin("PUT", "/v1.0/backends", Some(&body)).await;
    assert_eq!((status, &created["TlsKey"]), (201, &json!("********")), "{created}");
    let mut returned = created;
    returned["Name"] = json!("renamed");
    let (status, updated) = node.admin("PUT", "/v1.0/backends/b1", Some(&returned)).await;
    assert_eq!((status, &updated["Name"]), (200, &json!("renamed")), "{updated}");
    node.wait_healthy(&["b1"]).await;
    assert!(!node.logs().contains("PRIVATE KEY"));
    let (_, catalog) = node.admin("GET", "/v1.0/catalog", None).await;
    assert!(!catalog.to_string().contains("PRIVATE KEY"));
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_and_changes_nothing() {
    let authority = Authority::new();
    let node = Node::builder().frontend(frontend("f")).start().await;
    let identity = authority.vouch("node");
    let refused = async |property: Value, words: &str| {
        let mut body = json!({ "Identifier": "b1", "Ssl": true });
        for (name, value) in property.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (status, said) = node.admin("PUT", "/v1.0/backends", Some(&body)).await;
        assert!(status == 400 && said["Message"].as_str().unwrap().contains(words), "{said}");
    };
    refused(json!({ "TlsCa": "/etc/ca.pem" }), "not the name of a file").await;
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    refused(json!({ "TlsCa": broken }), "TlsCa").await;
    refused(json!({ "TlsCertificate": identity.certificate }), "TlsKey").await;
    let other = authority.vouch("other").key;
    refused(json!({ "TlsCertificate": identity.certificate, "TlsKey": other }), "cannot be used").await;
    refused(json!({ "TlsServerName": "not a name" }), "TlsServerName").await;
    assert_eq!(node.admin("GET", "/v1.0/backends", None).await.1, json!([]));
}
