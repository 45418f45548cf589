//! Tokens by model. Clients write names of models, so that only names that a backend is known by get a count of their own,
//! and of these a bounded number.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use ollamaflow_protocol::wire::Usage;

/// Models with a count of their own. It is never taken back, for counters only grow.
const MOST_MODELS: usize = 256;

/// Tokens that a request may have cost at most. A backend that tells of more counts wrongly, and the totals must not wrap.
const MOST_TOKENS: u64 = u32::MAX as u64;

/// The name of all models that have no count of their own.
const OTHER: &str = "other";

/// Tokens by model.
#[derive(Debug, Default)]
pub struct Models {
    /// Replaced as a whole by the first request for a model; all others only read.
    known: ArcSwap<HashMap<Box<str>, Arc<ModelTokens>, RandomState>>,
    other: Arc<ModelTokens>,
}

/// The tokens of one model.
#[derive(Debug, Default)]
pub struct ModelTokens {
    prompt: AtomicU64,
    completion: AtomicU64,
}

// === impl Models ===

impl Models {
    /// The tokens of the model of this name, which a backend has; without one, those of all that have none of their own.
    pub(in crate::gateway) fn of(&self, model: Option<&str>) -> Arc<ModelTokens> {
        let Some(model) = model.filter(|model| *model != OTHER) else { return self.other.clone() };
        if let Some(tokens) = self.known.load().get(model) {
            return tokens.clone();
        }
        self.add(model)
    }

    #[cold]
    fn add(&self, model: &str) -> Arc<ModelTokens> {
        let tokens = Arc::<ModelTokens>::default();
        self.known.rcu(|known| {
            if known.len() >= MOST_MODELS || known.contains_key(model) {
                return known.clone();
            }
            let mut known = HashMap::clone(known);
            known.insert(model.into(), tokens.clone());
            Arc::new(known)
        });
        self.known.load().get(model).unwrap_or(&self.other).clone()
    }

    /// All of them, by name; those without a name of their own as `other`.
    pub(crate) fn read(&self) -> Vec<(String, u64, u64)> {
        let known = self.known.load();
        let named = known.iter().map(|(model, tokens)| (&**model, tokens));
        let mut all: Vec<_> =
            named.chain([(OTHER, &self.other)]).map(|(model, tokens)| tokens.told_of(model)).collect();
        all.sort();
        all
    }
}

/// The tokens that a backend tells of, if it can be right.
pub(super) fn credible(tokens: Option<u64>) -> u64 {
    tokens.filter(|tokens| *tokens <= MOST_TOKENS).unwrap_or_default()
}

// === impl ModelTokens ===

impl ModelTokens {
    /// A request has taken so many.
    pub(in crate::gateway) fn add(&self, usage: Usage) {
        for (total, tokens) in [(&self.prompt, usage.prompt), (&self.completion, usage.completion)] {
            total.fetch_add(credible(tokens), Ordering::Relaxed);
        }
    }

    fn told_of(&self, model: &str) -> (String, u64, u64) {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        (model.to_owned(), read(&self.prompt), read(&self.completion))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(prompt: u64, completion: u64) -> Usage {
        Usage { prompt: Some(prompt), completion: Some(completion) }
    }

    #[test]
    fn there_is_room_for_so_many_models_and_the_rest_is_other() {
        let models = Models::default();
        for number in 0..2 * MOST_MODELS {
            models.of(Some(&format!("m{number}"))).add(usage(1, 2));
        }
        models.of(None).add(usage(1, 2));
        models.of(Some("m0")).add(usage(10, 20));
        let read = models.read();
        assert_eq!(read.len(), MOST_MODELS + 1);
        let of = |model: &str| read.iter().find(|(name, ..)| name == model).map(|(_, p, c)| (*p, *c));
        assert_eq!((of("m0"), of("m255"), of("m256")), (Some((11, 22)), Some((1, 2)), None));
        assert_eq!(of("other"), Some((257, 514)));
    }

    #[test]
    fn a_model_that_is_named_other_is_among_the_others() {
        let models = Models::default();
        models.of(Some("other")).add(usage(1, 1));
        assert_eq!(
            models.read(),
            [("other".to_owned(), 1, 1)],
            "two samples of one name would be refused by whoever reads them"
        );
    }

    #[test]
    fn a_count_that_no_request_takes_is_not_taken() {
        let models = Models::default();
        models.of(None).add(usage(u64::MAX, 1));
        assert_eq!(models.read(), [("other".to_owned(), 0, 1)]);
    }
}
