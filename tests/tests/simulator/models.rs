//! Models are manifests of blobs: what copies share, what deletion leaves, what can be created from what.

use ollamaflow_tests::client::{self, Request};
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend, StoredBlob, sha256};
use serde_json::{Value, json};

use crate::ollama;

/// The answer of a request that changes models.
async fn answer(backend: &SimulatedBackend, path: &str, body: &Value) -> (u16, String) {
    let answer = client::post_json(backend, path, body).await.collect().await;
    (answer.status(), answer.text())
}

/// The lines of a stream.
async fn lines(backend: &SimulatedBackend, path: &str, body: &Value) -> Vec<Value> {
    let (lines, _) = client::post_json(backend, path, body).await.lines().collect().await;
    lines.iter().map(client::Frame::json).collect()
}

async fn delete(backend: &SimulatedBackend, model: &str) -> u16 {
    Request::new("DELETE", "/api/delete").json(&json!({ "model": model })).send(backend).await.status()
}

async fn upload(backend: &SimulatedBackend, bytes: &str) -> String {
    let digest = sha256(bytes);
    let request = Request::post(&format!("/api/blobs/{digest}")).body(bytes.to_owned());
    assert_eq!(request.send(backend).await.status(), 201);
    digest
}

fn references(backend: &SimulatedBackend) -> Vec<usize> {
    backend.blobs().iter().map(|blob| blob.references).collect()
}

#[tokio::test]
async fn a_copy_shares_the_blobs_and_the_digest_of_its_source() {
    let backend = ollama();
    let before = references(&backend);
    let copied = answer(&backend, "/api/copy", &json!({ "source": "m", "destination": "ns/copy" })).await;
    assert_eq!(copied, (200, String::new()));
    assert_eq!(backend.digest_of("ns/copy"), backend.digest_of("m"));
    assert_eq!((before, references(&backend)), (vec![1, 1, 1], vec![2, 2, 2]));
    assert_eq!(delete(&backend, "m").await, 200);
    assert_eq!(references(&backend), [1, 1, 1]);
    assert_eq!(delete(&backend, "ns/copy").await, 200);
    assert_eq!((backend.blobs(), backend.stats().deletes), (vec![], 2));
}

