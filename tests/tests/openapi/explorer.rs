//! `/explorer`: everything that the page needs comes from the node, and its policy lets nothing else in.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::frontend;

use crate::answer;

/// The values of an attribute in a page.
fn attributes(page: &str, name: &str) -> Vec<String> {
    let opening = format!("{name}=\"");
    page.split(&opening).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_page_links_to_files_of_this_node_only_and_has_no_script_in_it() {
    let node = Node::builder().frontend(frontend("f")).start().await;
    let page = answer(&node, Request::get("/explorer")).await;
    assert_eq!((page.status(), page.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
    let page = page.text();
    let links: Vec<String> =
        ["src", "href"].into_iter().flat_map(|attribute| attributes(&page, attribute)).collect();
    assert!(links.len() >= 5, "{links:?}");
    for link in &links {
        assert!(!link.contains("//") && !link.starts_with('/'), "{link} is not relative");
        let file = answer(&node, Request::get(&format!("/{link}"))).await;
        assert_eq!(file.status(), 200, "{link}");
    }
    for script in page.split("<script").skip(1) {
        let (tag, rest) = script.split_once('>').unwrap();
        assert!(tag.contains("src=") && rest.starts_with("</script>"), "{script}");
    }
    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("onload"), "{page}");
}

#[tokio::test]
async fn the_policy_lets_in_nothing_from_elsewhere_and_no_script_within_a_page() {
    let node = Node::builder().frontend(frontend("f")).start().await;
    for path in
        ["/explorer", "/explorer/start.js", "/explorer/swagger-ui-bundle.js", "/explorer/swagger-ui.css"]
    {
        let file = answer(&node, Request::get(path)).await;
        let policy = file.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
        assert_eq!(file.header("X-Content-Type-Options"), Some("nosniff"), "{path}");
        let tag = file.header("ETag").unwrap();
        let again = answer(&node, Request::get(path).header("If-None-Match", tag)).await;
        assert_eq!((again.status(), again.body.len()), (304, 0), "{path}");
    }
}

#[tokio::test]
async fn files_are_as_they_are_published_whether_compressed_or_not_and_others_are_missing() {
    let node = Node::builder().frontend(frontend("f")).start().await;
    for (name, part) in [
        ("swagger-ui-bundle.js", "SwaggerUIBundle"),
        ("swagger-ui.css", ".swagger-ui"),
        ("LICENSE", "Apache License"),
        ("NOTICE", "swagger-ui"),
    ] {
        let path = format!("/explorer/{name}");
        let plain = answer(&node, Request::get(&path)).await;
        assert!(plain.text().contains(part), "{name}");
        let packed = answer(&node, Request::get(&path).header("Accept-Encoding", "gzip")).await;
        assert_eq!(packed.header("Content-Encoding"), Some("gzip"), "{name}");
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*packed.body), &mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body, "{name}");
    }
    for path in ["/explorer/nope.js", "/explorer/index.html", "/explorer/a/b", "/explorer/..%2fopenapi.json"]
    {
        assert_eq!(answer(&node, Request::get(path)).await.status(), 404, "{path}");
    }
    let moved = answer(&node, Request::get("/explorer/")).await;
    assert_eq!((moved.status(), moved.header("Location")), (308, Some("../explorer")));
}
