//! Logging: the subscriber that every `tracing` event of the node goes to.
//!
//! Standard error, so that standard output stays for what the program was asked to print.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::EnvFilter;

use crate::settings::Logging;

/// Installs the subscriber of this process. `RUST_LOG`, if set, decides over `Logging.MinimumSeverity`.
///
/// Does nothing if one is installed already, as in a process that embeds several nodes.
pub fn init(settings: &Logging) {
    let level = match settings.minimum_severity {
        0 => Some(Level::DEBUG),
        1 => Some(Level::INFO),
        2 => Some(Level::WARN),
        3..=6 => Some(Level::ERROR),
        _ => None,
    };
    let directives = match level {
        Some(level) if settings.enable && settings.console_logging => {
            // Other crates' debug output is about their own internals, and all of openraft's is, ten lines a second
            // while a peer is silent: what its user should know the cluster says itself.
            format!("{},openraft=off,ollamaflow={level}", level.min(Level::INFO))
        }
        _ => "off".to_owned(),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives));
    let colors = settings.enable_colors && std::io::stderr().is_terminal();
    // An error means that a subscriber exists: then it is the one to use.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colors)
        .with_writer(std::io::stderr)
        .try_init();
}
