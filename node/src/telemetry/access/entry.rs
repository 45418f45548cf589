//! What is known of a request when it has ended, and how its line tells it.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::http::Method;
use ollamaflow_protocol::time::Timestamp;
use ollamaflow_protocol::wire::Usage;
use smallvec::SmallVec;

use super::line::{Line, cut, name};

/// Room for the usual path and the names of a frontend, a model and a backend.
const USUAL_NAMES: usize = 96;

/// One request that has ended.
#[derive(Debug)]
pub struct Entry {
    /// When it ended.
    pub at: Timestamp,
    /// Its id, as text.
    pub id: [u8; 36],
    /// Its method.
    pub method: Method,
    /// What has a name.
    pub names: Names,
    /// Who sent it.
    pub client: Option<IpAddr>,
    /// What it was for.
    pub operation: Option<&'static str>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: &'static str,
    /// Why it got no answer.
    pub why: Option<&'static str>,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// From the first byte of the request to the end.
    pub duration: Duration,
    /// Until the first byte of the answer's body.
    pub first: Option<Duration>,
    /// Backends that it was sent to, and the time in the queue; none if none was looked for.
    pub way: Option<(u32, Duration)>,
    /// How often its stream has gone on at another backend.
    pub resumed: u32,
    /// Its tokens.
    pub usage: Usage,
}

/// What a request's line tells by name.
#[derive(Clone, Copy, Debug)]
pub enum Named {
    /// The path.
    Path,
    /// The frontend.
    Frontend,
    /// The virtual key that it came with.
    Key,
    /// The model, as the client names it.
    Model,
    /// The backend of the answer.
    Backend,
}

/// Some names in one place, so that the usual ones take no allocation of their own.
#[derive(Debug, Default)]
pub struct Names {
    bytes: SmallVec<[u8; USUAL_NAMES]>,
    /// Where each begins and ends.
    places: [Option<(u16, u16)>; 5],
}

// === impl Entry ===

impl Entry {
    /// Writes its line; returns where the message begins.
    pub(super) fn write(&self, is_json: bool, out: &mut Vec<u8>) -> usize {
        let (mut line, message) = Line::begin(is_json, self.at, out);
        line.word(name!("request"), self.id);
        line.text(name!("method"), self.method.as_str());
        line.text(name!("path"), self.names.get(Named::Path).unwrap_or_default());
        if let Some(client) = self.client {
            line.address(name!("client"), client);
        }
        if let Some(frontend) = self.names.get(Named::Frontend) {
            line.word(name!("frontend"), frontend);
        }
        if let Some(operation) = self.operation {
            line.word(name!("operation"), operation);
        }
        if let Some(key) = self.names.get(Named::Key) {
            line.word(name!("key"), key);
        }
        if let Some(model) = self.names.get(Named::Model) {
            line.text(name!("model"), model);
        }
        if let Some(backend) = self.names.get(Named::Backend) {
            line.word(name!("backend"), backend);
        }
        if let Some(status) = self.status {
            line.number(name!("status"), status.into());
        }
        line.word(name!("outcome"), self.outcome);
        if let Some(why) = self.why {
            line.word(name!("error"), why);
        }
        line.number(name!("bytes"), self.bytes);
        line.millis(name!("duration_ms"), self.duration);
        if let Some(first) = self.first {
            line.millis(name!("ttft_ms"), first);
        }
        if let Some((attempts, queued)) = self.way {
            line.number(name!("attempts"), attempts.into());
            line.millis(name!("queue_ms"), queued);
        }
        if self.resumed > 0 {
            line.number(name!("resumed"), self.resumed.into());
        }
        let Usage { prompt, completion } = self.usage;
        if let Some(tokens) = prompt {
            line.number(name!("prompt_tokens"), tokens);
        }
        if let Some(tokens) = completion {
            line.number(name!("completion_tokens"), tokens);
        }
        line.end();
        message
    }
}

// === impl Names ===

impl Names {
    /// Remembers a name, as much of it as a line takes. The last word counts.
    pub fn set(&mut self, named: Named, name: &str) {
        let name = cut(name);
        // The one that was remembered last makes room for another: that of the backend, when a stream goes on elsewhere.
        if let Some((start, end)) = self.places[named as usize]
            && usize::from(end) == self.bytes.len()
        {
            self.bytes.truncate(start.into());
        }
        let place = |at: usize| u16::try_from(at).ok();
        self.places[named as usize] =
            place(self.bytes.len()).zip(place(self.bytes.len() + name.len())).inspect(|_| {
                self.bytes.extend_from_slice(name.as_bytes());
            });
    }

    /// What was remembered.
    pub fn get(&self, named: Named) -> Option<&[u8]> {
        let (start, end) = self.places[named as usize]?;
        self.bytes.get(start.into()..end.into())
    }
}
