//! Clients of `OpenAI`'s Responses API before backends that do not speak it.

use ollamaflow_tests::simulated::SimulatedBackend;
use serde_json::{Value, json};

use crate::{TEXT, before_ollama, before_openai, lacks, ollama, post, vllm};

fn create(stream: bool) -> Value {
    json!({ "model": "m", "input": "hello", "instructions": "be brief", "stream": stream })
}

fn without_responses(backend: SimulatedBackend) -> SimulatedBackend {
    backend.set_fault(lacks("/v1/responses"));
    backend
}

#[tokio::test]
async fn responses_are_made_by_an_ollama_and_by_an_openai_engine() {
    for is_ollama in [true, false] {
        let backend = without_responses(if is_ollama { ollama() } else { vllm() });
        let node = if is_ollama { before_ollama(&backend).await } else { before_openai(&backend).await };
        let answer = post(&node, "/v1/responses", create(false)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let object = answer.json();
        assert_eq!((&object["object"], &object["status"]), (&json!("response"), &json!("completed")));
        let texts = object["output"].as_array().unwrap().iter().filter(|item| item["type"] == "message");
        let texts: Vec<_> = texts.map(|item| &item["content"][0]["text"]).collect();
        assert_eq!(texts, [&json!(TEXT)]);
        assert_eq!(object["usage"]["output_tokens"], 22);

        let answer = post(&node, "/v1/responses", create(true)).await;
        let text = answer.text();
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        assert_eq!(
            (names.first(), names.last()),
            (Some(&"response.created"), Some(&"response.completed")),
            "{text}"
        );
        assert!(!text.contains("[DONE]"));
    }
}

#[tokio::test]
async fn an_answer_that_was_cut_at_its_limit_is_incomplete() {
    let backend = without_responses(ollama());
    let node = before_ollama(&backend).await;
    let mut body = create(false);
    body["max_output_tokens"] = json!(5);
    let object = post(&node, "/v1/responses", body).await.json();
    assert_eq!(object["status"], "incomplete", "{object}");
    assert_eq!(object["incomplete_details"]["reason"], "max_output_tokens");
}

#[tokio::test]
async fn what_needs_a_memory_of_earlier_answers_is_refused() {
    let backend = without_responses(ollama());
    let node = before_ollama(&backend).await;
    assert_eq!(post(&node, "/v1/responses", create(false)).await.status(), 200);
    let mut body = create(false);
    body["previous_response_id"] = json!("resp_1");
    let answer = post(&node, "/v1/responses", body).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json()["error"]["param"], "previous_response_id", "{}", answer.text());
}
