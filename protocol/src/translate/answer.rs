//! A backend's answer on its way into the client's API.

use std::fmt;
use std::ops::ControlFlow;

use thiserror::Error;

use super::catalog::Lookup;
use super::embedding::Vectors;
use super::frames::{self, Frame, Framing};
use super::from_backend::ReadAnswer;
use super::piece::Piece;
use super::request::EmbeddingEcho;
use super::to_client::WriteAnswer;
use super::{Broken, Occasion, from_backend, to_client};
use crate::header;
use crate::object::ApiFormat;
use crate::route::{ClientProtocol, Operation};
use crate::time::Timestamp;
use crate::wire::{self, Ending, Usage, fault};

/// The largest answer that is not streamed and still translated, in bytes: some thousand long embeddings.
pub const MAX_WHOLE: usize = 64 * 1024 * 1024;

/// What Ollama says if an input is longer than the model's context.
const TOO_LONG: &str = "the input length exceeds the context length";

/// Makes one answer for the client from one of a backend.
///
/// An answer with an error status goes through [`Answer::error`]. A streamed one for a client that wants a stream goes
/// through [`push`](Answer::push) and [`finish`](Answer::finish) or [`fail`](Answer::fail); every other one is read to
/// its end and goes through [`Answer::whole`].
#[derive(Debug)]
pub struct Answer {
    client: Operation,
    occasion: Occasion,
    body: Body,
    ending: Ending,
    usage: Usage,
}

/// Why a whole answer cannot be translated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The backend's failure.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The client asked for a model that the backend does not have.
    #[error("model '{0}' not found")]
    NoSuchModel(String),
}

#[derive(Debug)]
enum Body {
    Generation(Generation),
    Embedding(ApiFormat, EmbeddingEcho),
    Lookup(Lookup),
}

/// An answer that generates text.
pub(super) struct Generation {
    reader: Box<dyn ReadAnswer>,
    writer: Box<dyn WriteAnswer>,
    /// Whether the client wants a stream.
    stream: bool,
    frames: frames::Reader,
}

/// Where the pieces of a stream go.
struct Sink<'a> {
    pieces: Vec<Piece>,
    out: &'a mut Vec<u8>,
    usage: &'a mut Usage,
}

// === impl Answer ===

impl Answer {
    pub(super) fn embedding(format: ApiFormat, echo: EmbeddingEcho, occasion: Occasion) -> Self {
        Self::new(Body::Embedding(format, echo), occasion)
    }

    pub(super) fn lookup(lookup: Lookup, occasion: Occasion) -> Self {
        Self::new(Body::Lookup(lookup), occasion)
    }

    pub(super) fn generation(generation: Generation, occasion: Occasion) -> Self {
        Self::new(Body::Generation(generation), occasion)
    }

    fn new(body: Body, occasion: Occasion) -> Self {
        Self {
            client: Operation::OllamaOther,
            occasion,
            body,
            ending: Ending::Missing,
            usage: Usage::default(),
        }
    }

    pub(super) fn for_client(self, client: Operation) -> Self {
        Self { client, ..self }
    }

    /// Whether the client wants a stream.
    pub fn is_stream(&self) -> bool {
        matches!(&self.body, Body::Generation(generation) if generation.stream)
    }

