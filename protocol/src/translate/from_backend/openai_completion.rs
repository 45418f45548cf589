//! Reads the answers of `POST /v1/completions`.

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::openai::{Alternative, Logprob, Object, Progress, ReadChunks};
use crate::time::Timestamp;
use crate::translate::piece::Piece;
use crate::translate::{Broken, Occasion};

/// Reads one answer.
#[derive(Debug)]
pub(in crate::translate) struct Reader {
    progress: Progress,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    text: Option<String>,
    finish_reason: Option<String>,
    logprobs: Option<Columns>,
}

/// Log probabilities as this API has them, in columns; or as chats have them, which is how llama.cpp answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Columns {
    content: Option<Vec<Logprob>>,
    tokens: Option<Vec<String>>,
    token_logprobs: Option<Vec<Option<Number>>>,
    top_logprobs: Option<Vec<Option<Map<String, Value>>>>,
}

// === impl Reader ===

impl Reader {
    pub(in crate::translate) fn new(occasion: Occasion) -> Self {
        Self { progress: Progress::new(occasion) }
    }
}

impl ReadChunks for Reader {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn read(&mut self, bytes: &[u8], now: Timestamp) -> Result<Piece, Broken> {
        let Some(choice) = Object::<Choice>::parse(bytes)?.choice(&mut self.progress) else {
            return Ok(Piece::default());
        };
        self.progress.note_reason(choice.finish_reason);
        let logprobs = choice.logprobs.map(Columns::into_rows).unwrap_or_default();
        let piece = Piece {
            content: choice.text.unwrap_or_default(),
            logprobs: logprobs.into_iter().map(Into::into).collect(),
            ..Piece::default()
        };
        if !piece.is_silent() {
            self.progress.heard(now);
        }
        Ok(piece)
    }

    fn finish(&mut self, now: Timestamp, pieces: &mut Vec<Piece>) -> Result<(), Broken> {
        pieces.push(Piece { done: Some(self.progress.done(now)), ..Piece::default() });
        Ok(())
    }
}

// === impl Columns ===

impl Columns {
    /// One row for each token, the likeliest alternatives first.
    fn into_rows(self) -> Vec<Logprob> {
        if let Some(rows) = self.content {
            return rows;
        }
        let mut logprobs = self.token_logprobs.unwrap_or_default().into_iter();
        let mut tops = self.top_logprobs.unwrap_or_default().into_iter();
        let mut row = |token| Logprob {
            token: Alternative { token, logprob: logprobs.next().flatten(), bytes: None },
            top_logprobs: tops.next().flatten().map(alternatives),
        };
        self.tokens.unwrap_or_default().into_iter().map(&mut row).collect()
    }
}

fn alternatives(top: Map<String, Value>) -> Vec<Alternative> {
    let alternative = |(token, logprob)| match logprob {
        Value::Number(logprob) => Alternative { token, logprob: Some(logprob), bytes: None },
        _ => Alternative { token, ..Alternative::default() },
    };
    let likelihood = |alternative: &Alternative| {
        alternative.logprob.as_ref().and_then(Number::as_f64).unwrap_or(f64::NEG_INFINITY)
    };
    let mut alternatives: Vec<Alternative> = top.into_iter().map(alternative).collect();
    alternatives.sort_by(|a, b| likelihood(b).total_cmp(&likelihood(a)));
    alternatives
}

#[cfg(test)]
mod tests;
