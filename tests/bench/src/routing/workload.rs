//! The load, decided before anything runs: who asks which model what, and when. Every policy gets the same requests at the same
//! instants, whatever became of those before, so a slow answer makes no later request wait (no coordinated omission).
//!
//! Conversations begin by a Poisson process. Each has one model and some turns; the prompt of a turn holds the whole
//! conversation before it. The process is taken up long after its beginning: as many conversations are under way at the
//! start as at the end. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;
use ollamaflow_tests::simulated::WORDS;
use serde_json::{Value, json};

use super::plan::{MODELS, Plan};

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// After the start.
    pub(super) at: Duration,
    /// Index in [`MODELS`].
    pub(super) model: usize,
    /// 0 for the first of its conversation.
    pub(super) turn: u32,
    /// Tokens that the answer will have.
    pub(super) answer_tokens: u32,
    /// The body.
    pub(super) body: String,
}

/// All requests, in order of arrival.
pub(super) fn arrivals(plan: &Plan) -> Vec<Arrival> {
    let mut dice = Rng::with_seed(plan.seed);
    let (least, most) = plan.turns;
    let turns = f64::from(least + most) / 2.0;
    // Long enough before the start for the longest conversation to be over.
    let before_s = f64::from(most) * millis(plan.think_ms) * 3.0;
    let until_s = plan.arrivals().as_secs_f64();
    let mut arrivals = Vec::new();
    let mut begin_s = -before_s;
    let mut number = 0;
    loop {
        begin_s += exponential(&mut dice, turns / plan.rate_per_s);
        if begin_s >= until_s {
            break;
        }
        conversation(plan, &mut Rng::with_seed(dice.u64(..)), number, begin_s, &mut arrivals);
        number += 1;
    }
    arrivals.retain(|arrival| arrival.at < plan.arrivals());
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}

/// Adds the turns of one conversation that are not before the start.
fn conversation(plan: &Plan, dice: &mut Rng, number: u32, begin_s: f64, arrivals: &mut Vec<Arrival>) {
    let model = popular(dice, plan.zipf_exponent);
    let mut messages = vec![json!({ "role": "system", "content": words("rule", model, plan.system_tokens) })];
    let mut at_s = begin_s;
    for turn in 0..dice.u32(plan.turns.0..=plan.turns.1) {
        let message_tokens = dice.u32(plan.message_tokens.0..=plan.message_tokens.1);
        let answer_tokens = dice.u32(plan.answer_tokens.0..=plan.answer_tokens.1);
        let topic = format!("q{number}x{turn}n");
        messages.push(json!({ "role": "user", "content": words(&topic, turn as usize, message_tokens) }));
        if let Ok(at) = Duration::try_from_secs_f64(at_s) {
            let body = body(MODELS[model].0, &messages, answer_tokens);
            arrivals.push(Arrival { at, model, turn, answer_tokens, body });
        }
        messages.push(json!({ "role": "assistant", "content": answer(answer_tokens) }));
        let think_s = millis(plan.think_ms);
        at_s += think_s / 3.0 + exponential(dice, think_s * 2.0 / 3.0);
    }
}

fn body(model: &str, messages: &[Value], answer_tokens: u32) -> String {
    json!({ "model": model, "messages": messages, "options": { "num_predict": answer_tokens } }).to_string()
}

/// Words that no other message has, but the same ones for the same arguments.
fn words(topic: &str, number: usize, count: u32) -> String {
    let mut text = String::new();
    for place in 0..count {
        // Writing to a string cannot fail.
        let _ = write!(text, "{topic}{number}w{place} ");
    }
    text
}

/// What the simulated model says.
fn answer(tokens: u32) -> String {
    WORDS.iter().cycle().take(tokens as usize).copied().collect()
}

/// A model, by popularity.
fn popular(dice: &mut Rng, exponent: f64) -> usize {
    let weight = |rank: usize| 1.0 / crate::summary::as_f64(rank as u64 + 1).powf(exponent);
    let mut left = dice.f64() * (0..MODELS.len()).map(weight).sum::<f64>();
    for rank in 0..MODELS.len() {
        left -= weight(rank);
        if left < 0.0 {
            return rank;
        }
    }
    MODELS.len() - 1
}

fn exponential(dice: &mut Rng, mean: f64) -> f64 {
    // 1 - x lies above 0, whose logarithm there is none of.
    -(1.0 - dice.f64()).ln() * mean
}

fn millis(ms: u64) -> f64 {
    crate::summary::as_f64(ms) / 1e3
}

#[cfg(test)]
mod tests {
    use super::super::plan::FULL;
    use super::*;

    #[test]
    fn the_load_is_the_same_each_time_and_has_the_rate_asked_for() {
        let (first, second) = (arrivals(&FULL), arrivals(&FULL));
        assert!(
            first
                .iter()
                .zip(&second)
                .all(|(first, second)| (first.at, &first.body) == (second.at, &second.body))
        );
        let expected = FULL.rate_per_s * FULL.arrivals().as_secs_f64();
        let seen = crate::summary::as_f64(first.len() as u64);
        assert!((expected * 0.75..expected * 1.25).contains(&seen), "{seen} requests of about {expected}");
        assert!(first.is_sorted_by_key(|arrival| arrival.at));
    }

    #[test]
    fn the_most_popular_model_comes_first() {
        let mut counts = [0_u32; MODELS.len()];
        let mut dice = Rng::with_seed(1);
        for _ in 0..10_000 {
            counts[popular(&mut dice, 1.0)] += 1;
        }
        assert!(counts.is_sorted_by(|more, less| more > less), "{counts:?}");
    }

    #[test]
    fn a_turn_repeats_the_conversation_before_it() {
        let plan = Plan { rate_per_s: 1.0, ..FULL };
        let arrivals = arrivals(&plan);
        let later = arrivals.iter().find(|arrival| arrival.turn > 0).unwrap();
        let body: Value = serde_json::from_str(&later.body).unwrap();
        let messages = body["messages"].as_array().unwrap();
        assert_eq!(messages.len() as u64, u64::from(2 + 2 * later.turn));
        assert_eq!((&messages[0]["role"], &messages[2]["role"]), (&json!("system"), &json!("assistant")));
    }
}
