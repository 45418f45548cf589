//! Signals to stop: `SIGTERM` lets requests in flight finish, `SIGINT` and `SIGQUIT` do not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::signal::unix::{Signal, SignalKind, signal};

use crate::admin::Readiness;
use crate::cluster::Cluster;

/// How long a node of a cluster goes on accepting after its readiness has begun to fail: whoever checks it each
/// half second has sent new clients elsewhere by then.
pub(super) const STOP_DELAY: Duration = Duration::from_secs(1);

/// The signals that end a node.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

// === impl StopSignals ===

impl StopSignals {
    /// From now on a signal does not kill the process, but waits for [`StopSignals::obey`].
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Stops the servers when the first signal comes: readiness fails first and, when there is time to finish, for
    /// `delay` before they stop to accept; meanwhile a leader hands its leadership over. A second signal cuts the delay short.
    pub(super) async fn obey(
        mut self,
        readiness: Arc<Readiness>,
        delay: Duration,
        cluster: Cluster,
        servers: Vec<ServerHandle>,
    ) {
        let mut finish_requests = self.next().await;
        tracing::info!(finish_requests, "stopping");
        readiness.begin_stopping();
        if finish_requests {
            let parting = futures_util::future::join(cluster.hand_over(), actix_web::rt::time::sleep(delay));
            tokio::select! {
                _ = parting => {}
                again = self.next() => finish_requests = again,
            }
        }
        futures_util::future::join_all(servers.iter().map(|server| server.stop(finish_requests))).await;
    }

    /// The next signal: whether requests in flight may finish.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => false,
            _ = self.quit.recv() => false,
        }
    }
}
