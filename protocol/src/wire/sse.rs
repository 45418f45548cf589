//! End markers and error events of a server-sent event stream, found line by line.

use super::ending::{Ending, StreamFormat};

/// How much of a line is kept: longer than every marker that is looked for.
const PREFIX: usize = 48;

/// A line scanner. Lines end with LF or CRLF, as every engine writes them.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    prefix: [u8; PREFIX],
    /// Length of the current line so far.
    len: usize,
    /// The line before was blank: an event boundary.
    at_boundary: bool,
    ended: bool,
    failed: bool,
}

// === impl Watch ===

impl Default for Watch {
    fn default() -> Self {
        Self { prefix: [0; PREFIX], len: 0, at_boundary: true, ended: false, failed: false }
    }
}

impl Watch {
    pub(super) fn push(&mut self, mut bytes: &[u8], format: StreamFormat) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.keep(&bytes[..end]);
            let (ended, failed) = self.read(format);
            self.ended |= ended;
            self.failed |= failed;
            self.at_boundary = self.line().is_empty();
            self.len = 0;
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    pub(super) fn ending(&self, format: StreamFormat) -> Ending {
        let (ended, failed) = self.read(format);
        match (self.failed || failed, self.ended || ended) {
            (true, _) => Ending::Failed,
            (false, true) => Ending::Complete,
            (false, false) => Ending::Missing,
        }
    }

    pub(super) fn separator(&self) -> &'static str {
        match (self.len, self.at_boundary) {
            (0, true) => "",
            (0, false) => "\n",
            _ => "\n\n",
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.len < PREFIX {
            let kept = bytes.len().min(PREFIX - self.len);
            self.prefix[self.len..self.len + kept].copy_from_slice(&bytes[..kept]);
        }
        self.len += bytes.len();
    }

    fn line(&self) -> &[u8] {
        let line = &self.prefix[..self.len.min(PREFIX)];
        // Past the prefix the carriage return is not visible, and no marker is that long.
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// (end marker, error) in the current line.
    fn read(&self, format: StreamFormat) -> (bool, bool) {
        let line = self.line();
        if let Some(data) = field(line, b"data") {
            let done = format == StreamFormat::OpenAiChunks && data == b"[DONE]";
            return (done, format == StreamFormat::OpenAiChunks && is_error_object(data));
        }
        let Some(event) = field(line, b"event") else { return (false, false) };
        match format {
            StreamFormat::OpenAiResponses => (
                matches!(event, b"response.completed" | b"response.incomplete"),
                matches!(event, b"response.failed" | b"error"),
            ),
            StreamFormat::AnthropicMessages => (event == b"message_stop", event == b"error"),
            _ => (false, event == b"error"),
        }
    }
}

/// The value of an event stream field, with the one optional space after the colon removed.
pub(super) fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// `{"error": …` with a value other than null, as the first key.
fn is_error_object(data: &[u8]) -> bool {
    let value = data
        .strip_prefix(b"{")
        .map(<[u8]>::trim_ascii_start)
        .and_then(|rest| rest.strip_prefix(b"\"error\""))
        .map(<[u8]>::trim_ascii_start)
        .and_then(|rest| rest.strip_prefix(b":"))
        .map(<[u8]>::trim_ascii_start);
    // A value that is cut off by the end of the bytes so far is not yet an error.
    value.is_some_and(|value| matches!(value.first(), Some(b'{' | b'"')))
}
