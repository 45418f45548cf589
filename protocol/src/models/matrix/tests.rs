use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::models::desired::{Action, Desired, Limits, plan};
use crate::models::inventory::{Disk, Memory};
use crate::object::ApiFormat;

fn disk(models: &Value) -> Disk {
    Disk::read(ApiFormat::Ollama, &Bytes::from(json!({ "models": models }).to_string())).unwrap()
}

#[test]
fn the_matrix_shows_what_is_where_and_why_it_is_not() {
    let (b1, b2, b3) = ("b1".parse().unwrap(), "b2".parse().unwrap(), "b3".parse().unwrap());
    let first = disk(&json!([
        {"name": "a:latest", "digest": "old", "modified_at": "2026-01-01T00:00:00Z", "size": 5},
        {"name": "c:7b", "digest": "c"},
    ]));
    let second = disk(&json!([{"name": "A", "digest": "new", "modified_at": "2026-01-02T00:00:00Z"}]));
    let memory = Memory::read(&Bytes::from(
        json!({"models": [{"name": "a", "expires_at": "2026-02-01T00:00:00Z"}]}).to_string(),
    ))
    .unwrap();
    let situation =
        |backend, disk, memory| Situation { backend, available: true, manageable: true, disk, memory };
    let situations = [
        situation(&b3, None, None),
        situation(&b1, Some(&first), Some(&memory)),
        situation(&b2, Some(&second), None),
    ];
    let mut desired = Desired::default();
    desired.add(&b1, Wish::Required, ["a", "b", "c"], false);
    desired.add(&b3, Wish::Required, ["a"], false);
    let mut ledger = Ledger::default();
    let now = Timestamp::EPOCH;
    let begun = Action { backend: b1.clone(), kind: ActionKind::Pull, model: "b".to_owned() };
    ledger.begin(&begun);
    ledger.progressed(&begun, 42);
    let plan = plan(&desired, &situations, &ledger, &Limits::default(), 1, now);
    let matrix = serde_json::to_value(matrix(&situations, &plan.verdicts, &ledger)).unwrap();
    let rows = matrix["Models"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["Model"].as_str().unwrap()).collect();
    assert_eq!(names, ["a:latest", "b:latest", "c:7b", "c:latest"]);
    assert_eq!((&rows[0]["Digest"], &rows[0]["Drifted"]), (&json!("new"), &json!(true)));
    assert_eq!(
        rows[0]["Backends"],
        json!([
            {
                "Backend": "b1", "Present": true, "Digest": "old", "Size": 5, "Loaded": true,
                "ExpiresUtc": "2026-02-01T00:00:00.000000Z", "PullingPercent": null, "Required": true,
                "Preload": false, "Forbidden": false, "Drifted": true, "Reason": null,
            },
            {
                "Backend": "b2", "Present": true, "Digest": "new", "Size": null, "Loaded": null, "ExpiresUtc": null,
                "PullingPercent": null, "Required": false, "Preload": false, "Forbidden": false, "Drifted": false,
                "Reason": null,
            },
            {
                "Backend": "b3", "Present": null, "Digest": null, "Size": null, "Loaded": null, "ExpiresUtc": null,
                "PullingPercent": null, "Required": true, "Preload": false, "Forbidden": false, "Drifted": false,
                "Reason": "what the backend has is not known yet",
            },
        ])
    );
    let pulling = &rows[1]["Backends"][0];
    assert_eq!(
        (&pulling["Present"], &pulling["PullingPercent"], &pulling["Reason"]),
        (&json!(false), &json!(42), &json!("it is being pulled"))
    );
    assert_eq!(rows[3]["Backends"][0]["Reason"], "c:7b is there for it");
    assert_eq!(rows[2]["Backends"][0]["Required"], false);
}

#[test]
fn a_backend_that_cannot_pull_says_so() {
    let (vllm, empty) = ("vllm".parse().unwrap(), Disk::default());
    let situations =
        [Situation { backend: &vllm, available: true, manageable: false, disk: Some(&empty), memory: None }];
    let mut desired = Desired::default();
    desired.add(&vllm, Wish::Required, ["m"], false);
    let ledger = Ledger::default();
    let plan = plan(&desired, &situations, &ledger, &Limits::default(), 1, Timestamp::EPOCH);
    let matrix = matrix(&situations, &plan.verdicts, &ledger);
    assert_eq!(matrix.models[0].backends[0].reason.as_deref(), Some("missing, cannot pull"));
    assert_eq!(serde_json::to_value(ModelMatrix::default()).unwrap(), json!({"Models": []}));
}
