//! `tracing` events on their way to the sinks: one formatter for each, whose lines go into the sink's queue.

use std::io;
use std::sync::Arc;

use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;

use super::console;
use super::queue::Queue;
use super::sinks::Sinks;
use super::syslog::{Server, Severity};
use crate::clock;
use crate::settings::{LogFormat, Logging};

type Boxed<S> = Box<dyn Layer<S> + Send + Sync>;

/// A formatter for each sink.
pub(super) fn layers<S>(settings: &Logging, sinks: &Arc<Sinks>) -> Vec<Boxed<S>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = |queue: &Option<Queue>| queue.clone().map(Lines);
    let mut layers = Vec::new();
    if let Some(lines) = lines(&sinks.console) {
        layers.push(layer(settings.format, console::has_colors(settings), lines));
    }
    if let Some(lines) = lines(&sinks.file) {
        layers.push(layer(settings.format, false, lines));
    }
    if !sinks.servers.is_empty() {
        layers.push(datagrams(settings.format, Datagrams(sinks.clone())));
    }
    layers
}

fn layer<S>(format: LogFormat, has_colors: bool, lines: Lines) -> Boxed<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(has_colors).with_writer(lines);
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    }
}

/// The same for syslog, whose datagrams have time, severity and room in their heads.
fn datagrams<S>(format: LogFormat, datagrams: Datagrams) -> Boxed<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(datagrams);
    match format {
        LogFormat::Text => layer.without_time().with_level(false).with_target(false).boxed(),
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    }
}

/// Makes writers of lines.
#[derive(Clone)]
struct Lines(Queue);

/// Writes the line of one event, which comes in one piece.
struct LineWriter<'a> {
    queue: &'a Queue,
    is_urgent: bool,
}

/// Makes writers of datagrams to all servers.
#[derive(Clone)]
struct Datagrams(Arc<Sinks>);

/// Writes the datagram of one event.
struct DatagramWriter<'a> {
    sinks: &'a Sinks,
    severity: Severity,
    kind: String,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { queue: &self.0, is_urgent: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter<'a> {
        LineWriter { queue: &self.0, is_urgent: *metadata.level() == tracing::Level::ERROR }
    }
}

impl io::Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let (text, end) = match line.split_last() {
            Some((b'\n', text)) => (text, &b"\n"[..]),
            _ => (line, &b""[..]),
        };
        if memchr::memchr(b'\n', text).is_some() {
            // An event is one line, whatever a message of somebody else's has in it.
            let text: Vec<u8> = text.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\\n"[..]);
            self.queue.push(&[&text, end], self.is_urgent);
        } else {
            self.queue.push(&[line], self.is_urgent);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Datagrams {
    type Writer = DatagramWriter<'a>;

    fn make_writer(&'a self) -> DatagramWriter<'a> {
        DatagramWriter { sinks: &self.0, severity: Severity::Informational, kind: String::new() }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> DatagramWriter<'a> {
        let severity = Severity::from(metadata.level());
        DatagramWriter { sinks: &self.0, severity, kind: metadata.target().to_owned() }
    }
}

impl io::Write for DatagramWriter<'_> {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let Sinks { header, servers, .. } = self.sinks;
        let mut datagram = Vec::with_capacity(message.len() + 128);
        header.write(self.severity, clock::now(), &self.kind, message, &mut datagram);
        if let Some(length) = Server::framed(&datagram) {
            for (_, queue) in servers {
                queue.push(&[&length, &datagram], self.severity == Severity::Error);
            }
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
