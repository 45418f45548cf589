//! The second backend's frames, made to continue the first one's stream.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::dialect::{Dialect, Facts, Frame, Identity};
use super::frames::{Cutter, Framing, MAX_HELD};
use super::seam::Seam;

/// Turns the answer to a [`Continuation`](super::Continuation) into frames that continue the stream that the client
/// has.
///
/// - Each frame has the model of the first stream, and a chunk of `OpenAI` its id, time and fingerprint; the first
///   chunk's role is left out. A client of generate gets the frames of a chat as its own (without `context`).
/// - Text that the engine was given and repeats is cut off, and white space that the client has already.
/// - The counts of generated tokens have those of the first stream added (its frames, since it died before it could
///   count). The counts of prompt tokens stay the engine's: it has read the text so far as a part of its prompt.
/// - The last object has `"x_ollamaflow_resumed": n`; a stream of `OpenAI` has the comment
///   `: x-ollamaflow-resumed: n` before the chunk that finishes it. `n` counts the resumptions.
#[derive(Clone, Debug)]
pub struct Splice {
    /// The shape that the client gets; the backend's is a chat's where this is a generate's.
    client: Dialect,
    cutter: Cutter,
    identity: Identity,
    /// Frames with text that other backends have sent.
    carried: u64,
    resumptions: u32,
    seam: Seam,
    /// A frame was given to the client.
    spoken: bool,
    announced: bool,
    ended: bool,
    misfit: Option<Misfit>,
}

/// Why a second stream cannot continue the first. The sentence is for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The backend reported a failure of its own. The stream may be continued by a third one.
    #[error("the backend that continued the stream reported an error")]
    Failed,
    /// It began to think, so it does not continue a text but answers anew.
    #[error("the backend did not continue the text, but began with a thought")]
    Thinking,
    /// A frame has another shape than the protocol's, or is longer than 64 KiB.
    #[error("a frame of the backend that continued the stream could not be read")]
    Unreadable,
}

// === impl Splice ===

impl Splice {
    pub(super) fn new(
        client: Dialect,
        identity: Identity,
        carried: u64,
        resumptions: u32,
        seam: Seam,
    ) -> Self {
        let cutter = Cutter::new(client.framing());
        Self {
            client,
            cutter,
            identity,
            carried,
            resumptions,
            seam,
            spoken: false,
            announced: false,
            ended: false,
            misfit: None,
        }
    }

    /// Takes the next piece of the second backend's answer, cut anywhere; returns whole frames for the client
    /// (to be passed through [`Transcript::split`](super::Transcript::split)). Look at [`Self::misfit`] after each.
    pub fn push(&mut self, bytes: Bytes) -> Bytes {
        if self.is_over() {
            return Bytes::new();
        }
        let whole = self.cutter.push(bytes);
        let spliced = self.frames(&whole);
        if self.cutter.held() > MAX_HELD && !self.is_over() {
            self.misfit = Some(Misfit::Unreadable);
        }
        spliced
    }

    /// The second backend's stream has ended: what its last frame says, if that lacked the newline that ends it.
    pub fn finish(&mut self) -> Bytes {
        let mut last = self.cutter.take();
        if self.is_over() || last.trim_ascii().is_empty() {
            return Bytes::new();
        }
        last.extend_from_slice(b"\n\n");
        // A frame that was cut is not the backend's mistake: its stream has just died as well.
        let before = self.clone();
        let spliced = self.frames(&last);
        if self.misfit == Some(Misfit::Unreadable) {
            *self = before;
        }
        spliced
    }

    /// Why nothing more will come, if this stream cannot continue the first. What [`Self::push`] has returned so
    /// far is good.
    pub fn misfit(&self) -> Option<Misfit> {
        self.misfit
    }

    /// Whether the end marker of the protocol was there: the stream is complete.
    pub fn is_complete(&self) -> bool {
        self.ended
    }

    fn is_over(&self) -> bool {
        self.ended || self.misfit.is_some()
    }

    fn frames(&mut self, whole: &[u8]) -> Bytes {
        let mut spliced = Vec::with_capacity(whole.len());
        for frame in self.client.framing().frames(whole) {
            if self.is_over() {
                break;
            }
            if let Err(misfit) = self.frame(frame, &mut spliced) {
                self.misfit = Some(misfit);
            }
        }
        Bytes::from(spliced)
    }

