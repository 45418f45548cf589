//! `SIGHUP`: changes nothing and says where to turn. Earlier versions read frontends and backends again.

use std::io;

use actix_web::rt::signal::unix::{Signal, SignalKind, signal};

/// From now on a hangup does not kill the process, but waits for [`explain`].
pub(super) fn signals() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Answers hangup signals for ever.
pub(super) async fn explain(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        tracing::warn!(
            "a hangup changes nothing: frontends and backends are changed by the admin API or `ollamaflow apply`, \
             other settings by a restart"
        );
    }
}
