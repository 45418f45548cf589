//! What the plan says, and that it is only said.

use ollamaflow_tests::simulated::PullFault;

use super::*;

#[tokio::test]
async fn a_plan_tells_what_would_be_done_and_begins_nothing() {
    let registry = registry();
    registry.fail("m", PullFault::NotFound);
    let engine = engine(&registry, &[]);
    let node = started(wanting("RequiredModels", &["m"]), &engine).await;
    until_told(&node, "m:latest", "b1", "there is no such model").await;
    registry.heal("m");
    for _ in 0..3 {
        let (status, body) = node.admin("POST", "/v1.0/models/reconcile?plan=true", None).await;
        let action = json!({ "Backend": "b1", "Kind": "Pull", "Model": "m" });
        assert_eq!((status, body), (200, json!({ "Begins": false, "Actions": [action] })));
    }
    // Another model shows that the reconciler has looked meanwhile.
    let both = wanting("RequiredModels", &["n"]).json();
    let (status, body) = node.admin("PUT", "/v1.0/frontends/f", Some(&both)).await;
    assert_eq!(status, 200, "{body}");
    until_installed(&engine, "n").await;
    assert_eq!(pulls_begun(&engine, "m"), 1);
}
