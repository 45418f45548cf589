//! The certificate that clients see: from the settings, and followed while the node runs.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::rt::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::NodeError;
use crate::listener::{ListenerTls, TlsFiles};
use crate::settings::Ssl;

/// How often the files are read again.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// TLS as the settings want it; none if they do not.
pub(super) fn of(ssl: &Ssl) -> Result<Option<ListenerTls>, NodeError> {
    let (true, Some(certificate), Some(key)) = (ssl.enable, &ssl.certificate_file, &ssl.key_file) else {
        return Ok(None);
    };
    let authorities = ssl.client_ca_file.as_ref().filter(|_| ssl.mutually_authenticate);
    let files = TlsFiles {
        certificate: PathBuf::from(certificate),
        key: PathBuf::from(key),
        client_authorities: authorities.map(PathBuf::from),
    };
    Ok(Some(ListenerTls::load(files)?))
}

/// From now on a hangup does not kill the process, but waits for [`follow`].
pub(super) fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Has changed files seen, every few seconds and at each hangup that is for this node, for ever.
pub(super) async fn follow(tls: Option<ListenerTls>, mut hangups: Option<Signal>) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        let is_asked = tokio::select! {
            _ = looks.tick(), if tls.is_some() => false,
            Some(()) = next(&mut hangups) => true,
            else => return,
        };
        if is_asked {
            tracing::info!(
                "a hangup has certificate files read again; frontends and backends are changed by the admin API or \
                 `ollamaflow apply`, other settings by a restart"
            );
        }
        let Some(tls) = tls.clone() else { continue };
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok(is_new)) => {
                told = None;
                if is_new {
                    tracing::info!("clients see a new certificate from now on");
                }
            }
            Ok(Err(error)) => {
                // Once, and not each few seconds: half of a renewed pair may be there already.
                let error = error.to_string();
                if told.as_ref() != Some(&error) {
                    tracing::warn!(
                        error,
                        "the certificate files cannot be used: the certificate stays as it was"
                    );
                    told = Some(error);
                }
            }
            Err(error) => tracing::error!(%error, "the certificate files could not be read again"),
        }
    }
}

/// The next hangup; none if there will be none.
async fn next(hangups: &mut Option<Signal>) -> Option<()> {
    match hangups {
        Some(hangups) => hangups.recv().await,
        None => None,
    }
}
