//! A run of the command line: with the variables that a test says and no others, in a directory of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use ollamaflow_tests::node::{ADMIN_TOKEN, Node, binary_path};
use serde_json::Value;
use tempfile::TempDir;

/// An operator: a home directory, variables, and a node that is asked unless a test says otherwise.
pub struct Operator {
    home: TempDir,
    environment: Vec<(String, String)>,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Printed {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Operator {
    /// One who knows of no node.
    pub fn new() -> Self {
        Self { home: TempDir::new().unwrap(), environment: Vec::new() }
    }

    /// One who asks this node with the right token.
    pub fn of(node: &Node) -> Self {
        Self::new().env("OLLAMAFLOW_SERVER", &node.url()).env("OLLAMAFLOW_TOKEN", ADMIN_TOKEN)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs the words of the line.
    pub async fn run(&self, line: &str) -> Printed {
        self.run_with(&line.split_whitespace().collect::<Vec<_>>(), "").await
    }

    /// Runs these arguments, with this on the standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Printed {
        let given = self.path("standard-input");
        fs::write(&given, input).unwrap();
        let mut command = Command::new(binary_path());
        command
            .current_dir(self.home.path())
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(fs::File::open(given).unwrap()));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Printed::of(&output)
    }

    /// Runs the words of the line and expects success; gives what was printed.
    pub async fn done(&self, line: &str) -> String {
        let printed = self.run(line).await;
        assert_eq!(printed.code, 0, "{line}: {printed:?}");
        printed.stdout
    }

    /// The same with `--json`: one document.
    pub async fn json(&self, line: &str) -> Value {
        let text = self.done(&format!("{line} --json")).await;
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{line}: {e} in {text}"))
    }

    /// Runs the words of the line and expects this exit code, an error and no answer; gives the error.
    pub async fn fails(&self, line: &str, code: i32) -> String {
        self.run(line).await.failed(code)
    }
}

impl Printed {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// Checks that it failed so; gives the error.
    pub fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        self.stderr
    }
}
