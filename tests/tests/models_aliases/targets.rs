//! An alias may be another model at each backend, and none at some; what is pinned wins over it.

use super::*;

#[tokio::test]
async fn each_backend_is_asked_for_its_own_target() {
    let (one, two) = (ollama(&["qwen2.5:3b"]), vllm(&["Qwen/Qwen2.5-3B"]));
    let node = Setup::new()
        .frontend("ModelAliases", json!({ "small": { "b2": "Qwen/Qwen2.5-3B", "*": "qwen2.5:3b" } }))
        .backend(&one)
        .backend_with(&two, openai)
        .start()
        .await;
    wait_models(&node, "small", &[("b1", true), ("b2", true)]).await;
    let mut served = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let answer = ask(&node, chat("Small", false)).await;
        let backend = served_by(&answer).to_owned();
        let target = if backend == "b1" { "qwen2.5:3b" } else { "Qwen/Qwen2.5-3B" };
        assert_eq!(answer.header("x-ollamaflow-model"), Some(target));
        assert_eq!(answer.json()["model"], "Small");
        served.insert(backend);
    }
    assert_eq!(served.len(), 2, "the rotation has both");
    assert_eq!(received(&one, "/api/chat")["model"], "qwen2.5:3b");
    assert_eq!(received(&two, "/v1/chat")["model"], "Qwen/Qwen2.5-3B");
}

#[tokio::test]
async fn a_backend_without_a_target_is_no_candidate_though_it_has_a_model_of_that_name() {
    let (has_name, has_target) = (ollama(&["small"]), ollama(&["qwen2.5:3b"]));
    let node = Setup::new()
        .frontend("ModelAliases", json!({ "small": { "b2": "qwen2.5:3b" }, "nowhere": { "b9": "x" } }))
        .backend(&has_name)
        .backend(&has_target)
        .start()
        .await;
    wait_models(&node, "small", &[("b2", true)]).await;
    for _ in 0..4 {
        assert_eq!(served_by(&ask(&node, chat("small", false)).await), "b2");
    }
    let explained = explain(&node, &chat_body("SMALL", false)).await;
    assert_eq!(explained["Alias"], "small", "{explained}");
    assert_eq!(explained["Model"], "small:latest", "{explained}");
    assert_eq!(explained["DefaultModel"], false, "{explained}");
    let (without, with) = (candidate(&explained, "b1"), candidate(&explained, "b2"));
    assert_eq!(without["Reason"], "without a model for this alias", "{explained}");
    assert_eq!((&without["Candidate"], &without["Model"]), (&json!(false), &Value::Null), "{explained}");
    assert_eq!((&with["Candidate"], &with["Model"]), (&json!(true), &json!("qwen2.5:3b")), "{explained}");
    let answer = ask(&node, chat("nowhere", false)).await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    assert!(answer.text().contains("2 without a model for this alias"), "{}", answer.text());
    assert_eq!(has_name.stats().received(), 0);
}

#[tokio::test]
async fn a_pinned_model_wins_over_the_alias_and_the_default_as_over_the_clients_model() {
    let (pinned, free) = (ollama(&["pinned", REAL]), ollama(&[REAL]));
    let pin = json!({ "model": "pinned" });
    let node = aliased()
        .frontend("DefaultModel", "gpt-4o")
        .backend_with(&pinned, |backend| backend.set("PinnedCompletionsProperties", pin.clone()))
        .backend(&free)
        .start()
        .await;
    let explained = explain(&node, &chat_body(ASKED, false)).await;
    assert_eq!(candidate(&explained, "b1")["Model"], "pinned", "{explained}");
    assert_eq!(candidate(&explained, "b2")["Model"], REAL, "{explained}");
    for body in
        [chat_body(ASKED, false), json!({ "messages": chat_body("", false)["messages"], "stream": false })]
    {
        for _ in 0..2 {
            let answer = post(&node, "/api/chat", body.clone()).await;
            if served_by(&answer) == "b1" {
                assert_eq!(
                    (&answer.json()["model"], answer.header("x-ollamaflow-model")),
                    (&json!("pinned"), None)
                );
            } else {
                assert_eq!(answer.header("x-ollamaflow-model"), Some(REAL));
            }
        }
        assert_eq!(received(&pinned, "/api/chat")["model"], "pinned");
        assert_eq!(received(&free, "/api/chat")["model"], REAL);
    }
    // Pins are for generations: to describe a model is none.
    let shown = post(&node, "/api/show", json!({ "model": ASKED })).await;
    assert_eq!((shown.status(), shown.header("x-ollamaflow-model")), (200, Some(REAL)));
}

#[tokio::test]
async fn a_404_of_a_target_is_asked_again_where_another_target_is() {
    let (outdated, good) = (ollama(&["gone", "x"]), ollama(&[REAL]));
    let node = Setup::new()
        .frontend("ModelAliases", json!({ "gpt-4o": { "b1": "gone", "b2": REAL } }))
        .backend(&outdated)
        .backend_with(&good, |backend| backend.set("Priority", 1))
        .start()
        .await;
    wait_models(&node, "gpt-4o", &[("b1", true), ("b2", true)]).await;
    outdated.remove_model("gone");
    let answer = ask(&node, chat(ASKED, true)).await;
    assert_eq!((served_by(&answer), answer.header("x-ollamaflow-attempts")), ("b2", Some("2")));
    assert!(!answer.text().contains(REAL), "{}", answer.text());
}
