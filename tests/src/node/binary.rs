//! Where the binary under test is: given by `OLLAMAFLOW_BIN`, or built once for this process.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Names a binary to test instead of building one.
const BINARY_VARIABLE: &str = "OLLAMAFLOW_BIN";

/// The path of the binary, for tests that run it themselves.
pub fn path() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os(BINARY_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// Builds the binary in the profile of the tests. Several test processes may do so at once: cargo's own lock puts them in
/// order, and all but the first find nothing to do.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "-p", "ollamaflow", "--bin", "ollamaflow"])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    match profile().as_str() {
        "debug" => {}
        "release" => drop(cargo.arg("--release")),
        other => drop(cargo.args(["--profile", other])),
    }
    let output = cargo.output().unwrap_or_else(|e| panic!("cargo does not run: {e}; set {BINARY_VARIABLE}"));
    assert!(output.status.success(), "cargo could not build the binary ({})", output.status);
    let executable = executable(&String::from_utf8_lossy(&output.stdout));
    executable.unwrap_or_else(|| panic!("cargo did not tell where the binary is; set {BINARY_VARIABLE}"))
}

/// The directory below `target` in which this test was built: `debug`, `release` or a profile's name.
fn profile() -> String {
    let test = std::env::current_exe().unwrap_or_default();
    let directory = test.ancestors().skip(1).find(|directory| !directory.ends_with("deps"));
    let name = directory.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "debug".to_owned())
}

/// The binary's path in cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut binaries = parsed.filter(|message| {
        message["reason"] == "compiler-artifact" && message["target"]["name"] == "ollamaflow"
    });
    binaries.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_other_artifacts() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"ollamaflow"},"executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","target":{"name":"ollamaflow"},"executable":"/t/ollamaflow"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executable(messages), Some(PathBuf::from("/t/ollamaflow")));
    }
}
