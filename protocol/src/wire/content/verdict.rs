//! What one frame says. Frames are judged by what is known to be empty: every other member that has a value is content.

use serde_json::Value;

use crate::json::scan::{Broken, Scanner};

/// What one frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing that a client would miss.
    Silent,
    /// Something, or something that is not understood.
    Content,
    /// An error, with its message.
    Error(String),
}

/// A line of an Ollama generate or chat stream.
pub(super) fn ollama_generation(line: &[u8]) -> Verdict {
    let mut frame = Frame::default();
    let mut unfinished = false;
    let read = frame.walk(line, |scanner, key, frame| match key {
        b"model" | b"created_at" | b"remote_model" | b"remote_host" => scanner.skip(),
        b"done" => {
            unfinished = scanner.value()? == b"false";
            Ok(())
        }
        b"message" => frame.role_and_content(scanner),
        _ if key.ends_with(b"_duration") || key.ends_with(b"_count") => scanner.skip(),
        _ => frame.content(scanner),
    });
    frame.verdict(read && unfinished)
}

/// A line of an Ollama pull, push or create stream: all of them tell of progress.
pub(super) fn ollama_progress(line: &[u8]) -> Verdict {
    let mut frame = Frame::default();
    frame.walk(line, |scanner, _, _| scanner.skip());
    frame.verdict(false)
}

/// The data of an event of an OpenAI chat or completions stream.
pub(super) fn openai_chunk(data: &[u8]) -> Verdict {
    let mut frame = Frame::default();
    let mut has_choices = false;
    let read = frame.walk(data, |scanner, key, frame| match key {
        b"id"
        | b"object"
        | b"created"
        | b"model"
        | b"system_fingerprint"
        | b"service_tier"
        | b"usage"
        | b"provider" => scanner.skip(),
        b"choices" if scanner.peek() == Some(b'[') => {
            has_choices = true;
            scanner.array(|scanner| {
                if scanner.peek() != Some(b'{') {
                    return frame.content(scanner);
                }
                scanner.object(|scanner, key| match key {
                    b"index" => scanner.skip(),
                    b"delta" => frame.role_and_content(scanner),
                    _ => frame.content(scanner),
                })
            })
        }
        _ => frame.content(scanner),
    });
    frame.verdict(read && has_choices)
}

/// The data of an event of an OpenAI responses stream, and the event's name if it came with one.
pub(super) fn openai_responses(event: &[u8], data: &[u8]) -> Verdict {
    let mut frame = Frame::default();
    let mut kind = None;
    let mut failure = None;
    let read = frame.walk(data, |scanner, key, _| match key {
        b"type" if scanner.peek() == Some(b'"') => {
            kind = Some(scanner.string()?);
            Ok(())
        }
        b"response" if scanner.peek() == Some(b'{') => scanner.object(|scanner, key| {
            if key == b"error" {
                failure = message_of(scanner.value()?);
                return Ok(());
            }
            scanner.skip()
        }),
        _ => scanner.skip(),
    });
    match kind.unwrap_or(event) {
        b"error" => error_event(data),
        b"response.failed" => Verdict::Error(failure.unwrap_or_else(|| raw_text(data))),
        b"response.created"
        | b"response.in_progress"
        | b"response.output_item.added"
        | b"response.content_part.added" => frame.verdict(read),
        b"" => frame.verdict(false),
        _ => Verdict::Content,
    }
}

/// The data of an event of an Anthropic messages stream, and the event's name if it came with one.
pub(super) fn anthropic_messages(event: &[u8], data: &[u8]) -> Verdict {
    let mut frame = Frame::default();
    let mut kind = None;
    let mut is_empty_block = false;
    let read = frame.walk(data, |scanner, key, _| match key {
        b"type" if scanner.peek() == Some(b'"') => {
            kind = Some(scanner.string()?);
            Ok(())
        }
        b"content_block" if scanner.peek() == Some(b'{') => {
            is_empty_block = true;
            scanner.object(|scanner, key| {
                // A tool call says something by its name alone.
                is_empty_block &= match key {
                    b"type" => matches!(scanner.value()?, b"\"text\"" | b"\"thinking\""),
                    _ => is_empty(scanner)?,
                };
                Ok(())
            })
        }
        _ => scanner.skip(),
    });
    match kind.unwrap_or(event) {
        b"error" => error_event(data),
        b"message_start" | b"ping" => frame.verdict(read),
        b"content_block_start" => frame.verdict(read && is_empty_block),
        b"" => frame.verdict(false),
        _ => Verdict::Content,
    }
}

/// The data of an event that is called an error.
pub(super) fn error_event(data: &[u8]) -> Verdict {
    let mut frame = Frame::default();
    let mut message = None;
    frame.walk(data, |scanner, key, _| {
        if key == b"message" && scanner.peek() == Some(b'"') {
            message = message_of(scanner.value()?);
            return Ok(());
        }
        scanner.skip()
    });
    Verdict::Error(frame.error.or(message).unwrap_or_else(|| raw_text(data)))
}

/// What was found in one frame.
#[derive(Debug, Default)]
struct Frame {
    has_content: bool,
    error: Option<String>,
}

// === impl Frame ===

impl Frame {
    /// Walks a frame that is one object; `error` is read here, the other members by `member`. False: it is none.
    fn walk<'b, F>(&mut self, frame: &'b [u8], mut member: F) -> bool
    where
        F: FnMut(&mut Scanner<'b>, &'b [u8], &mut Self) -> Result<(), Broken>,
    {
        let mut scanner = Scanner::new(frame);
        let read = scanner.object(|scanner, key| {
            if key == b"error" {
                self.error = message_of(scanner.value()?).or(self.error.take());
                return Ok(());
            }
            member(scanner, key, self)
        });
        let read = read.is_ok() && scanner.at_end();
        if !read {
            // What is broken is no error of the engine, whatever it begins with.
            self.error = None;
        }
        read
    }

    /// The verdict, `understood` if all that it was looked for is there.
    fn verdict(self, understood: bool) -> Verdict {
        match self.error {
            Some(message) => Verdict::Error(message),
            None if understood && !self.has_content => Verdict::Silent,
            None => Verdict::Content,
        }
    }

    /// A member that is content unless it is empty.
    fn content(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Broken> {
        self.has_content |= !is_empty(scanner)?;
        Ok(())
    }

    /// A message or delta: its role alone is no content.
    fn role_and_content(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Broken> {
        if scanner.peek() != Some(b'{') {
            return self.content(scanner);
        }
        scanner.object(|scanner, key| if key == b"role" { scanner.skip() } else { self.content(scanner) })
    }
}

/// Passes over a value; true for null and for a string, array or object with nothing in it.
fn is_empty(scanner: &mut Scanner<'_>) -> Result<bool, Broken> {
    let value = scanner.value()?;
    Ok(match value {
        b"null" | b"\"\"" => true,
        [b'[' | b'{', inside @ .., _] => inside.trim_ascii().is_empty(),
        _ => false,
    })
}

/// The message of an error's value, which is a text or an object with one; `None` if it is empty.
fn message_of(error: &[u8]) -> Option<String> {
    match serde_json::from_slice(error).unwrap_or_else(|_| Value::from(raw_text(error))) {
        Value::Null => None,
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        Value::Object(members) => match members.get("message") {
            Some(Value::String(text)) => Some(text.clone()),
            _ => Some(raw_text(error)),
        },
        _ => Some(raw_text(error)),
    }
}

/// An error that has no message in a place that we know: all of it.
fn raw_text(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).into_owned()
}