    /// The media type of the client's answer.
    pub fn media_type(&self) -> &'static str {
        match (self.client.format(), self.is_stream()) {
            (ApiFormat::Ollama, true) => "application/x-ndjson",
            (_, true) => "text/event-stream",
            (ApiFormat::Ollama, false) => "application/json; charset=utf-8",
            _ => "application/json",
        }
    }

    /// Whether an answer of this media type is a stream.
    pub fn is_streamed(media_type: &str) -> bool {
        framing(media_type).is_some()
    }

    /// Takes the next bytes of a streamed answer, cut anywhere; the client's bytes are put behind `out`. Nothing is taken
    /// behind the end.
    pub fn push(&mut self, bytes: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        let Body::Generation(generation) = &mut self.body else { return };
        if self.ending != Ending::Missing {
            return;
        }
        let pushed =
            generation.push(bytes, now, &mut Sink { pieces: Vec::new(), out, usage: &mut self.usage });
        self.settle(pushed, out);
    }

    /// The streamed answer has ended cleanly: writes what was held back, or the error frame of a stream that is not
    /// complete.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        let Body::Generation(generation) = &mut self.body else { return };
        if self.ending != Ending::Missing {
            return;
        }
        let finished = generation.finish(now, &mut Sink { pieces: Vec::new(), out, usage: &mut self.usage });
        self.settle(finished, out);
    }

    /// The streamed answer has broken off: writes the error frame, unless it had ended.
    pub fn fail(&mut self, message: &str, out: &mut Vec<u8>) {
        if let Body::Generation(generation) = &mut self.body
            && self.ending == Ending::Missing
        {
            generation.writer.error(message, out);
            self.ending = Ending::Failed;
        }
    }

    /// How the streamed answer stands, as the client sees it.
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// The tokens that the backend has counted so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Translates an answer that was read to its end, streamed by the backend or not. What is given has
    /// [`media_type`](Self::media_type): a whole stream if the client wants one.
    pub fn whole(&mut self, media_type: &str, body: &[u8], now: Timestamp) -> Result<Vec<u8>, AnswerError> {
        match &mut self.body {
            Body::Generation(generation) => {
                let piece = generation.read_whole(framing(media_type), body, now)?;
                self.usage = piece.done.as_ref().map(|done| done.usage).unwrap_or_default();
                self.ending = Ending::Complete;
                Ok(generation.write_whole(piece, now))
            }
            Body::Embedding(format, echo) => {
                let read = match format {
                    ApiFormat::OpenAI => from_backend::openai_embeddings::read(body),
                    _ => from_backend::ollama_embed::read(body),
                };
                let vectors: Vectors = read?;
                self.usage = vectors.usage;
                Ok(match echo {
                    EmbeddingEcho::Ollama(echo) => {
                        to_client::ollama_embed::write(vectors, echo, self.occasion, now)
                    }
                    EmbeddingEcho::OpenAi(echo) => to_client::openai_embeddings::write(vectors, echo),
                })
            }
            Body::Lookup(lookup) => lookup.answer(body, self.occasion),
        }
    }

    /// An error of the backend in the client's API: status and body. A refusal of the credentials of this node is none of
    /// the client's.
    pub fn error(&self, status: u16, body: &[u8]) -> (u16, Vec<u8>) {
        let status = if status == 401 { 502 } else { status };
        let words =
            fault::error_text(body).unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
        let (status, words) = match &self.body {
            Body::Embedding(_, echo) if fault::is_too_long_input(&words) => match echo {
                // Its clients know these words; their input is not cut here.
                EmbeddingEcho::Ollama(_) => (400, TOO_LONG.to_owned()),
                EmbeddingEcho::OpenAi(_) => (400, words),
            },
            _ => (status, words),
        };
        let mut body = wire::error_body(self.client.protocol(), status, &words).unwrap_or_default();
        // Anthropic's errors name the request, so that its user can ask for it.
        if self.client.protocol() == ClientProtocol::Anthropic && body.pop() == Some('}') {
            body.extend([r#","request_id":""#, &self.occasion.hex("req_", 0, 24), r#""}"#]);
        }
        (status, body.into_bytes())
    }

    fn settle(&mut self, read: Result<bool, Broken>, out: &mut Vec<u8>) {
        match read {
            Ok(true) => self.ending = Ending::Complete,
            Ok(false) => {}
            Err(broken) => self.fail(&broken.to_string(), out),
        }
    }
}

/// How the frames of a stream of this media type are told apart; `None` if it is no stream.
fn framing(media_type: &str) -> Option<Framing> {
    let media_type = header::media_type(media_type);
    if media_type.eq_ignore_ascii_case("text/event-stream") {
        Some(Framing::Events)
    } else if media_type.eq_ignore_ascii_case("application/x-ndjson") {
        Some(Framing::Lines)
    } else {
        None
    }
}

// === impl Generation ===

impl Generation {
    pub(super) fn new(reader: Box<dyn ReadAnswer>, writer: Box<dyn WriteAnswer>, stream: bool) -> Self {
        let frames = frames::Reader::new(reader.framing());
        Self { reader, writer, stream, frames }
    }

    /// Takes the next bytes; true once the answer is complete.
    fn push(&mut self, bytes: &[u8], now: Timestamp, sink: &mut Sink<'_>) -> Result<bool, Broken> {
        let Self { reader, writer, frames, .. } = self;
        let mut read = Ok(false);
        let pushed = frames.push(bytes, |frame| {
            read = sink.take(writer.as_mut(), now, |pieces| reader.frame(frame, now, pieces));
            if read == Ok(false) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if read == Ok(false) {
            pushed?;
        }
        read
    }

    /// The bytes are at their end.
    fn finish(&mut self, now: Timestamp, sink: &mut Sink<'_>) -> Result<bool, Broken> {
        let Self { reader, writer, frames, .. } = self;
        let mut read = Ok(false);
        frames.finish(|frame| {
            read = sink.take(writer.as_mut(), now, |pieces| reader.frame(frame, now, pieces));
            if read == Ok(false) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if read? {
            return Ok(true);
        }
        let done = sink.take(writer.as_mut(), now, |pieces| reader.end(now, pieces))?;
        if done { Ok(true) } else { Err(Broken::Ended) }
    }

    fn read_whole(&mut self, framing: Option<Framing>, body: &[u8], now: Timestamp) -> Result<Piece, Broken> {
        if framing.is_none() {
            return self.reader.whole(body, now);
        }
        let (mut pieces, mut read) = (Vec::new(), Ok(()));
        let mut each = |frame: Frame<'_>| {
            read = self.reader.frame(frame, now, &mut pieces);
            // As in a stream: what comes behind the end is none of the client's.
            let is_done = pieces.last().is_some_and(|piece: &Piece| piece.done.is_some());
            if read.is_ok() && !is_done { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        self.frames.push(body, &mut each)?;
        self.frames.finish(&mut each);
        read?;
        if pieces.iter().all(|piece| piece.done.is_none()) {
            self.reader.end(now, &mut pieces)?;
        }
        let mut whole = Piece::default();
        for piece in pieces {
            whole.append(piece);
        }
        if whole.done.is_some() { Ok(whole) } else { Err(Broken::Ended) }
    }

    fn write_whole(&mut self, piece: Piece, now: Timestamp) -> Vec<u8> {
        if !self.stream {
            return self.writer.whole(piece, now);
        }
        let mut out = Vec::new();
        self.writer.piece(piece, now, &mut out);
        out
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").field("stream", &self.stream).finish_non_exhaustive()
    }
}

// === impl Sink ===

impl Sink<'_> {
    /// Writes what `read` gives; true if that was the end. What came before an error is written, too.
    fn take<F>(&mut self, writer: &mut dyn WriteAnswer, now: Timestamp, read: F) -> Result<bool, Broken>
    where
        F: FnOnce(&mut Vec<Piece>) -> Result<(), Broken>,
    {
        let result = read(&mut self.pieces);
        let mut is_done = false;
        for piece in self.pieces.drain(..) {
            if let Some(done) = &piece.done {
                *self.usage = done.usage;
                is_done = true;
            }
            writer.piece(piece, now, self.out);
        }
        if result.is_ok() && !is_done && writer.is_full() {
            return Err(Broken::TooMuch);
        }
        result.map(|()| is_done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::Request;

    fn error_of_embedding(echo: EmbeddingEcho, status: u16, message: &str) -> (u16, String) {
        let occasion = Occasion { now: Timestamp::EPOCH, nonce: 1 };
        let answer = Answer::embedding(ApiFormat::OpenAI, echo, occasion).for_client(Operation::OllamaEmbed);
        let body = serde_json::json!({ "error": { "message": message } }).to_string();
        let (status, body) = answer.error(status, body.as_bytes());
        (status, String::from_utf8(body).unwrap())
    }

    #[test]
    fn a_stream_that_its_last_frame_would_repeat_is_bounded() {
        let asked = br#"{"model":"m","input":"x","stream":true}"#;
        let occasion = Occasion { now: Timestamp::EPOCH, nonce: 1 };
        let request = Request::read(Operation::OpenAiResponses, None, asked).unwrap();
        let mut answer = request.write(ApiFormat::Ollama, occasion).unwrap().answer;
        let frame = format!(
            "{{\"message\":{{\"role\":\"assistant\",\"content\":\"{}\"}},\"done\":false}}\n",
            "x".repeat(1 << 20)
        );
        let mut out = Vec::new();
        for pushed in 1..=16 {
            out.clear();
            answer.push(frame.as_bytes(), Timestamp::EPOCH, &mut out);
            if answer.ending() != Ending::Missing {
                assert_eq!((pushed, answer.ending()), (8, Ending::Failed));
                assert!(String::from_utf8_lossy(&out).contains("more than 8 MiB"));
                return;
            }
        }
        panic!("everything is held");
    }

    #[test]
    fn an_input_that_is_too_long_is_refused_in_ollamas_words() {
        let echo = || EmbeddingEcho::Ollama(to_client::ollama_embed::Echo::default());
        for (status, message) in [
            (400, "This model's maximum context length is 512 tokens. However, you requested 600 tokens."),
            (400, "The input (600 tokens) is longer than the model's context length (512 tokens)."),
            (500, "input (600 tokens) is too large to process. increase the physical batch size"),
            (400, "the request exceeds the available context size (512 tokens), try increasing it"),
            (413, "`inputs` must have less than 512 tokens. Given: 600"),
        ] {
            let expected = (400, r#"{"error":"the input length exceeds the context length"}"#.to_owned());
            assert_eq!(error_of_embedding(echo(), status, message), expected);
        }
        let other = (500, r#"{"error":"CUDA error"}"#.to_owned());
        assert_eq!(error_of_embedding(echo(), 500, "CUDA error"), other);
    }

    #[test]
    fn an_error_for_an_anthropic_client_names_the_request() {
        let occasion = Occasion { now: Timestamp::EPOCH, nonce: 1 };
        let reader = Box::new(from_backend::ollama::Reader::new(occasion));
        let writer =
            Box::new(to_client::anthropic::Writer::new(to_client::anthropic::Echo::default(), occasion));
        let answer = Answer::generation(Generation::new(reader, writer, false), occasion);
        let answer = answer.for_client(Operation::AnthropicMessages);
        let (status, body) = answer.error(404, br#"{"error":"model 'm' not found"}"#);
        let id = occasion.hex("req_", 0, 24);
        assert_eq!(status, 404);
        assert_eq!(
            String::from_utf8(body).unwrap(),
            format!(
                r#"{{"type":"error","error":{{"type":"not_found_error","message":"model 'm' not found"}},"request_id":"{id}"}}"#
            )
        );
    }
}
