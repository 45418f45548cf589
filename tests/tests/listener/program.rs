//! The binary run by hand: with the arguments, files and variables that a test says and nothing else, its two output
//! streams apart, its exit code.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ollamaflow_tests::node::binary_path;
use ollamaflow_tests::wait;
use tempfile::TempDir;

/// What stands before the address in the line that tells that a node is ready.
const READY: &str = "listening on http://";

/// A directory to run the program in, and the variables it gets.
pub struct Program {
    directory: TempDir,
    environment: Vec<(String, String)>,
    runs: std::cell::Cell<u32>,
}

/// A run of the program. Dropping it kills the process.
pub struct Run {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// What a run that has ended left behind.
#[derive(Debug)]
pub struct Printed {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    /// An empty directory.
    pub fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), environment: Vec::new(), runs: 0.into() }
    }

    /// A directory with this settings file under the default name.
    pub fn with_settings(settings: &impl ToString) -> Self {
        Self::new().file("ollamaflow.json", settings)
    }

    /// Writes a file.
    pub fn file(self, name: &str, text: &impl ToString) -> Self {
        fs::write(self.path(name), text.to_string()).unwrap();
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Names of the files in the directory.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with("output-"));
        names.sort();
        names
    }

    /// Starts the program.
    pub fn start<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        let run = self.runs.get();
        self.runs.set(run + 1);
        let output = |name: &str| self.path(&format!("output-{run}-{name}"));
        let (stdout, stderr) = (output("stdout"), output("stderr"));
        let child = Command::new(binary_path())
            .current_dir(self.directory.path())
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Run { child, stdout, stderr }
    }

    /// Runs the program to its end.
    pub async fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Printed {
        self.start(arguments).ended().await
    }
}

impl Run {
    /// What was printed on standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What was printed on standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Waits until it listens; gives the address.
    pub async fn listening(&mut self) -> SocketAddr {
        wait::until_some("the node listens", || {
            let printed = self.stdout();
            let complete = &printed[..printed.rfind('\n')?];
            let ready = complete.lines().find_map(|line| line.strip_prefix(READY))?;
            Some(ready.parse().unwrap())
        })
        .await
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> Printed {
        let status = wait::until_some("the program ends", || self.child.try_wait().unwrap()).await;
        Printed { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Printed {
    /// All that was printed.
    pub fn everything(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Both fail only for a child that was waited for before.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            println!("--- standard output\n{}--- standard error\n{}", self.stdout(), self.stderr());
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
