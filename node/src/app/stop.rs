//! Orders to stop: from signals, of which `SIGTERM` lets requests in flight finish, and `SIGINT` and `SIGQUIT` do not; or from
//! the program that the node is a part of.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::signal::unix::{Signal, SignalKind, signal};
use actix_web::rt::time::sleep;
use tokio::sync::mpsc;

use crate::admin::Readiness;
use crate::cluster::Cluster;
use crate::gateway::Closer;

/// What is to be stopped, and how much time there is.
pub(super) struct Stopping {
    pub(super) readiness: Arc<Readiness>,
    /// How long the servers go on accepting after readiness has begun to fail.
    pub(super) settle: Duration,
    /// How long requests in flight may go on after that.
    pub(super) grace: Duration,
    pub(super) cluster: Cluster,
    pub(super) servers: Vec<ServerHandle>,
    pub(super) closer: Closer,
}

/// Where orders to stop come from.
pub(super) enum Stops {
    /// From signals to the process, which is the node's alone.
    Signals(StopSignals),
    /// From the program around the node: a message lets requests in flight finish, a closed channel does not.
    Owner(mpsc::Receiver<()>),
}

/// The signals that end a node.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

// === impl Stops ===

impl Stops {
    /// Stops the node when the first order comes. With time to finish, readiness fails first; then the servers stop to
    /// accept; what is in flight goes on for the grace time, and is ended. Meanwhile a leader hands its leadership over.
    /// A second order cuts short whatever is waited for.
    pub(super) async fn obey(mut self, stopping: Stopping) {
        let Stopping { readiness, settle, grace, cluster, servers, closer } = stopping;
        let mut finish_requests = self.next().await;
        tracing::info!(finish_requests, "stopping");
        readiness.begin_stopping();
        if finish_requests {
            let parting = futures_util::future::join(cluster.hand_over(), sleep(settle));
            tokio::select! {
                _ = parting => {}
                again = self.next() => finish_requests = again,
            }
        }
        let stopped =
            futures_util::future::join_all(servers.iter().map(|server| server.stop(finish_requests)));
        let mut stopped = pin!(stopped);
        tokio::select! {
            _ = &mut stopped => return,
            () = sleep(grace) => {}
            _ = self.next() => {}
        }
        tracing::info!("ending the requests that are still in flight");
        closer.close();
        stopped.await;
    }

    /// The next order: whether requests in flight may finish.
    async fn next(&mut self) -> bool {
        match self {
            Self::Signals(signals) => signals.next().await,
            Self::Owner(orders) => orders.recv().await.is_some(),
        }
    }
}

// === impl StopSignals ===

impl StopSignals {
    /// From now on a signal does not kill the process, but waits for [`Stops::obey`].
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
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
