//! What is logged: a severity, or a filter, and whether requests get lines.

use std::str::FromStr as _;

use tracing::metadata::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::access;
use crate::settings::Logging;

/// The targets of `LogQueries` and `LogResults`.
const QUERIES: &str = "ollamaflow::queries";
const RESULTS: &str = "ollamaflow::results";

/// Where the server tells of what it could not read.
const SERVER: &str = "actix_http::h1::dispatcher";

/// The severity from which on nothing is logged.
const NOTHING: u8 = 7;

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// As `Logging.MinimumSeverity`.
    pub minimum_severity: u8,
    /// Decides instead of the severity, if there is one: `info,ollamaflow::actors=debug`.
    pub filter: Option<String>,
    /// As `Logging.AccessLog`.
    pub access_log: bool,
}

/// A text is no filter.
#[derive(Debug, thiserror::Error)]
#[error(
    "Filter {0:?} cannot be read: write a level (off, error, warn, info, debug, trace), and TARGET=LEVEL for parts, separated by commas"
)]
pub struct FilterError(String);

// === impl Level ===

impl Level {
    /// What the settings and `RUST_LOG` say.
    pub(super) fn initial(settings: &Logging) -> Self {
        let filter = std::env::var("RUST_LOG").ok().filter(|text| read(text).is_ok());
        Self {
            minimum_severity: settings.minimum_severity,
            filter: filter.filter(|text| !text.trim().is_empty()),
            access_log: settings.access_log,
        }
    }

    /// The same as text.
    pub(super) fn directives(&self, settings: &Logging) -> String {
        if !settings.enable {
            return "off".to_owned();
        }
        if let Some(filter) = &self.filter {
            return filter.clone();
        }
        let Some(level) = level(self.minimum_severity) else { return "off".to_owned() };
        let mut text = format!("{},openraft=off,ollamaflow={level}", level.min(LevelFilter::INFO));
        // What anybody can send that is no request would be an error each time, of which there is nothing to mend.
        if level < LevelFilter::DEBUG {
            text.extend([",", SERVER, "=off"]);
        }
        for (target, is_on) in [(QUERIES, settings.log_queries), (RESULTS, settings.log_results)] {
            if !is_on && level == LevelFilter::DEBUG {
                text.extend([",", target, "=off"]);
            }
        }
        text
    }

    pub(super) fn targets(&self, settings: &Logging) -> Result<Targets, FilterError> {
        read(&self.directives(settings))
    }

    /// Whether requests get lines: they are events of severity 1 like any other.
    pub(super) fn has_access_log(&self, settings: &Logging, targets: &Targets) -> bool {
        settings.enable && self.access_log && targets.would_enable(access::TARGET, &tracing::Level::INFO)
    }
}

fn read(text: &str) -> Result<Targets, FilterError> {
    Targets::from_str(text.trim()).map_err(|_| FilterError(text.to_owned()))
}

/// Other crates' debug output is about their own internals, and all of openraft's is, ten lines a second while a peer is
/// silent: what its user should know the cluster says itself.
fn level(severity: u8) -> Option<LevelFilter> {
    match severity {
        0 => Some(LevelFilter::DEBUG),
        1 => Some(LevelFilter::INFO),
        2 => Some(LevelFilter::WARN),
        3..NOTHING => Some(LevelFilter::ERROR),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level as Severity;

    use super::*;

    fn severity(minimum_severity: u8) -> Level {
        Level { minimum_severity, filter: None, access_log: true }
    }

    fn enabled(level: &Level, settings: &Logging, target: &str, severity: Severity) -> bool {
        level.targets(settings).unwrap().would_enable(target, &severity)
    }

    #[test]
    fn severities_are_those_of_the_settings() {
        let settings = Logging::default();
        let ours =
            |minimum, severity_of| enabled(&severity(minimum), &settings, "ollamaflow::app", severity_of);
        assert!(ours(0, Severity::DEBUG) && !ours(1, Severity::DEBUG));
        assert!(ours(1, Severity::INFO) && !ours(2, Severity::INFO));
        assert!(ours(2, Severity::WARN) && !ours(3, Severity::WARN));
        assert!((3..7).all(|minimum| ours(minimum, Severity::ERROR)) && !ours(7, Severity::ERROR));
        assert!(!enabled(&severity(0), &settings, "actix_http", Severity::DEBUG));
        assert!(!enabled(&severity(0), &settings, "openraft::core", Severity::ERROR));
        assert!(enabled(&severity(0), &settings, SERVER, Severity::ERROR));
        assert!(!enabled(&severity(1), &settings, SERVER, Severity::ERROR));
        assert!(enabled(&severity(1), &settings, "actix_http", Severity::ERROR));
        let nothing = Logging { enable: false, ..Logging::default() };
        assert!(!enabled(&severity(0), &nothing, "ollamaflow", Severity::ERROR));
    }

    #[test]
    fn commands_are_logged_when_they_are_asked_for() {
        let mut settings = Logging::default();
        assert!(!enabled(&severity(0), &settings, QUERIES, Severity::DEBUG));
        settings.log_queries = true;
        assert!(enabled(&severity(0), &settings, QUERIES, Severity::DEBUG));
        assert!(!enabled(&severity(1), &settings, QUERIES, Severity::DEBUG));
        assert!(!enabled(&severity(0), &settings, RESULTS, Severity::DEBUG));
    }

    #[test]
    fn requests_have_lines_as_long_as_their_severity_is_logged() {
        let settings = Logging::default();
        let has = |level: &Level| level.has_access_log(&settings, &level.targets(&settings).unwrap());
        assert!(has(&severity(0)) && has(&severity(1)) && !has(&severity(2)));
        assert!(!has(&Level { access_log: false, ..severity(1) }));
        let filtered = |filter: &str| has(&Level { filter: Some(filter.to_owned()), ..severity(7) });
        assert!(filtered("info") && filtered("warn,access=info") && !filtered("info,access=off"));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let level = Level { filter: Some("ollamaflow=loud".to_owned()), ..severity(1) };
        assert!(level.targets(&Logging::default()).unwrap_err().to_string().contains("ollamaflow=loud"));
    }
}
