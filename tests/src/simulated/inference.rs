//! What all inference handlers do: read a lenient JSON body, find the model, get a slot, and speak a generation in the
//! dialect of an API.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::answer::{Answer, ErrorStyle, Refusal};
use super::demand::{keep_alive, keep_alive_seconds, runner_options};
use super::exchange::{Exchange, FrameStyle, Interrupt};
use super::generation::{Collected, Generation, Piece, Summary};
use super::knobs::Knobs;
use super::library::{Installed, canonical};
use super::prompt::Prompt;
use super::request::Head;
use super::scheduler::{Demand, Permit, footprint};
use super::state::Shared;

/// A request being handled.
pub(super) struct Call<'x, 'c> {
    pub exchange: &'x mut Exchange<'c>,
    pub shared: &'x Arc<Shared>,
    pub knobs: Arc<Knobs>,
    pub head: &'x Head,
    pub body: &'x Bytes,
    /// Also of bodies that are not held.
    pub body_length: u64,
    /// Of bodies that are not held; empty for others.
    pub body_digest: &'x str,
    pub error_style: ErrorStyle,
}

/// Why a handler ends without having answered.
#[derive(Debug)]
pub(super) enum Stop {
    Interrupted(Interrupt),
    Refused(Refusal),
}

impl From<Interrupt> for Stop {
    fn from(interrupt: Interrupt) -> Self {
        Self::Interrupted(interrupt)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A JSON object read the way Go reads it: names without case, null is absent.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Err(Refusal::new(400, "missing request body"));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Refusal::new(400, "request body must be a JSON object")),
            Err(e) => Err(Refusal::new(400, format!("invalid JSON in request body: {e}"))),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let mut matching = self.0.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        matching.next().map(|(_, value)| value).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// `stream`, or what it is when absent.
    pub(super) fn stream(&self, absent: bool) -> bool {
        self.get("stream").and_then(Value::as_bool).unwrap_or(absent)
    }

    /// The first of `model` and `name` that says something.
    pub(super) fn model(&self) -> Result<&str, Refusal> {
        let named = ["model", "name"].iter().filter_map(|name| self.text(name));
        named.map(str::trim).find(|name| !name.is_empty()).ok_or(Refusal::new(400, "model is required"))
    }

    pub(super) fn option(&self, name: &str) -> Option<&Value> {
        self.get("options").and_then(|options| options.get(name)).filter(|value| !value.is_null())
    }
}

impl Call<'_, '_> {
    /// Finds a model which can do this.
    pub(super) fn model(&self, name: &str, capability: &str) -> Result<Installed, Refusal> {
        let Some(model) = self.shared.library.find(name) else {
            return Err(Refusal::new(404, self.missing_model(name, capability)));
        };
        match (model.spec.can(capability), capability) {
            (true, _) => Ok(model),
            (false, "embedding") => Err(Refusal::new(501, "this model does not support embeddings")),
            (false, _) => Err(Refusal::new(400, format!("\"{name}\" does not support chat"))),
        }
    }

    fn missing_model(&self, name: &str, capability: &str) -> String {
        match (self.error_style, capability) {
            (ErrorStyle::Vllm, _) => format!("The model `{name}` does not exist."),
            (_, "embedding") => format!("model \"{name}\" not found, try pulling it first"),
            _ => format!("model '{name}' not found"),
        }
    }

    /// Waits for a slot, which the exchange then holds, and for the model to be loaded. Gives the time it took.
    pub(super) async fn admit(&mut self, model: &Installed, fields: &Fields) -> Result<Duration, Stop> {
        let (load, permit) = self.slot(model, fields).await?;
        self.exchange.hold_permit(permit);
        Ok(load)
    }

    /// The same for a generation, which begins then. What the runner knows of the prompt need not be read again.
    pub(super) async fn begin(
        &mut self,
        model: &Installed,
        fields: &Fields,
        prompt: Prompt,
    ) -> Result<Generation, Stop> {
        let (load, permit) = self.slot(model, fields).await?;
        let known_blocks = permit.read(&prompt);
        self.exchange.hold_permit(permit);
        Ok(Generation::begin(&self.knobs, prompt, load, known_blocks))
    }

