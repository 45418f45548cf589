//! The access log: one line for each request that has ended.
//!
//! It looks like any other event of severity 1 in the room `access`, and goes where events go. It is no event: a worker
//! would spend more on making one than on all else that it does for a small request. It does not write the line either, but
//! leaves an [`Entry`] behind. A thread writes the lines of all that have gathered, so that the code for that and the code of
//! requests do not drive each other out of the processor's first cache in between.

mod entry;
mod line;

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub use self::entry::{Entry, Named, Names};
use super::queue::{Queue, Sink, Written};
use super::sinks::Sinks;
use super::syslog::{Server, Severity};
use crate::settings::LogFormat;

/// What filters know the lines by.
pub(super) const TARGET: &str = "access";

/// Most entries that wait for their lines.
const BOUND: usize = 8 * 1024;

/// Where the entries go, and whether they are wanted. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    is_on: AtomicBool,
    /// None if there is nowhere to write to.
    queue: Option<Queue<Entry>>,
}

/// Writes the lines into the queues of the sinks.
struct Writer {
    is_json: bool,
    sinks: Arc<Sinks>,
    line: Vec<u8>,
    datagram: Vec<u8>,
}

// === impl AccessLog ===

impl AccessLog {
    pub(super) fn new(format: LogFormat, sinks: Arc<Sinks>) -> Self {
        let is_json = format == LogFormat::Json;
        let queue = sinks.has_any().then(|| {
            let writer = Writer { is_json, sinks, line: Vec::new(), datagram: Vec::new() };
            Queue::start("access", BOUND, writer)
        });
        let queue = queue.transpose().unwrap_or_else(|e| {
            // As of the sinks themselves: there is no log yet to tell it to.
            let _ = writeln!(io::stderr(), "warning: no requests are logged: {e}");
            None
        });
        Self(Arc::new(Inner { is_on: AtomicBool::new(false), queue }))
    }

    /// Whether requests that end now get a line.
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    pub(super) fn switch(&self, is_on: bool) {
        self.0.is_on.store(is_on, Ordering::Relaxed);
    }

    /// A request has ended.
    pub fn write(&self, entry: Entry) {
        if let Some(queue) = &self.0.queue {
            queue.push_one(entry);
        }
    }

    /// Entries that got no line: they came faster than lines could be written.
    pub(super) fn lost(&self) -> u64 {
        self.0.queue.as_ref().map_or(0, |queue| queue.lost().full)
    }

    /// Takes no more entries, and waits until those that there are have their lines, but not longer than until `deadline`.
    pub(super) fn finish(&self, deadline: Instant) {
        if let Some(queue) = &self.0.queue {
            queue.close();
            queue.wait_ended(deadline);
        }
    }
}

// === impl Writer ===

impl Sink<Entry> for Writer {
    fn write(&mut self, entries: &[Entry], _: u64) -> Written {
        for entry in entries {
            self.write_one(entry);
        }
        Written::default()
    }
}

impl Writer {
    fn write_one(&mut self, entry: &Entry) {
        let Self { is_json, sinks, line, datagram } = self;
        line.clear();
        let message = entry.write(*is_json, line);
        for queue in sinks.console.iter().chain(&sinks.file) {
            queue.push(&[line], false);
        }
        let mut servers = sinks.servers.iter().filter(|(_, queue)| !queue.turns_away()).peekable();
        if servers.peek().is_none() {
            return;
        }
        datagram.clear();
        // The text of a datagram has the time in its head.
        sinks.header.write(Severity::Informational, entry.at, TARGET, &line[message..], datagram);
        let Some(length) = Server::framed(datagram) else { return };
        for (_, queue) in servers {
            queue.push(&[&length, datagram], false);
        }
    }
}
