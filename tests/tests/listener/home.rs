//! What needs no backend: the home page, the icon.

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;

use crate::answer;

/// A node without frontends and backends.
async fn bare() -> Node {
    Node::builder().start().await
}

fn media_type(answer: &Collected) -> &str {
    answer.header("Content-Type").unwrap_or_default().split(';').next().unwrap_or_default()
}

#[tokio::test]
async fn the_home_page_is_html_for_browsers() {
    let node = bare().await;
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = answer(&node, Request::get("/").header("Accept", accept)).await;
    assert_eq!((page.status(), media_type(&page)), (200, "text/html"));
    assert!(page.text().to_lowercase().contains("<html"), "{}", page.text());
}

#[tokio::test]
async fn the_home_page_says_that_ollama_is_running_to_everything_else() {
    let node = bare().await;
    let requests = [
        Request::get("/"),
        Request::get("/").header("Accept", "*/*"),
        Request::get("/?x=1").header("Accept", "application/json, text/plain, */*"),
    ];
    for request in requests {
        let page = answer(&node, request).await;
        assert_eq!((page.status(), media_type(&page)), (200, "text/plain"));
        assert_eq!(page.text(), "Ollama is running");
    }
}

#[tokio::test]
async fn head_of_the_home_page_is_200_without_a_body() {
    let node = bare().await;
    let page = answer(&node, Request::new("HEAD", "/")).await;
    assert_eq!((page.status(), page.text().as_str()), (200, ""));
}

#[tokio::test]
async fn there_is_an_icon() {
    let node = bare().await;
    let icon = answer(&node, Request::get("/favicon.ico")).await;
    assert_eq!((icon.status(), media_type(&icon)), (200, "image/png"));
    assert!(icon.body.starts_with(b"\x89PNG"));
    let head = answer(&node, Request::new("HEAD", "/favicon.ico")).await;
    assert_eq!((head.status(), media_type(&head)), (200, "image/png"));
    assert_eq!(head.body.len(), 0);
}
