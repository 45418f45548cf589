//! Ollama's native API on the wire.

use ollamaflow_tests::client::{self, End, Request};
use ollamaflow_tests::simulated::{
    BodyFraming, ModelSpec, Operation, SimConfig, SimulatedBackend, ToolCall, sha256,
};
use serde_json::json;

use crate::{chat_body, native_chat, native_stream, ollama, whole_text};

#[tokio::test]
async fn a_chat_streams_by_default_one_chunk_for_each_line() {
    let backend = ollama();
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "a b c" }] });
    let answer = client::post_json(&backend, "/api/chat", &body).await.collect().await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!((answer.status(), answer.end, answer.pieces.len()), (200, End::Complete, 23));
    let lines: Vec<serde_json::Value> =
        answer.pieces.iter().map(|piece| serde_json::from_slice(&piece.bytes).unwrap()).collect();
    let said: String = lines.iter().map(|line| line["message"]["content"].as_str().unwrap()).collect();
    assert_eq!(said, whole_text());
    assert!(lines[..22].iter().all(|line| line["done"] == false && line["model"] == "m"));
    let last = &lines[22];
    assert_eq!((&last["done"], &last["done_reason"]), (&json!(true), &json!("stop")));
    assert_eq!((&last["prompt_eval_count"], &last["eval_count"]), (&json!(3), &json!(22)));
    assert!(last["total_duration"].is_u64());
}

#[tokio::test]
async fn a_chat_that_is_no_stream_is_one_object_with_a_length() {
    let answer = native_chat(&ollama()).await;
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    assert!(answer.header("date").is_some());
    assert_eq!(answer.json()["message"]["content"], whole_text());
}

