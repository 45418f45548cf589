//! What stands in `docs/api` is what the program would write now.

use std::fs;
use std::path::Path;

use ollamaflow_tests::postman::collection;
use serde_json::Value;

use crate::{document, printed};

/// Run this when one of these tests fails, and look at what has changed.
const REMEDY: &str = "run scripts/postman, and commit what it writes";

fn committed(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api");
    let text = fs::read_to_string(folder.join(name));
    assert!(text.is_ok(), "{name}: {text:?}; {REMEDY}");
    text.unwrap()
}

#[test]
fn the_committed_document_is_the_one_that_the_program_prints() {
    assert!(committed("openapi.json") == printed(), "docs/api/openapi.json is out of step: {REMEDY}");
}

#[test]
fn the_committed_collection_is_made_of_that_document() {
    let made = serde_json::to_string_pretty(&collection(&document())).unwrap() + "\n";
    let name = "ollamaflow.postman_collection.json";
    assert!(committed(name) == made, "docs/api/{name} is out of step: {REMEDY}");
}

#[test]
fn the_collection_has_a_request_for_each_operation() {
    let document = document();
    let collection = collection(&document);
    let mut requests: Vec<(String, String)> = Vec::new();
    for folder in collection["item"].as_array().unwrap() {
        for item in folder["item"].as_array().unwrap() {
            let request = &item["request"];
            let raw = request["url"]["raw"].as_str().unwrap().replace("{{baseUrl}}", "");
            requests.push((request["method"].as_str().unwrap().to_owned(), raw));
        }
    }
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            operations.push((method.to_uppercase(), path.replace('{', ":").replace('}', "")));
        }
    }
    requests.sort();
    operations.sort();
    assert_eq!(requests, operations);
    let schema = &collection["info"]["schema"];
    assert!(schema.as_str().unwrap().ends_with("/v2.1.0/collection.json"), "{schema}");
    let bodies = collection["item"][0]["item"][0]["request"]["body"]["raw"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(bodies).is_ok(), "{bodies}");
}
