//! When a streamed answer begins to say something: until then another backend can still answer unnoticed.
//!
//! Engines open streams with frames that carry nothing (a role, a list of empty blocks) before they evaluate the
//! prompt, and that is where many of them fail.

mod verdict;

use self::verdict::Verdict;
use super::StreamFormat;
use super::sse::field;

/// A longer frame counts as content, whatever it holds, bytes.
const MAX_FRAME: usize = 64 * 1024;
/// More than this before the first content counts as content: the caller holds it back in memory, bytes.
const MAX_HELD: usize = 256 * 1024;
/// No event that is looked for has a longer name, bytes.
const MAX_EVENT: usize = 64;

/// Looks for the first frame of a streamed answer that carries content.
#[derive(Clone, Debug)]
pub struct FirstContent {
    format: StreamFormat,
    /// The current line, as far as it has come.
    line: Vec<u8>,
    /// The name of the current server-sent event, if it has one.
    event: Vec<u8>,
    /// Bytes of the lines before the current one.
    held: usize,
    found: Option<Found>,
}

#[derive(Clone, Debug)]
enum Found {
    Content,
    Error(String),
}

// === impl FirstContent ===

impl FirstContent {
    /// Starts at the first byte of an answer.
    pub fn new(format: StreamFormat) -> Self {
        Self { format, line: Vec::new(), event: Vec::new(), held: 0, found: None }
    }

    /// Takes the next bytes, cut anywhere; true from the first frame on that carries content.
    ///
    /// Content is text, thinking, a tool call, a reason to finish, an end marker, an error, and everything that is
    /// not known to be empty. An incomplete frame says nothing yet.
    pub fn push(&mut self, mut bytes: &[u8]) -> bool {
        while self.found.is_none() {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.keep(bytes);
                break;
            };
            if self.line.is_empty() {
                self.end_line(&bytes[..end]);
            } else {
                self.keep(&bytes[..end]);
                let line = std::mem::take(&mut self.line);
                self.end_line(&line);
            }
            bytes = &bytes[end + 1..];
        }
        self.found.is_some()
    }

    /// The message, if the first frame that says anything is an error.
    pub fn is_error(&self) -> Option<String> {
        match &self.found {
            Some(Found::Error(message)) => Some(message.clone()),
            Some(Found::Content) | None => None,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let len = self.line.len() + bytes.len();
        if self.is_too_long(len) {
            self.line = Vec::new();
            self.found = Some(Found::Content);
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, line: &[u8]) {
        if self.found.is_some() {
            return;
        }
        let verdict = if self.is_too_long(line.len()) { Verdict::Content } else { self.read(line) };
        self.held += line.len() + 1;
        self.found = match verdict {
            Verdict::Silent => None,
            Verdict::Content => Some(Found::Content),
            Verdict::Error(message) => Some(Found::Error(message)),
        };
    }

    fn is_too_long(&self, line: usize) -> bool {
        line > MAX_FRAME || self.held + line > MAX_HELD
    }

    fn read(&mut self, line: &[u8]) -> Verdict {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.format {
            StreamFormat::OllamaGeneration | StreamFormat::OllamaProgress if line.trim_ascii().is_empty() => {
                Verdict::Silent
            }
            StreamFormat::OllamaGeneration => verdict::ollama_generation(line),
            StreamFormat::OllamaProgress => verdict::ollama_progress(line),
            _ => self.read_event_line(line),
        }
    }

    fn read_event_line(&mut self, line: &[u8]) -> Verdict {
        if line.is_empty() {
            self.event.clear();
            return Verdict::Silent;
        }
        if let Some(data) = field(line, b"data") {
            return match self.format {
                _ if data.is_empty() => Verdict::Silent,
                _ if self.event == b"error" => verdict::error_event(data),
                StreamFormat::OpenAiResponses => verdict::openai_responses(&self.event, data),
                StreamFormat::AnthropicMessages => verdict::anthropic_messages(&self.event, data),
                _ => verdict::openai_chunk(data),
            };
        }
        if let Some(event) = field(line, b"event") {
            self.event = event[..event.len().min(MAX_EVENT)].to_vec();
            return Verdict::Silent;
        }
        let is_silent = line.starts_with(b":") || field(line, b"id").or(field(line, b"retry")).is_some();
        if is_silent { Verdict::Silent } else { Verdict::Content }
    }
}

#[cfg(test)]
mod tests;
