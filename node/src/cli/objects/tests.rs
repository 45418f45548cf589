//! Each command: what it asks for and what it prints.

use std::io::Write as _;

use actix_web::HttpResponse;

use super::*;
use crate::cli::client::{self, AnswerFormat, Task};
use crate::cli::remote::tests::{Node, Printed, printed};
use crate::cli::{Screen, Verdict};

fn ran(node: &Node, kind: Kind, action: ObjectsAction, format: AnswerFormat) -> Printed {
    let task = Task::Objects(Objects { kind, action });
    printed(|output, errors| client::run(node.access(), task, format, Screen::none(), output, errors))
}

fn lines(node: &Node) -> Vec<String> {
    node.seen().into_iter().map(|seen| seen.line).collect()
}

/// A node with one backend, at revision 7.
fn node() -> Node {
    Node::start(|seen| {
        let stored = json!({ "Identifier": "b1", "Port": 1, "Revision": 7, "ActiveRequests": 2 });
        match (seen.line.as_str(), seen.header("if-match")) {
            ("GET /v1.0/backends/b1" | "GET /v1.0/backends/b1/health", _) => {
                HttpResponse::Ok().insert_header(("ETag", "\"7\"")).json(stored)
            }
            (line, Some("\"7\"")) if line.starts_with("PUT") => {
                let mut changed = stored;
                let sent: Map<String, Value> = serde_json::from_str(&seen.body).unwrap();
                changed.as_object_mut().unwrap().extend(sent);
                HttpResponse::Ok().insert_header(("ETag", "\"8\"")).json(changed)
            }
            (line, None) if line.starts_with("PUT") => HttpResponse::Ok().json(stored),
            (line, _) if line.starts_with("PUT") => {
                HttpResponse::PreconditionFailed().json(json!({ "Message": "it is at revision 7" }))
            }
            _ => HttpResponse::NotFound().json(json!({ "Message": "there is no such backend" })),
        }
    })
}

fn change(assignments: &[&str]) -> Change {
    Change {
        id: "b1".to_owned(),
        assignments: assignments.iter().map(|text| text.parse().unwrap()).collect(),
        file: None,
        revision: None,
        create: false,
        dry_run: false,
        lenient: false,
    }
}

fn set(node: &Node, change: Change) -> Printed {
    ran(node, Kind::Backend, ObjectsAction::Set(change), AnswerFormat::Text)
}

#[test]
fn a_change_is_made_on_what_was_read_and_told() {
    let node = node();
    let printed = set(&node, change(&["Port=2", "Hostname=gpu"]));
    assert_eq!((printed.verdict, printed.errors.as_str()), (Verdict::Good, ""));
    assert_eq!(
        printed.output,
        "backend b1 was changed (revision 8)\n\nPROPERTY  BEFORE  AFTER\nPort      1       2\nHostname  -       gpu\n"
    );
    assert_eq!(lines(&node), ["GET /v1.0/backends/b1", "PUT /v1.0/backends/b1"]);
    assert_eq!(node.seen()[1].body, "{\"Port\":2,\"Hostname\":\"gpu\"}");
}

#[test]
fn a_file_says_which_state_its_writer_saw() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "{}", json!({ "Port": 3, "Revision": 6 })).unwrap();
    let from_file = Change { file: Some(file.path().to_owned()), ..change(&[]) };
    let refused = set(&node(), from_file.clone());
    assert_eq!((refused.verdict, refused.output.as_str()), (Verdict::Conflict, ""));
    assert!(refused.errors.contains("it is at revision 7") && refused.errors.contains("backends get b1"));
    let node = node();
    let newer = set(&node, Change { revision: Some(7), ..from_file });
    assert_eq!(newer.verdict, Verdict::Good, "{}", newer.errors);
    assert_eq!(node.seen()[1].body, "{\"Port\":3}");
}

#[test]
fn a_new_object_must_not_exist_and_a_dry_run_writes_nothing() {
    let node = node();
    let create = Change { create: true, ..change(&["Port=2"]) };
    let printed = set(&node, create);
    assert_eq!(printed.output, "backend b1 was created\n");
    assert_eq!(node.seen()[0].header("if-none-match"), Some("*"));
    let dry = Change { dry_run: true, lenient: true, ..change(&["Port=2"]) };
    assert!(set(&node, dry).output.starts_with("backend b1 would be changed (dry run"));
    assert_eq!(lines(&node).last().unwrap(), "PUT /v1.0/backends/b1?validate=true");
    assert_eq!(node.seen()[2].header("x-ollamaflow-lenient"), Some("true"));
}

#[test]
fn an_object_that_is_not_there_is_told_with_what_to_do() {
    let printed = set(&node(), Change { id: "b2".to_owned(), ..change(&["Port=2"]) });
    assert_eq!(printed.verdict, Verdict::Missing);
    assert!(printed.errors.contains("--create"), "{}", printed.errors);
    let printed =
        ran(&node(), Kind::Backend, ObjectsAction::Get { id: "b/2".to_owned() }, AnswerFormat::Text);
    assert_eq!(printed.verdict, Verdict::Missing);
}

#[test]
fn a_state_is_the_only_thing_that_is_sent() {
    let turn = |state, wait| ObjectsAction::Turn { id: "b1".to_owned(), state, wait };
    let node = node();
    let drained = ran(&node, Kind::Backend, turn(State::Draining, None), AnswerFormat::Text);
    assert!(drained.output.contains("finishes 2 requests"), "{}", drained.output);
    ran(&node, Kind::Backend, turn(State::Active, None), AnswerFormat::Text);
    let bodies: Vec<String> = node.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["{\"State\":\"Draining\"}", "{\"State\":\"Active\"}"]);
    let waited = ran(&node, Kind::Backend, turn(State::Draining, Some(0)), AnswerFormat::Text);
    assert_eq!(waited.verdict, Verdict::Faulty);
    assert!(waited.errors.contains("2 requests are in flight at b1"), "{}", waited.errors);
}

#[test]
fn a_backend_in_use_is_removed_by_force_alone() {
    let node = Node::start(|seen| {
        if seen.line.ends_with("?force=true") {
            return HttpResponse::NoContent().finish();
        }
        HttpResponse::Conflict().json(json!({ "Message": "backend b1 is still used by frontend f" }))
    });
    let remove = |force| ObjectsAction::Remove { id: "b1".to_owned(), force };
    let refused = ran(&node, Kind::Backend, remove(false), AnswerFormat::Text);
    assert_eq!(refused.verdict, Verdict::Conflict);
    assert_eq!(refused.errors, "error: backend b1 is still used by frontend f (here: --force)\n");
    let removed = ran(&node, Kind::Backend, remove(true), AnswerFormat::Json);
    let json: Value = serde_json::from_str(&removed.output).unwrap();
    assert_eq!(json, json!({ "Identifier": "b1", "Message": "backend b1 was removed" }));
}
