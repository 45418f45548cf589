//! All sinks of a node together.

use std::io::{self, Write as _};
use std::time::Instant;

use super::console::{self, Console};
use super::file::{self, DailyFile};
use super::queue::{Lost, Queue, Sink};
use super::syslog::{self, Header, Server};
use crate::settings::Logging;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Sinks {
    pub(super) console: Option<Queue>,
    pub(super) file: Option<Queue>,
    /// Each with its name.
    pub(super) servers: Vec<(String, Queue)>,
    /// What datagrams begin with.
    pub(super) header: Header,
}

// === impl Sinks ===

impl Sinks {
    pub(super) fn start(settings: &Logging) -> Self {
        let is_on = settings.enable;
        let console = (is_on && settings.console_logging).then_some(Console);
        let file = if is_on { DailyFile::new(settings) } else { None };
        let servers = settings.servers.iter().filter(|_| is_on).map(Server::new);
        Self {
            console: console.and_then(|console| start("console", console::BOUND, console)),
            file: file.and_then(|file| start("file", file::BOUND, file)),
            servers: servers
                .filter_map(|server| {
                    Some((server.name().to_owned(), start("syslog", syslog::BOUND, server)?))
                })
                .collect(),
            header: Header::of_process(),
        }
    }

    /// Whether there is one.
    pub(super) fn has_any(&self) -> bool {
        self.console.is_some() || self.file.is_some() || !self.servers.is_empty()
    }

    /// Lines that were lost, by kind of sink. `unwritten` are those that were lost before they were given to any.
    pub(super) fn losses(&self, unwritten: u64) -> [(&'static str, Lost); 3] {
        let with = |lost: Lost| Lost { full: lost.full + unwritten, ..lost };
        let of = |queue: &Option<Queue>| queue.as_ref().map(|queue| with(queue.lost())).unwrap_or_default();
        let servers = self.servers.iter().map(|(_, queue)| with(queue.lost()));
        let all = servers.fold(Lost::default(), |all, one| Lost {
            full: all.full + one.full,
            failed: all.failed + one.failed,
        });
        [("console", of(&self.console)), ("file", of(&self.file)), ("syslog", all)]
    }

    /// Takes no more lines, and waits until those that there are have been written, but not longer than until `deadline`.
    pub(super) fn finish(&self, deadline: Instant) {
        let servers = self.servers.iter().map(|(_, queue)| queue);
        let queues: Vec<&Queue> = self.console.iter().chain(&self.file).chain(servers).collect();
        for queue in &queues {
            queue.close();
        }
        for queue in queues {
            queue.wait_ended(deadline);
        }
    }
}

fn start(name: &'static str, bound: usize, sink: impl Sink) -> Option<Queue> {
    match Queue::start(name, bound, sink) {
        Ok(queue) => Some(queue),
        Err(e) => {
            // There is no log yet to tell it to.
            let _ = writeln!(io::stderr(), "warning: nothing is logged to the {name}: {e}");
            None
        }
    }
}