    async fn slot(&mut self, model: &Installed, fields: &Fields) -> Result<(Duration, Permit), Stop> {
        let name = canonical(&model.spec.name);
        let runner = runner_options(fields, self.knobs.context_length);
        let keep_alive = keep_alive(fields)?.unwrap_or_else(|| keep_alive_seconds(self.knobs.keep_alive_s));
        let demand = Demand {
            digest: model.digest.clone(),
            size: footprint(model.spec.size, runner.num_ctx, self.knobs.parallelism),
            runner,
            load_time: self.knobs.load_time(&name),
            keep_alive: keep_alive.at_most(self.knobs.max_keep_alive_s),
            model: name,
        };
        let started = Instant::now();
        let permit = self.exchange.wait(self.shared.scheduler.acquire(demand)).await?;
        let busy = "server busy, please try again.  maximum pending requests exceeded";
        let permit = permit.map_err(|_| Refusal::new(503, busy))?;
        if permit.ready_at > Instant::now() {
            self.exchange.wait(tokio::time::sleep_until(permit.ready_at)).await?;
        }
        Ok((started.elapsed(), permit))
    }

    /// The time of work which gives no tokens, such as an embedding: that to a first token.
    pub(super) async fn compute(&mut self) -> Result<(), Stop> {
        let time = Duration::from_millis(self.knobs.ttft_ms);
        Ok(self.exchange.wait(tokio::time::sleep(time)).await?)
    }

    /// Says a generation in a dialect, as a stream or whole.
    pub(super) async fn speak(
        &mut self,
        mut generation: Generation,
        dialect: &mut impl Dialect,
        stream: bool,
    ) -> Result<(), Stop> {
        if !stream {
            let collected = generation.collect(self.exchange).await?;
            let answer = dialect.whole(&collected, &generation.summary());
            return Ok(self.exchange.answer(answer).await?);
        }
        let (content_type, headers) = dialect.stream_head();
        self.exchange.open(content_type, headers, dialect.style()).await?;
        let mut begun = false;
        loop {
            let piece = generation.next(self.exchange).await?;
            let opening = if begun { Vec::new() } else { dialect.opening() };
            begun = true;
            let ended = piece.is_none();
            let said = piece.map(|piece| dialect.piece(&piece)).unwrap_or_default();
            for frame in opening.iter().chain(&said) {
                self.exchange.frame(frame).await?;
            }
            if ended {
                break;
            }
        }
        let summary = generation.summary();
        for frame in &dialect.closing(&summary) {
            self.exchange.frame(frame).await?;
        }
        Ok(self.exchange.finish(&dialect.marker(&summary)).await?)
    }
}

/// How an API says things.
pub(super) trait Dialect {
    /// The format of its frames.
    fn style(&self) -> FrameStyle;

    /// Content type and other headers of a stream.
    fn stream_head(&self) -> (&'static str, &'static [(&'static str, &'static str)]);

    /// Frames before the first piece.
    fn opening(&mut self) -> Vec<Bytes> {
        Vec::new()
    }

    /// The frames of a piece: one, or none for what the API does not show.
    fn piece(&mut self, piece: &Piece) -> Vec<Bytes>;

    /// Frames after the last piece, without the marker.
    fn closing(&mut self, _summary: &Summary) -> Vec<Bytes> {
        Vec::new()
    }

    /// The frame that says the answer is complete.
    fn marker(&mut self, summary: &Summary) -> Bytes;

    /// An answer that is no stream.
    fn whole(&mut self, collected: &Collected, summary: &Summary) -> Answer;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_without_case_and_null_is_absent() {
        let fields = Fields::parse(br#"{"MODEL":"","Name":" m ","stream":null}"#).unwrap();
        assert_eq!(fields.model().unwrap(), "m");
        assert!(fields.stream(true));
    }
}
