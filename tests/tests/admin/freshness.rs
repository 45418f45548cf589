//! Reads that are confirmed by a quorum. That a node shows at once what it has taken is in the suite `dashboard`.

use crate::{admin, answer};

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
