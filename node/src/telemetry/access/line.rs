//! The form of a line: names and values as text, or as the members of a JSON object.

use std::net::IpAddr;
use std::time::Duration;

use ollamaflow_protocol::time::Timestamp;

use crate::telemetry::stamp;

/// Longest text in a line; the rest is left out.
const MAX_TEXT: usize = 512;

/// Between the time and what is known of the request. Lines have the order and the names of events.
const TEXT_HEAD: &[u8] = b"  INFO access: request ended";
const JSON_HEAD: &[u8] = b"\",\"level\":\"INFO\",\"message\":\"request ended\",\"target\":\"access\"";

/// The line of one request while it is written: names and values, in their final form.
#[derive(Debug)]
pub(super) struct Line<'a> {
    is_json: bool,
    out: &'a mut Vec<u8>,
}

/// The name of a value, with what stands before and behind it in either form. Made by `name!`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    /// In a line of text.
    pub(super) text: &'static str,
    /// In a JSON object.
    pub(super) json: &'static str,
}

/// A [`Name`] from a literal that needs no escapes.
macro_rules! name {
    ($name:literal) => {
        $crate::telemetry::access::line::Name {
            text: concat!(" ", $name, "="),
            json: concat!(",\"", $name, "\":"),
        }
    };
}
pub(super) use name;

// === impl Line ===

impl<'a> Line<'a> {
    /// Begins a line; also gives where the message of it begins, which has no time in front of it.
    pub(super) fn begin(is_json: bool, at: Timestamp, out: &'a mut Vec<u8>) -> (Self, usize) {
        if is_json {
            out.extend_from_slice(b"{\"timestamp\":\"");
            stamp::write(at, out);
            out.extend_from_slice(JSON_HEAD);
            return (Self { is_json, out }, 0);
        }
        stamp::write(at, out);
        out.extend_from_slice(TEXT_HEAD);
        let message = out.len() - b"request ended".len();
        (Self { is_json, out }, message)
    }

    /// Ends it.
    pub(super) fn end(self) {
        self.out.extend_from_slice(if self.is_json { b"}\n" } else { b"\n" });
    }

    fn name(&mut self, name: Name) {
        self.out.extend_from_slice(if self.is_json { name.json } else { name.text }.as_bytes());
    }

    /// A text that has only characters that need no care: of this node's own making, or checked by it.
    pub(super) fn word(&mut self, name: Name, value: impl AsRef<[u8]>) {
        self.name(name);
        if self.is_json {
            self.out.push(b'"');
        }
        self.out.extend_from_slice(value.as_ref());
        if self.is_json {
            self.out.push(b'"');
        }
    }

    /// Whatever somebody else has written.
    pub(super) fn text(&mut self, name: Name, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        if value.len() <= MAX_TEXT && is_plain(value) {
            return self.word(name, value);
        }
        self.quoted(name, cut(&String::from_utf8_lossy(value)));
    }

    #[cold]
    fn quoted(&mut self, name: Name, value: &str) {
        if is_plain(value.as_bytes()) {
            return self.word(name, value);
        }
        self.name(name);
        self.out.push(b'"');
        for char in value.chars() {
            match char {
                '"' | '\\' => self.out.extend_from_slice(&[b'\\', char as u8]),
                // Line separators too, and whatever turns the direction of writing: a line stays what it seems to be.
                _ if is_hidden(char) => self.unicode(char),
                _ => self.out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        self.out.push(b'"');
    }

    fn unicode(&mut self, char: char) {
        for unit in char.encode_utf16(&mut [0; 2]) {
            self.out.extend_from_slice(b"\\u");
            for shift in [12, 8, 4, 0] {
                self.out.push(b"0123456789abcdef"[usize::from(*unit >> shift & 0xf)]);
            }
        }
    }

    /// A number.
    pub(super) fn number(&mut self, name: Name, value: u64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A time in milliseconds, with microseconds behind the point.
    pub(super) fn millis(&mut self, name: Name, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.number(name, micros / 1000);
        let rest = u16::try_from(micros % 1000).unwrap_or_default();
        let digit = |value: u16| b'0' + u8::try_from(value % 10).unwrap_or_default();
        self.out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
    }

    /// An address.
    pub(super) fn address(&mut self, name: Name, value: IpAddr) {
        let IpAddr::V4(address) = value else { return self.word(name, value.to_string()) };
        self.name(name);
        let quote: &[u8] = if self.is_json { b"\"" } else { b"" };
        self.out.extend_from_slice(quote);
        for (at, octet) in address.octets().into_iter().enumerate() {
            if at > 0 {
                self.out.push(b'.');
            }
            self.out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
        }
        self.out.extend_from_slice(quote);
    }
}

/// As much of a text as a line takes.
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether a text has only characters that are neither special in JSON nor end a value in a line of text.
fn is_plain(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'"' && *byte != b'\\' && *byte != b'=';
    !text.is_empty() && text.iter().all(is_plain)
}

/// Characters that are not seen as what they are.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn whole(is_json: bool) -> String {
        let mut out = Vec::new();
        let (mut line, _) = Line::begin(is_json, Timestamp::from_micros(1_759_944_278_120_000), &mut out);
        line.word(name!("method"), "POST");
        line.text(name!("path"), "/api/chat");
        line.text(name!("model"), "two \"words\"\\\n\u{202e}\u{1f600}=");
        line.text(name!("empty"), "");
        line.number(name!("status"), 200);
        line.millis(name!("duration_ms"), Duration::from_micros(12_034));
        line.millis(name!("queue_ms"), Duration::ZERO);
        line.address(name!("client"), "10.0.0.255".parse().unwrap());
        line.address(name!("other"), "2001:db8::1".parse().unwrap());
        line.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_has_names_and_values_and_stays_one_line() {
        assert_eq!(
            whole(false),
            "2025-10-08T17:24:38.120000Z  INFO access: request ended method=POST path=/api/chat \
             model=\"two \\\"words\\\"\\\\\\u000a\\u202e\u{1f600}=\" empty=\"\" status=200 duration_ms=12.034 queue_ms=0.000 \
             client=10.0.0.255 other=2001:db8::1\n"
        );
    }

    #[test]
    fn json_is_one_object_with_the_names_of_events() {
        let parsed: Value = serde_json::from_str(&whole(true)).unwrap();
        assert_eq!(
            parsed,
            json!({
                "timestamp": "2025-10-08T17:24:38.120000Z", "level": "INFO", "message": "request ended", "target": "access",
                "method": "POST", "path": "/api/chat", "model": "two \"words\"\\\n\u{202e}\u{1f600}=", "empty": "",
                "status": 200, "duration_ms": 12.034, "queue_ms": 0.0, "client": "10.0.0.255", "other": "2001:db8::1"
            })
        );
    }

    #[test]
    fn a_text_that_is_long_or_broken_is_shown_as_far_as_it_can_be() {
        let text = |value: &[u8]| {
            let mut out = Vec::new();
            Line { is_json: false, out: &mut out }.text(name!("it"), value);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text("x".repeat(MAX_TEXT + 1).as_bytes()), format!(" it={}", "x".repeat(MAX_TEXT)));
        assert_eq!(text(b"a\xff"), " it=\"a\u{fffd}\"");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(MAX_TEXT)).chars().count(), MAX_TEXT / 2);
        assert_eq!(cut(&("x".to_owned() + &"é".repeat(MAX_TEXT))).chars().count(), MAX_TEXT / 2);
        assert_eq!(cut("short"), "short");
    }
}
