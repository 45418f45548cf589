//! The configuration changes while a stream runs: the stream goes on to its end, new requests follow the new objects.

use ollamaflow_tests::client::{End, Lines};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{Backend, Frontend, backend};
use ollamaflow_tests::simulated::SimulatedBackend;
use ollamaflow_tests::wait;
use serde_json::json;

use crate::scripted::{Conversation, ScriptedBackend};
use crate::{chat, ollama, served_by};
use ollamaflow_tests::setup::Setup;

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A node with the scripted backend `b1` and the simulated `b2`, and a stream that runs at `b1`.
struct Running {
    node: Node,
    frontend: Frontend,
    backends: Vec<Backend>,
    other: SimulatedBackend,
    conversation: Conversation,
    lines: Lines,
}

impl Running {
    async fn start() -> Self {
        let (mut scripted, other) = (ScriptedBackend::start(), ollama());
        let setup = Setup::new().backend(&scripted).backend(&other);
        let (frontend, backends) = setup.objects();
        let node = setup.start().await;
        let asking = tokio::spawn({
            let address = node.addr();
            async move { chat(true).send(address).await }
        });
        let mut conversation = scripted.next().await;
        conversation.send(HEAD).await;
        conversation.chunk("{\"n\":1,\"done\":false}\n").await;
        let mut lines = asking.await.unwrap().lines();
        assert_eq!(lines.expect_next().await.json()["n"], 1);
        // Requests that come before a change has taken effect are answered too.
        tokio::spawn(async move {
            loop {
                scripted.next().await.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
            }
        });
        Self { node, frontend, backends, other, conversation, lines }
    }

    /// Waits until so many requests in a row are answered by this backend at this address.
    async fn wait_for_new_requests_at(&self, identifier: &str, target: &SimulatedBackend) {
        wait::until_answered("new requests follow the new objects", async || {
            for _ in 0..4 {
                let before = target.stats().received();
                let answer = chat(false).send(self.node.addr()).await.collect().await;
                if answer.status() != 200 || served_by(&answer) != identifier {
                    return Err(answer.text());
                }
                if target.stats().received() != before + 1 {
                    return Err("another address answered".to_owned());
                }
            }
            Ok(())
        })
        .await;
    }

    /// The stream is still alive in both directions, and ends properly.
    async fn finishes(mut self) {
        for n in 2..5 {
            self.conversation.chunk(format!("{{\"n\":{n},\"done\":false}}\n")).await;
            assert_eq!(self.lines.expect_next().await.json()["n"], n);
        }
        self.conversation.chunk("{\"done\":true}\n").await;
        self.conversation.send("0\r\n\r\n").await;
        let (rest, end) = self.lines.collect().await;
        assert_eq!((rest.len(), &rest[0].json()["done"], end), (1, &json!(true), End::Complete));
    }
}

#[tokio::test]
async fn removing_a_backend_does_not_cut_its_stream() {
    let running = Running::start().await;
    let others = vec![running.backends[1].clone()];
    running.node.rewrite_objects([running.frontend.clone().backends(["b2"])], others).await;
    running.wait_for_new_requests_at("b2", &running.other).await;
    assert_eq!(running.node.admin("GET", "/v1.0/backends/b1", None).await.0, 404);
    running.finishes().await;
}

#[tokio::test]
async fn changing_a_backends_address_does_not_cut_its_stream() {
    let running = Running::start().await;
    let elsewhere = ollama();
    running
        .node
        .rewrite_objects([running.frontend.clone().backends(["b1"])], [backend("b1", &elsewhere)])
        .await;
    running.node.wait_healthy(&["b1"]).await;
    running.wait_for_new_requests_at("b1", &elsewhere).await;
    running.finishes().await;
}

#[tokio::test]
async fn deactivating_a_backend_does_not_cut_its_stream() {
    let running = Running::start().await;
    let mut backends = running.backends.clone();
    backends[0] = backends[0].clone().set("Active", false);
    running.node.rewrite_objects([running.frontend.clone()], backends).await;
    running.wait_for_new_requests_at("b2", &running.other).await;
    running.finishes().await;
}

#[tokio::test]
async fn removing_the_frontend_does_not_cut_its_streams() {
    let running = Running::start().await;
    running.node.rewrite_objects([], running.backends.clone()).await;
    wait::until_answered("the frontend is gone", async || {
        let status = chat(false).send(running.node.addr()).await.status();
        if status == 404 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    running.finishes().await;
}

#[tokio::test]
async fn a_catalog_with_errors_changes_nothing() {
    let running = Running::start().await;
    let dangling = json!({ "Frontends": [running.frontend.json()], "Backends": [] });
    assert_eq!(running.node.admin("PUT", "/v1.0/catalog", Some(&dangling)).await.0, 400);
    assert_eq!(running.node.admin("GET", "/v1.0/backends/b1", None).await.0, 200);
    running.finishes().await;
}

#[tokio::test]
async fn a_client_that_leaves_a_removed_backends_stream_still_cancels_it() {
    let running = Running::start().await;
    let others = vec![running.backends[1].clone()];
    running.node.rewrite_objects([running.frontend.clone().backends(["b2"])], others).await;
    running.wait_for_new_requests_at("b2", &running.other).await;
    let Running { mut conversation, lines, node: _node, .. } = running;
    lines.into_response().abort();
    conversation.gone().await;
}
