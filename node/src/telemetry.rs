//! Telemetry: what the node writes about itself, and where that goes.
//!
//! In: `tracing` events of every part, and one line of the gateway for each request that has ended. Out: the console
//! (standard error, so that standard output stays for what the program was asked to print), a file for each day, and
//! datagrams to syslog servers.
//!
//! ```text
//! tracing event ─▶ filter ─▶ one formatter for each sink ─┐
//! a request's end ─▶ queue ─▶ thread ─▶ access ───────────┴▶ queue ─▶ thread ─▶ console | file | syslog server
//! ```
//!
//! Whoever logs only copies bytes into a bounded buffer. Each sink has a thread of its own that writes what has gathered;
//! a sink that is slower than what is logged loses lines, counted, and delays nobody.

mod access;
mod console;
mod events;
mod excerpt;
mod file;
mod level;
mod queue;
mod sinks;
mod stamp;
mod syslog;
mod traces;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, reload};

pub use self::access::{AccessLog, Entry, Named, Names};
pub use self::excerpt::{EXCERPT_BYTES, Excerpt};
pub use self::level::{FilterError, Level};
pub use self::queue::Lost;
use self::sinks::Sinks;
pub use self::traces::{Attribute, AttributeValue, Parent, Span, SpanKind, Trace, Traces};
use crate::settings::{LogFormat, Logging};

/// How long the end of a process waits for what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The log of this node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Logs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Logging,
    /// None if another subscriber of this process takes the events.
    filter: Option<reload::Handle<Targets, Registry>>,
    initial: Level,
    level: Mutex<Level>,
    access: AccessLog,
    sinks: Arc<Sinks>,
}

/// Why the level cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// The filter cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The process has a subscriber that is not this node's.
    #[error("the program that this node is a part of has a log of its own: its level is changed there")]
    Foreign,
}

// === impl Logs ===

impl Logs {
    /// Starts the log and makes it the one of this process. `RUST_LOG`, if set, decides over `Logging.MinimumSeverity`
    /// until the level is changed.
    ///
    /// If the process has a subscriber already, as in a program that embeds a node, events stay there.
    pub fn start(settings: &Logging) -> Self {
        let initial = Level::initial(settings);
        let targets = initial.targets(settings).unwrap_or_default();
        let sinks = Arc::new(Sinks::start(settings));
        let access = AccessLog::new(settings.format, sinks.clone());
        access.switch(initial.has_access_log(settings, &targets));
        let (filter, handle) = reload::Layer::new(targets);
        let installed =
            tracing_subscriber::registry().with(filter).with(events::layers(settings, &sinks)).try_init();
        let filter = installed.is_ok().then_some(handle);
        let settings = settings.clone();
        let level = Mutex::new(initial.clone());
        Self(Arc::new(Inner { settings, filter, initial, level, access, sinks }))
    }

    /// No log of its own: events go to the subscriber of the program that this node is a part of, and requests get no lines.
    pub fn of_program() -> Self {
        let settings = Logging { enable: false, access_log: false, ..Logging::default() };
        let sinks = Arc::new(Sinks::start(&settings));
        let initial = Level { filter: None, ..Level::initial(&settings) };
        let access = AccessLog::new(settings.format, sinks.clone());
        access.switch(false);
        let level = Mutex::new(initial.clone());
        Self(Arc::new(Inner { settings, filter: None, initial, level, access, sinks }))
    }

    /// Where the lines of requests go.
    pub fn access(&self) -> &AccessLog {
        &self.0.access
    }

    /// What is logged now.
    pub fn level(&self) -> Level {
        self.0.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was logged when the node started.
    pub fn initial_level(&self) -> &Level {
        &self.0.initial
    }

    /// What the filter comes to, in its own syntax.
    pub fn directives(&self) -> String {
        self.level().directives(&self.0.settings)
    }

    /// Whether this can be logged.
    ///
    /// # Errors
    /// See [`LevelError`].
    pub fn check(&self, level: &Level) -> Result<(), LevelError> {
        level.targets(&self.0.settings)?;
        self.0.filter.as_ref().map(|_| ()).ok_or(LevelError::Foreign)
    }

    /// From now on this is logged.
    ///
    /// # Errors
    /// See [`LevelError`]; nothing is changed then.
    pub fn set_level(&self, level: Level) -> Result<(), LevelError> {
        let inner = &*self.0;
        let targets = level.targets(&inner.settings)?;
        let mut current = inner.level.lock().unwrap_or_else(PoisonError::into_inner);
        let is_on = level.has_access_log(&inner.settings, &targets);
        inner.filter.as_ref().ok_or(LevelError::Foreign)?.reload(targets).map_err(|_| LevelError::Foreign)?;
        inner.access.switch(is_on);
        *current = level;
        Ok(())
    }

    /// The form of a line.
    pub fn format(&self) -> &'static str {
        match self.0.settings.format {
            LogFormat::Text => "Text",
            LogFormat::Json => "Json",
        }
    }

    /// Whether there is a console.
    pub fn has_console(&self) -> bool {
        self.0.sinks.console.is_some()
    }

    /// Today's file, if there are files.
    pub fn file(&self) -> Option<String> {
        self.0.sinks.file.as_ref()?;
        file::path_of_today(&self.0.settings)
    }

    /// The syslog servers, each as host and port.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.0.sinks.servers.iter().map(|(name, _)| name.as_str())
    }

    /// Lines that did not get to their sinks, by kind of sink.
    pub fn losses(&self) -> [(&'static str, Lost); 3] {
        self.0.sinks.losses(self.0.access.lost())
    }

    /// Writes what there is to be written, and waits for that, but not for long. Later lines are lost.
    pub fn finish(&self) {
        let deadline = Instant::now() + LAST_WORDS;
        self.0.access.finish(deadline);
        self.0.sinks.finish(deadline);
    }
}
