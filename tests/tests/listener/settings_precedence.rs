//! Where a setting comes from: flag over environment over file over default, as `config show` tells.

use serde_json::{Value, json};

use crate::program::{Printed, Program};

const FLAGS: [&str; 4] = ["--listen", "127.0.0.1:4444", "--data-directory", "from-flag"];

/// A file with settings of several kinds.
fn file() -> Value {
    json!({
        "Webserver": { "Hostname": "localhost", "Port": 2222, "IO": { "ReadTimeoutMs": 2000 } },
        "DataDirectory": "from-file",
        "HealthCheck": { "IntervalMs": 2000 },
    })
}

fn in_environment(program: Program) -> Program {
    program
        .env("OLLAMAFLOW_WEBSERVER__PORT", "3333")
        .env("OLLAMAFLOW_DATADIRECTORY", "from-environment")
        .env("OLLAMAFLOW_WEBSERVER__IO__READTIMEOUTMS", "3000")
}

fn line<'a>(printed: &'a Printed, setting: &str) -> &'a str {
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let beginning = format!("{setting} = ");
    let mut lines = printed.stdout.lines().filter(|line| line.starts_with(&beginning));
    let line = lines.next().unwrap_or_else(|| panic!("no {setting} in\n{}", printed.stdout));
    assert_eq!(lines.next(), None, "{setting} is shown once");
    line
}

#[tokio::test]
async fn a_setting_that_nothing_names_has_its_default() {
    let printed = Program::new().run(["config", "show"]).await;
    assert_eq!(line(&printed, "Webserver.Port"), "Webserver.Port = 43411  (default)");
    assert_eq!(line(&printed, "Webserver.Hostname"), "Webserver.Hostname = \"localhost\"  (default)");
    assert_eq!(line(&printed, "Webserver.IO.ReadTimeoutMs"), "Webserver.IO.ReadTimeoutMs = 10000  (default)");
}

#[tokio::test]
async fn the_file_wins_over_the_defaults() {
    let printed = Program::with_settings(&file()).run(["config", "show"]).await;
    assert_eq!(line(&printed, "Webserver.Port"), "Webserver.Port = 2222  (file)");
    assert_eq!(line(&printed, "DataDirectory"), "DataDirectory = \"from-file\"  (file)");
    assert_eq!(line(&printed, "HealthCheck.IntervalMs"), "HealthCheck.IntervalMs = 2000  (file)");
    assert_eq!(line(&printed, "HealthCheck.TimeoutMs"), "HealthCheck.TimeoutMs = 2500  (default)");
}

#[tokio::test]
async fn the_environment_wins_over_the_file() {
    let printed = in_environment(Program::with_settings(&file())).run(["config", "show"]).await;
    let port = "Webserver.Port = 3333  (environment variable OLLAMAFLOW_WEBSERVER__PORT)";
    assert_eq!(line(&printed, "Webserver.Port"), port);
    let directory = "DataDirectory = \"from-environment\"  (environment variable OLLAMAFLOW_DATADIRECTORY)";
    assert_eq!(line(&printed, "DataDirectory"), directory);
    let timeout = line(&printed, "Webserver.IO.ReadTimeoutMs");
    assert!(timeout.starts_with("Webserver.IO.ReadTimeoutMs = 3000  (environment"), "{timeout}");
    assert_eq!(line(&printed, "HealthCheck.IntervalMs"), "HealthCheck.IntervalMs = 2000  (file)");
}

#[tokio::test]
async fn flags_win_over_the_environment() {
    let program = in_environment(Program::with_settings(&file()));
    let printed = program.run(FLAGS.into_iter().chain(["config", "show"])).await;
    assert_eq!(line(&printed, "Webserver.Port"), "Webserver.Port = 4444  (flag --listen)");
    assert_eq!(line(&printed, "Webserver.Hostname"), "Webserver.Hostname = \"127.0.0.1\"  (flag --listen)");
    assert_eq!(line(&printed, "DataDirectory"), "DataDirectory = \"from-flag\"  (flag --data-directory)");
    let timeout = line(&printed, "Webserver.IO.ReadTimeoutMs");
    assert!(timeout.starts_with("Webserver.IO.ReadTimeoutMs = 3000  (environment"), "{timeout}");
}

#[tokio::test]
async fn every_setting_that_is_shown_can_be_set_by_its_variable() {
    // Phase 1: learn all settings and their values.
    let printed = Program::new().run(["config", "show", "--json"]).await;
    let shown: Value = serde_json::from_str(&printed.stdout).unwrap();
    let names: Vec<String> = shown["Origins"].as_object().unwrap().keys().cloned().collect();
    assert!(names.len() > 30, "{names:?}");
    // Phase 2: set each one by its variable, to the value that it has anyway.
    let mut program = Program::new();
    for name in &names {
        let value = name.split('.').fold(&shown["Settings"], |value, property| &value[property]);
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        program = program.env(&format!("OLLAMAFLOW_{}", name.to_uppercase().replace('.', "__")), &text);
    }
    let printed = program.run(["config", "show", "--json"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    // Phase 3: each one comes from there now.
    let again: Value = serde_json::from_str(&printed.stdout).unwrap();
    let elsewhere: Vec<_> = names
        .iter()
        .filter(|name| !again["Origins"][name.as_str()].as_str().unwrap().starts_with("environment"))
        .collect();
    // These have no value to set them to.
    let valueless =
        ["Webserver.Ssl.PfxCertificateFile", "Webserver.Ssl.PfxCertificatePassword", "Admin.Listen"];
    assert_eq!(elsewhere, valueless);
    assert_eq!(again["Settings"]["Webserver"], shown["Settings"]["Webserver"]);
}

#[tokio::test]
async fn another_file_is_read_when_a_flag_names_it() {
    let program =
        Program::with_settings(&file()).file("other.json", &json!({ "Webserver": { "Port": 5555 } }));
    let printed = program.run(["--config", "other.json", "config", "show"]).await;
    assert_eq!(line(&printed, "Webserver.Port"), "Webserver.Port = 5555  (file)");
    assert_eq!(line(&printed, "DataDirectory"), "DataDirectory = \"./data\"  (default)");
}

#[tokio::test]
async fn a_node_obeys_the_flag_before_the_variable_and_the_variable_before_the_file() {
    // A port that no program may listen on: obeying the file would fail.
    let settings = json!({ "Webserver": { "Hostname": "192.0.2.1", "Port": 1 }, "Frontends": [] });
    let program = Program::with_settings(&settings)
        .env("OLLAMAFLOW_WEBSERVER__HOSTNAME", "127.0.0.3")
        .env("OLLAMAFLOW_WEBSERVER__PORT", "0");
    let nothing: [&str; 0] = [];
    let by_variable = program.start(nothing).listening().await;
    assert_eq!(by_variable.ip().to_string(), "127.0.0.3");
    let by_flag = program.start(["--listen", "127.0.0.4:0"]).listening().await;
    assert_eq!(by_flag.ip().to_string(), "127.0.0.4");
}
