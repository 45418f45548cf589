//! `Admin.Listen`: the admin API at an address of its own.

use std::net::SocketAddr;

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::backend;
use serde_json::json;

use crate::{admin, answer, engine, expect, f1, put};

/// A node whose admin API listens elsewhere, and where.
async fn apart(engine: &ollamaflow_tests::simulated::SimulatedBackend) -> (Node, SocketAddr) {
    let settings = json!({ "Admin": { "Listen": "127.0.0.1:0" } });
    let node =
        Node::builder().frontend(f1()).backend(backend("b1", engine)).settings(&settings).start().await;
    let address = ollamaflow_tests::wait::until_some("the admin address is told", || {
        let logs = node.logs();
        let line =
            logs[..logs.rfind('\n')?].lines().find_map(|line| line.strip_prefix("admin API on http://"))?;
        Some(line.parse().unwrap())
    })
    .await;
    (node, address)
}

async fn answer_at(address: SocketAddr, request: Request) -> Collected {
    request.send(address).await.collect().await
}

#[tokio::test]
async fn the_admin_api_is_there_and_not_where_clients_are_served() {
    let engine = engine();
    let (node, admins) = apart(&engine).await;
    for path in ["/v1.0/frontends", "/v1.0/backends/health", "/v1.0/catalog", "/v1.0/nope"] {
        assert_eq!(answer(&node, admin("GET", path)).await.status(), 404, "{path}");
    }
    expect(&answer_at(admins, put("/v1.0/backends/b1", &json!({ "Name": "n" }))).await, 200);
    let list = expect(&answer_at(admins, admin("GET", "/v1.0/backends/health")).await, 200);
    assert_eq!(list[0]["Name"], "n");
    assert_eq!(answer_at(admins, Request::get("/v1.0/frontends")).await.status(), 401);
}

#[tokio::test]
async fn clients_are_not_served_where_admins_are() {
    let engine = engine();
    let (node, admins) = apart(&engine).await;
    ollamaflow_tests::wait::until_answered("clients are served", async || {
        match answer(&node, Request::get("/api/tags")).await.status() {
            200 => Ok(()),
            status => Err(status.to_string()),
        }
    })
    .await;
    assert_eq!(answer_at(admins, Request::get("/api/tags")).await.status(), 404);
    // The dashboard looks for the home page before it lets anybody log in.
    let home = answer_at(admins, Request::get("/")).await;
    assert_eq!((home.status(), home.body.is_empty()), (200, false));
}

#[tokio::test]
async fn the_probes_are_at_both_addresses_and_a_stop_ends_both() {
    let engine = engine();
    let (mut node, admins) = apart(&engine).await;
    assert_eq!(answer(&node, Request::get("/livez")).await.status(), 200);
    assert_eq!(answer_at(admins, Request::get("/livez")).await.status(), 200);
    assert_ne!(answer_at(admins, Request::get("/readyz")).await.status(), 404);
    assert!(node.terminate().await.success());
}
