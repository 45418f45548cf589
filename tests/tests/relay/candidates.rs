//! Which backends may take a request at all: labels, permissions, formats.

use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use serde_json::{Value, json};

use crate::{chat, chat_body, ollama, openai_chat, served_by, vllm};
use ollamaflow_tests::setup::Setup;

async fn ask(node: &Node, request: Request) -> Collected {
    request.send(node.addr()).await.collect().await
}

fn embed() -> Request {
    Request::post("/api/embed").json(&json!({ "model": "m", "input": "x" }))
}

fn openai_embed() -> Request {
    Request::post("/v1/embeddings").json(&json!({ "model": "m", "input": "x" }))
}

fn labels(labels: &'static [&'static str]) -> impl Fn(Backend) -> Backend {
    move |backend| backend.set("Labels", labels.to_vec())
}

#[tokio::test]
async fn a_label_matches_exactly_or_not_at_all() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new()
        .backend_with(&one, labels(&["gpu-large", "EU"]))
        .backend_with(&two, labels(&["gpu", "eu"]))
        .start()
        .await;
    for label in ["gpu", "eu"] {
        for _ in 0..3 {
            let answer = ask(&node, chat(false).header("X-OllamaFlow-Label", label)).await;
            assert_eq!((answer.status(), served_by(&answer)), (200, "b2"), "{label}");
        }
    }
    let answer = ask(&node, chat(false).header("x-ollamaflow-label", "EU")).await;
    assert_eq!(served_by(&answer), "b1");
    let answer = ask(&node, chat(false).header("X-OllamaFlow-Label", "gp")).await;
    assert_eq!(answer.status(), 502, "part of a label is no label");
}

#[tokio::test]
async fn all_labels_of_one_header_and_of_repeated_headers_must_match() {
    let backends: [_; 3] = std::array::from_fn(|_| ollama());
    let node = Setup::new()
        .backend_with(&backends[0], labels(&["gpu"]))
        .backend_with(&backends[1], labels(&["eu"]))
        .backend_with(&backends[2], labels(&["eu", "gpu"]))
        .start()
        .await;
    let comma = |text| chat(false).header("X-OllamaFlow-Label", text);
    let repeated = chat(false).header("X-OllamaFlow-Label", "gpu").header("X-OllamaFlow-Label", "eu");
    for request in [comma("gpu,eu"), comma(" eu , gpu,"), repeated] {
        for _ in 0..3 {
            assert_eq!(served_by(&ask(&node, request.clone()).await), "b3");
        }
    }
    assert_eq!(ask(&node, comma("eu,gpu,us")).await.status(), 502);
    let too_many = comma("eu,gpu").header("X-OllamaFlow-Label", "us");
    assert_eq!(ask(&node, too_many).await.status(), 502);
}

#[tokio::test]
async fn a_label_beyond_ascii_is_demanded_like_any_other() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new()
        .backend_with(&one, labels(&["eu"]))
        .backend_with(&two, labels(&["eu", "größe"]))
        .start()
        .await;
    for label in ["größe", "eu,größe"] {
        for _ in 0..3 {
            let answer = ask(&node, chat(false).header("X-OllamaFlow-Label", label)).await;
            assert_eq!((answer.status(), served_by(&answer)), (200, "b2"), "{label}");
        }
    }
    let answer = ask(&node, chat(false).header("X-OllamaFlow-Label", "eu,grösse")).await;
    assert_eq!(answer.status(), 502, "a label that nobody has is not left out");
}

#[tokio::test]
async fn no_backend_with_the_labels_is_a_502_in_the_clients_protocol() {
    let backend = ollama();
    let node = Setup::new().backend_with(&backend, labels(&["gpu"])).start().await;
    let answer = ask(&node, chat(false).header("X-OllamaFlow-Label", "us")).await;
    assert_eq!(answer.status(), 502);
    assert!(answer.json()["error"].as_str().unwrap().contains("label"), "{}", answer.text());
    let answer = ask(&node, openai_chat(false).header("X-OllamaFlow-Label", "us")).await;
    assert_eq!(answer.status(), 502);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("label"), "{}", answer.text());
    let messages = Request::post("/v1/messages").json(&chat_body(false)).header("X-OllamaFlow-Label", "us");
    let answer = ask(&node, messages).await;
    assert_eq!((answer.status(), &answer.json()["type"]), (502, &Value::from("error")));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("label"), "{}", answer.text());
    assert_eq!(backend.stats().received(), 0);
}

#[tokio::test]
async fn embeddings_go_only_where_they_are_allowed() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new()
        .backend_with(&one, |backend| backend.set("AllowEmbeddings", false))
        .backend_with(&two, |backend| backend.set("AllowCompletions", false))
        .start()
        .await;
    for _ in 0..3 {
        for request in [embed(), openai_embed()] {
            assert_eq!(served_by(&ask(&node, request).await), "b2");
        }
        for request in [chat(false), openai_chat(false)] {
            assert_eq!(served_by(&ask(&node, request).await), "b1");
        }
    }
}

#[tokio::test]
async fn what_no_backend_allows_is_a_502_and_the_rest_works() {
    let backend = ollama();
    for (property, refused, served) in
        [("AllowEmbeddings", embed(), chat(false)), ("AllowCompletions", chat(false), embed())]
    {
        let node = Setup::new().backend_with(&backend, |backend| backend.set(property, false)).start().await;
        let answer = ask(&node, refused).await;
        assert_eq!(answer.status(), 502, "{}", answer.text());
        assert!(answer.json()["error"].as_str().unwrap().contains("not permitted"), "{}", answer.text());
        assert_eq!(ask(&node, served).await.status(), 200);
        assert_eq!(ask(&node, Request::get("/api/tags")).await.status(), 200, "neither kind");
    }
}

#[tokio::test]
async fn what_cannot_be_said_in_openais_api_is_an_error_that_names_the_formats() {
    let backend = vllm();
    let node = Setup::new().backend_with(&backend, Backend::openai).start().await;
    let pull = Request::post("/api/pull").json(&serde_json::json!({ "model": "m" }));
    // That nobody can pull is no failure of a backend.
    for (request, status) in [(pull, 400), (Request::get("/api/any"), 502)] {
        let answer = ask(&node, request).await;
        assert_eq!(answer.status(), status);
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains("Ollama") && error.contains("OpenAI"), "{error}");
    }
    assert_eq!(ask(&node, openai_chat(false)).await.status(), 200);
}

#[tokio::test]
async fn an_openai_request_is_served_by_an_ollama_backend_as_it_is() {
    let backend = ollama();
    let node = Setup::new().backend(&backend).start().await;
    let answer = ask(&node, openai_chat(false)).await;
    assert_eq!((answer.status(), &answer.json()["object"]), (200, &Value::from("chat.completion")));
    let (events, _) = openai_chat(true).send(node.addr()).await.events().collect().await;
    assert!(events.last().unwrap().is_done());
    assert_eq!(backend.requests_to("/v1/chat/completions").len(), 2);
}

#[tokio::test]
async fn with_both_formats_requests_of_either_api_go_to_both() {
    let (native, openai) = (ollama(), vllm());
    let node = Setup::new().backend_with(&openai, Backend::openai).backend(&native).start().await;
    for request in [chat(false), openai_chat(false)] {
        let mut served = Vec::new();
        for _ in 0..4 {
            served.push(served_by(&ask(&node, request.clone()).await).to_owned());
        }
        assert!(served.contains(&"b1".to_owned()) && served.contains(&"b2".to_owned()), "{served:?}");
    }
}
