//! A request for a model that only one of eight backends has never fails and never reaches another: by its own name and
//! by aliases, under every policy, while lists are read for the first time, and when backends come back.

use ollamaflow_tests::client;
use ollamaflow_tests::node::NodeBuilder;
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::FaultKind;

use super::*;

const POLICIES: [&str; 7] = [
    "Random",
    "RoundRobin",
    "LeastConnections",
    "Weighted",
    "LeastLatency",
    "ModelAffinity",
    "PrefixAffinity",
];

/// Eight backends: each has a model of its own, `own1` to `own8`, and all have `common`. Every second one speaks OpenAI's API.
fn eight() -> Vec<SimulatedBackend> {
    (1..=8)
        .map(|number| {
            let models = [format!("own{number}"), "common".to_owned()];
            let models = [models[0].as_str(), models[1].as_str()];
            if number % 2 == 0 { vllm(&models) } else { ollama(&models) }
        })
        .collect()
}

/// A node with a frontend for each policy, whose host is the policy's name. `alias` means another model at each
/// backend, and only `b3` has its own; `sole` has a target at `b5` alone.
fn builder(backends: &[SimulatedBackend], change: impl Fn(Backend) -> Backend) -> NodeBuilder {
    let aliases =
        json!({ "alias": { "b3": "own3", "*": "nobody's" }, "sole": { "b5": "own5" }, "named": "own7" });
    let names: Vec<String> = (1..=backends.len()).map(|number| format!("b{number}")).collect();
    // A busy machine makes no backend unhealthy.
    let mut builder = Node::builder().settings(&json!({ "HealthCheck": { "TimeoutMs": 20_000 } }));
    for policy in POLICIES {
        let frontend = frontend(policy).hostname(policy).set("LoadBalancing", policy);
        let frontend =
            frontend.set("ModelAliases", aliases.clone()).backends(names.iter().map(String::as_str));
        builder = builder.frontend(frontend);
    }
    for (name, simulated) in names.iter().zip(backends) {
        let own = backend(name, simulated)
            .set("UnhealthyThreshold", 10_000)
            .set("MaxParallelRequests", 100_000)
            .set("RateLimitRequestsThreshold", 0);
        let own = if name.ends_with(['2', '4', '6', '8']) { own.openai() } else { own };
        builder = builder.backend(change(own));
    }
    builder
}

/// The names that a request may use, and who has the model.
const ASKS: [(&str, &str); 6] =
    [("own3", "b3"), ("own6", "b6"), ("OWN8:latest", "b8"), ("alias", "b3"), ("sole", "b5"), ("named", "b7")];

/// Sends so many requests at once, to all frontends and by all names, and checks who has answered.
async fn storm(node: &Node, count: usize) {
    let address = node.addr();
    client::many(count, move |index| async move {
        let policy = POLICIES[index % POLICIES.len()];
        let (model, owner) = ASKS[index / POLICIES.len() % ASKS.len()];
        let request = match index % 3 {
            0 => chat(model, true),
            1 => Request::post("/v1/chat/completions").json(&chat_body(model, false)),
            _ => Request::post("/api/generate")
                .json(&json!({ "model": model, "prompt": "p", "stream": false })),
        };
        let answer = request.host(policy).send(address).await.collect().await;
        assert_eq!(answer.status(), 200, "{policy} {model}: {}", answer.text());
        assert_eq!(answer.header("x-ollamaflow-backend"), Some(owner), "{policy} {model}");
        assert_eq!(answer.header("x-ollamaflow-attempts"), Some("1"), "{policy} {model}: it reached another");
    })
    .await;
}

/// Whoever was asked for anything had it.
fn check_received(backends: &[SimulatedBackend]) {
    for (number, backend) in (1..).zip(backends) {
        for request in backend.requests() {
            if request.method == "POST" {
                assert_eq!(
                    request.json()["model"].as_str().unwrap().to_lowercase().trim_end_matches(":latest"),
                    format!("own{number}"),
                    "{}",
                    request.path
                );
            }
        }
    }
}

fn identifiers() -> [&'static str; 8] {
    ["b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8"]
}

#[tokio::test]
async fn it_reaches_its_owner_and_nobody_else_under_every_policy() {
    let backends = eight();
    let node = builder(&backends, |backend| backend).start().await;
    node.wait_healthy(&identifiers()).await;
    storm(&node, 420).await;
    check_received(&backends);
}

#[tokio::test]
async fn it_does_so_while_the_lists_of_models_are_read_for_the_first_time() {
    let backends = eight();
    for (index, backend) in backends.iter().enumerate() {
        // The owners tell what they have when others have told already, and the other way round.
        let delay = FaultKind::HangBeforeHeaders { for_ms: Some(100 * u64::try_from(index).unwrap()) };
        backend.set_faults(vec![delay.clone().path("/api/tags"), delay.path("/v1/models")]);
    }
    let node = builder(&backends, |backend| backend).start().await;
    node.wait_healthy(&identifiers()).await;
    storm(&node, 210).await;
    check_received(&backends);
}

#[tokio::test]
async fn it_does_so_when_a_backend_has_come_back_and_when_one_is_gone() {
    let backends = eight();
    let node = builder(&backends, |backend| backend.set("UnhealthyThreshold", 1)).start().await;
    node.wait_healthy(&identifiers()).await;
    storm(&node, 84).await;
    // Others come and go.
    backends[0].stop();
    node.wait_unhealthy("b1").await;
    storm(&node, 84).await;
    // And owners, too: what they have is known.
    backends[0].restart();
    backends[2].stop();
    node.wait_unhealthy("b3").await;
    let answer = chat("own3", false).host("RoundRobin").send(node.addr()).await.collect().await;
    assert_eq!(answer.status(), 502, "no other backend is asked: {}", answer.text());
    backends[2].restart();
    node.wait_healthy(&identifiers()).await;
    storm(&node, 210).await;
    check_received(&backends);
}
