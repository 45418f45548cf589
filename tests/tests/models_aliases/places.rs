//! Policies that look for a model or a conversation look for what the backend at hand would be asked for.

use super::*;

#[tokio::test]
async fn model_affinity_finds_the_target_in_memory() {
    let (one, two) = (ollama(&[REAL, "other"]), ollama(&[REAL, "other"]));
    let node = aliased().frontend("LoadBalancing", "ModelAffinity").backend(&one).backend(&two).start().await;
    wait_models(&node, "gpt-4o", &[("b1", true), ("b2", true)]).await;
    // By its own name first.
    let home = served_by(&ask(&node, chat(REAL, false)).await).to_owned();
    for _ in 0..4 {
        let answer = ask(&node, chat(ASKED, false)).await;
        assert_eq!(served_by(&answer), home);
        assert_eq!(answer.header("x-ollamaflow-decision"), Some("ModelAffinity; loaded"));
    }
    let explained = explain(&node, &chat_body(ASKED, false)).await;
    assert_eq!(candidate(&explained, &home)["Loaded"], true, "{explained}");
}

#[tokio::test]
async fn a_conversation_has_one_home_by_whichever_name_its_model_is_asked_for() {
    let backends: Vec<_> = (0..4).map(|_| ollama(&[REAL])).collect();
    let setup = aliased().frontend("LoadBalancing", "PrefixAffinity").frontend("DefaultModel", "gpt-4o");
    let node = backends.iter().fold(setup, Setup::backend).start().await;
    let mut homes = std::collections::BTreeSet::new();
    for conversation in 0..8 {
        let body = |model: Option<&str>| {
            let mut body = json!({ "messages": [{ "role": "user", "content": format!("conversation {conversation}") }] });
            if let Some(model) = model {
                body["model"] = json!(model);
            }
            body
        };
        let home = served_by(&post(&node, "/api/chat", body(Some(REAL))).await).to_owned();
        for model in [Some(ASKED), Some("gpt-4o"), None] {
            let answer = post(&node, "/api/chat", body(model)).await;
            assert_eq!(served_by(&answer), home, "{model:?}");
            assert_eq!(answer.header("x-ollamaflow-decision"), Some("PrefixAffinity; home"));
        }
        homes.insert(home);
    }
    assert!(homes.len() > 1, "conversations spread: {homes:?}");
}
