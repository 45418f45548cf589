//! The real binary as a child process: a settings file in a directory of its own, a port of the OS's choice, its output
//! shown when a test fails.
//!
//! What is relied on: the binary reads `ollamaflow.json` of its current directory, listens where `--listen` says, prints
//! `listening on http://ADDRESS` on a line of its own when it is ready, and takes other frontends and backends by
//! `PUT /v1.0/catalog`.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

mod binary;
mod builder;
mod metrics;
mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use self::process::Process;
use crate::client::Request;
use crate::objects::{Backend, Frontend};
use crate::wait;

pub use binary::path as binary_path;
pub use builder::{ADMIN_TOKEN, NodeBuilder};
pub use metrics::Metrics;
pub use process::Signal;

/// A running node. Dropping it kills the process; if the test is panicking, the end of the node's output is shown.
#[derive(Debug)]
pub struct Node {
    /// Before the directory: dropping it shows the output, which is in there.
    process: Process,
    builder: NodeBuilder,
    directory: Arc<TempDir>,
}

impl Node {
    /// A node to be configured.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    async fn launch(builder: NodeBuilder) -> Result<Self, String> {
        let directory = builder.directory.clone().unwrap_or_else(new_directory);
        builder.write_settings(directory.path());
        let process = Process::try_start(directory.path(), &builder).await?;
        Ok(Self { process, builder, directory })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.process.address()
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The directory it runs in, with its settings file and data.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its settings file.
    pub fn settings_file(&self) -> PathBuf {
        self.directory.path().join(builder::SETTINGS_FILE)
    }

    /// Resident memory in bytes; Linux only.
    pub fn rss_bytes(&self) -> u64 {
        self.process.rss_bytes()
    }

    /// Everything it printed, since its first start.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.process.exit_status().is_none()
    }

    /// Kills the process, without any chance to clean up.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits until the process ends by itself.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        wait::until_some("the node ends", || self.process.exit_status()).await
    }

    /// Asks it to end and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::Term);
        self.wait_exit().await
    }

    /// Like [`restart`](Self::restart); the error tells how it ended before it listened, with the end of its output.
    pub async fn try_restart(&mut self) -> Result<(), String> {
        self.process.kill();
        self.process = Process::try_start(self.directory.path(), &self.builder).await?;
        Ok(())
    }

    /// Starts it again and kills it so long after, whether or not it listens by then.
    pub async fn restart_and_kill(&mut self, after: Duration) {
        self.process.kill();
        Process::start_and_kill(self.directory.path(), &self.builder, after).await;
    }

    /// What it is started with from the next start on.
    pub fn reconfigure(&mut self, change: impl FnOnce(NodeBuilder) -> NodeBuilder) {
        self.builder = change(self.builder.clone());
        self.builder.write_settings(self.directory.path());
    }

    /// Starts it again in the same directory, after it ended or was killed. The port is another one.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = Process::start(self.directory.path(), &self.builder).await;
    }

    /// Makes these the only frontends and backends. Requests are routed by them a moment later.
    pub async fn rewrite_objects(
        &self,
        frontends: impl IntoIterator<Item = Frontend>,
        backends: impl IntoIterator<Item = Backend>,
    ) {
        let frontends: Vec<Value> = frontends.into_iter().map(|frontend| frontend.json()).collect();
        let backends: Vec<Value> = backends.into_iter().map(|backend| backend.json()).collect();
        let catalog = json!({ "Frontends": frontends, "Backends": backends });
        let (status, answer) = self.admin("PUT", "/v1.0/catalog", Some(&catalog)).await;
        assert_eq!(status, 200, "the catalog was not replaced: {answer}");
    }

    /// An admin request with the token of the test settings; gives status and body (null when it is not JSON).
    pub async fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = Request::new(method, path).bearer(ADMIN_TOKEN);
        let request = body.map_or(request.clone(), |body| request.json(body));
        let answer = request.send(self.addr()).await.collect().await;
        (answer.status(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// The health list, by which the node tells what it thinks of its backends.
    pub async fn health(&self) -> Result<Vec<Value>, String> {
        let request = Request::get("/v1.0/backends/health").bearer(ADMIN_TOKEN);
        let response = request.try_send(self.addr()).await.map_err(|e| e.to_string())?;
        let answer = response.collect().await;
        match (answer.status(), serde_json::from_slice(&answer.body)) {
            (200, Ok(Value::Array(backends))) => Ok(backends),
            (status, _) => Err(format!("health list: status {status}, {}", answer.text())),
        }
    }

    /// Waits until each of these backends is healthy.
    pub async fn wait_healthy(&self, identifiers: &[&str]) {
        self.wait_for_health(identifiers, "HealthySinceUtc").await;
    }

    /// Waits until this backend is not healthy.
    pub async fn wait_unhealthy(&self, identifier: &str) {
        self.wait_for_health(&[identifier], "UnhealthySinceUtc").await;
    }

    async fn wait_for_health(&self, identifiers: &[&str], property: &str) {
        wait::until_answered(&format!("{identifiers:?} have {property}"), async || {
            let backends = self.health().await?;
            let missing =
                identifiers.iter().find(|identifier| !has_property(&backends, identifier, property));
            missing.map_or(Ok(()), |missing| {
                Err(format!("{missing} has not: {}", Value::from(backends.clone())))
            })
        })
        .await;
    }
}

/// A directory that goes when nobody holds it any more.
fn new_directory() -> Arc<TempDir> {
    Arc::new(TempDir::new().unwrap_or_else(|e| panic!("no temporary directory: {e}")))
}

fn has_property(backends: &[Value], identifier: &str, property: &str) -> bool {
    let mut matching = backends.iter().filter(|backend| backend["Identifier"] == identifier);
    matching.next().is_some_and(|backend| !backend[property].is_null())
}
