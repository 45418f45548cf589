//! What is wrong with the settings: told with the JSON path, and nothing starts.

use serde_json::{Value, json};

use crate::program::{Printed, Program};

/// Bad settings, each with the path and the words that must be told.
fn faults() -> Vec<(Value, &'static str)> {
    let backend = |property: Value| json!({ "Backends": [{ "Identifier": "b0" }, property] });
    let frontend = |property: Value| json!({ "Frontends": [property], "Backends": [] });
    vec![
        (json!({ "Webserver": { "Port": 65_536 } }), "Webserver.Port must be a whole number from 0 to 65535"),
        (json!({ "Webserver": { "Port": "x" } }), "Webserver.Port"),
        (json!({ "Webserver": { "IO": { "MaxRequests": 0 } } }), "Webserver.IO.MaxRequests"),
        (json!({ "Webserver": [] }), "Webserver"),
        (json!({ "Logging": { "MinimumSeverity": 8 } }), "Logging.MinimumSeverity"),
        (json!({ "HealthCheck": { "JitterPercent": 51 } }), "HealthCheck.JitterPercent"),
        (
            json!({ "Webserver": { "Ssl": { "Enable": true } } }),
            "Webserver.Ssl.CertificateFile must name a PEM file",
        ),
        (backend(json!({ "Port": 1 })), "Backends[1].Identifier must not be empty"),
        (backend(json!({ "Identifier": "b 1" })), "Backends[1].Identifier may only contain"),
        (backend(json!({ "Identifier": "health" })), "Backends[1].Identifier must not be `health`"),
        (backend(json!({ "Identifier": "b0" })), "Backends[1].Identifier repeats the backend id b0"),
        (backend(json!({ "Identifier": "b1", "ApiFormat": "SOAP" })), "Backends[1].ApiFormat"),
        (
            backend(json!({ "Identifier": "b1", "HealthCheckUrl": "x" })),
            "Backends[1].HealthCheckUrl must start",
        ),
        (frontend(json!({ "Identifier": "f1", "LoadBalancing": "Fastest" })), "Frontends[0].LoadBalancing"),
        (
            frontend(json!({ "Identifier": "f1", "Backends": ["ghost"] })),
            "Frontends[0].Backends[0] of frontend f1 names the backend ghost, which does not exist",
        ),
    ]
}

fn assert_told(printed: &Printed, sentence: &str) {
    assert_eq!(printed.code, Some(1), "{}", printed.everything());
    assert_eq!(printed.stdout, "");
    assert!(printed.stderr.starts_with("error: "), "{}", printed.stderr);
    assert!(printed.stderr.contains("ollamaflow.json"), "the file is named: {}", printed.stderr);
    assert!(printed.stderr.contains(sentence), "{sentence:?} is not in {}", printed.stderr);
}

#[tokio::test]
async fn a_check_tells_the_json_path_of_a_bad_value_and_exits_with_1() {
    for (settings, sentence) in faults() {
        let printed = Program::with_settings(&settings).run(["config", "check", "ollamaflow.json"]).await;
        assert_told(&printed, sentence);
    }
}

#[tokio::test]
async fn a_node_does_not_start_with_a_bad_value_and_tells_its_json_path() {
    for (settings, sentence) in faults().into_iter().step_by(3) {
        let printed = Program::with_settings(&settings).run(["serve"]).await;
        assert_told(&printed, sentence);
    }
}

#[tokio::test]
async fn all_bad_values_are_told_at_once() {
    let settings =
        json!({ "Webserver": { "Port": -1 }, "Backends": [{ "Identifier": "b1", "Port": 70_000 }] });
    for arguments in [vec!["config", "check", "ollamaflow.json"], vec!["serve"]] {
        let printed = Program::with_settings(&settings).run(arguments).await;
        assert_told(&printed, "Webserver.Port");
        assert_told(&printed, "Backends[0].Port");
    }
}

#[tokio::test]
async fn text_that_is_no_json_is_told_with_line_and_column() {
    for arguments in [vec!["config", "check", "ollamaflow.json"], vec!["serve"]] {
        let printed = Program::with_settings(&"{\n  \"Webserver\": { oops }\n}").run(arguments).await;
        assert_told(&printed, "line 2");
        assert_told(&printed, "column 18");
    }
}

#[tokio::test]
async fn a_bad_variable_and_a_bad_flag_are_told_by_their_names() {
    // Phase 1: a variable.
    let program = Program::new().env("OLLAMAFLOW_WEBSERVER__PORT", "many");
    let printed = program.run(["config", "show"]).await;
    assert_eq!(printed.code, Some(1));
    assert!(printed.stderr.contains("OLLAMAFLOW_WEBSERVER__PORT"), "{}", printed.stderr);
    assert!(printed.stderr.contains("Webserver.Port"), "{}", printed.stderr);
    // Phase 2: a flag, which is a mistake in the command.
    for listen in ["localhost", "::1:43411", "localhost:99999"] {
        let printed = Program::new().run(["--listen", listen]).await;
        assert_eq!((printed.code, printed.stdout.as_str()), (Some(2), ""));
        assert!(printed.stderr.contains("--listen"), "{}", printed.stderr);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_or_written_is_told() {
    // Phase 1: the settings file is a directory.
    let program = Program::new();
    std::fs::create_dir(program.path("ollamaflow.json")).unwrap();
    let printed = program.run(["--listen", "127.0.0.1:0"]).await;
    assert_eq!(printed.code, Some(1));
    assert!(printed.stderr.starts_with("error: cannot read the settings file"), "{}", printed.stderr);
    // Phase 2: the first one would be in a directory that does not exist.
    let printed =
        Program::new().run(["--config", "nowhere/ollamaflow.json", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(printed.code, Some(1));
    assert!(printed.stderr.contains("a first one cannot be written"), "{}", printed.stderr);
}
