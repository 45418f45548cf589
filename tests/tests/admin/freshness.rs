//! Whoever has written sees it at once on the same node, in the list and in the health list.

use ollamaflow_tests::node::Node;
use serde_json::json;

use crate::{admin, answer, expect, identifiers, put, shown};

/// How many backends come and go.
const ROUNDS: usize = 1000;

#[tokio::test]
async fn a_thousand_writes_are_seen_in_list_and_health_at_once() {
    let node = Node::builder().start().await;
    for round in 0..ROUNDS {
        let id = format!("b{}", round % 10);
        let path = format!("/v1.0/backends/{id}");
        let create = json!({ "Identifier": id, "Active": false, "Name": round.to_string() });
        expect(&answer(&node, put("/v1.0/backends", &create)).await, 201);
        let (list, health) =
            tokio::join!(shown(&node, "/v1.0/backends"), shown(&node, "/v1.0/backends/health"));
        for seen in [&list, &health] {
            assert_eq!((identifiers(seen), &seen[0]["Name"]), (vec![id.as_str()], &json!(round.to_string())));
        }
        expect(&answer(&node, admin("DELETE", &path)).await, 204);
        let (list, health) =
            tokio::join!(shown(&node, "/v1.0/backends"), shown(&node, "/v1.0/backends/health"));
        assert_eq!((list, health), (json!([]), json!([])));
    }
}

#[tokio::test]
async fn a_linearizable_read_shows_the_same() {
    let node = crate::pair().start().await;
    for path in [
        "/v1.0/backends",
        "/v1.0/backends/b1",
        "/v1.0/backends/health",
        "/v1.0/frontends",
        "/v1.0/frontends/f1",
        "/v1.0/catalog",
        "/v1.0/history",
        "/v1.0/tokens",
    ] {
        let local = answer(&node, admin("GET", &format!("{path}?consistency=local"))).await;
        let confirmed = answer(&node, admin("GET", &format!("{path}?consistency=linearizable"))).await;
        assert_eq!((local.status(), confirmed.status()), (200, 200), "{path}");
        if !path.ends_with("health") {
            assert_eq!(local.json(), confirmed.json(), "{path}");
        }
        let unknown = answer(&node, admin("GET", &format!("{path}?consistency=eventual"))).await;
        assert!(crate::error(&unknown, 400, "BadRequest").contains("consistency"), "{path}");
    }
}
