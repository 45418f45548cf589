//! Who has the model: whatever the policy, a backend known not to have it is no candidate when another has it, and a 404 that
//! says so is asked again where it is.

use ollamaflow_tests::client;
use ollamaflow_tests::simulated::{FaultKind, SimConfig, SimulatedBackend};
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::setup::{POLICIES, Setup, candidate, explain, wait_explained, wait_models};
use crate::{
    ask, at, attempts, backends_of, chat, chat_body, chat_with, count_of, decision, ollama, ollama_having,
    served_by,
};

/// What Ollama says of a model that it has not.
fn missing() -> FaultKind {
    FaultKind::json(404, &json!({ "error": "model 'm' not found" }))
}

#[tokio::test]
async fn whatever_the_policy_a_backend_known_not_to_have_the_model_gets_nothing_when_another_has_it() {
    let (lacking, having) = (ollama_having(&["other"]), ollama());
    let setup = Setup::new().backend(&lacking).backend(&having);
    let frontends = setup.one_for_each_policy();
    let node = setup.start_with(frontends).await;
    wait_models(&node, "m", &[("b1", false), ("b2", true)]).await;
    for policy in POLICIES {
        let names = backends_of(&node, 4, || chat(false).host(policy)).await;
        assert_eq!(names, ["b2"; 4], "{policy}");
    }
    assert_eq!(lacking.stats().received(), 0);
}

#[tokio::test]
async fn names_of_models_are_compared_as_ollama_compares_them() {
    let (lacking, having) = (ollama_having(&["other"]), ollama_having(&["m:latest"]));
    let node = Setup::new().backend(&lacking).backend(&having).start().await;
    wait_models(&node, "m", &[("b1", false), ("b2", true)]).await;
    for name in ["m", "M", "m:latest", "library/m", "registry.ollama.ai/library/m:latest"] {
        let explained = explain(&node, &chat_body(name, "x", false)).await;
        assert_eq!(candidate(&explained, "b1")["Candidate"], false, "{name}: {explained}");
        assert_eq!(explained["Chosen"], "b2", "{name}: {explained}");
    }
    assert_eq!(backends_of(&node, 2, || chat_with("M:latest")).await, ["b2"; 2]);
}

#[tokio::test]
async fn a_model_that_nobody_is_known_to_have_may_be_asked_for_anywhere() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new().backend(&one).backend(&two).start().await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    let answer = ask(&node, chat_with("nobody's")).await;
    assert_eq!(answer.status(), 404, "{}", answer.text());
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["error"], "model 'nobody's' not found");
}

#[tokio::test]
async fn a_full_backend_that_has_the_model_is_waited_for_rather_than_passed_over_for_one_without_it() {
    let (lacking, having) = (ollama_having(&["other"]), ollama());
    having.knobs(|knobs| knobs.ttft_ms = 100);
    let node = Setup::new().backend(&lacking).capped(&having, 1).start().await;
    wait_models(&node, "m", &[("b1", false), ("b2", true)]).await;
    let address = node.addr();
    let names = client::many(3, move |_| async move {
        served_by(&chat(false).send(address).await.collect().await).to_owned()
    });
    assert_eq!(names.await, ["b2"; 3]);
}

#[tokio::test]
async fn a_backend_with_the_model_but_without_the_label_makes_no_difference() {
    let (lacking, having) = (ollama_having(&["other"]), ollama());
    let node = Setup::new().backend(&lacking).backend(&having).start().await;
    wait_models(&node, "m", &[("b1", false), ("b2", true)]).await;
    let answer = ask(&node, at("b1", chat(false))).await;
    assert_eq!((answer.status(), served_by(&answer)), (404, "b1"), "it is the only one that may be asked");
}

#[tokio::test]
async fn a_404_of_a_missing_model_is_asked_again_at_a_backend_that_has_it() {
    let (outdated, good) = (ollama(), ollama());
    let node = Setup::new()
        .backend_with(&outdated, |backend| backend.set("CircuitBreakerErrorPercent", 1))
        .backend_with(&good, |backend| backend.set("Priority", 1))
        .start()
        .await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    outdated.set_fault(missing());
    for _ in 0..3 {
        let answer = ask(&node, chat(true)).await;
        assert_eq!((answer.status(), served_by(&answer)), (200, "b2"));
    }
    assert!(outdated.stats().received() >= 1);
    let explained = explain(&node, &chat_body("other", "x", false)).await;
    let state = candidate(&explained, "b1")["BreakerState"].as_str().unwrap().to_owned();
    assert!(state.eq_ignore_ascii_case("closed"), "a model that is not there is no failure: {explained}");
}

