//! Reads the answers of `POST /v1/chat/completions`.

use serde::Deserialize;

use super::openai::{Logprob, Object, Progress, ReadChunks};
use super::openai_calls::{Calls, Fragment, Function};
use crate::time::Timestamp;
use crate::translate::piece::Piece;
use crate::translate::{Broken, Occasion};

/// Reads one answer; the calls of tools are held back to its end.
#[derive(Debug)]
pub(in crate::translate) struct Reader {
    occasion: Occasion,
    progress: Progress,
    calls: Calls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    /// Of a chunk.
    delta: Option<Message>,
    /// Of a whole answer.
    message: Option<Message>,
    finish_reason: Option<String>,
    logprobs: Option<Logprobs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Option<String>,
    /// What the model says instead of an answer: to every other API, that is the answer.
    refusal: Option<String>,
    // What the model thinks has as many names as there are engines; vLLM gives the same text under two of them.
    reasoning: Option<String>,
    reasoning_content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Fragment>>,
    function_call: Option<Function>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Logprobs {
    content: Option<Vec<Logprob>>,
}

// === impl Reader ===

impl Reader {
    pub(in crate::translate) fn new(occasion: Occasion) -> Self {
        Self { occasion, progress: Progress::new(occasion), calls: Calls::default() }
    }
}

impl ReadChunks for Reader {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Reads a chunk or a whole answer; keeps the calls.
    fn read(&mut self, bytes: &[u8], now: Timestamp) -> Result<Piece, Broken> {
        let Some(choice) = Object::<Choice>::parse(bytes)?.choice(&mut self.progress) else {
            return Ok(Piece::default());
        };
        self.progress.note_reason(choice.finish_reason);
        let mut message = choice.delta.or(choice.message).unwrap_or_default();
        let fragments = message.fragments();
        let logprobs = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        let piece = Piece {
            thinking: message.thinking(),
            content: message.content(),
            logprobs: logprobs.into_iter().map(Into::into).collect(),
            ..Piece::default()
        };
        if !(piece.is_silent() && fragments.is_empty()) {
            self.progress.heard(now);
        }
        self.calls.take(fragments)?;
        Ok(piece)
    }

    /// Gives what was held back: the calls, and then the end.
    fn finish(&mut self, now: Timestamp, pieces: &mut Vec<Piece>) -> Result<(), Broken> {
        let tool_calls = self.calls.finish(self.occasion)?;
        if !tool_calls.is_empty() {
            pieces.push(Piece { tool_calls, ..Piece::default() });
        }
        pieces.push(Piece { done: Some(self.progress.done(now)), ..Piece::default() });
        Ok(())
    }
}

// === impl Message ===

impl Message {
    fn thinking(&mut self) -> String {
        let names = [self.reasoning.take(), self.reasoning_content.take(), self.thinking.take()];
        names.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn content(&mut self) -> String {
        let texts = [self.content.take(), self.refusal.take()];
        texts.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn fragments(&mut self) -> Vec<Fragment> {
        match (self.tool_calls.take(), self.function_call.take()) {
            (Some(fragments), _) if !fragments.is_empty() => fragments,
            (_, Some(function)) => vec![function.into()],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