#[tokio::test]
async fn generate_says_the_same_and_is_cut_at_num_predict() {
    let backend = ollama();
    let body = json!({ "model": "m", "prompt": "x", "options": { "num_predict": 3 } });
    let (lines, end) = client::post_json(&backend, "/api/generate", &body).await.lines().collect().await;
    assert_eq!((lines.len(), end), (4, End::Complete));
    let said: String =
        lines.iter().map(|line| line.json()["response"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, " the quick brown");
    assert_eq!(lines[3].json()["done_reason"], "length");
}

#[tokio::test]
async fn requests_for_nothing_load_and_unload() {
    let backend = ollama();
    let loads = [
        ("/api/generate", json!({ "model": "m", "prompt": "" })),
        ("/api/chat", json!({ "model": "m", "messages": [] })),
    ];
    for (path, mut body) in loads {
        let answer = client::post_json(&backend, path, &body).await.collect().await;
        assert_eq!((answer.json()["done_reason"].clone(), backend.loaded_models().len()), (json!("load"), 1));
        body["keep_alive"] = json!(0);
        let answer = client::post_json(&backend, path, &body).await.collect().await;
        assert_eq!(
            (answer.json()["done_reason"].clone(), backend.loaded_models().len()),
            (json!("unload"), 0)
        );
    }
}

#[tokio::test]
async fn embeddings_are_the_same_for_the_same_text_and_of_length_one() {
    let backend = ollama();
    let body = json!({ "model": "m", "input": ["one", "two", "one"], "dimensions": 4 });
    let answer = client::post_json(&backend, "/api/embed", &body).await.collect().await.json();
    assert_eq!(answer["embeddings"][0], answer["embeddings"][2]);
    assert_ne!(answer["embeddings"][0], answer["embeddings"][1]);
    let numbers: Vec<f64> =
        answer["embeddings"][0].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
    let length: f64 = numbers.iter().map(|n| n * n).sum();
    assert!(numbers.len() == 4 && (length - 1.0).abs() < 1e-5);
    let body = json!({ "model": "m", "prompt": "one" });
    let answer = client::post_json(&backend, "/api/embeddings", &body).await.collect().await.json();
    assert_eq!(answer["embedding"].as_array().unwrap().len(), 16);
}

#[tokio::test]
async fn a_missing_model_is_a_404_in_the_words_of_each_route() {
    let backend = ollama();
    let cases = [
        ("/api/chat", json!({ "model": "x", "messages": [{}] }), "model 'x' not found"),
        ("/api/show", json!({ "name": "x" }), "model 'x' not found"),
        ("/api/embed", json!({ "model": "x", "input": "t" }), "model \"x\" not found, try pulling it first"),
    ];
    for (path, body, message) in cases {
        let answer = client::post_json(&backend, path, &body).await.collect().await;
        assert_eq!((answer.status(), answer.json()), (404, json!({ "error": message })), "{path}");
    }
}

#[tokio::test]
async fn names_are_found_in_all_their_forms_and_echoed_as_asked() {
    let backend = ollama();
    let mut body = chat_body(false);
    body["model"] = json!("library/M:latest");
    let answer = client::post_json(&backend, "/api/chat", &body).await.collect().await;
    assert_eq!(answer.json()["model"], "library/M:latest");
}

#[tokio::test]
async fn pull_shows_progress_and_installs_and_failures_are_lines_in_a_200() {
    let backend = ollama();
    backend.knobs(|knobs| knobs.unpullable = vec!["gone".to_owned()]);
    let pull = async |name: &str| {
        let body = json!({ "model": name });
        let lines = client::post_json(&backend, "/api/pull", &body).await.lines().collect().await.0;
        (lines.len(), lines.last().unwrap().json())
    };
    assert_eq!(pull("new:7b").await, (12, json!({ "status": "success" })));
    assert!(backend.installed_models().contains(&"new:7b".to_owned()));
    assert_eq!(pull("gone").await, (2, json!({ "error": "pull model manifest: file does not exist" })));
    let body = json!({ "model": "gone", "stream": false });
    let answer = client::post_json(&backend, "/api/pull", &body).await.collect().await;
    assert_eq!(answer.status(), 500);
}

#[tokio::test]
async fn models_are_copied_created_and_deleted() {
    let backend = ollama();
    let copy = json!({ "source": "m", "destination": "copy" });
    let answer = client::post_json(&backend, "/api/copy", &copy).await.collect().await;
    assert_eq!((answer.status(), answer.body.len()), (200, 0));
    let create = json!({ "model": "made", "from": "m", "stream": false });
    client::post_json(&backend, "/api/create", &create).await.collect().await;
    let delete = Request::new("DELETE", "/api/delete").json(&json!({ "model": "m" }));
    assert_eq!(delete.send(&backend).await.status(), 200);
    assert_eq!(delete.send(&backend).await.status(), 404);
    let mut names = backend.installed_models();
    names.sort();
    assert_eq!(names, ["copy:latest", "made:latest"]);
}

#[tokio::test]
async fn blobs_of_any_size_are_taken_once() {
    let backend = ollama();
    let bytes = vec![b'x'; 3_000_000];
    let path = format!("/api/blobs/{}", sha256(&bytes));
    assert_eq!(Request::new("HEAD", &path).send(&backend).await.status(), 404);
    let upload = Request::post(&path).body(bytes).chunked(70_000);
    assert_eq!(upload.send(&backend).await.status(), 201);
    assert_eq!(upload.send(&backend).await.status(), 200);
    assert_eq!(Request::new("HEAD", &path).send(&backend).await.status(), 200);
    let uploads = backend.requests_to("/api/blobs/");
    assert_eq!(uploads.iter().map(|upload| upload.body_length).max(), Some(3_000_000));
}

#[tokio::test]
async fn liveness_tags_and_unknown_paths_answer_as_ollama_does() {
    let backend = ollama();
    let root = client::get(&backend, "/").await.collect().await;
    assert_eq!((root.status(), root.text().as_str()), (200, "Ollama is running"));
    let head = Request::new("HEAD", "/").send(&backend).await.collect().await;
    assert_eq!((head.status(), head.header("content-length"), head.end), (200, Some("17"), End::Complete));
    let tags = client::get(&backend, "/api/tags").await.collect().await.json();
    assert_eq!(tags["models"][0]["name"], "m:latest");
    assert_eq!(tags["models"][0]["digest"].as_str().map(str::len), Some(64));
    let missing = client::get(&backend, "/api/nothing").await.collect().await;
    assert_eq!((missing.status(), missing.text().as_str()), (404, "404 page not found"));
    assert_eq!(client::get(&backend, "/api/chat").await.status(), 405);
    assert_eq!(client::get(&backend, "/health").await.status(), 404);
    let stats = backend.stats();
    assert_eq!((stats.operation(Operation::Root).completed, stats.received()), (2, 0));
}

#[tokio::test]
async fn thinking_and_tool_calls_come_before_the_text() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.thinking = Some("hm".to_owned());
        knobs.tool_call = Some(ToolCall { name: "get".to_owned(), arguments: json!({ "a": 1 }) });
    });
    let mut body = chat_body(false);
    let plain = client::post_json(&backend, "/api/chat", &body).await.collect().await.json();
    assert_eq!(
        (&plain["message"]["thinking"], &plain["message"]["content"]),
        (&json!("hm"), &json!(whole_text()))
    );
    body["tools"] = json!([{ "type": "function", "function": { "name": "get" } }]);
    let called = client::post_json(&backend, "/api/chat", &body).await.collect().await.json();
    assert_eq!(called["message"]["tool_calls"][0]["function"]["arguments"], json!({ "a": 1 }));
    assert_eq!(called["message"]["content"], "");
}

