//! What a client has received of one stream, as far as another backend needs it to go on.

use bytes::Bytes;

use super::dialect::{Dialect, Facts, Frame, Identity};
use super::frames::{Cutter, MAX_HELD};
use super::request::{Continuation, Request};
use super::splice::Splice;
use crate::object::ApiFormat;
use crate::route::Operation;

/// The longest answer that is continued, in bytes of its text.
const MAX_TEXT: usize = 1024 * 1024;

/// The memory of one stream that may be continued elsewhere.
///
/// Bounds: the request (kept, not copied) and the text have at most 1 MiB each, what is held back at most 64 KiB.
#[derive(Debug)]
pub struct Transcript {
    operation: Operation,
    dialect: Dialect,
    request: Bytes,
    identity: Identity,
    /// The answer so far, without the beginning that the client itself may have given.
    text: String,
    /// Frames with text that were sent: about as many tokens.
    frames: u64,
    cutter: Cutter,
    /// The backend's report of its own failure, and what came after it.
    failure: Option<Vec<u8>>,
    obstacle: Option<Obstacle>,
    resumptions: u32,
}

/// Why a stream can no longer be continued. The sentence is for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// A thought was sent, of which engines cannot be given a part.
    #[error("the answer holds a thought")]
    Thinking,
    /// A tool call was sent, or half of one.
    #[error("the answer holds a tool call")]
    ToolCall,
    /// The engine had finished; what is missing is only the end of the stream.
    #[error("the answer is finished")]
    Finished,
    /// A frame has another shape than the protocol's.
    #[error("a frame could not be read")]
    Unreadable,
    /// The answer's text is longer than 1 MiB.
    #[error("the answer is too long")]
    TooLong,
    /// A frame is longer than 64 KiB.
    #[error("a frame is too long")]
    FrameTooLong,
}

// === impl Transcript ===

impl Transcript {
    /// Begins with the request, before its answer.
    ///
    /// `request` is the body as the client sent it, with the frontend's pins and without those of a backend, since
    /// it is the next backend that the continuation is for. (If pins of the first backend ask for a stateful thing,
    /// such as a `format`, ask here with those pins merged whether there is a transcript at all.)
    ///
    /// `None` where an answer cannot be continued: other operations than Ollama's chat and generate and `OpenAI`'s
    /// chat; no stream; several choices; structured output; log probabilities; forced tool calls; a generate with
    /// `raw`, `suffix`, `template` or `context`; a body that is not one JSON object with each name once, or is over
    /// 1 MiB. Only make one for an answer that is a stream by its media type and has no content encoding.
    pub fn begin(operation: Operation, request: Bytes) -> Option<Self> {
        let dialect = Dialect::of(operation)?;
        Request::read(operation, &request)?;
        Some(Self {
            operation,
            dialect,
            request,
            identity: Identity::default(),
            text: String::new(),
            frames: 0,
            cutter: Cutter::new(dialect.framing()),
            failure: None,
            obstacle: None,
            resumptions: 0,
        })
    }

    /// Takes the next piece of the answer, cut anywhere; returns what is to be sent to the client now.
    ///
    /// Held back are an unfinished frame, and from an error frame on everything: the client is to see neither if
    /// the answer is continued. Once the stream cannot be continued any more, everything passes through.
    pub fn split(&mut self, bytes: Bytes) -> Bytes {
        if self.obstacle.is_some() {
            return bytes;
        }
        if let Some(failure) = &mut self.failure {
            failure.extend_from_slice(&bytes);
            return self.bounded(Bytes::new());
        }
        let mut whole = self.cutter.push(bytes);
        let mut heard = 0;
        for frame in self.cutter.framing().frames(&whole) {
            if !self.hear(frame) {
                let mut failure = whole[heard..].to_vec();
                failure.append(&mut self.cutter.take());
                self.failure = Some(failure);
                break;
            }
            heard += frame.len();
        }
        if self.failure.is_some() {
            whole.truncate(heard);
        }
        self.bounded(whole)
    }

