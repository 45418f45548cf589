//! The progress of one pull, push or create at many backends, as one stream that every client of Ollama renders well.
//!
//! In: the NDJSON of each backend in any fragmentation, and what happened to its connection. Out: lines of one stream:
//!
//! - A status without a digest comes once, when the last backend that is still at it has said it (the first one comes at
//!   once), in the order in which backends say them.
//! - A layer's `total` is the sum over all backends from its first line on, since clients fix the length of a bar then:
//!   a backend that has not told yet counts like the first that has. `completed` is the sum, and neither ever shrinks.
//! - A backend's failure is a status at once, if there are others. The last line is `{"status":"success"}` if all that had to succeed did,
//!   else an error that names each backend that failed, if there are others.
//!
//! Bounded: the length of lines, the number of layers and of statuses. What is beyond these is not shown, but for a line
//! that is too long, which fails its backend.

mod feed;
mod layers;
mod statuses;

use serde::Serialize;

use self::feed::{Feed, Line};
use self::layers::Layers;
use self::statuses::Statuses;
use crate::id::BackendId;

/// Longest message of a failure that is shown, in characters.
const MAX_MESSAGE: usize = 500;
/// The status of failures that come in a stream, as Ollama has it without one.
const STREAM_FAILURE: u16 = 500;

/// The merged progress of one operation.
#[derive(Debug)]
pub struct Progress {
    parts: Vec<Part>,
    layers: Layers,
    statuses: Statuses,
    finished: bool,
    began: bool,
}

/// One backend's part.
#[derive(Debug)]
struct Part {
    backend: BackendId,
    /// Without it there is no success.
    required: bool,
    feed: Feed,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Running,
    Succeeded,
    Failed(Failed),
}

/// What went wrong at a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The HTTP status that it answered, or 500 for an error within its stream.
    pub status: u16,
    /// In its words, or ours about it.
    pub message: String,
}

/// How the operation ended, for clients that want no stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP status.
    pub status: u16,
    /// The body, in Ollama's shape.
    pub body: Vec<u8>,
}

/// A line that is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<u64>,
}

// === impl Progress ===

impl Progress {
    /// The progress at these backends; the flag says whether the operation needs that one to succeed.
    pub fn new(backends: impl IntoIterator<Item = (BackendId, bool)>) -> Self {
        let part =
            |(backend, required)| Part { backend, required, feed: Feed::default(), state: State::Running };
        let parts: Vec<_> = backends.into_iter().map(part).collect();
        let (layers, statuses) = (Layers::new(parts.len()), Statuses::new(parts.len()));
        Self { parts, layers, statuses, finished: false, began: false }
    }

    /// Takes the next bytes of the backend at `index`, cut anywhere; lines for the client are put behind `out`. Nothing
    /// is taken behind a backend's end.
    pub fn push(&mut self, index: usize, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(part) = self.parts.get_mut(index).filter(|part| part.state == State::Running) {
            let Some(line) = part.feed.next(&mut bytes) else { return };
            self.line(index, line, out);
        }
    }

    /// The backend's answer has ended. Without a success or an error before, that is a failure.
    pub fn end(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(part) = self.running(index) else { return };
        if let Some(line) = part.feed.rest() {
            self.line(index, line, out);
        }
        self.fail(index, STREAM_FAILURE, "the answer ended before the operation was complete", out);
    }

    /// The backend failed: it could not be reached, answered another status than 200, or was given up.
    pub fn fail(&mut self, index: usize, status: u16, message: &str, out: &mut Vec<u8>) {
        let Some(part) = self.running(index) else { return };
        let message = bounded(message);
        let told = format!("backend {} failed: {message}", part.backend);
        part.feed = Feed::default();
        part.state = State::Failed(Failed { status, message });
        self.statuses.leave(index);
        // Of a lone backend the last line tells it all.
        if self.parts.len() > 1 {
            self.write(&Written { status: Some(&told), ..Written::EMPTY }, out);
        }
        self.tell_statuses(out);
    }

    /// Whether every backend has ended.
    pub fn is_over(&self) -> bool {
        self.parts.iter().all(|part| part.state != State::Running)
    }

    /// Whether anything was written: before that, an [`Outcome`] with its status can still be answered.
    pub fn has_begun(&self) -> bool {
        self.began
    }