#[tokio::test]
async fn models_refuse_what_they_cannot_do() {
    let embedder = ModelSpec::named("e").with_capabilities(["embedding"]);
    let chatter = ModelSpec::named("c").with_capabilities(["completion"]);
    let config = SimConfig { models: vec![embedder, chatter], ..SimConfig::default() };
    let backend = SimulatedBackend::start(config);
    let chat = json!({ "model": "e", "messages": [{}] });
    assert_eq!(client::post_json(&backend, "/api/chat", &chat).await.status(), 400);
    let embed = json!({ "model": "c", "input": "t" });
    assert_eq!(client::post_json(&backend, "/api/embed", &embed).await.status(), 501);
}

#[tokio::test]
async fn what_is_no_request_is_a_400_and_bad_bodies_too() {
    let backend = ollama();
    for (body, path) in
        [("", "/api/chat"), ("{", "/api/chat"), ("[]", "/v1/chat/completions"), ("{}", "/api/show")]
    {
        let answer = Request::post(path).body(body).send(&backend).await.collect().await;
        assert_eq!(answer.status(), 400, "{path} {body}");
        assert!(!answer.json()["error"].is_null(), "{path} {body}");
    }
    let mut connection = client::RawConnection::open(&backend).await.unwrap();
    connection.send("nonsense\r\n\r\n").await.unwrap();
    assert_eq!(connection.response().await.unwrap().status(), 400);
}

#[tokio::test]
async fn the_echo_shows_headers_in_wire_order_and_the_body() {
    let backend = ollama();
    let request = Request::new("PATCH", "/api/echo/deep/path?q=a%20b").host("h").header("x-B", "1");
    let request = request.header("X-a", "2").header("x-B", "3").body("text").chunked(3);
    let seen = request.send(&backend).await.collect().await.json();
    let headers =
        json!([["Host", "h"], ["x-B", "1"], ["X-a", "2"], ["x-B", "3"], ["Transfer-Encoding", "chunked"]]);
    assert_eq!((&seen["method"], &seen["path"]), (&json!("PATCH"), &json!("/api/echo/deep/path")));
    assert_eq!((&seen["query"], &seen["headers"]), (&json!("q=a%20b"), &headers));
    assert_eq!((&seen["framing"], &seen["body"]), (&json!("chunked"), &json!({ "text": "text" })));
    let binary = Request::post("/v1/echo/x").body(vec![0xff, 0]).send(&backend).await.collect().await.json();
    assert_eq!(binary["body"], json!({ "base64": "/wA=" }));
}

#[tokio::test]
async fn whole_answers_are_framed_as_told() {
    let backend = ollama();
    for (framing, header) in [
        (BodyFraming::ContentLength, "content-length"),
        (BodyFraming::Chunked, "transfer-encoding"),
        (BodyFraming::Close, "connection"),
    ] {
        backend.knobs(|knobs| knobs.body_framing = framing);
        let answer = native_chat(&backend).await;
        assert!(answer.header(header).is_some(), "{framing:?}");
        assert_eq!((answer.json()["done"].clone(), answer.end), (json!(true), End::Complete));
    }
}

#[tokio::test]
async fn extra_headers_may_repeat() {
    let backend = ollama();
    backend.knobs(|knobs| {
        knobs.add_header("Set-Cookie", "a=1");
        knobs.add_header("Set-Cookie", "b=2");
    });
    assert_eq!(native_stream(&backend).await.head.headers_named("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(native_chat(&backend).await.head.headers_named("set-cookie"), ["a=1", "b=2"]);
}
