//! How an operation on models tells its progress: lines of a stream, or only its end.

use serde_json::{Value, json};

use super::NDJSON;
use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::exchange::FrameStyle;
use crate::simulated::inference::{Call, Stop};

/// What the client is told.
pub(super) struct Teller {
    stream: bool,
    opened: bool,
}

impl Teller {
    /// Tells all, or only the end.
    pub(super) fn new(stream: bool) -> Self {
        Self { stream, opened: false }
    }

    /// A line without figures.
    pub(super) async fn status(&mut self, call: &mut Call<'_, '_>, status: &str) -> Result<(), Stop> {
        self.line(call, &json!({ "status": status })).await
    }

    /// How far a layer is; as in Ollama, nothing done is not said.
    pub(super) async fn layer(
        &mut self,
        call: &mut Call<'_, '_>,
        verb: &str,
        digest: &str,
        completed: u64,
        total: u64,
    ) -> Result<(), Stop> {
        let hex = digest.trim_start_matches("sha256:");
        let status = format!("{verb} {}", hex.get(..12).unwrap_or(hex));
        let mut line = json!({ "status": status, "digest": digest, "total": total });
        if completed > 0 {
            line["completed"] = json!(completed);
        }
        self.line(call, &line).await
    }

    /// The end. A failure within a stream is its last line, one before it an answer of its own.
    pub(super) async fn conclude(
        self,
        call: &mut Call<'_, '_>,
        result: Result<(), Stop>,
    ) -> Result<(), Stop> {
        let last = match result {
            Ok(()) => json!({ "status": "success" }),
            Err(Stop::Refused(Refusal { message, .. })) if self.opened => json!({ "error": message }),
            Err(stop) => return Err(stop),
        };
        if !self.stream {
            return Ok(call.exchange.answer(Answer::native(&last)).await?);
        }
        if !self.opened {
            call.exchange.open(NDJSON, &[], FrameStyle::Ndjson).await?;
        }
        Ok(call.exchange.finish(&FrameStyle::Ndjson.frame(&last)).await?)
    }

    async fn line(&mut self, call: &mut Call<'_, '_>, line: &Value) -> Result<(), Stop> {
        if !self.stream {
            return Ok(());
        }
        if !self.opened {
            self.opened = true;
            call.exchange.open(NDJSON, &[], FrameStyle::Ndjson).await?;
        }
        Ok(call.exchange.frame(&FrameStyle::Ndjson.frame(line)).await?)
    }
}

/// What goes wrong within an operation.
pub(super) fn failed(message: impl Into<String>) -> Stop {
    Refusal::new(500, message).into()
}
