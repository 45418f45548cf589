//! `SIGHUP`: reads the settings' frontends and backends again and publishes them, without dropping a request.

use std::io;

use actix_web::rt::signal::unix::{Signal, SignalKind, signal};

use crate::catalog::CatalogPublisher;
use crate::settings::{self, Sources};

/// From now on a hangup does not kill the process, but waits for [`on_hangup`].
pub(super) fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Serves hangup signals for ever. A file with errors changes nothing.
pub(super) async fn on_hangup(mut hangups: Signal, sources: Sources, publisher: CatalogPublisher) {
    while hangups.recv().await.is_some() {
        let sources = sources.clone().again();
        let loaded = actix_web::rt::task::spawn_blocking(move || settings::load(sources)).await;
        match loaded {
            Ok(Ok(loaded)) => {
                for notice in &loaded.notices {
                    tracing::warn!("{notice}");
                }
                let changed = publisher.publish(loaded.catalog);
                tracing::info!(
                    changed,
                    "frontends and backends were read again; other settings need a restart"
                );
            }
            Ok(Err(e)) => tracing::error!(error = %e, "the settings are wrong; everything stays as it is"),
            Err(e) => tracing::error!(error = %e, "reading the settings failed; everything stays as it is"),
        }
    }
}
