use std::collections::BTreeSet;

use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::object::{Backend, Frontend};
use ollamaflow_protocol::time::Timestamp;
use serde_json::json;

use super::*;
use crate::admin::{PREFIX, probes, routes};

/// The methods that are documented for a path; `HEAD` goes with `GET`.
fn documented(document: &Value, path: &str) -> BTreeSet<String> {
    let item = document["paths"][path].as_object().unwrap_or_else(|| panic!("{path} is not documented"));
    let mut methods: BTreeSet<String> = item.keys().map(|method| method.to_uppercase()).collect();
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    methods
}

/// `/models/{name:.+}/roll` as the document writes it.
fn plain(path: &str) -> String {
    path.replace(":.+}", "}")
}

#[test]
fn every_admin_route_is_documented_with_all_its_methods_and_no_other_is() {
    let document = document();
    let below = routes().into_iter().map(|routed| (format!("{PREFIX}{}", plain(routed.path)), routed.allow));
    let beside = probes::routes().into_iter().map(|routed| (plain(routed.path), routed.allow));
    let mut known = BTreeSet::new();
    for (path, allow) in below.chain(beside) {
        let allowed: BTreeSet<String> = allow.split(", ").map(str::to_owned).collect();
        assert_eq!(documented(&document, &path), allowed, "{path}");
        known.insert(path);
    }
    let paths = document["paths"].as_object().unwrap().keys();
    let admins: BTreeSet<String> = paths.filter(|path| path.starts_with(PREFIX)).cloned().collect();
    assert!(admins.is_subset(&known), "{:?} are no routes", admins.difference(&known));
}

#[test]
fn every_operation_has_a_name_of_its_own_a_heading_and_examples_of_what_it_takes() {
    let document = document();
    let headings: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} comes twice");
            assert!(headings.contains(operation["tags"][0].as_str().unwrap()), "{id}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path: BTreeSet<&str> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let braced: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(in_path, braced, "{method} {path}");
            for (_, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                let is_json = content["schema"].get("$ref").is_some();
                assert!(!is_json || content.get("example").is_some(), "{id} has no example");
            }
        }
    }
    assert!(ids.len() > 60, "only {} operations", ids.len());
}

#[test]
fn every_reference_has_its_object_and_no_text_is_meant_for_rustdoc() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(place)) = members.get("$ref") {
                    let pointer = place.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{place} is not there");
                }
                if let Some(Value::String(text)) = members.get("description") {
                    assert!(!text.contains("[`"), "{text}");
                }
                members.values().for_each(|value| walk(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

/// What the reader takes at a property's documented bounds, and what beyond them.
#[test]
fn documented_bounds_and_defaults_are_those_that_bodies_are_read_by() {
    let document = document();
    let now = Timestamp::EPOCH;
    let backend = |body: &Value| Backend::from_value(body, now).is_ok();
    let frontend = |body: &Value| Frontend::from_value(body, now).is_ok();
    let id: BackendId = "x".parse().unwrap();
    let shown = [
        serde_json::to_value(Backend::new(id)).unwrap(),
        serde_json::to_value(Frontend::new("x".parse().unwrap())).unwrap(),
    ];
    let mut bounded = 0;
    for ((name, reads), shown) in
        [("Backend", &backend as &dyn Fn(&Value) -> bool), ("Frontend", &frontend as &dyn Fn(&Value) -> bool)]
            .into_iter()
            .zip(shown)
    {
        let properties = &document["components"]["schemas"][name]["properties"];
        for (property, value) in shown.as_object().unwrap() {
            assert!(properties.get(property).is_some(), "{name}.{property} is not documented");
            let schema = &properties[property];
            if let Some(default) = schema.get("default") {
                assert_eq!(default, value, "{name}.{property}");
            }
            let (Some(minimum), Some(maximum)) = (schema["minimum"].as_i64(), schema["maximum"].as_i64())
            else {
                continue;
            };
            bounded += 1;
            for (number, is_good) in
                [(minimum, true), (maximum, true), (minimum - 1, false), (maximum + 1, false)]
            {
                let body = json!({ "Identifier": "x", property: number });
                assert_eq!(reads(&body), is_good, "{name}.{property} = {number}");
            }
        }
    }
    assert!(bounded > 20, "only {bounded} properties have bounds");
}
