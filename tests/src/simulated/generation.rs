//! A generation under way: pieces in their order, each after its time, and the figures engines report at the end.

use std::time::Duration;

use tokio::time::Instant;

use super::exchange::{Exchange, Interrupt};
use super::knobs::{Knobs, ToolCall};
use super::prompt::Prompt;
use super::text::{Text, split};

/// How far a generation may lag behind its pace before the lost time is forgotten.
const CATCH_UP: Duration = Duration::from_millis(100);
/// Stands for "never" where an instant is needed.
const AGES: Duration = Duration::from_secs(365 * 24 * 3600);

/// One token of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Thinking(String),
    ToolCall(ToolCall),
    Text(String),
}

/// The figures at the end.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    pub done_reason: &'static str,
    pub called_tool: bool,
    pub prompt_tokens: u64,
    pub tokens: u64,
    pub total: Duration,
    pub load: Duration,
    /// Until the first token.
    pub prompt: Duration,
    /// Since the first token.
    pub eval: Duration,
}

/// A whole answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Collected {
    pub thinking: String,
    pub text: String,
    pub tool_call: Option<ToolCall>,
}

/// A generation under way.
#[derive(Debug)]
pub(super) struct Generation {
    thinking: Vec<String>,
    tool_call: Option<ToolCall>,
    text: Text,
    prompt: Prompt,
    load: Duration,
    produced: u64,
    called_tool: bool,
    cut: bool,
    started: Instant,
    first_at: Option<Instant>,
    due: Instant,
    interval: Duration,
}

impl Generation {
    /// Begins; `load` is the time the model took to load, `known_blocks` what need not be read of the prompt. What was
    /// thought and which tool was called before the answer's beginning is not said again after it.
    pub(super) fn begin(knobs: &Knobs, prompt: Prompt, load: Duration, known_blocks: usize) -> Self {
        let started = Instant::now();
        let mut text = Text::of(knobs, &prompt.text);
        if let Some(begun) = &prompt.begun {
            text.go_on_from(begun);
        }
        let is_new = !text.is_begun();
        let thinking = knobs.thinking.as_deref().filter(|_| is_new);
        let tool_call = knobs.tool_call.clone().filter(|_| is_new && prompt.offers_tools);
        let first_token = Duration::from_millis(knobs.ttft_ms)
            .saturating_add(knobs.prefill_time(prompt.unread_tokens(known_blocks)));
        Self {
            thinking: thinking.map(|text| split(text, None)).unwrap_or_default(),
            tool_call,
            text,
            prompt,
            load,
            produced: 0,
            called_tool: false,
            cut: false,
            started,
            first_at: None,
            due: later(started, first_token),
            interval: knobs.token_interval(),
        }
    }

    /// The next piece, when its time has come; nothing at the end.
    pub(super) async fn next(&mut self, exchange: &mut Exchange<'_>) -> Result<Option<Piece>, Interrupt> {
        let piece = self.upcoming();
        let now = Instant::now();
        if self.due > now && (piece.is_some() || self.first_at.is_none()) {
            exchange.wait(tokio::time::sleep_until(self.due)).await?;
        }
        self.first_at.get_or_insert_with(Instant::now);
        if piece.is_some() {
            self.produced += 1;
            let behind = Instant::now().saturating_duration_since(self.due);
            let from = if behind > CATCH_UP { Instant::now() } else { self.due };
            self.due = later(from, self.interval);
        }
        Ok(piece)
    }

    /// The whole answer, when it is complete. An endless one never is.
    pub(super) async fn collect(&mut self, exchange: &mut Exchange<'_>) -> Result<Collected, Interrupt> {
        if self.text.is_endless() && self.prompt.limit.is_none() {
            exchange.wait(std::future::pending::<()>()).await?;
        }
        let mut collected = Collected::default();
        while let Some(piece) = self.next(exchange).await? {
            match piece {
                Piece::Thinking(text) => collected.thinking.push_str(&text),
                Piece::ToolCall(call) => collected.tool_call = Some(call),
                Piece::Text(text) => collected.text.push_str(&text),
            }
        }
        Ok(collected)
    }

    /// The figures so far.
    pub(super) fn summary(&self) -> Summary {
        let first = self.first_at.unwrap_or(self.started);
        Summary {
            done_reason: if self.cut { "length" } else { "stop" },
            called_tool: self.called_tool,
            prompt_tokens: self.prompt.tokens,
            tokens: self.produced,
            total: self.started.elapsed() + self.load,
            load: self.load,
            prompt: first.saturating_duration_since(self.started),
            eval: first.elapsed(),
        }
    }

    fn upcoming(&mut self) -> Option<Piece> {
        let spoken = self.produced.saturating_sub(u64::from(self.called_tool));
        let thinking = self.thinking.len() as u64;
        let piece = if spoken < thinking {
            usize::try_from(spoken)
                .ok()
                .and_then(|index| self.thinking.get(index))
                .cloned()
                .map(Piece::Thinking)
        } else if let Some(call) = self.tool_call.take() {
            self.called_tool = true;
            Some(Piece::ToolCall(call))
        } else if self.called_tool {
            None
        } else {
            self.text.piece(spoken - thinking).map(|text| Piece::Text(text.to_owned()))
        };
        self.cut = piece.is_some() && self.prompt.limit.is_some_and(|limit| self.produced >= limit);
        piece.filter(|_| !self.cut)
    }
}

fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by.min(AGES)).unwrap_or(from)
}
