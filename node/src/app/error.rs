//! Why a node does not start, or stops on its own.

use std::io;

use crate::cluster::{PeerTlsError, SecretError, StartError};
use crate::keys::UsageError;
use crate::listener::ListenerTlsError;
use crate::settings::SettingsError;

/// Why a node does not start, or how it ended if not as it was told to.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The settings break rules: every one of them is told, with its place.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As configured.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(#[source] io::Error),
    /// The node cannot take its part in the cluster: most often another node has its directory.
    #[error(transparent)]
    Cluster(#[from] StartError),
    /// The certificates for the other nodes cannot be used.
    #[error("Cluster.Tls: {0}")]
    PeerTls(#[from] PeerTlsError),
    /// The secret cannot be used.
    #[error("Cluster.Secret: {0}")]
    Secret(#[from] SecretError),
    /// TLS towards clients cannot be set up.
    #[error("Webserver.Ssl: {0}")]
    ClientTls(#[from] ListenerTlsError),
    /// Usage of virtual keys cannot be kept.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The server stopped with an error.
    #[error("the server stopped: {0}")]
    Server(#[source] io::Error),
    /// The operating system gives the node no thread.
    #[error("a thread for the node cannot be started: {0}")]
    Thread(#[source] io::Error),
    /// The node's thread panicked, which is a fault in the node.
    #[error("the node's thread panicked: its message tells where")]
    Panicked,
}
