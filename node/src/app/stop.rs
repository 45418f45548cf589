//! Signals to stop: `SIGTERM` lets requests in flight finish, `SIGINT` and `SIGQUIT` do not.

use std::io;

use actix_web::dev::ServerHandle;
use actix_web::rt::signal::unix::{Signal, SignalKind, signal};

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

    /// Stops the server when the first signal comes.
    pub(super) async fn obey(mut self, server: ServerHandle) {
        let finish_requests = tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => false,
            _ = self.quit.recv() => false,
        };
        tracing::info!(finish_requests, "stopping");
        server.stop(finish_requests).await;
    }
}