#[tokio::test]
async fn a_copy_of_nothing_or_to_nowhere_is_refused() {
    let backend = ollama();
    for (source, destination, status, message) in [
        ("x", "y", 404, r#"model "x" not found"#),
        ("m", "", 400, r#"destination "" is invalid"#),
        ("", "y", 400, r#"source "" is invalid"#),
    ] {
        let body = json!({ "source": source, "destination": destination });
        let said = answer(&backend, "/api/copy", &body).await;
        assert_eq!(said, (status, json!({ "error": message }).to_string()));
    }
}

#[tokio::test]
async fn a_model_created_from_another_has_its_layers_and_its_own() {
    let backend = ollama();
    let body =
        json!({ "model": "made", "from": "m", "system": "be kind", "parameters": { "temperature": 1 } });
    let said = lines(&backend, "/api/create", &body).await;
    let statuses: Vec<_> = said.iter().map(|line| line["status"].as_str().unwrap()).collect();
    let begins: Vec<_> = statuses.iter().map(|status| status.split(" sha256:").next().unwrap()).collect();
    let expected =
        ["using existing layer", "using existing layer", "creating new layer", "creating new layer"];
    assert_eq!(begins, [&expected[..], &["writing manifest", "success"]].concat());
    assert_ne!(backend.digest_of("made"), backend.digest_of("m"));
    // Weights and template are shared; each has its configuration, and the new one two layers more.
    let mut counts = references(&backend);
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 1, 1, 2, 2]);
    assert_eq!(delete(&backend, "made").await, 200);
    assert_eq!(references(&backend), [1, 1, 1]);
}

#[tokio::test]
async fn a_model_to_create_from_that_is_not_there_is_pulled_first() {
    let backend = ollama();
    let said = lines(&backend, "/api/create", &json!({ "model": "made", "from": "other" })).await;
    assert_eq!(said[0], json!({ "status": "pulling manifest" }));
    assert_eq!(said.last(), Some(&json!({ "status": "success" })));
    let mut names = backend.installed_models();
    names.sort();
    assert_eq!(names, ["m:latest", "made:latest", "other:latest"]);
    backend.knobs(|knobs| knobs.unpullable = vec!["gone".to_owned()]);
    let body = json!({ "model": "made", "from": "gone", "stream": false });
    let message = json!({ "error": "pull model manifest: file does not exist" });
    assert_eq!(answer(&backend, "/api/create", &body).await, (500, message.to_string()));
}

#[tokio::test]
async fn a_model_is_created_from_uploaded_blobs_alone() {
    let backend = ollama();
    let digest = upload(&backend, "GGUF weights").await;
    let body = json!({ "model": "mine", "files": { "mine.gguf": digest } });
    let said = lines(&backend, "/api/create", &body).await;
    let layer = format!("using existing layer {digest}");
    let statuses = ["parsing GGUF", &layer, "writing manifest", "success"];
    assert_eq!(said, statuses.map(|status| json!({ "status": status })));
    let tags = client::get(&backend, "/api/tags").await.collect().await.json();
    assert_eq!((&tags["models"][0]["name"], &tags["models"][0]["size"]), (&json!("mine:latest"), &json!(12)));
    let missing = sha256("never sent");
    let body = json!({ "model": "mine2", "files": { "mine.gguf": missing } });
    let said = lines(&backend, "/api/create", &body).await;
    assert!(said[1]["error"].as_str().unwrap().ends_with("no such file or directory"), "{said:?}");
    let whole = json!({ "model": "mine2", "files": { "mine.gguf": missing }, "stream": false });
    assert_eq!(answer(&backend, "/api/create", &whole).await.0, 500);
    assert_eq!(backend.digest_of("mine2"), None);
}

#[tokio::test]
async fn a_model_of_nothing_or_of_no_digest_is_not_created() {
    let backend = ollama();
    for (body, message) in [
        (json!({ "model": "x" }), "neither 'from' or 'files' was specified"),
        (
            json!({ "model": "x", "files": { "a.gguf": "sha256:12" } }),
            "invalid digest for a.gguf: invalid digest format",
        ),
        (json!({ "model": "x", "files": { "a.txt": sha256("") } }), "unknown type"),
    ] {
        let said = answer(&backend, "/api/create", &body).await;
        assert_eq!(said, (400, json!({ "error": message }).to_string()));
    }
}

#[tokio::test]
async fn a_blob_is_stored_only_if_its_bytes_have_the_digest() {
    let backend = SimulatedBackend::start(SimConfig::default());
    let (right, wrong) = (sha256("bytes"), sha256("other bytes"));
    let request = Request::post(&format!("/api/blobs/{wrong}")).body("bytes");
    let refused = request.send(&backend).await.collect().await;
    let message = format!("digest mismatch, expected \"{wrong}\", got \"{right}\"");
    assert_eq!((refused.status(), refused.json()), (400, json!({ "error": message })));
    assert_eq!(backend.blobs(), []);
    upload(&backend, "bytes").await;
    assert_eq!(backend.blobs(), [StoredBlob { digest: right.clone(), size: 5, references: 0 }]);
    let head = async |digest: &str| {
        Request::new("HEAD", &format!("/api/blobs/{digest}")).send(&backend).await.status()
    };
    assert_eq!((head(&right).await, head(&wrong).await, head("sha256:00").await), (200, 404, 400));
    let post = Request::post("/api/blobs/nothing").body("").send(&backend).await.collect().await;
    assert_eq!((post.status(), post.json()), (400, json!({ "error": "invalid digest format" })));
}

#[tokio::test]
async fn a_blob_for_which_there_is_no_room_is_refused() {
    let backend = SimulatedBackend::start(SimConfig::default().with_knobs(|knobs| knobs.disk_bytes = 9));
    let request = Request::post(&format!("/api/blobs/{}", sha256("0123456789"))).body("0123456789");
    let refused = request.send(&backend).await.collect().await;
    assert_eq!(refused.status(), 500);
    assert!(refused.text().contains("no space left on device"), "{}", refused.text());
}

#[tokio::test]
async fn a_push_needs_a_namespace_and_says_in_its_stream_what_went_wrong() {
    let backend = ollama();
    answer(&backend, "/api/copy", &json!({ "source": "m", "destination": "me/mine" })).await;
    let pushed = lines(&backend, "/api/push", &json!({ "model": "me/mine" })).await;
    assert_eq!(pushed.first(), Some(&json!({ "status": "retrieving manifest" })));
    assert_eq!(pushed.last(), Some(&json!({ "status": "success" })));
    let denied = lines(&backend, "/api/push", &json!({ "model": "m" })).await;
    assert_eq!(denied[denied.len() - 2], json!({ "status": "pushing manifest" }));
    assert!(denied.last().unwrap()["error"].as_str().unwrap().contains("unauthorized"), "{denied:?}");
    let missing = lines(&backend, "/api/push", &json!({ "model": "me/x" })).await;
    assert_eq!(missing[1], json!({ "status": "couldn't retrieve manifest" }));
    assert!(missing[2]["error"].as_str().unwrap().contains("/me/x/latest: no such file"), "{missing:?}");
    let whole = json!({ "model": "m", "stream": false });
    assert_eq!(answer(&backend, "/api/push", &whole).await.0, 500);
}

#[tokio::test]
async fn what_is_in_memory_is_told_with_its_expiry_until_it_is_unloaded() {
    let backend = ollama();
    let load = json!({ "model": "m", "keep_alive": "10m" });
    assert_eq!(answer(&backend, "/api/generate", &load).await.0, 200);
    let ps = client::get(&backend, "/api/ps").await.collect().await.json();
    let expires_at: jiff::Timestamp = ps["models"][0]["expires_at"].as_str().unwrap().parse().unwrap();
    let left = expires_at.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((500..=600).contains(&left), "{left} s");
    assert_eq!(ps["models"][0]["digest"].as_str().map(str::to_owned), backend.digest_of("m"));
    assert_eq!(answer(&backend, "/api/generate", &json!({ "model": "m", "keep_alive": 0 })).await.0, 200);
    let stats = backend.stats();
    assert_eq!((stats.loads, stats.unloads, backend.loaded_models().len()), (1, 1, 0));
}
