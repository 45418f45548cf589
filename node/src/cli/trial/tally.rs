//! What is measured of an answer: when it began, how fast it came, who gave it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::remote::printable;
use crate::cli::screen::{Screen, Tone};

/// Which way the request went, as the head of the answer tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Route {
    frontend: String,
    backend: Option<String>,
    attempts: Option<u64>,
    queue_ms: Option<u64>,
    decision: Option<String>,
    translation: Option<String>,
}

/// An answer, measured.
#[derive(Debug)]
pub(super) struct Tally {
    route: Route,
    begin: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Frames with content in them.
    frames: u64,
    text: String,
    model: Option<String>,
    reason: Option<String>,
    prompt_tokens: Option<u64>,
    tokens: Option<u64>,
}

// === Route ===

impl Route {
    pub(super) fn of<'h>(frontend: &str, header: impl Fn(&str) -> Option<&'h str>) -> Self {
        let text = |name| header(name).map(printable);
        let number = |name| header(name).and_then(|text| text.parse().ok());
        Self {
            frontend: frontend.to_owned(),
            backend: text("x-ollamaflow-backend"),
            attempts: number("x-ollamaflow-attempts"),
            queue_ms: number("x-ollamaflow-queue-ms"),
            decision: text("x-ollamaflow-decision"),
            translation: text("x-ollamaflow-translation"),
        }
    }
}

// === Tally ===

impl Tally {
    pub(super) fn new(route: Route, begin: Instant) -> Self {
        Self {
            route,
            begin,
            first: None,
            last: None,
            frames: 0,
            text: String::new(),
            model: None,
            reason: None,
            prompt_tokens: None,
            tokens: None,
        }
    }

    pub(super) fn content(&mut self, at: Instant, words: &str) {
        self.first.get_or_insert(at);
        self.last = Some(at);
        self.frames += 1;
        self.text.push_str(words);
    }

    pub(super) fn end(&mut self, at: Instant, model: Option<String>, reason: Option<String>) {
        self.last = Some(at);
        (self.model, self.reason) = (model, reason);
    }

    /// What the backend has counted.
    pub(super) fn count(&mut self, prompt: Option<u64>, answer: Option<u64>) {
        (self.prompt_tokens, self.tokens) = (prompt, answer);
    }

    pub(super) fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    /// What the backend has counted, or else the frames: engines send a token in each.
    fn tokens(&self) -> u64 {
        self.tokens.unwrap_or(self.frames)
    }

    fn since_begin(&self, at: Option<Instant>) -> Option<Duration> {
        Some(at?.duration_since(self.begin))
    }

    /// Tokens after the first one, by the time that they took; none if there was no such time.
    fn tokens_per_second(&self) -> Option<f64> {
        let time = self.last?.duration_since(self.first?).as_secs_f64();
        let tokens = u32::try_from(self.tokens().checked_sub(1)?).ok()?;
        (tokens > 0 && time > 0.0).then(|| f64::from(tokens) / time)
    }

    pub(super) fn json(&self) -> Value {
        let milliseconds =
            |time: Option<Duration>| time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let rounded = |number: f64| (number * 10.0).round() / 10.0;
        json!({
            "Frontend": self.route.frontend,
            "Backend": self.route.backend,
            "Model": self.model,
            "Attempts": self.route.attempts,
            "QueueMs": self.route.queue_ms,
            "Decision": self.route.decision,
            "Translation": self.route.translation,
            "FirstTokenMs": milliseconds(self.since_begin(self.first)),
            "DurationMs": milliseconds(self.since_begin(self.last)),
            "PromptTokens": self.prompt_tokens,
            "Tokens": self.tokens(),
            "TokensAreCounted": self.tokens.is_some(),
            "TokensPerSecond": self.tokens_per_second().map(rounded),
            "DoneReason": self.reason,
            "Text": self.text,
        })
    }

    pub(super) fn text(&self, screen: Screen) -> String {
        let unknown = || "not told".to_owned();
        let seconds = |time: Option<Duration>| time.map_or_else(unknown, shown);
        let backend = self.route.backend.clone().unwrap_or_else(unknown);
        let attempts = match self.route.attempts {
            Some(1) => "1 attempt".to_owned(),
            Some(count) => screen.paint(Tone::Doubtful, &format!("{count} attempts")),
            None => "attempts not told".to_owned(),
        };
        let decision =
            self.route.decision.as_ref().map_or_else(String::new, |decision| format!(", {decision}"));
        let queue = self.route.queue_ms.filter(|wait| *wait > 0);
        let queue = queue.map_or_else(String::new, |wait| format!(", {wait} ms of it in the queue"));
        let speed =
            self.tokens_per_second().map_or_else(String::new, |speed| format!(", {speed:.1} tokens/s"));
        let counted = if self.tokens.is_some() { "" } else { " (frames; the backend has not counted)" };
        let prompt = self.prompt_tokens.map_or_else(String::new, |count| format!(", prompt of {count}"));
        let translation = self
            .route
            .translation
            .as_ref()
            .filter(|way| *way != "none")
            .map(|way| format!("\ntranslation  {way}"));
        format!(
            "backend      {backend} ({attempts}{decision})\n\
             model        {}\n\
             first token  {}{queue}\n\
             whole        {}, {} tokens{counted}{prompt}{speed}{}",
            self.model.as_deref().map_or_else(unknown, printable),
            seconds(self.since_begin(self.first)),
            seconds(self.since_begin(self.last)),
            self.tokens(),
            translation.unwrap_or_default(),
        )
    }
}

fn shown(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str) -> Option<&'static str> {
        match name {
            "x-ollamaflow-backend" => Some("b1"),
            "x-ollamaflow-attempts" => Some("2"),
            "x-ollamaflow-queue-ms" => Some("40"),
            "x-ollamaflow-decision" => Some("RoundRobin"),
            _ => None,
        }
    }

    fn measured(counted: Option<u64>) -> Tally {
        let begin = Instant::now();
        let mut tally = Tally::new(Route::of("f", header), begin);
        for (after, words) in [(100, "a"), (600, " b"), (1_100, " c")] {
            tally.content(begin + Duration::from_millis(after), words);
        }
        tally.end(begin + Duration::from_millis(1_100), Some("m".to_owned()), Some("stop".to_owned()));
        tally.count(Some(7), counted);
        tally
    }

    #[test]
    fn the_speed_is_that_after_the_first_token() {
        let json = measured(Some(11)).json();
        assert_eq!((&json["FirstTokenMs"], &json["DurationMs"]), (&json!(100), &json!(1_100)));
        assert_eq!((&json["Tokens"], &json["TokensPerSecond"]), (&json!(11), &json!(10.0)));
        assert_eq!(
            (&json["Backend"], &json["Attempts"], &json["Text"]),
            (&json!("b1"), &json!(2), &json!("a b c"))
        );
    }

    #[test]
    fn people_read_it_in_four_lines() {
        assert_eq!(
            measured(None).text(Screen::none()),
            "backend      b1 (2 attempts, RoundRobin)\n\
             model        m\n\
             first token  100 ms, 40 ms of it in the queue\n\
             whole        1.10 s, 3 tokens (frames; the backend has not counted), prompt of 7, 2.0 tokens/s"
        );
    }

    #[test]
    fn an_answer_without_words_has_no_speed() {
        let tally = Tally::new(Route::default(), Instant::now());
        assert_eq!(tally.json()["TokensPerSecond"], json!(null));
        assert!(tally.text(Screen::none()).contains("first token  not told"));
    }
}
