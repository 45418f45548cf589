//! Which frontend a request means: by its host name, exact before the longest suffix before the star.

use ollamaflow_tests::client::{RawConnection, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{Frontend, backend, frontend};
use ollamaflow_tests::simulated::SimulatedBackend;

use crate::engine;

/// A node with these frontends. Each has a backend of its own name, all at the same engine: so the answer tells which
/// frontend it was.
async fn node_with(engine: &SimulatedBackend, frontends: Vec<Frontend>) -> Node {
    let names: Vec<String> = frontends.iter().map(|frontend| frontend.identifier().to_owned()).collect();
    let mut builder = Node::builder();
    for frontend in frontends {
        let name = frontend.identifier().to_owned();
        builder = builder.backend(backend(&name, engine)).frontend(frontend.backends([name.as_str()]));
    }
    let node = builder.start().await;
    node.wait_healthy(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    node
}

/// The frontend that serves this host; nothing when there is none.
async fn serving(node: &Node, host: &str) -> Option<String> {
    let answer = Request::get("/api/echo/x").host(host).send(node.addr()).await.collect().await;
    match answer.status() {
        200 => Some(answer.header("X-OllamaFlow-Backend").unwrap().to_owned()),
        404 => None,
        other => panic!("status {other} for {host}"),
    }
}

async fn assert_served(node: &Node, hosts: &[&str], by: Option<&str>) {
    for host in hosts {
        assert_eq!(serving(node, host).await.as_deref(), by, "{host}");
    }
}

#[tokio::test]
async fn an_exact_name_wins_whatever_its_case_and_port() {
    let engine = engine();
    let frontends = vec![
        frontend("any"),
        frontend("suffix").hostname("*.example.com"),
        frontend("exact").hostname("LLM.Example.com"),
    ];
    let node = node_with(&engine, frontends).await;
    let hosts = ["llm.example.com", "LLM.EXAMPLE.COM", "llm.example.com:43411", "Llm.Example.Com:1"];
    assert_served(&node, &hosts, Some("exact")).await;
}

#[tokio::test]
async fn the_longest_suffix_wins_and_needs_a_label_before_it() {
    let engine = engine();
    let frontends = vec![
        frontend("any"),
        frontend("wide").hostname("*.example.com"),
        frontend("narrow").hostname("*.EU.example.com"),
    ];
    let node = node_with(&engine, frontends).await;
    assert_served(&node, &["a.eu.example.com", "b.a.eu.example.com:80", "A.EU.EXAMPLE.COM"], Some("narrow"))
        .await;
    assert_served(&node, &["a.example.com", "eu.example.com", "a.us.example.com:8080"], Some("wide")).await;
    assert_served(&node, &["example.com", "notexample.com", "example.com.evil"], Some("any")).await;
}

#[tokio::test]
async fn addresses_are_names_too_and_ipv6_keeps_its_colons() {
    let engine = engine();
    let frontends = vec![
        frontend("six").hostname("[2001:db8::1]"),
        frontend("bare-six").hostname("fd00::2"),
        frontend("four").hostname("10.0.0.7"),
    ];
    let node = node_with(&engine, frontends).await;
    assert_served(&node, &["[2001:db8::1]", "[2001:DB8::1]:43411"], Some("six")).await;
    assert_served(&node, &["[fd00::2]", "[fd00::2]:80"], Some("bare-six")).await;
    assert_served(&node, &["10.0.0.7", "10.0.0.7:43411"], Some("four")).await;
    assert_served(&node, &["[2001:db8::2]", "[fd00::2:80]", "10.0.0.70"], None).await;
}

#[tokio::test]
async fn the_star_takes_every_host_that_no_other_frontend_takes() {
    let engine = engine();
    let node = node_with(&engine, vec![frontend("named").hostname("a"), frontend("any")]).await;
    assert_served(&node, &["b", "localhost:1", "[::1]", "127.0.0.1:43411"], Some("any")).await;
    assert_served(&node, &["a", "a:80"], Some("named")).await;
}

#[tokio::test]
async fn without_a_match_the_answer_is_a_404() {
    let engine = engine();
    let frontends = vec![frontend("one").hostname("one.example"), frontend("two").hostname("*.two.example")];
    let node = node_with(&engine, frontends).await;
    assert_served(&node, &["three.example", "two.example", "x.one.example", "localhost"], None).await;
}

#[tokio::test]
async fn an_inactive_frontend_does_not_match() {
    let engine = engine();
    let frontends = vec![
        frontend("off").hostname("off.example").set("Active", false),
        frontend("off-suffix").hostname("*.off.example").set("Active", false),
        frontend("on").hostname("*.example"),
    ];
    let node = node_with(&engine, frontends).await;
    assert_served(&node, &["off.example", "x.off.example"], Some("on")).await;
    assert_served(&node, &["off"], None).await;
}

#[tokio::test]
async fn of_two_frontends_for_one_host_the_newer_one_is_meant() {
    let engine = engine();
    let created = |name: &str, host: &str, time: &str| frontend(name).hostname(host).set("CreatedUtc", time);
    // Neither the order of the file nor that of the names decides.
    let frontends = vec![
        created("a-old", "twice.example", "2024-01-01T00:00:00.000000Z"),
        created("b-new", "TWICE.example", "2025-01-01T00:00:00.000000Z"),
        created("c-middle", "twice.example", "2024-06-01T00:00:00.000000Z"),
        created("y-new", "*", "2025-01-01T00:00:00.000000Z"),
        created("z-old", "*", "2024-01-01T00:00:00.000000Z"),
    ];
    let node = node_with(&engine, frontends).await;
    assert_served(&node, &["twice.example"], Some("b-new")).await;
    assert_served(&node, &["other.example"], Some("y-new")).await;
}

#[tokio::test]
async fn the_host_of_an_absolute_target_wins_over_the_header() {
    let engine = engine();
    let node =
        node_with(&engine, vec![frontend("one").hostname("one"), frontend("two").hostname("two")]).await;
    let mut connection = RawConnection::open(node.addr()).await.unwrap();
    connection.send("GET http://one:80/api/echo/x?q=1 HTTP/1.1\r\nHost: two\r\n\r\n").await.unwrap();
    let (answer, _) = connection.response().await.unwrap().collect_reusable().await;
    assert_eq!(answer.header("X-OllamaFlow-Backend"), Some("one"));
    let seen = answer.json();
    assert_eq!((seen["path"].as_str(), seen["query"].as_str()), (Some("/api/echo/x"), Some("q=1")));
}
