//! Who learns which `Authorization`.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::simulated::{FaultKind, SimulatedBackend};
use serde_json::json;

use crate::ollama;
use ollamaflow_tests::setup::Setup;

fn request() -> Request {
    Request::post("/api/echo/x").bearer("client").body("{}")
}

/// All `Authorization` values that a backend has seen in requests of clients.
fn seen(backend: &SimulatedBackend) -> Vec<String> {
    let requests = backend.requests_to("/api/echo");
    let values =
        |request| ollamaflow_tests::simulated::ReceivedRequest::headers_named(request, "authorization");
    requests.iter().flat_map(values).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_clients_authorization_reaches_a_backend_without_credentials_of_its_own() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    assert_eq!(request().send(node.addr()).await.status(), 200);
    assert_eq!(seen(&backend), ["Bearer client"]);
}

#[tokio::test]
async fn a_clients_authorization_never_reaches_a_backend_that_has_its_own() {
    type Change = fn(Backend) -> Backend;
    let ways: [(Change, &str); 4] = [
        (|backend| backend.set("BearerToken", "ours"), "Bearer ours"),
        (|backend| backend.set("Headers", json!({ "Authorization": "Basic b3Vycw==" })), "Basic b3Vycw=="),
        (|backend| backend.set("Headers", json!({ "authorization": "Basic b3Vycw==" })), "Basic b3Vycw=="),
        (
            |backend| {
                backend.set("BearerToken", "ours").set("Headers", json!({ "AUTHORIZATION": "Basic other" }))
            },
            "Bearer ours",
        ),
    ];
    for (change, expected) in ways {
        let backend = ollama();
        let node = Setup::new().backend_with(&backend, change).start().await;
        let doubled = request().header("authorization", "Basic second");
        for request in [request(), doubled, Request::get("/api/echo/x")] {
            assert_eq!(request.send(node.addr()).await.status(), 200);
        }
        assert_eq!(seen(&backend), [expected; 3]);
    }
}

#[tokio::test]
async fn the_credentials_of_one_backend_never_reach_the_next_one_tried() {
    for secret_first in [true, false] {
        let backends: [SimulatedBackend; 2] = std::array::from_fn(|_| ollama());
        backends[0].set_fault(FaultKind::status(503));
        let with_secret = |backend: Backend| backend.set("BearerToken", "ours");
        let setup = if secret_first {
            Setup::new().backend_with(&backends[0], with_secret).backend(&backends[1])
        } else {
            Setup::new().backend(&backends[0]).backend_with(&backends[1], with_secret)
        };
        let node = setup.start().await;
        assert_eq!(request().send(node.addr()).await.status(), 200);
        let (with, without) = if secret_first { (0, 1) } else { (1, 0) };
        assert_eq!(seen(&backends[with]), ["Bearer ours"]);
        assert_eq!(seen(&backends[without]), ["Bearer client"]);
    }
}
