//! Each command: what it asks for and what it prints.

use actix_web::HttpResponse;

use super::*;
use crate::cli::remote::tests::{Node, Printed, printed};

fn ran(node: &Node, action: ClusterAction, format: AnswerFormat) -> Printed {
    printed(|output, errors| run(node.access(), action, format, Screen::none(), output, errors))
}

/// What the command asked a node that answers with `body`, and what it printed.
fn asked(action: ClusterAction, status: u16, body: &'static str) -> (String, String, Printed) {
    let node = Node::start(move |_| HttpResponse::build(status.try_into().unwrap()).body(body));
    let printed = ran(&node, action, AnswerFormat::Text);
    let [seen] = &node.seen()[..] else { panic!("one request") };
    (seen.line.clone(), seen.body.clone(), printed)
}

#[test]
fn each_command_is_one_call() {
    let none = "";
    for (action, status, answer, line, body, output) in [
        (
            ClusterAction::Add { address: "node4:43412".to_owned() },
            201,
            r#"{"NodeId":4}"#,
            "POST /v1.0/cluster/members",
            r#"{"Address":"node4:43412"}"#,
            "node4:43412 was added as node 4\n",
        ),
        (
            ClusterAction::Remove { id: 3 },
            204,
            none,
            "DELETE /v1.0/cluster/members/3",
            none,
            "node 3 was removed; its id is never used again\n",
        ),
        (
            ClusterAction::TransferLeader { to: Some(2) },
            200,
            r#"{"Leader":2}"#,
            "POST /v1.0/cluster/transfer-leader",
            r#"{"NodeId":2}"#,
            "node 2 leads\n",
        ),
        (
            ClusterAction::TransferLeader { to: None },
            200,
            r#"{"Leader":5}"#,
            "POST /v1.0/cluster/transfer-leader",
            "{}",
            "node 5 leads\n",
        ),
        (
            ClusterAction::Snapshot,
            200,
            r#"{"Index":120}"#,
            "POST /v1.0/cluster/snapshot",
            none,
            "a snapshot was written, up to entry 120\n",
        ),
    ] {
        let (asked_line, asked_body, printed) = asked(action, status, answer);
        assert_eq!((asked_line.as_str(), asked_body.as_str()), (line, body));
        assert_eq!((printed.verdict, printed.output.as_str()), (Verdict::Good, output), "{}", printed.errors);
    }
}

#[test]
fn members_are_printed_as_a_table_or_as_they_came() {
    let body =
        r#"[{"NodeId":1,"Address":"a:1","IsVoter":true,"IsLeader":true,"IsSelf":true,"Lag":0,"New":1}]"#;
    let (line, _, table) = asked(ClusterAction::Members, 200, body);
    assert_eq!(line, "GET /v1.0/cluster/members");
    let expected = "NODE  ADDRESS  ROLE    LAG\n1 *   a:1      leader  0\n* the node that answers\n";
    assert_eq!(table.output, expected);
    let node = Node::start(move |_| HttpResponse::Ok().body(body));
    assert_eq!(ran(&node, ClusterAction::Members, AnswerFormat::Json).output, format!("{body}\n"));
}

#[test]
fn the_status_is_printed_in_lines() {
    let body = r#"{"ClusterId":"c1","NodeId":1,"Address":null,"Role":"Leader","Problem":null,"Leader":1,"Term":1,
        "Revision":3,"CatalogRevision":2,"CatalogHash":"ab","LastLogIndex":5,"AppliedIndex":5,"SnapshotIndex":0,
        "HasQuorum":true,"QuorumAckMillis":0,"Version":"0.1.0","Members":[]}"#;
    let (line, _, printed) = asked(ClusterAction::Status, 200, body);
    assert_eq!(line, "GET /v1.0/cluster");
    assert!(printed.output.starts_with("cluster   c1\nnode      1, leads\n"), "{}", printed.output);
}

#[test]
fn a_failure_goes_to_the_errors() {
    let body =
        r#"{"Error":"Conflict","Message":"another change of the membership is under way","StatusCode":409}"#;
    let (_, _, printed) = asked(ClusterAction::Remove { id: 2 }, 409, body);
    let errors = "error: another change of the membership is under way\n".to_owned();
    assert_eq!(printed, Printed { verdict: Verdict::Conflict, output: String::new(), errors });
    let (_, _, printed) = asked(ClusterAction::Snapshot, 200, "{}");
    assert!(printed.errors.contains("cannot be used"), "{}", printed.errors);
}

#[test]
fn a_backup_is_a_private_file_that_replaces_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.json");
    let node = Node::start(|_| HttpResponse::Ok().body(r#"{"Format":1}"#));
    let backup = |include_secrets, force| {
        let action = ClusterAction::Backup { file: file.clone(), include_secrets, force };
        ran(&node, action, AnswerFormat::Text)
    };
    let first = backup(false, false);
    assert_eq!(first.output, format!("wrote {} (12 bytes, without secrets)\n", file.display()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), r#"{"Format":1}"#);
    let second = backup(false, false);
    assert!(
        second.verdict == Verdict::Faulty && second.errors.contains("exists already"),
        "{}",
        second.errors
    );
    assert!(backup(true, true).output.contains("with secrets in clear"));
    let lines: Vec<String> = node.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(lines, ["GET /v1.0/cluster/backup", "GET /v1.0/cluster/backup?secrets=true"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn half_a_backup_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.json");
    let action = ClusterAction::Backup { file: file.clone(), include_secrets: false, force: false };
    let (_, _, printed) = asked(action, 200, r#"{"Format":1"#);
    assert_eq!(printed.verdict, Verdict::Faulty);
    assert!(!file.exists());
}

#[test]
fn a_backup_is_sent_back_as_it_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"Format": 1}"#).unwrap();
    let action = ClusterAction::Restore { file: file.path().to_owned() };
    let (line, body, printed) = asked(action, 200, "{}");
    assert_eq!((line.as_str(), body.as_str()), ("POST /v1.0/cluster/restore", r#"{"Format": 1}"#));
    assert_eq!(printed.output, "the backup was restored\n");

    let node = Node::start(|_| HttpResponse::Ok().finish());
    let absent = ran(&node, ClusterAction::Restore { file: "/nonexistent".into() }, AnswerFormat::Text);
    assert!(absent.errors.starts_with("error: cannot read /nonexistent"), "{}", absent.errors);
    assert!(node.seen().is_empty());
}
