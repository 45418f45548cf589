//! What keys have used.

use super::*;

#[tokio::test]
async fn usage_is_counted_by_key_model_and_day_and_survives_restarts() {
    let backend = engine();
    let mut node = demanding(&backend).await;
    let (one, two) = (make(&node, "one", json!({})).await, make(&node, "two", json!({})).await);
    let whole = ask(&node, chat("qwen").bearer(&one)).await.json();
    let messages = json!([{ "role": "user", "content": "hello" }]);
    let stream = json!({ "model": "QWEN:latest", "messages": messages, "stream": true,
        "stream_options": { "include_usage": true } });
    let openai = Request::post("/v1/chat/completions").json(&stream).bearer(&one);
    expect_stream(&ask(&node, openai).await);
    expect(&ask(&node, chat("llama3:8b").bearer(&two)).await, 200);
    expect(&ask(&node, chat("nothing").bearer(&two)).await, 404);
    expect(&ask(&node, chat("qwen")).await, 401);
    let usage = until_used(&node, "", 4).await;
    assert_eq!((&usage["Complete"], usage["Nodes"][0]["Answered"].clone()), (&json!(true), json!(true)));
    let row = |key: &str, model: &str| {
        let rows = usage["Rows"].as_array().unwrap();
        rows.iter().find(|row| row["Key"] == key && row["Model"] == model).cloned().unwrap()
    };
    let qwen = row("one", "qwen");
    assert_eq!((qwen["Requests"].as_u64(), qwen["Errors"].as_u64()), (Some(2), Some(0)), "{usage}");
    assert!(qwen["PromptTokens"].as_u64() > whole["prompt_eval_count"].as_u64(), "{usage}");
    assert!(
        qwen["CompletionTokens"].as_u64() > whole["eval_count"].as_u64(),
        "the stream is counted: {usage}"
    );
    assert_eq!(row("two", "nothing")["Errors"], 1);
    let today = usage["To"].as_str().unwrap().to_owned();
    assert_eq!(qwen["Day"], today.as_str());
    for (query, requests) in [
        ("?key=two", 2),
        ("?model=Qwen", 2),
        ("?key=one&model=llama3:8b", 0),
        ("?day=2020-01-01", 0),
        ("?local=true", 4),
        (format!("?day={today}").as_str(), 4),
        (format!("?from={today}&to={today}").as_str(), 4),
    ] {
        assert_eq!(super::usage(&node, query).await["Total"]["Requests"], requests, "{query}");
    }
    expect(&ask(&node, admin("GET", "/v1.0/usage?day=soon")).await, 400);
    // What an answer has shown is on the disk.
    node.kill();
    node.restart().await;
    assert_eq!(super::usage(&node, "").await["Rows"], usage["Rows"]);
    // And so is everything when the node is stopped in order.
    node.wait_healthy(&["b1"]).await;
    until_status(&node, 200, || chat("qwen").bearer(&one)).await;
    node.terminate().await;
    node.restart().await;
    assert!(super::usage(&node, "").await["Total"]["Requests"].as_u64().unwrap() > 4);
}

fn expect_stream(answer: &Collected) {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(answer.text().contains("[DONE]"), "{}", answer.text());
}

#[tokio::test]
async fn usage_is_written_without_being_asked_for() {
    let backend = engine();
    let mut node = demanding(&backend).await;
    let key = make(&node, "k", json!({})).await;
    expect(&ask(&node, chat("qwen").bearer(&key)).await, 200);
    let has_file = |node: &Node| {
        let mut folders = vec![node.directory().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.parent().unwrap().ends_with("usage") && path.extension().unwrap() == "json" {
                    return true;
                }
            }
        }
        false
    };
    wait::until("the day has a file", || has_file(&node)).await;
    node.kill();
    node.restart().await;
    assert_eq!(usage(&node, "?key=k").await["Total"]["Requests"], 1);
}

#[tokio::test]
async fn metrics_and_the_access_log_name_the_key() {
    let backend = engine();
    let node = demanding(&backend).await;
    let key = make(&node, "alice", json!({ "Models": ["qwen"] })).await;
    expect(&ask(&node, chat("qwen").bearer(&key)).await, 200);
    expect(&ask(&node, chat("llama3:8b").bearer(&key)).await, 403);
    let count = async |name: &str, label: (&str, &str)| {
        node.metrics().await.count(name, &[("key", "alice"), label]).unwrap()
    };
    wait::until_answered("both are counted", async || {
        let requests = "ollamaflow_key_requests_total";
        let counts =
            (count(requests, ("outcome", "complete")).await, count(requests, ("outcome", "refused")).await);
        if counts == (1, 1) { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
    assert!(count("ollamaflow_key_tokens_total", ("kind", "prompt")).await > 0);
    assert!(count("ollamaflow_key_tokens_total", ("kind", "completion")).await > 0);
    assert_eq!(usage(&node, "").await["Total"]["Requests"], 1, "what its key refuses is not used");
    wait::until("the line names the key", || {
        node.logs().contains("key=alice") || node.logs().contains("\"key\":\"alice\"")
    })
    .await;
    assert!(!node.logs().contains(&key));
}
