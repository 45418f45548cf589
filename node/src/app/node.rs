//! A node inside another program.

use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::stop::Stops;
use super::{Addresses, NodeError, Owner, run};
use crate::settings::{self, Loaded, Settings};
use crate::telemetry::Logs;

/// A node that runs inside this program, from [`Node::start`] to [`Node::shutdown`].
///
/// It has threads of its own, so it does not matter whether the program uses tokio, actix or neither, and it leaves the
/// process alone: no signal is caught, nothing is printed, no limit is changed, the process is never ended. Several nodes
/// may run in one process, each with a `data_directory` of its own.
///
/// [`start`](Node::start), [`shutdown`](Node::shutdown) and dropping a node block: call them in asynchronous code where
/// that is allowed, such as `tokio::task::spawn_blocking`.
///
/// # Dropping
///
/// A node that is dropped stops at once, without time for the requests that are in flight: they end with an error. Its threads have ended and its
/// directory is free when the drop returns, as after [`shutdown`](Node::shutdown).
pub struct Node {
    addresses: Addresses,
    /// A message stops the node; if this end is dropped, it stops at once. None if it was told so.
    stop: Option<mpsc::Sender<()>>,
    /// None when it has been waited for.
    thread: Option<JoinHandle<Result<(), NodeError>>>,
}

// === impl Node ===

impl Node {
    /// Starts a node, and returns when it listens: from then on requests are carried, as soon as backends are found healthy.
    ///
    /// What the node has to tell goes to the `tracing` subscriber of this program, if there is one; `settings.logging` is not
    /// looked at, and there is no access log. See [`Node::start_with_log`]. Admin calls need one of
    /// `settings.admin_bearer_tokens`; without any, none succeeds.
    ///
    /// `settings.frontends` and `settings.backends` are the first ones of a new data directory. One that has been used before
    /// has its own, which the admin API changes.
    ///
    /// # Errors
    /// The settings break rules, a port is taken, the directory is another node's, ...: see [`NodeError`]. Nothing is left
    /// running then.
    pub fn start(settings: Settings) -> Result<Self, NodeError> {
        Self::launch(settings::check_given(settings)?, |_| Logs::of_program())
    }

    /// The same with the log that `settings.logging` asks for: console, files, syslog, and the access log. Where the program
    /// has no `tracing` subscriber yet, it gets the node's, for all of its own events, too.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_with_log(settings: Settings) -> Result<Self, NodeError> {
        Self::launch(settings::check_given(settings)?, |loaded| Logs::start(&loaded.settings.logging))
    }

    fn launch(loaded: Loaded, logs: fn(&Loaded) -> Logs) -> Result<Self, NodeError> {
        let (ready, started) = channel();
        let (stop, stops) = mpsc::channel(1);
        let owner = Owner::Program { ready, stops: Stops::Owner(stops) };
        let work = move || {
            let logs = logs(&loaded);
            run(loaded, &logs, owner)
        };
        let thread = thread::Builder::new().name("ollamaflow".to_owned()).spawn(work);
        let thread = thread.map_err(NodeError::Thread)?;
        match started.recv() {
            Ok(addresses) => Ok(Self { addresses, stop: Some(stop), thread: Some(thread) }),
            // It has ended before it listened.
            Err(_) => Err(thread
                .join()
                .map_or(NodeError::Panicked, |ended| ended.err().unwrap_or(NodeError::Panicked))),
        }
    }

    /// Where clients are served: the first of [`Node::addresses`]. With port 0 in the settings this tells the port.
    pub fn address(&self) -> SocketAddr {
        self.addresses.clients[0]
    }

    /// Where clients are served. A host name may mean several addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses.clients
    }

    /// Where the admin API is served: where clients are, unless `settings.admin.listen` says otherwise.
    pub fn admin_addresses(&self) -> &[SocketAddr] {
        if self.addresses.admins.is_empty() { &self.addresses.clients } else { &self.addresses.admins }
    }

    /// Whether the node still runs. It ends before it is told to only when its servers fail, and [`Node::shutdown`] tells how.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops the node as `SIGTERM` stops the program: `/readyz` fails first (`shutdown_settle_ms`), the leadership of the cluster
    /// is handed over, nothing new is accepted, requests in flight have `shutdown_grace_ms` to finish, and what is left then is
    /// ended with an error in its own protocol. When this returns, nothing of the node runs any more, and its data directory
    /// can be used again.
    ///
    /// # Errors
    /// The node has ended on its own before, with this error.
    pub fn shutdown(mut self) -> Result<(), NodeError> {
        if let Some(stop) = &self.stop {
            // A full channel or one without a reader says that it stops already.
            let _ = stop.try_send(());
        }
        self.wait()
    }

    fn wait(&mut self) -> Result<(), NodeError> {
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or(Err(NodeError::Panicked)))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop = None;
        if let Err(error) = self.wait() {
            tracing::error!(%error, "the node ended with an error");
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Node").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