    /// What is held back. A caller that does not continue the stream sends this after what [`Self::split`]
    /// returned, and the client has exactly the backend's bytes.
    ///
    /// So also when a stream ends well: its last frame may lack the newline that would have ended it.
    pub fn rest(&mut self) -> Bytes {
        let mut rest = self.failure.take().unwrap_or_default();
        rest.append(&mut self.cutter.take());
        Bytes::from(rest)
    }

    /// Why the stream cannot be continued any more, if so.
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.obstacle
    }

    /// The frame in which the backend reported a failure of its own, with all that came after it; held back.
    pub fn failure(&self) -> Option<&[u8]> {
        self.failure.as_deref()
    }

    /// How often the stream was continued.
    pub fn resumptions(&self) -> u32 {
        self.resumptions
    }

    /// The request that makes a backend of `target` continue the answer. `None` where it cannot, now or at such a
    /// backend: `OpenAI` streams can be continued by both kinds, Ollama's by Ollama.
    ///
    /// May be asked for several backends in turn. A backend that refuses changes nothing.
    pub fn resumption(&self, target: ApiFormat) -> Option<Continuation> {
        if self.obstacle.is_some() {
            return None;
        }
        Request::read(self.operation, &self.request)?.continuation(target, &self.text, self.frames)
    }

    /// The backend that was asked for `continuation` has answered with a stream: forgets what was held back of the
    /// stream that died, and gives what makes the new one continue it.
    pub fn splice(&mut self, continuation: Continuation) -> Splice {
        drop(self.rest());
        self.resumptions = self.resumptions.saturating_add(1);
        Splice::new(self.dialect, self.identity.clone(), self.frames, self.resumptions, continuation.seam)
    }

    /// Hears a whole frame; false if it reports a failure.
    fn hear(&mut self, frame: &[u8]) -> bool {
        if self.obstacle.is_some() {
            return true;
        }
        let object = match self.dialect.read(frame) {
            Frame::Failure => return false,
            Frame::Filler => return true,
            Frame::End => return self.stop(Obstacle::Finished),
            Frame::Unreadable => return self.stop(Obstacle::Unreadable),
            Frame::Object(object) => object,
        };
        let Some(facts) = self.dialect.facts(&object) else { return self.stop(Obstacle::Unreadable) };
        if self.identity.is_lost(&object, &facts) {
            return false;
        }
        self.identity.learn(self.dialect, &object);
        self.note(&facts);
        true
    }

    fn note(&mut self, facts: &Facts<'_>) {
        self.text.push_str(facts.text);
        self.frames += u64::from(!facts.text.is_empty());
        self.obstacle = match facts {
            Facts { thinks: true, .. } => Some(Obstacle::Thinking),
            Facts { calls: true, .. } => Some(Obstacle::ToolCall),
            Facts { finished: true, .. } => Some(Obstacle::Finished),
            _ if self.text.len() > MAX_TEXT => Some(Obstacle::TooLong),
            _ => None,
        };
    }

    fn stop(&mut self, obstacle: Obstacle) -> bool {
        self.obstacle = Some(obstacle);
        true
    }

    /// Adds to `sent` what can no longer be held back, and gives the memory back that nobody will ask for.
    fn bounded(&mut self, sent: Bytes) -> Bytes {
        let held = self.cutter.held() + self.failure.as_ref().map_or(0, Vec::len);
        if held > MAX_HELD && self.obstacle.is_none() {
            self.obstacle = Some(Obstacle::FrameTooLong);
        }
        if self.obstacle.is_none() {
            return sent;
        }
        self.text = String::new();
        self.request = Bytes::new();
        let rest = self.rest();
        if rest.is_empty() {
            return sent;
        }
        Bytes::from([sent, rest].concat())
    }
}

#[cfg(test)]
mod tests;
