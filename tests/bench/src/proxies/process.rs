//! A started proxy: runs from a folder of its own, is ready when it has relayed an answer and a stream, and ends with
//! this process at the latest.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Announces, Launch, Site, Target, ours};
use crate::load::client::{Client, ClientError};
use crate::load::request::{self, Api, SHORT_BODY_BYTES};
use crate::load::streams::{self, Ending, Lines};
use crate::measure::process::ProcessTree;
use crate::wire::script::{ANSWER_LEAST_BYTES, Script};

/// How long a proxy may take to end after it was asked to.
const STOP: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// The same where the time itself is measured.
const FINE_POLL: Duration = Duration::from_millis(1);
/// Bytes of a proxy's output shown when it does not start.
const TAIL_BYTES: usize = 2_000;

/// A proxy that takes requests, or the upstream itself.
#[derive(Debug)]
pub(crate) struct Running {
    target: Target,
    addr: SocketAddr,
    /// From the start of the process to the first look at which it relayed.
    ready_after: Duration,
    /// `None` for [`Target::Direct`].
    process: Option<ProxyProcess>,
}

#[derive(Debug)]
struct ProxyProcess {
    child: Child,
    dir: TempDir,
}

/// Why a proxy could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A file or process could not be made.
    #[error("{target} could not be started: {source}")]
    Io {
        /// Which proxy.
        target: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// It ended, or relayed nothing in time.
    #[error("{target} is not ready: {reason}\n{output}")]
    NotReady {
        /// Which proxy.
        target: &'static str,
        /// What the last attempt met.
        reason: String,
        /// The end of what it printed.
        output: String,
    },
}

/// The words that run a command on `cpus` and end it together with this process, whatever ends this one.
pub(crate) fn contained(cpus: Option<&str>) -> Vec<String> {
    let mut words = ["setpriv", "--pdeathsig", "TERM"].map(str::to_owned).to_vec();
    if let Some(cpus) = cpus {
        words.extend(["taskset", "-c", cpus].map(str::to_owned));
    }
    words
}

// === impl Running ===

impl Running {
    /// Starts `target` and waits at most `limit` until it relays. `wrapper` is put before the command.
    pub(crate) async fn start(
        target: Target,
        site: &Site,
        wrapper: &[String],
        limit: Duration,
    ) -> Result<Self, StartError> {
        let fault = |source| StartError::Io { target: target.label(), source };
        let dir = TempDir::with_prefix("ollamaflow-bench-").map_err(fault)?;
        let addr = free_address().map_err(fault)?;
        let Some(launch) = target.prepare(site, addr.port(), dir.path()).map_err(fault)? else {
            return Ok(Self { target, addr: site.upstream, ready_after: Duration::ZERO, process: None });
        };
        let started = Instant::now();
        let child = spawn(&launch, site, wrapper, dir.path()).map_err(fault)?;
        let process = Some(ProxyProcess { child, dir });
        let mut running = Self { target, addr, ready_after: Duration::ZERO, process };
        running.wait_until_ready(launch.announces, site, limit).await?;
        running.ready_after = started.elapsed();
        Ok(running)
    }

    /// Starts `target` and asks it for a small answer again and again: the time from the start of the process until the
    /// answer is there. It is ended then.
    pub(crate) async fn first_answer(
        target: Target,
        site: &Site,
        limit: Duration,
    ) -> Result<Duration, StartError> {
        let fault = |source| StartError::Io { target: target.label(), source };
        let dir = TempDir::with_prefix("ollamaflow-bench-").map_err(fault)?;
        let addr = free_address().map_err(fault)?;
        let launch = target.prepare(site, addr.port(), dir.path()).map_err(fault)?;
        let launch = launch.ok_or_else(|| fault(io::ErrorKind::InvalidInput.into()))?;
        let request = request::chat(site.api, Script::Answer, SHORT_BODY_BYTES);
        let started = Instant::now();
        let child = spawn(&launch, site, &[], dir.path()).map_err(fault)?;
        let process = Some(ProxyProcess { child, dir });
        let mut running = Self { target, addr, ready_after: Duration::ZERO, process };
        while !answers(addr, &request).await {
            if let Some(reason) = running.given_up(started, limit, "it gives no answer") {
                return Err(reason);
            }
            tokio::time::sleep(FINE_POLL).await;
        }
        let took = started.elapsed();
        running.stop().await;
        Ok(took)
    }

    /// Which one it is.
    pub(crate) fn target(&self) -> Target {
        self.target
    }

    /// How long it took until it relayed, as exactly as it was looked for.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its processes; `None` for [`Target::Direct`] and for one that has ended.
    pub(crate) fn tree(&self) -> Option<ProcessTree> {
        ProcessTree::of(self.process.as_ref()?.child.id()?).ok()
    }

