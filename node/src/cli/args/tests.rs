//! Command lines and what they ask for.

use std::time::Duration;

use super::*;
use crate::cli::doctor::Doctor;
use crate::cli::models::{ModelsAction, Through};
use crate::cli::objects::{Kind, Objects, ObjectsAction, State};
use crate::cli::sessions::SessionsAction;
use crate::cli::top::Top;

fn parsed(line: &str) -> Result<Command, clap::Error> {
    parse(std::iter::once("ollamaflow").chain(line.split_whitespace()).map(OsString::from))
}

fn served(line: &str) -> Sources {
    match parsed(line).unwrap() {
        Command::Serve(sources) => sources,
        other => panic!("{line} is {other:?}"),
    }
}

#[test]
fn the_definition_of_the_arguments_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn no_command_serves_with_the_default_file() {
    let sources = served("");
    assert_eq!(sources.file, PathBuf::from("./ollamaflow.json"));
    assert_eq!((sources.missing_file, sources.flags), (MissingFile::Create, Flags::default()));
}

#[test]
fn flags_work_with_and_without_the_command_and_on_either_side_of_it() {
    for line in [
        "--config a.json --listen [::1]:8080 --data-directory d",
        "serve --config a.json --listen [::1]:8080 --data-directory d",
        "--config a.json serve --data-directory=d --listen=[::1]:8080",
    ] {
        let sources = served(line);
        assert_eq!(sources.file, PathBuf::from("a.json"));
        assert_eq!(sources.flags.listen, Some(ListenAddress { host: "::1".to_owned(), port: 8080 }));
        assert_eq!(sources.flags.data_directory.as_deref(), Some("d"));
    }
}

#[test]
fn the_flags_of_proxies_and_stopping_are_settings() {
    let flags = served("--trusted-proxies 10.0.0.0/8,::1 --shutdown-grace-ms 1 --shutdown-settle-ms 2").flags;
    assert_eq!(flags.trusted_proxies, Some(["10.0.0.0/8", "::1"].map(str::to_owned).to_vec()));
    assert_eq!((flags.shutdown_grace_ms, flags.shutdown_settle_ms), (Some(1), Some(2)));
}

#[test]
fn the_flags_of_the_cluster_are_settings() {
    let line = "--cluster-listen *:1 --advertise a:1 --peers a:1,b --peers c --join d \
                --cluster-secret s --cluster-secret-file f";
    let flags = served(line).flags.cluster;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!((flags.listen, flags.advertise, flags.join), (text("*:1"), text("a:1"), text("d")));
    assert_eq!(flags.peers, Some(["a:1", "b", "c"].map(str::to_owned).to_vec()));
    assert_eq!((flags.secret, flags.secret_file), (Some(Secret::new("s")), text("f")));
    assert_eq!(served("serve").flags.cluster, ClusterFlags::default());
}

#[test]
fn show_writes_nothing_and_wants_a_named_file_to_exist() {
    let shown = |line: &str| match parsed(line).unwrap() {
        Command::ConfigShow { sources, format } => (sources.missing_file, format),
        other => panic!("{line} is {other:?}"),
    };
    assert_eq!(shown("config show"), (MissingFile::UseDefaults, AnswerFormat::Text));
    assert_eq!(shown("config show --json --config a.json"), (MissingFile::Refuse, AnswerFormat::Json));
}

#[test]
fn the_commands_for_a_running_node_say_what_which_and_how() {
    let cluster = |line: &str| match parsed(line).unwrap() {
        Command::Cluster { access, action, format } => (access, action, format),
        other => panic!("{line} is {other:?}"),
    };
    let (access, action, format) = cluster("cluster status --json --server http://a:1 --token t");
    assert_eq!((access.server.as_deref(), access.token), (Some("http://a:1"), Some(Secret::new("t"))));
    assert_eq!((action, format), (ClusterAction::Status, AnswerFormat::Json));
    assert_eq!(access.sources.missing_file, MissingFile::UseDefaults);
    let (access, action, format) = cluster("--config c.json cluster --server b members");
    assert_eq!((access.server.as_deref(), access.token), (Some("b"), None));
    assert_eq!((action, format), (ClusterAction::Members, AnswerFormat::Text));
    assert_eq!(access.sources.missing_file, MissingFile::Refuse);
    for (line, expected) in [
        ("cluster add Node4", ClusterAction::Add { address: "node4:43412".to_owned() }),
        ("cluster remove 3", ClusterAction::Remove { id: 3 }),
        ("cluster transfer-leader", ClusterAction::TransferLeader { to: None }),
        ("cluster transfer-leader 2", ClusterAction::TransferLeader { to: Some(2) }),
        ("cluster snapshot", ClusterAction::Snapshot),
        ("cluster restore -", ClusterAction::Restore { file: "-".into() }),
        (
            "cluster backup b.json --include-secrets",
            ClusterAction::Backup { file: "b.json".into(), include_secrets: true, force: false },
        ),
        (
            "cluster backup --force b.json",
            ClusterAction::Backup { file: "b.json".into(), include_secrets: false, force: true },
        ),
    ] {
        assert_eq!(cluster(line).1, expected, "{line}");
    }
}

#[test]
fn apply_takes_a_file_and_switches() {
    let applied = |line: &str| match parsed(line).unwrap() {
        Command::Apply { access, apply, .. } => (access.server, apply),
        other => panic!("{line} is {other:?}"),
    };
    let plain = Apply { file: "-".into(), prune: false, dry_run: false, lenient: false };
    assert_eq!(applied("apply -"), (None, plain));
    let all = Apply { file: "a.json".into(), prune: true, dry_run: true, lenient: true };
    let line = "apply --server c --prune a.json --dry-run --lenient";
    assert_eq!(applied(line), (Some("c".to_owned()), all));
}