    fn frame(&mut self, frame: &[u8], into: &mut Vec<u8>) -> Result<(), Misfit> {
        let source = match self.client {
            Dialect::Generate => Dialect::Chat,
            same => same,
        };
        let object = match source.read(frame) {
            Frame::Failure => return Err(Misfit::Failed),
            Frame::Unreadable => return Err(Misfit::Unreadable),
            Frame::Filler => {
                // Comments keep connections alive; blank lines break readers of NDJSON.
                if self.client.framing() == Framing::Events && !frame.trim_ascii().is_empty() {
                    into.extend_from_slice(frame);
                }
                return Ok(());
            }
            Frame::End => {
                self.announce(into);
                into.extend_from_slice(b"data: [DONE]\n\n");
                self.ended = true;
                return Ok(());
            }
            Frame::Object(object) => object,
        };
        let facts = source.facts(&object).ok_or(Misfit::Unreadable)?;
        if self.identity.is_lost(&object, &facts) {
            return Err(Misfit::Failed);
        }
        if facts.thinks {
            return Err(Misfit::Thinking);
        }
        let mut text = self.seam.pass(facts.text);
        if facts.calls || facts.finished {
            text.push_str(&self.seam.flush());
        }
        let told = Facts { text: &text, ..facts };
        if told.is_silent() && (!self.spoken || !facts.text.is_empty()) {
            // The role alone, or text that the client has.
            return Ok(());
        }
        self.spoken = true;
        let cut = text != facts.text;
        let finished = facts.finished;
        match self.client {
            Dialect::Chunks => {
                if finished {
                    self.announce(into);
                }
                self.chunk(object, cut.then_some(text), into);
            }
            Dialect::Chat | Dialect::Generate => {
                self.line(object, text, cut, finished, into);
                self.ended = finished;
            }
        }
        Ok(())
    }

    /// One chunk of `OpenAI`; `text` is what it has to say, if not its own.
    fn chunk(&self, mut object: Map<String, Value>, text: Option<String>, into: &mut Vec<u8>) {
        self.identity.apply(self.client, &mut object);
        if let Some(choice) = object.get_mut("choices").and_then(|choices| choices.get_mut(0))
            && let Some(choice) = choice.as_object_mut()
        {
            change(choice, "delta", |delta| {
                delta.shift_remove("role");
                if let Some(text) = text {
                    delta.insert("content".to_owned(), Value::from(text));
                }
            });
        }
        if let Some(usage) = object.get_mut("usage").and_then(Value::as_object_mut) {
            self.add_carried(usage, "completion_tokens");
            self.add_carried(usage, "total_tokens");
        }
        into.extend_from_slice(format!("data: {}\n\n", Value::Object(object)).as_bytes());
    }

    /// One line of Ollama's; `text` is what it has to say, `cut` that it is not its own.
    fn line(
        &self,
        mut object: Map<String, Value>,
        text: String,
        cut: bool,
        finished: bool,
        into: &mut Vec<u8>,
    ) {
        self.identity.apply(self.client, &mut object);
        if self.client == Dialect::Generate {
            object = as_generate(object, text);
        } else if cut {
            change(&mut object, "message", |message| {
                message.insert("content".to_owned(), Value::from(text));
            });
        }
        if finished {
            object.entry("eval_count").or_insert_with(|| json!(0));
            self.add_carried(&mut object, "eval_count");
            object.insert("x_ollamaflow_resumed".to_owned(), json!(self.resumptions));
        }
        into.extend_from_slice(format!("{}\n", Value::Object(object)).as_bytes());
    }

    fn add_carried(&self, counts: &mut Map<String, Value>, name: &str) {
        if let Some(count) = counts.get_mut(name)
            && let Some(own) = count.as_u64()
        {
            *count = json!(own.saturating_add(self.carried));
        }
    }

    /// Tells once that the stream was resumed: a comment, an event of its own, so that a reader that takes each
    /// event for one line of data passes it over.
    fn announce(&mut self, into: &mut Vec<u8>) {
        if !self.announced {
            self.announced = true;
            into.extend_from_slice(format!(": x-ollamaflow-resumed: {}\n\n", self.resumptions).as_bytes());
        }
    }
}

/// Changes the object that is a member, which may be absent or null.
fn change(object: &mut Map<String, Value>, name: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(Value::Object(member)) = object.get_mut(name) {
        return change(member);
    }
    let mut member = Map::new();
    change(&mut member);
    object.insert(name.to_owned(), Value::Object(member));
}

/// A chat's object as a generate's, with `response` in the place of `message`.
fn as_generate(chat: Map<String, Value>, text: String) -> Map<String, Value> {
    let mut generate = Map::with_capacity(chat.len());
    for (name, value) in chat {
        match name.as_str() {
            "message" => {
                generate.insert("response".to_owned(), Value::Null);
            }
            "context" => {}
            _ => {
                generate.insert(name, value);
            }
        }
    }
    generate.insert("response".to_owned(), Value::from(text));
    generate
}

#[cfg(test)]
mod tests;
