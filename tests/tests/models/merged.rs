//! The lists of a frontend are those of all its backends together: which entries, in which form, and what belongs to the
//! answer.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::node::ADMIN_TOKEN;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::setup::{Setup, wait_idle};
use ollamaflow_tests::simulated::{FaultKind, ModelSpec};
use ollamaflow_tests::wait;
use serde_json::json;

use crate::{ask, chat, chat_body, get, missing, names, ollama, vllm, wait_listed};

/// What is answered from what is known of all backends.
const READS: [&str; 9] = [
    "/api/tags",
    "/api/ps",
    "/api/version",
    "/v1/models",
    "/v1/models/m",
    "/v1/models/m:latest",
    "/v1/models/org/model:7b",
    "/v1/models/org%2Fmodel%3A7b",
    "//api//tags/",
];

#[tokio::test]
async fn reads_about_models_reach_no_backend() {
    let backend = ollama(&["m", "org/model:7b"]);
    let node = Setup::new().backend(&backend).start().await;
    wait_listed(&node, "/api/ps", &[]).await;
    wait::until_answered("the version is known", async || {
        let answer = get(&node, "/api/version").await;
        if answer.header("x-ollamaflow-backend").is_none() { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    for path in READS {
        for method in ["GET", "HEAD"] {
            let answer = ask(&node, Request::new(method, path).header("X-Case", path)).await;
            assert_eq!(answer.status(), 200, "{method} {path}: {}", answer.text());
            assert_eq!(answer.header("x-ollamaflow-translation"), Some("answered here"), "{path}");
            assert_eq!((answer.header("x-ollamaflow-backend"), missing(&answer)), (None, None), "{path}");
        }
    }
    assert!(backend.requests().iter().all(|request| request.header("x-case").is_none()));
}

#[tokio::test]
async fn a_list_is_the_union_of_all_backends_by_canonical_name() {
    let (one, two) = (ollama(&["m", "a:7b"]), ollama(&["m:latest", "library/b", "A:7B"]));
    let node = Setup::new().backend(&one).backend(&two).start().await;
    for path in ["/api/tags", "/v1/models"] {
        let answer = get(&node, path).await;
        let canonical: Vec<String> = names(&answer)
            .iter()
            .map(|name| name.to_lowercase().trim_start_matches("library/").to_owned())
            .collect();
        assert_eq!(canonical.len(), 3, "{path}: {canonical:?}");
        for name in ["a:7b", "b:latest", "m:latest"] {
            assert!(canonical.iter().any(|listed| listed == name), "{path} has no {name}: {canonical:?}");
        }
    }
}

#[tokio::test]
async fn engines_of_both_apis_are_in_the_lists_of_both_apis() {
    let (native, other) = (ollama(&["m"]), vllm(&["Qwen/Q"]));
    let node = Setup::new().backend(&native).backend_with(&other, Backend::openai).start().await;
    let tags = get(&node, "/api/tags").await;
    assert_eq!(names(&tags), ["Qwen/Q", "m:latest"]);
    for entry in tags.json()["models"].as_array().unwrap() {
        assert!(entry["details"].is_object() && entry["modified_at"].is_string(), "{entry}");
        assert_eq!(entry["digest"].as_str().unwrap().len(), 64, "{entry}");
    }
    let models = get(&node, "/v1/models").await;
    assert_eq!(models.json()["object"], "list");
    assert_eq!(names(&models), ["Qwen/Q", "m:latest"]);
    for entry in models.json()["data"].as_array().unwrap() {
        assert_eq!((&entry["object"], entry["created"].is_u64()), (&json!("model"), true), "{entry}");
    }
    let model = get(&node, "/v1/models/qwen/q").await;
    assert_eq!((model.status(), &model.json()["id"]), (200, &json!("qwen/q")));
}

#[tokio::test]
async fn an_unknown_model_is_the_404_of_openais_api() {
    let backend = ollama(&["m"]);
    let node = Setup::new().backend(&backend).start().await;
    let answer = get(&node, "/v1/models/org/nope").await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.json()["error"]["type"], "not_found_error");
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("org/nope"), "{}", answer.text());
}

#[tokio::test]
async fn aliases_are_listed_beside_their_models() {
    let backend = ollama(&["m"]);
    let aliases = json!({ "gpt-4o": "m", "gone": "nothing" });
    let node = Setup::new().frontend("ModelAliases", aliases).backend(&backend).start().await;
    assert_eq!(names(&get(&node, "/api/tags").await), ["gpt-4o", "m:latest"]);
    assert_eq!(names(&get(&node, "/v1/models").await), ["gpt-4o", "m:latest"]);
    assert_eq!(get(&node, "/v1/models/GPT-4o").await.json()["id"], "GPT-4o");
    assert_eq!(get(&node, "/v1/models/gone").await.status(), 404);
}

#[tokio::test]
async fn a_list_has_a_tag_and_who_has_it_already_gets_304_until_it_changes() {
    let backend = ollama(&["m"]);
    let node = Setup::new()
        .backend_with(&backend, |own| own.set("UnhealthyThreshold", 1).set("HealthyThreshold", 1))
        .start()
        .await;
    let first = get(&node, "/api/tags").await;
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.len() > 10, "a strong tag: {tag}");
    for condition in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        for method in ["GET", "HEAD"] {
            let request = Request::new(method, "/api/tags").header("If-None-Match", &condition);
            let answer = ask(&node, request).await;
            assert_eq!((answer.status(), answer.body.len()), (304, 0), "{condition}");
            assert_eq!(answer.header("etag"), Some(&*tag));
        }
    }
    // The backend comes back with another model.
    backend.stop();
    node.wait_unhealthy("b1").await;
    backend.add_model("new");
    backend.restart();
    let changed = wait_listed(&node, "/api/tags", &["m:latest", "new:latest"]).await;
    assert_ne!(changed.header("etag"), Some(&*tag));
    let answer = ask(&node, Request::get("/api/tags").header("If-None-Match", &tag)).await;
    assert_eq!(answer.status(), 200);
    let openai = get(&node, "/v1/models").await;
    assert_ne!(openai.header("etag"), changed.header("etag"), "each list has a tag of its own");
}