    /// Ends it and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.stop_within(STOP).await;
    }

    /// The same, with another patience; whether it ended by itself.
    pub(crate) async fn stop_within(mut self, limit: Duration) -> bool {
        let Some(process) = &mut self.process else { return true };
        process.terminate();
        let ended = tokio::time::timeout(limit, process.child.wait()).await.is_ok();
        if !ended {
            drop(process.child.kill().await);
        }
        ended
    }

    async fn wait_until_ready(
        &mut self,
        announces: Announces,
        site: &Site,
        limit: Duration,
    ) -> Result<(), StartError> {
        let start = Instant::now();
        loop {
            let attempt = self.try_ready(announces, site.api).await;
            let Err(reason) = attempt else { return Ok(()) };
            if let Some(reason) = self.given_up(start, limit, &reason) {
                return Err(reason);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Why there is no use in waiting longer, if there is none.
    fn given_up(&mut self, start: Instant, limit: Duration, reason: &str) -> Option<StartError> {
        let ended =
            self.process.as_mut().is_some_and(|process| !matches!(process.child.try_wait(), Ok(None)));
        if !ended && start.elapsed() <= limit {
            return None;
        }
        let reason = if ended { "it has ended" } else { reason }.to_owned();
        let output = self.process.as_ref().map(ProxyProcess::output_tail).unwrap_or_default();
        Some(StartError::NotReady { target: self.target.label(), reason, output })
    }

    /// One attempt; the error tells what is missing.
    async fn try_ready(&mut self, announces: Announces, api: Api) -> Result<(), String> {
        if announces == Announces::AddressAndHealth {
            let output = self.process.as_ref().map(ProxyProcess::stdout).unwrap_or_default();
            self.addr = announced_address(&output).ok_or("it has not printed its address")?;
            let health = request::get(ours::HEALTH_PATH, Some(ours::ADMIN_AUTHORIZATION));
            let answer = fetch(self.addr, &health).await.map_err(|error| error.to_string())?;
            if !ours::is_healthy(&answer) {
                return Err(format!("its backend is not healthy: {}", String::from_utf8_lossy(&answer)));
            }
        }
        relays(self.addr, api).await
    }
}

/// Whether a plain answer and a short stream come through whole.
async fn relays(addr: SocketAddr, api: Api) -> Result<(), String> {
    let text = |error: ClientError| error.to_string();
    let plain = request::chat(api, Script::Answer, SHORT_BODY_BYTES);
    let answer = Client::connect(addr).await.map_err(text)?.fetch(&plain).await.map_err(text)?;
    if answer.status != 200 {
        return Err(format!("it answers {}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
    }
    if answer.body.len() < ANSWER_LEAST_BYTES {
        return Err(format!("it answers with {} bytes, which is not all", answer.body.len()));
    }
    let (mut client, mut chunks) = (Client::connect(addr).await.map_err(text)?, 0);
    let streamed = Script::Stream { chunks: 3, interval_us: 1_000 };
    client.send(&request::chat(api, streamed, SHORT_BODY_BYTES)).await.map_err(text)?;
    match streams::read_to_end(&mut client, &mut Lines::default(), |_| chunks += 1).await {
        Ending::Complete if chunks == 3 => Ok(()),
        ending => Err(format!("a stream of 3 chunks arrives as {chunks} and ends with {ending:?}")),
    }
}

/// Whether a small answer comes through whole.
async fn answers(addr: SocketAddr, request: &[u8]) -> bool {
    let Ok(mut client) = Client::connect(addr).await else { return false };
    match client.fetch(request).await {
        Ok(answer) => answer.status == 200 && answer.body.len() >= ANSWER_LEAST_BYTES,
        Err(_) => false,
    }
}

async fn fetch(addr: SocketAddr, request: &[u8]) -> Result<Vec<u8>, ClientError> {
    Ok(Client::connect(addr).await?.fetch(request).await?.body)
}

fn spawn(launch: &Launch, site: &Site, wrapper: &[String], dir: &Path) -> io::Result<Child> {
    let mut words = contained(site.cpus.as_deref());
    words.extend_from_slice(wrapper);
    let (first, rest) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(first);
    // What the shell has set for a node of its own would change what is measured: one `RUST_LOG` takes the access log away.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_the_node(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
        .args(rest)
        .arg(&launch.program)
        .args(&launch.args)
        .envs(launch.env.iter().copied())
        .current_dir(dir)
        .stdin(Stdio::null())
        // Files and not pipes: whatever a proxy prints costs nobody time while it is measured.
        .stdout(File::create(stdout_path(dir))?)
        .stderr(File::create(dir.join("stderr"))?)
        .spawn()
}

/// Whether a variable is a setting of the node.
fn is_of_the_node(variable: &str) -> bool {
    variable == "RUST_LOG" || ["OLLAMAFLOW_", "OTEL_"].iter().any(|prefix| variable.starts_with(prefix))
}

/// A port that was free a moment ago: nginx and haproxy cannot tell which one the system gave them.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn stdout_path(dir: &Path) -> PathBuf {
    dir.join("stdout")
}

fn announced_address(output: &str) -> Option<SocketAddr> {
    let (_, rest) = output.split_once(ours::READY)?;
    let (line, _) = rest.split_once('\n')?;
    line.split_ascii_whitespace().next()?.trim_end_matches('/').parse().ok()
}

// === impl ProxyProcess ===

impl ProxyProcess {
    /// Asks it to end. Never SIGKILL first: nginx's workers would outlive their master.
    fn terminate(&self) {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // Already gone is as good.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    fn stdout(&self) -> String {
        std::fs::read_to_string(stdout_path(self.dir.path())).unwrap_or_default()
    }

    fn output_tail(&self) -> String {
        let mut text = std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
        text.push_str(&self.stdout());
        let start = text.char_indices().rev().nth(TAIL_BYTES).map_or(0, |(at, _)| at);
        text.split_off(start)
    }
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        self.terminate();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announced_address_is_read_from_a_whole_line() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 43411));
        assert_eq!(announced_address("starting\nlistening on http://127.0.0.1:43411\n"), Some(addr));
        assert_eq!(announced_address("listening on http://127.0.0.1:43411/ (2 workers)\n"), Some(addr));
        assert_eq!(announced_address("listening on http://127.0.0.1:434"), None);
        assert_eq!(announced_address(""), None);
    }
}
