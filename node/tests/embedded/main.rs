//! The node as a library: started and stopped inside this process, which is left as it was found.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test, which is what is wanted")]

#[expect(dead_code, reason = "the program around what is called here")]
#[path = "../../examples/embedded.rs"]
mod example;

mod leaks;
mod process;
mod refused;
mod stopping;

use std::net::SocketAddr;
use std::path::Path;

use ollamaflow::{Backend, Frontend, Node, NodeError, Settings};
use ollamaflow_tests::client::Request;
use ollamaflow_tests::simulated::{ApiFormat, SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::json;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What looks at the whole process takes it for itself; all other tests share it.
static ALONE: RwLock<()> = RwLock::const_new(());

async fn alone() -> RwLockWriteGuard<'static, ()> {
    ALONE.write().await
}

async fn beside_others() -> RwLockReadGuard<'static, ()> {
    ALONE.read().await
}

/// A backend with the model `m`.
fn engine() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig { format: ApiFormat::Both, ..SimConfig::ollama(["m"]) })
}

/// One frontend before one backend, on a port of the OS's choice.
fn settings(backend: impl Into<SocketAddr>, directory: &Path) -> Settings {
    let address = backend.into();
    let mut engine = Backend::new("b1".parse().unwrap());
    engine.hostname = address.ip().to_string();
    engine.port = address.port();
    let mut everyone = Frontend::new("f1".parse().unwrap());
    everyone.backends = vec![engine.identifier.clone()];
    let mut settings = Settings::default();
    settings.webserver.hostname = "127.0.0.1".into();
    settings.webserver.port = 0;
    settings.webserver.workers = 1;
    settings.data_directory = directory.display().to_string();
    settings.frontends = vec![everyone];
    settings.backends = vec![engine];
    settings
}

/// Starts a node, on a thread that may be blocked.
async fn start(settings: Settings) -> Result<Node, NodeError> {
    tokio::task::spawn_blocking(move || Node::start(settings)).await.unwrap()
}

/// Shuts a node down, on a thread that may be blocked.
async fn shut_down(node: Node) {
    tokio::task::spawn_blocking(move || node.shutdown()).await.unwrap().unwrap();
}

fn chat(stream: bool) -> Request {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    Request::post("/api/chat").json(&json!({ "model": "m", "messages": messages, "stream": stream }))
}

/// Waits until a request through the node is answered by its backend.
async fn until_carried(node: &Node) {
    let address = node.address();
    wait::until_answered("the node carries a request", async || {
        let answer = chat(false).send(address).await.collect().await;
        if answer.status() == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test]
async fn the_example_carries_a_request() {
    let _shared = beside_others().await;
    let (backend, directory) = (engine(), tempfile::tempdir().unwrap());
    let (address, path) = (SocketAddr::from(&backend), directory.path().to_owned());
    let models = tokio::task::spawn_blocking(move || {
        example::models_behind_a_node(address, &path).map_err(|error| error.to_string())
    });
    let models = models.await.unwrap().unwrap();
    assert!(models.contains("\"m:latest\"") || models.contains("\"m\""), "{models}");
}

#[test]
fn a_program_without_any_runtime_can_have_a_node_too() {
    let _shared = ALONE.blocking_read();
    let directory = tempfile::tempdir().unwrap();
    // Nothing listens there: the node runs without a healthy backend.
    let node = Node::start(settings(([127, 0, 0, 1], 9), directory.path())).unwrap();
    assert!(node.is_running());
    assert_ne!(node.address().port(), 0);
    assert_eq!((node.addresses(), node.admin_addresses()), (&[node.address()][..], &[node.address()][..]));
    assert!(std::net::TcpStream::connect(node.address()).is_ok());
    node.shutdown().unwrap();
}

#[tokio::test]
async fn two_nodes_in_one_process_do_not_know_of_each_other() {
    let _shared = beside_others().await;
    let (first, second) = (engine(), engine());
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = start(settings(&first, directories[0].path())).await.unwrap();
    let two = start(settings(&second, directories[1].path())).await.unwrap();
    assert_ne!(one.address(), two.address());
    until_carried(&one).await;
    until_carried(&two).await;
    let before = second.requests_to("/api/chat").len();
    shut_down(one).await;
    for _ in 0..5 {
        assert_eq!(chat(false).send(two.address()).await.collect().await.status(), 200);
    }
    assert_eq!(second.requests_to("/api/chat").len(), before + 5, "the other node goes on");
    shut_down(two).await;
}

#[tokio::test]
async fn the_admin_api_has_an_address_of_its_own_where_it_is_wanted() {
    let _shared = beside_others().await;
    let (backend, directory) = (engine(), tempfile::tempdir().unwrap());
    let mut settings = settings(&backend, directory.path());
    settings.admin.listen = Some("127.0.0.1:0".parse().unwrap());
    settings.admin_bearer_tokens = vec!["a-token".into()];
    let node = start(settings).await.unwrap();
    let admins = node.admin_addresses()[0];
    assert_ne!(admins, node.address());
    let list = || Request::get("/v1.0/backends").bearer("a-token");
    assert_eq!(list().send(admins).await.collect().await.status(), 200);
    assert_eq!(list().send(node.address()).await.collect().await.status(), 404);
    shut_down(node).await;
}