    /// Writes the last line, once. Backends that are still running count as failed: call it when all have ended, or
    /// when they are given up.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.finished {
            return;
        }
        for index in 0..self.parts.len() {
            self.fail(index, STREAM_FAILURE, "it was given up", out);
        }
        self.finished = true;
        out.extend_from_slice(&self.outcome().body);
        out.push(b'\n');
    }

    /// How it ended: the answer to `"stream": false`. The status of failures is theirs if they have one in common.
    pub fn outcome(&self) -> Outcome {
        let failed = || self.parts.iter().filter(|part| part.required && part.state != State::Succeeded);
        if failed().next().is_none() && !self.parts.is_empty() {
            let body = written(&Written { status: Some("success"), ..Written::EMPTY });
            return Outcome { status: 200, body };
        }
        let is_lone = self.parts.len() == 1;
        let told: Vec<_> = failed().map(|part| part.told(is_lone)).collect();
        let message =
            if told.is_empty() { "there is no backend to do it".to_owned() } else { told.join("; ") };
        let mut statuses = failed().map(Part::status);
        let first = statuses.next().unwrap_or(503);
        let common = if statuses.all(|status| status == first) { first } else { STREAM_FAILURE };
        // A backend's 401 is about our credential, and its 2xx and 3xx are no errors.
        let status = if common == 401 || !(400..=599).contains(&common) { 502 } else { common };
        Outcome { status, body: written(&Written { error: Some(&message), ..Written::EMPTY }) }
    }

    /// What went wrong at a backend, if anything has.
    pub fn failure(&self, index: usize) -> Option<&Failed> {
        match &self.parts.get(index)?.state {
            State::Failed(failed) => Some(failed),
            _ => None,
        }
    }

    /// Whether the backend has told its success.
    pub fn has_succeeded(&self, index: usize) -> bool {
        self.parts.get(index).is_some_and(|part| part.state == State::Succeeded)
    }

    /// How much of what the backend has told of it has done, in percent; `None` before it tells.
    pub fn percent(&self, index: usize) -> Option<u8> {
        if self.has_succeeded(index) { Some(100) } else { self.layers.percent(index) }
    }

    fn running(&mut self, index: usize) -> Option<&mut Part> {
        self.parts.get_mut(index).filter(|part| part.state == State::Running)
    }

    fn line(&mut self, index: usize, line: Line, out: &mut Vec<u8>) {
        match line {
            Line::Status(status) => {
                self.statuses.said(index, &status);
                self.tell_statuses(out);
            }
            Line::Layer(layer) => {
                if let Some(sum) = self.layers.told(index, &layer) {
                    self.write(
                        &Written {
                            status: Some(&layer.status),
                            digest: Some(&layer.digest),
                            total: Some(sum.total),
                            completed: Some(sum.completed).filter(|completed| *completed > 0),
                            error: None,
                        },
                        out,
                    );
                }
            }
            Line::Success => {
                if let Some(part) = self.running(index) {
                    part.state = State::Succeeded;
                    part.feed = Feed::default();
                }
                self.statuses.leave(index);
                for (status, digest, sum) in self.layers.succeeded(index) {
                    let line = Written {
                        status: Some(&status),
                        digest: Some(&digest),
                        total: Some(sum.total),
                        completed: Some(sum.completed),
                        error: None,
                    };
                    self.write(&line, out);
                }
                self.tell_statuses(out);
            }
            Line::Error(message) => self.fail(index, STREAM_FAILURE, &message, out),
            Line::TooLong => self.fail(index, STREAM_FAILURE, "a line of the answer is too long", out),
            Line::Unreadable => self.fail(index, STREAM_FAILURE, "the answer cannot be read", out),
        }
    }

    fn tell_statuses(&mut self, out: &mut Vec<u8>) {
        while let Some(status) = self.statuses.due() {
            let status = status.to_owned();
            self.write(&Written { status: Some(&status), ..Written::EMPTY }, out);
        }
    }

    fn write(&mut self, line: &Written<'_>, out: &mut Vec<u8>) {
        self.began = true;
        out.extend_from_slice(&written(line));
        out.push(b'\n');
    }
}

// === impl Part ===

impl Part {
    /// What went wrong. A lone backend is not named: its client hears what it would hear without us.
    fn told(&self, is_lone: bool) -> String {
        let message = match &self.state {
            State::Failed(failed) => failed.message.as_str(),
            _ => "it has not ended",
        };
        if is_lone { message.to_owned() } else { format!("backend {}: {message}", self.backend) }
    }

    fn status(&self) -> u16 {
        match &self.state {
            State::Failed(failed) => failed.status,
            _ => STREAM_FAILURE,
        }
    }
}

// === impl Written ===

impl Written<'_> {
    const EMPTY: Self = Self { status: None, error: None, digest: None, total: None, completed: None };
}

fn written(line: &Written<'_>) -> Vec<u8> {
    serde_json::to_vec(line).unwrap_or_default()
}

fn bounded(message: &str) -> String {
    message.trim().chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests;
