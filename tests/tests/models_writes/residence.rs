//! Loading and unloading at all backends that have the model.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::simulated::SimulatedBackend;
use serde_json::{Value, json};

use crate::{answer, backends, node_of, post, registry, setup, told};

fn loaded(backends: &[SimulatedBackend]) -> Vec<usize> {
    backends.iter().map(|backend| backend.loaded_models().len()).collect()
}

/// Ways to ask for nothing: by path, with what makes it nothing.
fn empty(keep_alive: &Value) -> [Request; 3] {
    let generate = |prompt: Value| {
        post("/api/generate", &json!({ "model": "m", "prompt": prompt, "keep_alive": keep_alive }))
    };
    let chat = post("/api/chat", &json!({ "model": "m", "messages": [], "keep_alive": keep_alive }));
    [generate(json!("")), generate(Value::Null), chat]
}

#[tokio::test]
async fn a_load_loads_the_model_at_every_backend_that_has_it() {
    for request in empty(&json!("5m")) {
        let backends = backends::<3>(&registry(), &["m"]);
        backends[1].remove_model("m");
        let node = node_of(&backends).await;
        known(&node, 2).await;
        let answer = answer(node.addr(), request).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let said = answer.json();
        assert_eq!(
            (&said["model"], &said["done"], &said["done_reason"]),
            (&json!("m"), &json!(true), &json!("load"))
        );
        assert_eq!(told(&answer), "b1=done, b3=done");
        assert_eq!(loaded(&backends), [1, 0, 1]);
    }
}

#[tokio::test]
async fn every_spelling_of_zero_unloads_it_everywhere() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    known(&node, 2).await;
    for zero in [json!(0), json!(0.0), json!("0"), json!("0s"), json!("0m0s"), json!("-0s")] {
        assert_eq!(answer(node.addr(), empty(&json!(-1))[0].clone()).await.status(), 200);
        assert_eq!(loaded(&backends), [1, 1]);
        for request in empty(&zero) {
            let answer = answer(node.addr(), request).await;
            assert_eq!((answer.status(), &answer.json()["done_reason"]), (200, &json!("unload")), "{zero}");
            assert_eq!(told(&answer), "b1=done, b2=done");
        }
        assert_eq!(loaded(&backends), [0, 0], "{zero}");
    }
}

#[tokio::test]
async fn an_alias_is_loaded_and_unloaded_everywhere_and_the_answer_shows_it() {
    let registry = registry();
    let [first] = backends::<1>(&registry, &["m"]);
    let [second] = backends::<1>(&registry, &["other"]);
    let backends = [first, second];
    let aliases = json!({ "gpt": { "b1": "m", "b2": "other" }, "m": { "b1": "m", "b2": "other" } });
    let node = setup(&backends).frontend("ModelAliases", aliases).start().await;
    known(&node, 2).await;
    for (keep_alive, reason, in_memory) in [("5m", "load", [1, 1]), ("0", "unload", [0, 0])] {
        let request = post("/api/generate", &json!({ "model": "gpt", "keep_alive": keep_alive }));
        let answer = answer(node.addr(), request).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let said = answer.json();
        assert_eq!((&said["model"], &said["done_reason"]), (&json!("gpt"), &json!(reason)));
        assert_eq!(told(&answer), "b1=done, b2=done");
        assert_eq!(loaded(&backends), in_memory);
    }
}

#[tokio::test]
async fn what_is_in_memory_is_listed_at_once_and_what_is_not_is_not() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    known(&node, 2).await;
    let ps = async || answer(node.addr(), Request::get("/api/ps")).await.json()["models"].clone();
    assert_eq!(answer(node.addr(), empty(&json!("5m"))[0].clone()).await.status(), 200);
    assert_eq!(ps().await[0]["name"], "m:latest");
    assert_eq!(answer(node.addr(), empty(&json!(0))[0].clone()).await.status(), 200);
    assert_eq!(ps().await, json!([]));
}

#[tokio::test]
async fn an_unload_of_what_nobody_has_is_not_found() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = node_of(&backends).await;
    let answer = answer(node.addr(), post("/api/generate", &json!({ "model": "x", "keep_alive": 0 }))).await;
    assert_eq!((answer.status(), answer.json()), (404, json!({ "error": "model 'x' not found" })));
}

