//! The child process: spawning, waiting for its ready line, signals, memory, output.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

use super::binary;
use super::builder::NodeBuilder;

/// What the ready line begins with, without TLS and with it.
const READY_LINES: [&str; 2] = ["listening on http://", "listening on https://"];
/// How long a node may take until it listens.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at the output.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Lines of output shown when a test panics.
const SHOWN_LINES: usize = 100;

/// A signal a node understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Nothing; a program that does not expect it ends.
    Hangup,
    /// End, after requests under way.
    Term,
    /// End, as from a terminal.
    Interrupt,
    /// End at once.
    Kill,
}

/// A child process which listens.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

/// A child which does not listen yet. Dropping it kills it, so that a failed start leaves nothing behind.
struct Starting {
    child: Option<Child>,
    log: PathBuf,
    /// Length of the log before this start.
    begin: u64,
}

impl Process {
    /// Spawns the binary in a directory and waits until it listens.
    pub(super) async fn start(directory: &Path, builder: &NodeBuilder) -> Self {
        Self::try_start(directory, builder).await.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// The same; an end or a silence before it listens is told instead.
    pub(super) async fn try_start(directory: &Path, builder: &NodeBuilder) -> Result<Self, String> {
        Starting::spawn(directory, builder).listening().await
    }

    /// Spawns the binary and kills it so long after, whether or not it listens by then.
    pub(super) async fn start_and_kill(directory: &Path, builder: &NodeBuilder, after: Duration) {
        let starting = Starting::spawn(directory, builder);
        tokio::time::sleep(after).await;
        drop(starting);
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn logs(&self) -> String {
        read_from(&self.log, 0)
    }

    pub(super) fn signal(&self, signal: Signal) {
        let signal = match signal {
            Signal::Hangup => rustix::process::Signal::HUP,
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Interrupt => rustix::process::Signal::INT,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) else { return };
        kill_process(pid, signal).unwrap_or_else(|e| panic!("no signal to node {}: {e}", self.pid()));
    }

    pub(super) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Kills it and waits until it is gone; nothing when it ended already.
    pub(super) fn kill(&mut self) {
        end(&mut self.child);
    }

    pub(super) fn rss_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kibibytes.unwrap_or_else(|| panic!("no VmRSS in {path}")) * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            show(&format!("--- end of the output of node {} ---\n{}", self.pid(), tail(&self.logs())));
        }
    }
}

/// Where the node listens, unless its own arguments say so.
fn listening(arguments: &[String]) -> &'static [&'static str] {
    if arguments.iter().any(|argument| argument == "--listen") { &[] } else { &["--listen", "127.0.0.1:0"] }
}

impl Starting {
    fn spawn(directory: &Path, builder: &NodeBuilder) -> Self {
        let log = directory.join("node.log");
        let output = open_log(&log);
        let begin = output.metadata().map_or(0, |metadata| metadata.len());
        let mut command = Command::new(binary::path());
        // Variables that steer the suites begin like those of the node, and are not meant for it.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        command
            .current_dir(directory)
            .args(listening(&builder.arguments))
            .args(&builder.arguments)
            .envs(builder.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(share(&output))
            .stderr(output);
        let child =
            command.spawn().unwrap_or_else(|e| panic!("{} does not start: {e}", binary::path().display()));
        Self { child: Some(child), log, begin }
    }

    /// Waits until it listens. What it printed is in the error.
    async fn listening(mut self) -> Result<Process, String> {
        let started = Instant::now();
        loop {
            let printed = read_from(&self.log, self.begin);
            if let Some(address) = ready_address(&printed)
                && let Some(child) = self.child.take()
            {
                return Ok(Process { child, address, log: self.log.clone() });
            }
            let exit = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = exit {
                let printed = tail(&read_from(&self.log, self.begin));
                return Err(format!("the node ended before it listened ({status}):\n{printed}"));
            }
            if started.elapsed() > START_PATIENCE {
                let printed = tail(&printed);
                return Err(format!("the node did not listen within {START_PATIENCE:?}:\n{printed}"));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

#[expect(clippy::print_stderr, reason = "the test runner captures it and shows it with the failed test")]
fn show(text: &str) {
    eprintln!("{text}");
}

fn end(child: &mut Child) {
    // Both fail only for a child that was waited for before.
    drop(child.kill());
    drop(child.wait());
}

/// Whether an environment variable has the prefix of the node's.
fn is_ours(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("OLLAMAFLOW_")
}

fn open_log(path: &Path) -> File {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.unwrap_or_else(|e| panic!("log file {}: {e}", path.display()))
}

fn share(file: &File) -> File {
    file.try_clone().unwrap_or_else(|e| panic!("log file: {e}"))
}

/// What was printed since the log had `begin` bytes.
fn read_from(log: &Path, begin: u64) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let begin = usize::try_from(begin).unwrap_or(usize::MAX).min(bytes.len());
    String::from_utf8_lossy(&bytes[begin..]).into_owned()
}

/// The address in the ready line. A line is complete only with its line end.
fn ready_address(printed: &str) -> Option<SocketAddr> {
    let complete = &printed[..printed.rfind('\n')?];
    let begun =
        |line: &'_ str| READY_LINES.iter().find_map(|ready| line.strip_prefix(ready).map(str::to_owned));
    let mut addresses = complete.lines().filter_map(|line| begun(line.trim()));
    addresses.find_map(|address| address.trim_end_matches('/').parse().ok())
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_ready_line_gives_the_address() {
        assert_eq!(ready_address("listening on http://127.0.0.1:43"), None);
        let printed = "INFO will be listening on http://1.2.3.4:5\nlistening on http://127.0.0.1:4321\n";
        assert_eq!(ready_address(printed), Some(SocketAddr::from(([127, 0, 0, 1], 4321))));
    }
}
