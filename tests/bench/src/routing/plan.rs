//! How much is simulated: engines, models and load. Times are those of real engines divided by [`FACTOR`]. Pure.

use std::time::Duration;

/// By how much everything is faster than the engines it stands for: loads, answers and pauses.
pub(super) const FACTOR: u32 = 10;

/// The models, the most popular first, with milliseconds (compressed) to load each.
pub(super) const MODELS: [(&str, u64); 6] = [
    ("assistant:8b", 700),
    ("coder:14b", 1_000),
    ("small:3b", 400),
    ("writer:24b", 1_600),
    ("vision:12b", 1_300),
    ("large:32b", 2_500),
];

/// What the engines and their clients are like.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct Plan {
    /// Seed of everything that is drawn by lot.
    pub(super) seed: u64,
    /// Engines.
    pub(super) backends: usize,
    /// Models in the memory of one engine.
    pub(super) models_in_memory: usize,
    /// Requests an engine serves at once for one model, and requests a balancer may give it.
    pub(super) parallelism: usize,
    /// Milliseconds from a request to its first token, the prompt's reading apart.
    pub(super) first_token_ms: u64,
    /// Tokens of a prompt read per second.
    pub(super) prefill_tokens_per_s: u32,
    /// Tokens said per second and answer.
    pub(super) tokens_per_s: u32,
    /// Conversations that a loaded model remembers.
    pub(super) prefix_cache_entries: usize,
    /// Requests that arrive per second.
    pub(super) rate_per_s: f64,
    /// Popularity of the model of rank r is 1 / r^exponent.
    pub(super) zipf_exponent: f64,
    /// The fewest and the most turns of a conversation.
    pub(super) turns: (u32, u32),
    /// Mean time between two turns of a conversation, in milliseconds; never below a third of it.
    pub(super) think_ms: u64,
    /// The fewest and the most tokens of an answer.
    pub(super) answer_tokens: (u32, u32),
    /// The fewest and the most tokens of a client's message.
    pub(super) message_tokens: (u32, u32),
    /// Tokens of the system prompt with which all conversations of a model begin.
    pub(super) system_tokens: u32,
    /// Seconds in which requests arrive that are counted, but not timed: all engines start empty.
    pub(super) warm_up_s: u32,
    /// Seconds after that, in which they are timed.
    pub(super) measured_s: u32,
    /// Seconds that answers may take after the last arrival.
    pub(super) drain_s: u32,
}

/// The published run.
pub(super) const FULL: Plan = Plan {
    seed: 20_261,
    backends: 4,
    models_in_memory: 2,
    parallelism: 4,
    first_token_ms: 20,
    prefill_tokens_per_s: 8_000,
    tokens_per_s: 300,
    prefix_cache_entries: 4,
    rate_per_s: 3.6,
    zipf_exponent: 1.0,
    turns: (2, 8),
    think_ms: 4_000,
    answer_tokens: (80, 520),
    message_tokens: (20, 120),
    system_tokens: 300,
    warm_up_s: 10,
    measured_s: 55,
    drain_s: 30,
};

/// Shows that everything works.
pub(super) const QUICK: Plan = Plan { warm_up_s: 2, measured_s: 10, drain_s: 10, ..FULL };

impl Plan {
    /// Seconds in which requests arrive.
    pub(super) fn arrivals(&self) -> Duration {
        Duration::from_secs(u64::from(self.warm_up_s + self.measured_s))
    }

    /// Requests that the engines together could serve per second if each model were in memory wherever it is asked for.
    pub(super) fn warm_capacity_per_s(&self) -> f64 {
        let mean = |(least, most): (u32, u32)| f64::from(least + most) / 2.0;
        let answer_s = mean(self.answer_tokens) / f64::from(self.tokens_per_s);
        let service_s = crate::summary::as_f64(self.first_token_ms) / 1e3 + answer_s;
        crate::summary::as_f64((self.backends * self.parallelism) as u64) / service_s
    }
}
