//! Applying a file to a small server with a catalog.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::HttpResponse;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::*;
use crate::cli::remote::tests::{Node, Printed, Seen, printed};

/// A node with one backend, at revision 7. The first `rivals` writes find that somebody was quicker.
fn node(rivals: u64) -> Node {
    let revision = AtomicU64::new(7);
    let backends = Mutex::new(json!([{"Identifier": "b1", "Port": 1, "Revision": 7}]));
    Node::start(move |seen: &Seen| {
        let now = revision.load(Ordering::SeqCst);
        if seen.line.starts_with("PUT") {
            if now < 7 + rivals {
                revision.store(now + 1, Ordering::SeqCst);
            }
            let expected = format!("\"{}\"", revision.load(Ordering::SeqCst));
            if seen.header("if-match") != Some(expected.as_str()) {
                return HttpResponse::PreconditionFailed()
                    .json(json!({"Message": "the catalog has changed"}));
            }
            let mut sent: Value = serde_json::from_str(&seen.body).unwrap();
            for backend in sent["Backends"].as_array_mut().unwrap() {
                if backend["Revision"].is_null() {
                    backend["Revision"] = (now + 1).into();
                }
            }
            let answer = json!({"Revision": now + 1, "Frontends": [], "Backends": sent["Backends"]});
            if !seen.line.contains("validate") {
                *backends.lock().unwrap() = sent["Backends"].take();
                revision.store(now + 1, Ordering::SeqCst);
            }
            return HttpResponse::Ok().json(answer);
        }
        let body = json!({"Revision": now, "Frontends": [], "Backends": *backends.lock().unwrap()});
        HttpResponse::Ok().insert_header(("ETag", format!("\"{now}\""))).json(body)
    })
}

fn file(document: &Value) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document.to_string()).unwrap();
    file
}

fn plain(file: &NamedTempFile) -> Apply {
    Apply { file: file.path().to_owned(), prune: false, dry_run: false, lenient: false }
}

fn applied(node: &Node, apply: &Apply) -> Printed {
    printed(|output, errors| run(node.access(), apply, AnswerFormat::Text, output, errors))
}

fn lines(node: &Node) -> Vec<String> {
    node.seen().into_iter().map(|seen| seen.line).collect()
}

#[test]
fn a_file_is_merged_into_the_catalog() {
    let node = node(0);
    let file = file(&json!({"Webserver": {"Port": 1}, "Backends": [{"Identifier": "b2", "Port": 2}]}));
    let printed = applied(&node, &plain(&file));
    let expected = "backend b2: created\n\
                    1 created, 0 changed, 0 unchanged, 0 deleted, 1 not in the file and left alone (revision 8)\n";
    assert_eq!(printed.output, expected, "{}", printed.errors);
    let [_, write] = &node.seen()[..] else { panic!("two requests") };
    assert_eq!((write.line.as_str(), write.header("if-match")), ("PUT /v1.0/catalog", Some("\"7\"")));
    assert_eq!(write.header("x-ollamaflow-lenient"), None);
    let body: Value = serde_json::from_str(&write.body).unwrap();
    assert_eq!(body["Backends"].as_array().unwrap().len(), 2);
    let mut properties: Vec<&String> = body.as_object().unwrap().keys().collect();
    properties.sort();
    assert_eq!(properties, ["Backends", "Frontends"]);
}

#[test]
fn pruning_deletes_what_the_file_does_not_have() {
    let node = node(0);
    let file = file(&json!({"Backends": [{"Identifier": "b2"}]}));
    let printed = applied(&node, &Apply { prune: true, lenient: true, ..plain(&file) });
    assert!(printed.output.starts_with("backend b1: deleted\nbackend b2: created\n"), "{}", printed.output);
    assert_eq!(node.seen()[1].header("x-ollamaflow-lenient"), Some("true"));
}

#[test]
fn a_dry_run_changes_nothing() {
    let node = node(0);
    let file = file(&json!({"Backends": [{"Identifier": "b1", "Port": 5}]}));
    let printed = applied(&node, &Apply { dry_run: true, ..plain(&file) });
    let expected = "backend b1: would be changed\n0 created, 1 changed, 0 unchanged, 0 deleted, \
                    0 not in the file and left alone (dry run: nothing was written)\n";
    assert_eq!(printed.output, expected);
    assert_eq!(lines(&node), ["GET /v1.0/catalog", "PUT /v1.0/catalog?validate=true"]);
}

#[test]
fn a_catalog_that_changes_in_between_is_read_again() {
    let file = file(&json!({"Backends": [{"Identifier": "b2"}]}));
    let quick = node(4);
    let printed = applied(&quick, &plain(&file));
    assert_eq!(printed.verdict, Verdict::Good, "{}", printed.errors);
    assert_eq!(quick.seen().len(), 10);

    let busy = node(5);
    let printed = applied(&busy, &plain(&file));
    assert_eq!(printed.verdict, Verdict::Conflict);
    assert!(printed.errors.contains("others kept changing the catalog"), "{}", printed.errors);
    assert_eq!(busy.seen().len(), 10);
}

#[test]
fn a_file_without_objects_is_refused_before_anything_is_asked() {
    let node = node(0);
    let file = file(&json!({"Webserver": {}}));
    let printed = applied(&node, &plain(&file));
    let expected = format!("error: {} has no Frontends, Backends or Keys\n", file.path().display());
    assert_eq!((printed.verdict, printed.errors), (Verdict::Faulty, expected));
    assert!(node.seen().is_empty());
}

#[test]
fn what_the_node_refuses_is_told() {
    let node = Node::start(|seen: &Seen| {
        if seen.line.starts_with("GET") {
            return HttpResponse::Ok().json(json!({"Revision": 1, "Frontends": [], "Backends": []}));
        }
        assert_eq!(seen.header("if-match"), Some("\"1\""), "from the body, without an ETag");
        HttpResponse::BadRequest().json(json!({"Message": "Backends[0].Colour is unknown"}))
    });
    let file = file(&json!({"Backends": [{"Identifier": "b1", "Colour": 1}]}));
    let printed = applied(&node, &plain(&file));
    assert_eq!(printed.errors, "error: Backends[0].Colour is unknown\n");
}