#[tokio::test]
async fn a_404_from_all_is_passed_on_in_the_backends_own_words() {
    let (one, two) = (ollama(), ollama());
    let node = Setup::new().backend(&one).backend(&two).start().await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    one.set_fault(missing());
    two.set_fault(missing());
    let answer = ask(&node, chat(false)).await;
    assert_eq!((answer.status(), attempts(&answer)), (404, 2));
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["error"], "model 'm' not found");
}

#[tokio::test]
async fn a_404_of_a_missing_model_makes_the_node_read_the_list_again() {
    let (outdated, good) = (ollama(), ollama());
    let node = Setup::new()
        .frontend("RetryBudgetPercent", 1000)
        .backend(&outdated)
        .backend_with(&good, |backend| backend.set("Priority", 1))
        .start()
        .await;
    wait_models(&node, "m", &[("b1", true), ("b2", true)]).await;
    outdated.remove_model("m");
    let answer = ask(&node, chat(false)).await;
    assert_eq!((answer.status(), served_by(&answer), attempts(&answer)), (200, "b2", 2));
    wait::until_answered("the node knows it", async || {
        let answer = ask(&node, chat(false)).await;
        assert_eq!(answer.status(), 200);
        if attempts(&answer) == 1 { Ok(()) } else { Err("it asked there again".to_owned()) }
    })
    .await;
    wait_models(&node, "m", &[("b1", false)]).await;
}

#[tokio::test]
async fn a_backend_that_comes_back_with_the_model_is_a_candidate() {
    let (late, having) = (ollama_having(&["other"]), ollama());
    let node = Setup::new()
        .backend_with(&late, |backend| backend.set("UnhealthyThreshold", 1))
        .backend(&having)
        .start()
        .await;
    wait_models(&node, "m", &[("b1", false), ("b2", true)]).await;
    late.stop();
    node.wait_unhealthy("b1").await;
    late.add_model("m");
    late.restart();
    wait_models(&node, "m", &[("b1", true)]).await;
    let names = backends_of(&node, 8, || chat(false)).await;
    assert!((4..=5).contains(&count_of(&names, "b1")), "{names:?}");
}

#[tokio::test]
async fn the_models_of_an_openai_engine_count_as_well() {
    let engine = |model: &str| SimulatedBackend::start(SimConfig::openai([model]));
    let (lacking, having) = (engine("other"), engine("m"));
    let node = Setup::new()
        .backend_with(&lacking, ollamaflow_tests::objects::Backend::openai)
        .backend_with(&having, ollamaflow_tests::objects::Backend::openai)
        .start()
        .await;
    wait_explained(&node, &chat_body("m", "x", false), "b1", "HasModel", &json!(false)).await;
    wait_explained(&node, &chat_body("m", "x", false), "b2", "HasModel", &json!(true)).await;
    for _ in 0..3 {
        let answer = ask(&node, crate::openai_chat(false)).await;
        assert_eq!((answer.status(), served_by(&answer)), (200, "b2"));
        assert!(decision(&answer).starts_with("RoundRobin"));
    }
}

#[tokio::test]
async fn whatever_becomes_of_the_only_one_that_has_the_model_no_other_is_asked() {
    let (having, lacking) = (ollama(), ollama_having(&["other"]));
    // It stays healthy, so that only the request itself finds out.
    let node = Setup::new().backend(&having).backend(&lacking).start().await;
    wait_models(&node, "m", &[("b1", true), ("b2", false)]).await;
    having.set_fault(FaultKind::json(500, &json!({ "error": "boom" })));
    for _ in 0..3 {
        let answer = ask(&node, chat(false)).await;
        assert_eq!(
            (answer.status(), served_by(&answer), attempts(&answer)),
            (500, "b1", 1),
            "{}",
            answer.text()
        );
    }
    having.clear_faults();
    let draining = json!({ "State": "Draining" });
    assert_eq!(node.admin("PUT", "/v1.0/backends/b1", Some(&draining)).await.0, 200);
    wait::until_answered("the backend drains", async || {
        let text = ask(&node, chat(false)).await.text();
        if text.contains("1 draining, 1 without the model") { Ok(()) } else { Err(text) }
    })
    .await;
    let active = json!({ "State": "Active" });
    assert_eq!(node.admin("PUT", "/v1.0/backends/b1", Some(&active)).await.0, 200);
    having.stop();
    for request in
        [chat(true), client::Request::post("/v1/chat/completions").json(&chat_body("m", "x", false))]
    {
        let answer = ask(&node, request).await;
        assert_eq!(answer.status(), 502, "{}", answer.text());
    }
    assert_eq!(lacking.stats().received(), 0);
}