fn client(line: &str) -> (Access, Task, AnswerFormat) {
    match parsed(line).unwrap() {
        Command::Client { access, task, format } => (access, task, format),
        other => panic!("{line} is {other:?}"),
    }
}

#[test]
fn objects_are_named_with_what_is_to_be_done() {
    let asked = |line: &str| match client(line).1 {
        Task::Objects(Objects { kind, action }) => (kind, action),
        other => panic!("{line} is {other:?}"),
    };
    let id = || "x".to_owned();
    let turn = |state, wait| ObjectsAction::Turn { id: id(), state, wait };
    for (line, kind, action) in [
        ("backends list", Kind::Backend, ObjectsAction::List),
        ("frontends list", Kind::Frontend, ObjectsAction::List),
        ("frontends get x", Kind::Frontend, ObjectsAction::Get { id: id() }),
        ("backends remove x --force", Kind::Backend, ObjectsAction::Remove { id: id(), force: true }),
        ("frontends remove x", Kind::Frontend, ObjectsAction::Remove { id: id(), force: false }),
        ("backends drain x --wait 9", Kind::Backend, turn(State::Draining, Some(9))),
        ("backends enable x", Kind::Backend, turn(State::Active, None)),
        ("frontends disable x", Kind::Frontend, turn(State::Disabled, None)),
        ("keys list", Kind::Key, ObjectsAction::List),
        ("keys rotate x", Kind::Key, ObjectsAction::Rotate { id: id() }),
        ("keys remove x", Kind::Key, ObjectsAction::Remove { id: id(), force: false }),
    ] {
        assert_eq!(asked(line), (kind, action), "{line}");
    }
    let ObjectsAction::Set(change) = asked("backends set x Weight=2 Name=a --file - --dry-run").1 else {
        panic!("a change")
    };
    assert_eq!((change.assignments.len(), change.file, change.dry_run), (2, Some("-".into()), true));
}

#[test]
fn the_other_commands_for_a_running_node_are_read() {
    let pull = |frontend: Option<&str>, backends: &[&str]| {
        let through = Through {
            frontend: frontend.map(str::to_owned),
            backends: backends.iter().map(|id| (*id).to_owned()).collect(),
        };
        Task::Models(ModelsAction::Pull { model: "m".to_owned(), through })
    };
    assert_eq!(client("models pull m").1, pull(None, &[]));
    assert_eq!(client("models pull m -f f --backend a,b").1, pull(Some("f"), &["a", "b"]));
    assert_eq!(client("models plan").1, Task::Models(ModelsAction::Plan));
    let roll = ModelsAction::Roll { model: "m".to_owned(), force: true, drain_ms: Some(5) };
    assert_eq!(client("models roll m --force --drain-ms 5").1, Task::Models(roll));
    let (access, task, format) = client("status --json --server a --token t --client-url b");
    assert_eq!((access.client_url.as_deref(), task, format), (Some("b"), Task::Status, AnswerFormat::Json));
    let sessions = |clear| SessionsAction { frontend: Some("f".to_owned()), clear };
    assert_eq!(client("sessions --frontend f").1, Task::Sessions(sessions(false)));
    assert_eq!(client("sessions clear --frontend f").1, Task::Sessions(sessions(true)));
    let Task::Try(trial) = client("try hello -m m --max-tokens 9 --label a,b").1 else { panic!("a trial") };
    assert_eq!((trial.prompt.as_str(), trial.max_tokens, trial.labels.len()), ("hello", Some(9), 2));
    let top = Top { interval: Duration::from_millis(200), once: true };
    assert_eq!(client("top -i 200 --once").1, Task::Top(top));
    let doctor = Doctor { nodes: vec!["a".to_owned(), "b".to_owned()] };
    assert_eq!(client("doctor --node a,b").1, Task::Doctor(doctor));
    let Task::Explain(explain) = client("frontends explain f -m m --path /api/chat").1 else { panic!("one") };
    assert_eq!((explain.model.as_deref(), explain.path.as_deref()), (Some("m"), Some("/api/chat")));
}

#[test]
fn every_command_but_those_without_an_answer_prints_json() {
    for line in [
        "status",
        "frontends list",
        "backends get x",
        "models list",
        "sessions",
        "cluster status",
        "apply f",
        "export",
        "try",
        "top",
        "doctor",
        "healthcheck",
        "config show",
        "config check f",
    ] {
        assert!(parsed(&format!("{line} --json")).is_ok(), "{line}");
    }
    for line in ["serve", "completions bash"] {
        assert_eq!(parsed(&format!("{line} --json")).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn misuse_is_a_usage_error() {
    for line in [
        "--listen localhost",
        "--listen ::1:80",
        "frobnicate",
        "config",
        "config check",
        "config check a.json --listen *:1",
        "--port 1",
        "config check a.json --peers a",
        "config check a.json --shutdown-grace-ms 1",
        "--shutdown-grace-ms -1",
        "cluster",
        "cluster add *:43412",
        "cluster remove one",
        "cluster backup",
        "apply",
        "backends",
        "backends set x",
        "backends set x Weight",
        "backends set x A=1 --create --revision 3",
        "frontends drain x",
        "backends explain x",
        "frontends explain x --file f -m m",
        "models pull",
        "export --force",
        "top --interval 1",
        "completions nosh",
    ] {
        assert_eq!(parsed(line).unwrap_err().exit_code(), 2, "{line}");
    }
    for line in ["--help", "--version", "config show --help", "cluster --help", "apply --help"] {
        assert_eq!(parsed(line).unwrap_err().exit_code(), 0, "{line}");
    }
}
