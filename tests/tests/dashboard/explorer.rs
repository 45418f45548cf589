//! The API explorer: its requests as they are sent, and answers as it takes them apart. It sends no token, and comes from
//! a page on the disk as well as from the dashboard.

use ollamaflow_tests::client::{End, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::Backend;
use ollamaflow_tests::setup::{Setup, wait_idle};
use ollamaflow_tests::simulated::{FaultKind, ModelSpec, Registry, SimConfig, SimulatedBackend};
use serde_json::{Value, json};

use crate::{FROM_DISK, answer, expect};

/// The body of a chat or generation: the options with a null wherever its form is empty.
fn ollama_body(content: &(&str, Value), stream: bool) -> Value {
    json!({
        "model": "m", content.0: content.1, "stream": stream, "format": null, "keep_alive": "5m",
        "options": {
            "num_keep": null, "seed": 42, "num_predict": 8, "top_k": 40, "top_p": 0.9, "min_p": null, "typical_p": null,
            "repeat_last_n": 64, "temperature": 0.8, "repeat_penalty": 1.1, "presence_penalty": null,
            "frequency_penalty": null, "mirostat": 0, "mirostat_tau": 5.0, "mirostat_eta": 0.1, "penalize_newline": true,
            "stop": [], "numa": false, "num_ctx": 2048, "num_batch": null, "num_gpu": null, "main_gpu": null,
            "low_vram": null, "use_mmap": null, "use_mlock": null, "num_thread": null
        }
    })
}

/// The body of a request in the other API: every optional field is there.
fn openai_body(content: &(&str, Value), stream: bool) -> Value {
    json!({
        "model": "m", content.0: content.1, "stream": stream, "max_tokens": 8, "temperature": null, "top_p": null,
        "n": null, "stop": null, "presence_penalty": null, "frequency_penalty": null, "logit_bias": null, "user": null,
        "seed": null, "logprobs": null, "response_format": null, "tools": null, "tool_choice": null,
        "stream_options": null
    })
}

fn messages() -> Value {
    json!([{ "role": "user", "content": "hello" }])
}

fn request(method: &str, path: &str) -> Request {
    Request::new(method, path).header("Origin", FROM_DISK)
}

fn post(path: &str, body: &Value) -> Request {
    request("POST", path).json(body)
}

/// An engine of each kind, with a node before each.
async fn before_each_kind() -> Vec<(&'static str, SimulatedBackend, Node)> {
    let ollama = SimulatedBackend::start(SimConfig::ollama(["m"]));
    let openai = SimulatedBackend::start(SimConfig::openai(["m"]));
    let before_ollama = Setup::new().backend(&ollama).start().await;
    let before_openai = Setup::new().backend_with(&openai, Backend::openai).start().await;
    vec![("Ollama", ollama, before_ollama), ("OpenAI", openai, before_openai)]
}

/// A node before two engines that pull from one registry.
async fn managing() -> ([SimulatedBackend; 2], Node) {
    let registry = Registry::new();
    registry.publish(ModelSpec::named("llama2").with_size(1_000_000, 2));
    let engines: [SimulatedBackend; 2] =
        std::array::from_fn(|_| SimulatedBackend::start(SimConfig::ollama(["m"]).with_registry(&registry)));
    let setup = Setup::new().backend(&engines[0]).backend(&engines[1]);
    // A page on the disk is one that does not say where it is from: by default it may not.
    let node = setup.frontend("AllowModelManagement", true).start().await;
    (engines, node)
}

/// What the explorer makes of a stream: it splits at line feeds; a line is SSE if it begins so, and else one whole object.
/// Gives the text and the errors.
#[track_caller]
fn as_it_is_read(stream: &str) -> (String, Vec<String>) {
    assert!(stream.is_empty() || stream.ends_with('\n'), "the last line has no end: {stream:?}");
    let (mut text, mut errors) = (String::new(), Vec::new());
    for line in stream.split('\n').map(str::trim).filter(|line| !line.is_empty()) {
        let json = line.strip_prefix("data: ").unwrap_or(line);
        if json == "[DONE]" {
            continue;
        }
        let piece: Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        let choice = &piece["choices"][0];
        for said in [
            &choice["delta"]["content"],
            &choice["message"]["content"],
            &choice["text"],
            &piece["message"]["content"],
            &piece["response"],
        ] {
            text.push_str(said.as_str().unwrap_or_default());
        }
        let error = &piece["error"];
        errors.extend(error.as_str().or_else(|| error["message"].as_str()).map(str::to_owned));
    }
    (text, errors)
}

#[tokio::test]
async fn chats_and_generations_of_ollama_take_nulls_for_options() {
    for (kind, _engine, node) in before_each_kind().await {
        for (path, content) in
            [("/api/chat", ("messages", messages())), ("/api/generate", ("prompt", json!("hello")))]
        {
            let whole = answer(&node, post(path, &ollama_body(&content, false))).await;
            let said = as_it_is_read(&format!("{}\n", expect(&whole, 200)));
            assert!(!said.0.is_empty() && said.1.is_empty(), "{path} before {kind}: {said:?}");
            let streamed = answer(&node, post(path, &ollama_body(&content, true))).await;
            assert_eq!((streamed.status(), streamed.end), (200, End::Complete), "{path} before {kind}");
            assert_eq!(as_it_is_read(&streamed.text()), said, "{path} before {kind}");
        }
    }
}

#[tokio::test]
async fn chats_and_completions_of_openai_take_nulls_for_every_option() {
    for (kind, _engine, node) in before_each_kind().await {
        for (path, content) in [
            ("/v1/chat/completions", ("messages", messages())),
            ("/v1/completions", ("prompt", json!("hello"))),
        ] {
            let whole = answer(&node, post(path, &openai_body(&content, false))).await;
            let said = as_it_is_read(&format!("{}\n", expect(&whole, 200)));
            assert!(!said.0.is_empty() && said.1.is_empty(), "{path} before {kind}: {said:?}");
            let streamed = answer(&node, post(path, &openai_body(&content, true))).await;
            assert_eq!((streamed.status(), streamed.end), (200, End::Complete), "{path} before {kind}");
            assert_eq!(as_it_is_read(&streamed.text()), said, "{path} before {kind}");
            // Whatever is no SSE field would be taken for an object.
            let lines: Vec<String> = streamed.text().lines().map(str::to_owned).collect();
            assert!(lines.iter().all(|line| line.is_empty() || line.starts_with("data: ")), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn embeddings_of_one_text_and_of_many_are_answered() {
    for (kind, _engine, node) in before_each_kind().await {
        for (input, count) in [(json!("hello"), 1), (json!(["hello", "world"]), 2)] {
            let body = json!({ "model": "m", "input": input });
            let ollama = expect(&answer(&node, post("/api/embed", &body)).await, 200);
            assert_eq!(ollama["embeddings"].as_array().unwrap().len(), count, "{kind}");
            let body = json!({
                "model": "m", "input": input, "encoding_format": null, "dimensions": null, "user": null
            });
            let openai = expect(&answer(&node, post("/v1/embeddings", &body)).await, 200);
            assert_eq!(openai["data"].as_array().unwrap().len(), count, "{kind}");
        }
    }
}

#[tokio::test]
async fn lists_are_read_by_get() {
    for (kind, _engine, node) in before_each_kind().await {
        for path in ["/api/tags", "/api/ps"] {
            let list = expect(&answer(&node, request("GET", path)).await, 200);
            assert!(list["models"].is_array(), "{path} before {kind}: {list}");
        }
    }
}

/// It is read as a stream whatever its form says, since the form has no such field.
#[tokio::test]
async fn a_pull_is_a_stream_of_lines_with_their_progress() {
    let (engines, node) = managing().await;
    let pull = answer(&node, post("/api/pull", &json!({ "model": "llama2" }))).await;
    assert_eq!((pull.status(), pull.end), (200, End::Complete), "{}", pull.text());
    assert_eq!(as_it_is_read(&pull.text()).1, Vec::<String>::new());
    let lines: Vec<Value> = pull.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["status"].is_string()), "{lines:?}");
    let measured: Vec<&Value> = lines.iter().filter(|line| line["total"].is_u64()).collect();
    assert!(!measured.is_empty() && measured.iter().all(|line| line["digest"].is_string()), "{lines:?}");
    assert_eq!(lines.last().unwrap()["status"], "success");
    assert!(engines.iter().all(|engine| engine.installed_models().contains(&"llama2:latest".to_owned())));
}

/// It names the model by `name`, as Ollama's API once did, and in a body.
#[tokio::test]
async fn a_model_is_deleted_by_name_and_by_model() {
    for key in ["name", "model"] {
        let (engines, node) = managing().await;
        let deleted = answer(&node, request("DELETE", "/api/delete").json(&json!({ key: "m" }))).await;
        // An empty body: the explorer then shows the status.
        assert_eq!((deleted.status(), deleted.text().as_str()), (200, ""), "{key}");
        assert!(engines.iter().all(|engine| engine.installed_models().is_empty()), "{key}");
    }
}

#[tokio::test]
async fn ndjson_has_one_object_on_each_line_and_none_over_two() {
    for (kind, _engine, node) in before_each_kind().await {
        let chat = answer(&node, post("/api/chat", &ollama_body(&("messages", messages()), true))).await;
        assert!(chat.header("Content-Type").unwrap().starts_with("application/x-ndjson"), "{kind}");
        let text = chat.text();
        assert!(text.ends_with('\n') && !text.contains("\n\n"), "{kind}: {text:?}");
        for line in text.lines() {
            assert!(serde_json::from_str::<Value>(line).unwrap().is_object(), "{kind}: {line}");
        }
    }
}

/// `error` is a text there, or an object with a message.
#[tokio::test]
async fn an_error_is_read_from_an_answer_of_either_api() {
    for (kind, _engine, node) in before_each_kind().await {
        for (path, mut body) in [
            ("/api/chat", ollama_body(&("messages", messages()), false)),
            ("/v1/chat/completions", openai_body(&("messages", messages()), false)),
        ] {
            body["model"] = "ghost".into();
            let refused = answer(&node, post(path, &body)).await;
            assert_eq!(refused.status(), 404, "{path} before {kind}: {}", refused.text());
            let (_, errors) = as_it_is_read(&format!("{}\n", refused.json()));
            assert!(errors[0].contains("ghost"), "{path} before {kind}: {errors:?}");
        }
    }
}

/// When a backend dies, the last line is an error that the explorer can read, and not half an object.
#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error_that_is_read() {
    for (kind, engine, node) in before_each_kind().await {
        for (path, body) in [
            ("/api/chat", ollama_body(&("messages", messages()), true)),
            ("/v1/chat/completions", openai_body(&("messages", messages()), true)),
        ] {
            engine.set_fault(FaultKind::ResetAfter { frames: 3 }.times(1));
            let broken = answer(&node, post(path, &body)).await;
            assert_eq!(broken.status(), 200);
            let (_, errors) = as_it_is_read(&broken.text());
            assert_eq!(errors.len(), 1, "{path} before {kind}: {}", broken.text());
        }
    }
}

/// Its button closes the connection: the engine stops then.
#[tokio::test]
async fn an_abort_ends_the_work_at_the_backend() {
    for (kind, engine, node) in before_each_kind().await {
        engine.knobs(|knobs| {
            knobs.endless = true;
            knobs.tokens_per_second = 200.0;
        });
        let streaming =
            post("/api/chat", &ollama_body(&("messages", messages()), true)).send(node.addr()).await;
        let mut lines = streaming.lines();
        lines.expect_next().await;
        drop(lines);
        wait_idle(&node).await;
        ollamaflow_tests::wait::until_eq(kind, || engine.stats().in_flight(), 0).await;
        assert_eq!(engine.stats().cancelled(), 1, "{kind}");
    }
}
