//! What the two commands print.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::settings::MissingFile;

struct Printed {
    verdict: Verdict,
    output: String,
    errors: String,
}

fn print(command: impl FnOnce(&mut dyn Write, &mut dyn Write) -> io::Result<Verdict>) -> Printed {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let verdict = command(&mut output, &mut errors).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Printed { verdict, output: text(output), errors: text(errors) }
}

fn shown(file: &Path, format: AnswerFormat) -> Printed {
    let mut sources = Sources::of_file(file.to_owned());
    sources.environment = vec![("OLLAMAFLOW_WEBSERVER__PORT".into(), "1234".into())];
    print(|output, errors| show(sources, format, output, errors))
}

fn checked(file: &Path) -> Printed {
    print(|output, errors| check(file.to_owned(), AnswerFormat::Text, output, errors))
}

fn file_with(document: &Value) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document.to_string()).unwrap();
    file
}

fn secretive() -> tempfile::NamedTempFile {
    file_with(&json!({
        "AdminBearerTokens": ["hunter2"],
        "Webserver": {"Ssl": {"PfxCertificatePassword": "hunter2"}},
        "Frontends": [{"Identifier": "f1", "Backends": ["b1"]}],
        "Backends": [{"Identifier": "b1", "BearerToken": "hunter2", "Headers": {"X-Key": "hunter2"}}]
    }))
}

#[test]
fn show_prints_each_setting_with_its_origin() {
    let file = secretive();
    let printed = shown(file.path(), AnswerFormat::Text);
    assert_eq!(printed.verdict, Verdict::Good);
    let lines: Vec<&str> = printed.output.lines().collect();
    for line in [
        "Webserver.Hostname = \"localhost\"  (default)",
        "Webserver.Port = 1234  (environment variable OLLAMAFLOW_WEBSERVER__PORT)",
        "AdminBearerTokens = [\"********\"]  (file)",
        "Webserver.Ssl.PfxCertificatePassword = \"********\"  (file)",
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{}", printed.output);
    }
    assert!(lines.iter().any(|line| line.starts_with("Backends[0] = {\"Identifier\":\"b1\"")));
    assert!(printed.errors.starts_with("note: Webserver.Ssl.PfxCertificatePassword (file) has no effect"));
}

#[test]
fn show_prints_one_json_document() {
    let printed = shown(secretive().path(), AnswerFormat::Json);
    let document: Value = serde_json::from_str(&printed.output).unwrap();
    assert_eq!(document["Settings"]["Webserver"]["Port"], 1234);
    assert_eq!(document["Settings"]["Backends"][0]["Headers"]["X-Key"], "********");
    assert_eq!(document["Origins"]["Webserver.Port"], "environment variable OLLAMAFLOW_WEBSERVER__PORT");
}

#[test]
fn no_secret_is_printed() {
    let file = secretive();
    for printed in
        [shown(file.path(), AnswerFormat::Text), shown(file.path(), AnswerFormat::Json), checked(file.path())]
    {
        assert!(!printed.output.contains("hunter2") && !printed.errors.contains("hunter2"));
    }
}

#[test]
fn show_without_a_file_prints_the_defaults_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut sources = Sources::of_file(directory.path().join("ollamaflow.json"));
    sources.missing_file = MissingFile::UseDefaults;
    let printed = print(|output, errors| show(sources, AnswerFormat::Text, output, errors));
    assert!(printed.output.contains("Webserver.Port = 43411  (default)"));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn check_prints_ok_and_what_is_worth_knowing() {
    let file = file_with(&json!({"AdminBearerTokens": ["t"], "Colour": 1}));
    let printed = checked(file.path());
    assert_eq!(printed.verdict, Verdict::Good);
    assert_eq!(printed.output, "ok\nnote: Colour (file) is unknown and left out\n");
    assert_eq!(printed.errors, "");
}

#[test]
fn check_prints_every_error() {
    let file = file_with(&json!({"Webserver": {"Port": 70_000}, "Backends": [{"Port": 1}]}));
    let printed = checked(file.path());
    assert_eq!(printed.verdict, Verdict::Faulty);
    assert_eq!(printed.output, "");
    let name = file.path().display();
    assert_eq!(
        printed.errors,
        format!(
            "error: {name}: Webserver.Port must be a whole number from 0 to 65535, but is 70000\n\
             error: {name}: Backends[0].Identifier must not be empty\n"
        )
    );
    let absent = checked(Path::new("/nonexistent/ollamaflow.json"));
    assert_eq!(absent.verdict, Verdict::Faulty);
    assert!(absent.errors.starts_with("error: there is no settings file /nonexistent/ollamaflow.json"));
}