#[tokio::test]
async fn head_has_the_length_and_the_tag_of_get() {
    let backend = ollama(&["m"]);
    let node = Setup::new().backend(&backend).start().await;
    for path in ["/api/tags", "/v1/models", "/v1/models/m"] {
        let whole = get(&node, path).await;
        let head = ask(&node, Request::new("HEAD", path)).await;
        assert_eq!((head.status(), head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-length"), Some(&*whole.body.len().to_string()), "{path}");
        assert_eq!(head.header("etag"), whole.header("etag"), "{path}");
        assert_eq!(head.header("content-type"), Some("application/json"), "{path}");
    }
}

#[tokio::test]
async fn labels_narrow_a_list() {
    let (one, two) = (ollama(&["a"]), ollama(&["b"]));
    let node = Setup::new()
        .backend_with(&one, |own| own.set("Labels", json!(["gpu", "eu"])))
        .backend_with(&two, |own| own.set("Labels", json!(["eu"])))
        .start()
        .await;
    let labelled = |labels: &str| Request::get("/api/tags").header("X-OllamaFlow-Label", labels);
    for _ in 0..2 {
        let answer = ask(&node, labelled("gpu,eu")).await;
        assert_eq!(names(&answer), ["a:latest"]);
        assert_eq!(answer.header("vary"), Some("x-ollamaflow-label"));
        assert_eq!(names(&ask(&node, labelled("eu")).await), ["a:latest", "b:latest"]);
    }
    assert_eq!(ask(&node, labelled("nowhere")).await.status(), 502);
}

#[tokio::test]
async fn backends_that_take_no_requests_do_not_count() {
    let (active, disabled, draining) = (ollama(&["a"]), ollama(&["b"]), ollama(&["c"]));
    let node = Setup::new()
        .backend(&active)
        .backend_with(&disabled, |own| own.set("Active", false))
        .backend_with(&draining, |own| own.set("State", "Draining"))
        .start_with_healthy(&["b1", "b3"])
        .await;
    let answer = get(&node, "/api/tags").await;
    assert_eq!((names(&answer), missing(&answer)), (vec!["a:latest".to_owned()], None));
}

#[tokio::test]
async fn the_version_is_the_lowest_of_the_ollamas() {
    let backends = [ollama(&[]), ollama(&[]), ollama(&[])];
    for (backend, version) in backends.iter().zip(["0.13.10", "0.13.9-rc1", "0.14.0"]) {
        backend.set_fault(FaultKind::json(200, &json!({ "version": version })).path("/api/version"));
    }
    let other = vllm(&["m"]);
    let node = backends.iter().fold(Setup::new(), Setup::backend);
    let node = node.backend_with(&other, Backend::openai).start().await;
    wait::until_answered("all versions are known", async || {
        let answer = get(&node, "/api/version").await;
        let is_merged = answer.header("x-ollamaflow-backend").is_none() && missing(&answer).is_none();
        if is_merged && answer.json() == json!({ "version": "0.13.9-rc1" }) {
            Ok(())
        } else {
            Err(answer.text())
        }
    })
    .await;
}

#[tokio::test]
async fn a_model_is_shown_by_a_backend_that_has_it() {
    let plain = ollama(&["a"]);
    let seeing = ollama(&[]);
    seeing.add_model(ModelSpec::named("b").with_capabilities(["completion", "vision"]));
    let node = Setup::new().backend(&plain).backend(&seeing).start().await;
    wait_listed(&node, "/api/tags", &["a:latest", "b:latest"]).await;
    for _ in 0..3 {
        let answer = ask(&node, Request::post("/api/show").json(&json!({ "model": "b" }))).await;
        assert_eq!((answer.status(), answer.header("x-ollamaflow-backend")), (200, Some("b2")));
        assert_eq!(answer.json()["capabilities"], json!(["completion", "vision"]));
    }
}

#[tokio::test]
async fn a_list_takes_no_slot_and_waits_for_none() {
    let backend = ollama(&["m"]);
    let node = Setup::new()
        .frontend("MaxQueueLength", 0)
        .backend_with(&backend, |own| own.set("MaxParallelRequests", 1))
        .start()
        .await;
    wait_listed(&node, "/api/tags", &["m:latest"]).await;
    backend.set_fault(FaultKind::HangBeforeHeaders { for_ms: None }.path("/api/chat"));
    let address = node.addr();
    let waiting = tokio::spawn(async move { chat("m").send(address).await.collect().await });
    wait::until("the only slot is taken", || !backend.requests_to("/api/chat").is_empty()).await;
    assert_eq!(ask(&node, chat("m")).await.status(), 503);
    assert_eq!(names(&get(&node, "/api/tags").await), ["m:latest"]);
    waiting.abort();
    wait_idle(&node).await;
}

#[tokio::test]
async fn a_list_counts_as_a_request_that_was_answered() {
    let backend = ollama(&["m"]);
    let node = Setup::new().backend(&backend).start().await;
    let ended = async |how: &str| {
        let metrics = node.metrics().await;
        metrics.count("ollamaflow_requests_total", &[("outcome", how)]).unwrap_or(0)
    };
    let before = (ended("complete").await, ended("error").await);
    get(&node, "/api/tags").await;
    get(&node, "/v1/models/m").await;
    get(&node, "/v1/models/nope").await;
    assert_eq!((ended("complete").await, ended("error").await), (before.0 + 2, before.1 + 1));
}

#[tokio::test]
async fn an_explanation_shows_that_nobody_is_chosen_and_who_counts() {
    let (one, two) = (ollama(&["m"]), ollama(&["m"]));
    let node = Setup::new()
        .backend_with(&one, |own| own.set("UnhealthyThreshold", 1))
        .backend_with(&two, |own| own.set("Labels", json!(["gpu"])))
        .start()
        .await;
    wait_listed(&node, "/api/tags", &["m:latest"]).await;
    one.stop();
    node.wait_unhealthy("b1").await;
    let explain = async |label: Option<&str>| {
        let request = Request::post("/v1.0/frontends/f/explain?path=/api/tags").bearer(ADMIN_TOKEN);
        let request = match label {
            Some(label) => request.header("X-OllamaFlow-Label", label),
            None => request,
        };
        ask(&node, request.json(&chat_body("m"))).await.json()
    };
    let explained = explain(None).await;
    assert_eq!((&explained["Chosen"], &explained["Wait"]), (&json!(null), &json!(false)), "{explained}");
    assert!(explained["Decision"].as_str().unwrap().contains("answered here"), "{explained}");
    let [first, second] = explained["Candidates"].as_array().unwrap().as_slice() else { panic!("two") };
    assert_eq!((&first["Candidate"], &second["Candidate"]), (&json!(true), &json!(true)), "{explained}");
    assert!(first["Reason"].as_str().unwrap().contains("last"), "{explained}");
    assert_eq!((&second["Reason"], &second["Translation"]), (&json!(null), &json!("answered here")));
    let narrowed = explain(Some("gpu")).await;
    assert_eq!(narrowed["Candidates"][0]["Candidate"], false, "{narrowed}");
}
