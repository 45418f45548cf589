//! `/openapi.json`: for whoever asks, at every address, and once.

use std::io::Read as _;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::frontend;
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{answer, document};

#[tokio::test]
async fn the_document_needs_no_token_and_no_host_and_is_the_one_that_is_printed() {
    let node = Node::builder().frontend(frontend("f").set("Hostname", "known.example")).start().await;
    for host in ["known.example", "stranger.example"] {
        let served = answer(&node, Request::get("/openapi.json").host(host)).await;
        assert_eq!((served.status(), served.header("Content-Type")), (200, Some("application/json")));
        assert_eq!(served.json(), document());
    }
    let head = answer(&node, Request::new("HEAD", "/openapi.json")).await;
    assert_eq!((head.status(), head.body.len()), (200, 0));
    let post = answer(&node, Request::post("/openapi.json")).await;
    assert_eq!((post.status(), post.header("Allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn the_document_is_compressed_for_those_who_take_it_and_sent_once_to_those_who_keep_it() {
    let node = Node::builder().frontend(frontend("f")).start().await;
    let packed = answer(&node, Request::get("/openapi.json").header("Accept-Encoding", "gzip, br")).await;
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    assert!(packed.body.len() < 50_000, "{} bytes", packed.body.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*packed.body).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document());
    let tag = packed.header("ETag").unwrap();
    let again = answer(&node, Request::get("/openapi.json").header("If-None-Match", tag)).await;
    assert_eq!((again.status(), again.body.len()), (304, 0));
}

#[tokio::test]
async fn document_and_explorer_are_where_the_metrics_are_also_at_an_address_of_admins() {
    let settings = json!({ "Admin": { "Listen": "127.0.0.1:0" } });
    let node = Node::builder().frontend(frontend("f")).settings(&settings).start().await;
    let admins: std::net::SocketAddr = wait::until_some("the admin address is told", || {
        let logs = node.logs();
        let mut lines = logs[..logs.rfind('\n')?].lines();
        lines.find_map(|line| line.strip_prefix("admin API on http://"))?.parse().ok()
    })
    .await;
    for path in ["/metrics", "/openapi.json", "/explorer", "/explorer/start.js"] {
        for address in [node.addr(), admins] {
            let served = Request::get(path).send(address).await.collect().await;
            assert_eq!(served.status(), 200, "{path} at {address}");
        }
    }
}
