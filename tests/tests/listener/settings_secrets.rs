//! Secrets: admin tokens, bearer tokens, header values and passwords are in no output and in no log.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::simulated::FaultKind;
use serde_json::{Value, json};

use crate::program::Program;
use crate::{answer, b1, chat, engine, f1, ready};

/// What each secret of these tests contains.
const MARK: &str = "s3cr3t";

/// Settings with a secret at each place that has one.
fn secretive() -> Value {
    json!({
        "AdminBearerTokens": ["s3cr3t-admin"],
        "Webserver": { "Ssl": { "PfxCertificatePassword": "s3cr3t-password" } },
        "Frontends": [{ "Identifier": "f1", "Backends": ["b1"] }],
        "Backends": [{
            "Identifier": "b1", "BearerToken": "s3cr3t-bearer", "Headers": { "X-Api-Key": "s3cr3t-header" },
        }],
    })
}

#[tokio::test]
async fn no_command_prints_a_secret() {
    for arguments in
        [vec!["config", "show"], vec!["config", "show", "--json"], vec!["config", "check", "ollamaflow.json"]]
    {
        let program = Program::with_settings(&secretive());
        let printed =
            program.env("OLLAMAFLOW_ADMINBEARERTOKENS", "s3cr3t-one,s3cr3t-two").run(&arguments).await;
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        assert!(!printed.everything().contains(MARK), "{arguments:?}: {}", printed.everything());
        if arguments.contains(&"show") {
            assert_eq!(printed.stdout.matches("********").count(), 5, "{}", printed.stdout);
        }
    }
}

#[tokio::test]
async fn no_error_about_a_secret_shows_it() {
    let backend =
        |property: &str, value: Value| json!({ "Backends": [{ "Identifier": "b1", property: value }] });
    for settings in [
        json!({ "AdminBearerTokens": "s3cr3t" }),
        json!({ "AdminBearerTokens": { "s3cr3t": 1 } }),
        json!({ "AdminBearerTokens": ["s3cr3t\n"] }),
        json!({ "AdminBearerTokens": [["s3cr3t"]] }),
        json!({ "Webserver": { "Ssl": { "PfxCertificatePassword": ["s3cr3t"] } } }),
        backend("BearerToken", json!(["s3cr3t"])),
        backend("BearerToken", json!({ "s3cr3t": 1 })),
        backend("BearerToken", json!("s3cr3t\n")),
        backend("Headers", json!("s3cr3t")),
        backend("Headers", json!(["s3cr3t"])),
        backend("Headers", json!({ "X-Api-Key": ["s3cr3t"] })),
        backend("Headers", json!({ "X-Api-Key": "s3cr3t\u{0}" })),
    ] {
        for arguments in [vec!["config", "check", "ollamaflow.json"], vec!["--listen", "127.0.0.1:0"]] {
            let printed = Program::with_settings(&settings).run(arguments).await;
            assert_eq!(printed.code, Some(1), "{settings}: {}", printed.everything());
            assert!(!printed.everything().contains(MARK), "{settings}: {}", printed.everything());
        }
    }
    let program = Program::with_settings(&json!({})).env("OLLAMAFLOW_ADMINBEARERTOKENS", "[\"s3cr3t");
    let printed = program.run(["config", "show"]).await;
    assert_eq!(printed.code, Some(1));
    assert!(!printed.everything().contains(MARK), "{}", printed.everything());
}

#[tokio::test]
async fn no_secret_is_logged_however_detailed_the_log() {
    let engine = engine();
    let backend = b1(&engine)
        .set("BearerToken", "s3cr3t-bearer")
        .set("Headers", json!({ "X-Api-Key": "s3cr3t-header" }));
    let builder = ollamaflow_tests::node::Node::builder().frontend(f1()).backend(backend);
    let more = json!({ "Logging": { "MinimumSeverity": 0 } });
    let node =
        ready(builder.settings(&more).env("OLLAMAFLOW_ADMINBEARERTOKENS", "s3cr3t-admin,test-token")).await;
    // Phase 1: traffic of each kind, good and bad, with the client's own secrets.
    let request = Request::post("/api/chat").json(&chat()).bearer("s3cr3t-client");
    assert_eq!(answer(&node, request.clone()).await.status(), 200);
    assert_eq!(answer(&node, Request::get("/v1.0/backends").bearer("s3cr3t-admin")).await.status(), 200);
    assert_eq!(answer(&node, Request::get("/v1.0/backends").bearer("s3cr3t-guess")).await.status(), 401);
    engine.set_fault(FaultKind::HealthFails { status: 500 });
    node.wait_unhealthy("b1").await;
    assert_eq!(answer(&node, request).await.status(), 502);
    // Phase 2: secrets are written, accepted and refused.
    for (secrets, status) in [
        (json!({ "BearerToken": "s3cr3t-new", "Headers": { "X-Api-Key": "s3cr3t-new" } }), 200),
        (json!({ "BearerToken": "s3cr3t-new", "Port": 70_000 }), 400),
        (json!({ "BearerToken": { "s3cr3t-name": "s3cr3t-value" } }), 400),
        (json!({ "Headers": ["s3cr3t-item"] }), 400),
    ] {
        let (given, answer) = node.admin("PUT", "/v1.0/backends/b1", Some(&secrets)).await;
        assert_eq!(given, status, "{answer}");
        assert!(!answer.to_string().contains(MARK), "{answer}");
    }
    // Phase 3: the backend got its secrets, the log none.
    assert_eq!(engine.requests_to("/api/chat")[0].header("authorization"), Some("Bearer s3cr3t-bearer"));
    assert!(node.logs().contains("DEBUG"), "{}", node.logs());
    assert!(!node.logs().contains(MARK), "{}", node.logs());
}

#[tokio::test]
async fn the_admin_api_shows_no_secret() {
    let engine = engine();
    let backend = b1(&engine)
        .set("BearerToken", "s3cr3t-bearer")
        .set("Headers", json!({ "X-Api-Key": "s3cr3t-header" }));
    let node = ready(ollamaflow_tests::node::Node::builder().frontend(f1()).backend(backend)).await;
    for path in ["/v1.0/backends", "/v1.0/backends/b1", "/v1.0/backends/health", "/v1.0/backends/b1/health"] {
        let (status, shown) = node.admin("GET", path, None).await;
        assert_eq!(status, 200);
        assert!(!shown.to_string().contains(MARK), "{path}: {shown}");
        let shown = shown.get(0).unwrap_or(&shown);
        assert_eq!(shown["BearerToken"], "********");
        assert_eq!(shown["Headers"], json!({ "X-Api-Key": "********" }));
    }
}