#[tokio::test]
async fn a_load_takes_a_slot_and_passes_over_a_backend_that_has_none_free() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = setup(&backends[..1])
        .backend_with(&backends[1], |backend| {
            backend.set("MaxParallelRequests", 1).set("Labels", json!(["b2"]))
        })
        .start()
        .await;
    known(&node, 2).await;
    backends[1].knobs(|knobs| {
        knobs.endless = true;
        knobs.tokens_per_second = 1.0;
    });
    let chat = json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] });
    let held = post("/api/chat", &chat).header("X-OllamaFlow-Label", "b2").send(node.addr()).await;
    assert_eq!(held.header("x-ollamaflow-backend"), Some("b2"));
    let answer = answer(node.addr(), empty(&json!("5m"))[0].clone()).await;
    assert_eq!((answer.status(), told(&answer)), (200, "b1=done, b2=busy"));
    // An unload needs none.
    let unload = crate::answer(node.addr(), empty(&json!(0))[0].clone()).await;
    assert_eq!((unload.status(), told(&unload)), (200, "b1=done, b2=done"));
    held.abort();
}

#[tokio::test]
async fn pinned_options_are_in_the_load_at_each_backend() {
    let backends = backends::<2>(&registry(), &["m"]);
    let pins = json!({ "options": { "num_ctx": 2048 } });
    let node = setup(&backends).frontend("PinnedCompletionsProperties", pins).start().await;
    known(&node, 2).await;
    assert_eq!(answer(node.addr(), empty(&json!("5m"))[0].clone()).await.status(), 200);
    for backend in &backends {
        assert_eq!(backend.loaded_models()[0].context_length, 2048);
    }
}

/// Waits until the node knows that so many backends have the model.
async fn known(node: &ollamaflow_tests::node::Node, count: usize) {
    let path = "/v1.0/frontends/f/explain?path=/api/chat";
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
    ollamaflow_tests::wait::until_answered("the models are known", async || {
        let (_, explained) = node.admin("POST", path, Some(&body)).await;
        let candidates = explained["Candidates"].as_array().cloned().unwrap_or_default();
        let have = candidates.iter().filter(|candidate| candidate["HasModel"] == true).count();
        if have == count { Ok(()) } else { Err(explained.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_load_for_one_backend_goes_there_and_nowhere_else() {
    let backends = backends::<3>(&registry(), &["m"]);
    backends[2].remove_model("m");
    let node = node_of(&backends).await;
    known(&node, 2).await;
    for _ in 0..4 {
        let request = empty(&json!("5m"))[0].clone().header("X-OllamaFlow-Backend-Filter", "b2");
        let answer = answer(node.addr(), request).await;
        assert_eq!((answer.status(), told(&answer)), (200, "b2=done"), "{}", answer.text());
    }
    assert_eq!(loaded(&backends), [0, 1, 0]);
    let lacking = empty(&json!("5m"))[0].clone().header("X-OllamaFlow-Backend-Filter", "b3");
    assert_eq!(answer(node.addr(), lacking).await.status(), 404);
    assert_eq!(loaded(&backends), [0, 1, 0]);
}

#[tokio::test]
async fn a_load_for_a_busy_backend_waits_for_it() {
    let backends = backends::<2>(&registry(), &["m"]);
    backends[1].knobs(|knobs| knobs.ttft_ms = 300);
    let one = |backend: ollamaflow_tests::objects::Backend| backend.set("MaxParallelRequests", 1);
    let node = setup(&backends[..1]).backend_with(&backends[1], one).start().await;
    known(&node, 2).await;
    let chat = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }], "stream": false });
    let at_b2 = |request: Request| request.header("X-OllamaFlow-Backend-Filter", "b2");
    // Nothing but a load heeds the filter: so many that one of them is at the second backend.
    let address = node.addr();
    let busy = ollamaflow_tests::client::many(2, move |_| {
        let chat = post("/api/chat", &chat);
        async move { chat.send(address).await.collect().await.status() }
    });
    let load = async {
        ollamaflow_tests::wait::until("the backend is busy", || backends[1].stats().in_flight() > 0).await;
        answer(address, at_b2(empty(&json!("5m"))[0].clone())).await
    };
    let (chats, load) = tokio::join!(busy, load);
    assert_eq!(chats, [200, 200]);
    assert_eq!((load.status(), told(&load)), (200, "b2=done"), "{}", load.text());
}

#[tokio::test]
async fn a_filter_means_nothing_to_clients_that_may_not_manage_and_they_are_told() {
    let backends = backends::<2>(&registry(), &["m"]);
    let node = setup(&backends).frontend("AllowModelManagement", false).start().await;
    let request = empty(&json!("5m"))[0].clone().header("X-OllamaFlow-Backend-Filter", "b2");
    assert_eq!(answer(node.addr(), request).await.status(), 403);
    assert_eq!(loaded(&backends), [0, 0]);
}
