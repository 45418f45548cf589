//! One datagram, as RFC 5424 section 6 has it. Written by ourselves: the few crates for it build strings and maps for
//! each message, where this copies a line that is there already behind a head that hardly changes.

use std::io::Write as _;

use ollamaflow_protocol::time::Timestamp;
use rustix::system::uname;

use crate::telemetry::stamp;

/// Longest datagram: the largest message that common receivers take whole.
const MAX_BYTES: usize = 8 * 1024;

/// Where a longer message was cut.
const CUT: &[u8] = b" [cut]";

/// `local0`, as the original.
const FACILITY: u8 = 16;

const APP_NAME: &str = "ollamaflow";

/// Longest names (RFC 5424 section 6): of hosts, and of kinds of messages.
const MAX_HOST: usize = 255;
const MAX_KIND: usize = 32;

/// Stands for what is not known, and for structured data, of which there is none: its names would have to be registered.
const NIL: &str = "-";

/// What text in UTF-8 has to begin with, if it is more than ASCII (RFC 5424 section 6.4).
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A severity of RFC 5424; the numbers are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telemetry) enum Severity {
    Error = 3,
    Warning = 4,
    Informational = 6,
    Debug = 7,
}

/// What is the same in all datagrams of a process.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Header {
    /// `HOSTNAME APP-NAME PROCID` with blanks around.
    origin: String,
}

// === impl Severity ===

impl From<&tracing::Level> for Severity {
    fn from(level: &tracing::Level) -> Self {
        match *level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warning,
            tracing::Level::INFO => Self::Informational,
            _ => Self::Debug,
        }
    }
}

// === impl Header ===

impl Header {
    /// Of this process on this machine.
    pub(in crate::telemetry) fn of_process() -> Self {
        Self::new(&uname().nodename().to_string_lossy(), std::process::id())
    }

    fn new(host: &str, process: u32) -> Self {
        Self { origin: format!(" {} {APP_NAME} {process} ", word(host, MAX_HOST)) }
    }

    /// Writes a datagram.
    pub(in crate::telemetry) fn write(
        &self,
        severity: Severity,
        at: Timestamp,
        kind: &str,
        message: &[u8],
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        // Writing to memory does not fail.
        let _ = write!(out, "<{}>1 ", FACILITY * 8 + severity as u8);
        stamp::write(at, out);
        out.extend_from_slice(self.origin.as_bytes());
        out.extend_from_slice(word(kind, MAX_KIND).as_bytes());
        out.push(b' ');
        out.extend_from_slice(NIL.as_bytes());
        out.push(b' ');
        let message = message.trim_ascii();
        if !message.is_ascii() {
            out.extend_from_slice(BYTE_ORDER_MARK);
        }
        let room = MAX_BYTES - CUT.len() - (out.len() - start);
        let shown = if message.len() > room + CUT.len() { &message[..cut(message, room)] } else { message };
        // A line has one line.
        out.extend(shown.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }));
        if shown.len() < message.len() {
            out.extend_from_slice(CUT);
        }
    }
}

/// Where to cut so that no character is cut.
fn cut(message: &[u8], most: usize) -> usize {
    let is_start = |at: &usize| message.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    (0..=most).rev().find(is_start).unwrap_or_default()
}

/// A name as the head may have it: printable ASCII without blanks, not too long, not empty.
fn word(text: &str, longest: usize) -> std::borrow::Cow<'_, str> {
    let is_fit = |byte: u8| byte.is_ascii_graphic();
    if text.is_empty() {
        NIL.into()
    } else if text.len() <= longest && text.bytes().all(is_fit) {
        text.into()
    } else {
        text.chars().take(longest).map(|char| if char.is_ascii_graphic() { char } else { '_' }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(severity: Severity, kind: &str, message: &str) -> String {
        let mut out = Vec::new();
        let at = Timestamp::from_micros(1_759_944_278_120_000);
        Header::new("node 1", 42).write(severity, at, kind, message.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_datagram_is_written_as_the_rfc_has_it() {
        assert_eq!(
            written(Severity::Informational, "access", "request a=1\n"),
            "<134>1 2025-10-08T17:24:38.120000Z node_1 ollamaflow 42 access - request a=1"
        );
    }

    #[test]
    fn severities_are_those_of_the_rfc() {
        for (level, start) in [
            (tracing::Level::ERROR, "<131>1 "),
            (tracing::Level::WARN, "<132>1 "),
            (tracing::Level::INFO, "<134>1 "),
            (tracing::Level::DEBUG, "<135>1 "),
            (tracing::Level::TRACE, "<135>1 "),
        ] {
            let text = written(Severity::from(&level), "x", "y");
            assert!(text.starts_with(start), "{text}");
        }
    }

    #[test]
    fn other_text_than_ascii_is_marked_as_utf_8_and_controls_become_blanks() {
        assert!(
            written(Severity::Debug, "x", "gr\u{fc}n\nx\u{1b}[1m").ends_with(" - \u{feff}gr\u{fc}n x [1m")
        );
        assert!(written(Severity::Debug, "x", "plain").ends_with(" - plain"));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let text = written(Severity::Debug, "x", &"\u{20ac}".repeat(MAX_BYTES));
        assert!((MAX_BYTES - 3..=MAX_BYTES).contains(&text.len()) && text.ends_with("\u{20ac} [cut]"));
        let head = written(Severity::Debug, "x", "").len();
        let fitting = written(Severity::Debug, "x", &"y".repeat(MAX_BYTES - head));
        assert!(fitting.len() == MAX_BYTES && fitting.ends_with("yyy"));
    }

    #[test]
    fn names_are_made_fit() {
        assert_eq!(word("", 9), "-");
        assert_eq!(word("ollamaflow::app", 32), "ollamaflow::app");
        assert_eq!(word("a b\u{fc}c", 3), "a_b");
    }
}
