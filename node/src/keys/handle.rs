//! One key as requests see it, and a request's hold on it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ollamaflow_protocol::end::End;
use ollamaflow_protocol::id::{FrontendId, KeyId};
use ollamaflow_protocol::object::Key;
use ollamaflow_protocol::object::key::{KeyOperation, ModelScope};
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::time::Timestamp;
use ollamaflow_protocol::usage::{Counts, Day, OTHER, model_row};

use super::meter::Meter;
use crate::clock;

/// Most rows that one key may have waiting to be written; further models are counted as [`OTHER`]. They come from clients.
const MOST_PENDING: usize = 128;

/// Longest name of a model that has a row, in characters.
const MODEL_CHARS: usize = 128;

/// A key as the newest catalog has it.
#[derive(Debug)]
pub(crate) struct KeyHandle {
    config: Arc<Key>,
    scope: Option<ModelScope>,
    counters: Arc<Counters>,
}

/// What of a key outlives a change of it.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) id: KeyId,
    /// What meters measure from.
    started: Instant,
    in_flight: AtomicU32,
    requests: Meter,
    tokens: Meter,
    ends: [AtomicU64; End::ALL.len()],
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    /// What is not in the books yet.
    pending: Mutex<Noted>,
}

/// What was used, by day and model.
pub(super) type Noted = HashMap<(Day, String), Counts>;

/// Why a key does not let a request in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyDenied {
    #[error("this key is switched off")]
    Inactive,
    #[error("this key has expired")]
    Expired,
    #[error("this key is not for frontend '{0}'")]
    Frontend(FrontendId),
    #[error("this key is not for {0}")]
    Operation(&'static str),
    #[error("this key is not for model '{0}'")]
    Model(String),
    #[error("this key is for some models only, and which one the request is for cannot be told")]
    UnknownModel,
    #[error("this key may send {per_minute} requests per minute")]
    Requests { per_minute: u32, retry_after: Duration },
    #[error("this key may use {per_minute} tokens per minute, and has used them")]
    Tokens { per_minute: u32, retry_after: Duration },
    #[error("this key may have {most} requests in flight")]
    Parallel { most: u32 },
}

/// A request's hold on its key: one of the requests in flight, and what it used. Dropping it gives the place back and counts
/// the request, as one whose client went away unless told otherwise.
#[derive(Debug)]
pub(crate) struct Pass {
    handle: Arc<KeyHandle>,
    end: Cell<End>,
    model: RefCell<Option<String>>,
    tokens: Cell<(u64, u64)>,
}

// === impl KeyHandle ===

impl KeyHandle {
    pub(super) fn new(config: Arc<Key>, counters: Arc<Counters>) -> Self {
        Self { scope: ModelScope::of(&config.models), config, counters }
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Its name.
    pub(crate) fn id(&self) -> &KeyId {
        &self.config.identifier
    }

    /// The revision at which it was last changed.
    pub(crate) fn revision(&self) -> u64 {
        self.config.revision
    }

    /// The models that it is for; `None` for all.
    pub(crate) fn scope(&self) -> Option<&ModelScope> {
        self.scope.as_ref()
    }

    /// Lets a request in, as far as that can be said before its body is read.
    ///
    /// # Errors
    /// What it is not for, or which limit is reached.
    pub(crate) fn enter(
        self: &Arc<Self>,
        frontend: &FrontendId,
        operation: Operation,
    ) -> Result<Pass, KeyDenied> {
        if let Err(denied) = self.check(frontend, operation).and_then(|()| self.take_place()) {
            self.counters.count(End::Refused);
            return Err(denied);
        }
        // From here on the place is given back when this is dropped.
        let pass = Pass {
            handle: self.clone(),
            end: Cell::new(End::Cancelled),
            model: RefCell::new(None),
            tokens: Cell::new((0, 0)),
        };
        let per_minute = self.config.requests_per_minute;
        if per_minute > 0
            && let Err(retry_after) = self.counters.requests.take(self.counters.elapsed(), per_minute)
        {
            pass.end(End::Refused);
            return Err(KeyDenied::Requests { per_minute, retry_after });
        }
        Ok(pass)
    }

    fn check(&self, frontend: &FrontendId, operation: Operation) -> Result<(), KeyDenied> {
        let config = &self.config;
        if !config.active {
            return Err(KeyDenied::Inactive);
        }
        if config.expires_utc.is_some() && config.has_expired(clock::now()) {
            return Err(KeyDenied::Expired);
        }
        if !config.is_for_frontend(frontend) {
            return Err(KeyDenied::Frontend(frontend.clone()));
        }
        if !config.is_for_operation(operation) {
            return Err(KeyDenied::Operation(KeyOperation::of(operation).noun()));
        }
        Ok(())
    }

    /// One more request in flight.
    fn take_place(&self) -> Result<(), KeyDenied> {
        let (config, counters) = (&self.config, &self.counters);
        let per_minute = config.tokens_per_minute;
        if per_minute > 0 {
            let left = counters.tokens.look(counters.elapsed(), per_minute);
            left.map_err(|retry_after| KeyDenied::Tokens { per_minute, retry_after })?;
        }
        let most = match config.max_parallel_requests {
            0 => u32::MAX,
            most => most,
        };
        let take = |taken: u32| (taken < most).then(|| taken + 1);
        let taken = counters.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|_| KeyDenied::Parallel { most })
    }
}

// === impl KeyDenied ===

impl KeyDenied {
    /// How long to wait before the next try; `None` if that is of no use.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Requests { retry_after, .. } | Self::Tokens { retry_after, .. } => Some(*retry_after),
            // Nobody knows when another request of the key ends.
            Self::Parallel { .. } => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

// === impl Pass ===

impl Pass {
    /// How the request ends; the last word counts.
    pub(crate) fn end(&self, end: End) {
        // What a key has refused stays refused, however that is told to the client.
        if self.end.get() != End::Refused {
            self.end.set(end);
        }
    }

    /// The model, as the client names it.
    pub(crate) fn model(&self, name: &str) {
        self.model.replace(Some(name.to_owned()));
    }

    /// What the request cost.
    pub(crate) fn used(&self, prompt: u64, completion: u64) {
        self.tokens.set((prompt, completion));
        let Counters { tokens, .. } = &*self.handle.counters;
        let per_minute = self.handle.config.tokens_per_minute;
        if per_minute > 0 {
            tokens.charge(self.handle.counters.elapsed(), prompt.saturating_add(completion), per_minute);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let counters = &self.handle.counters;
        counters.leave();
        let end = self.end.get();
        counters.count(end);
        if end == End::Refused {
            return;
        }
        let (prompt_tokens, completion_tokens) = self.tokens.get();
        counters.prompt_tokens.fetch_add(prompt_tokens, Ordering::Relaxed);
        counters.completion_tokens.fetch_add(completion_tokens, Ordering::Relaxed);
        let errors = u64::from(end == End::Error);
        let counts = Counts { requests: 1, errors, prompt_tokens, completion_tokens };
        counters.note(clock::now(), self.model.take().as_deref(), &counts);
    }
}

// === impl Counters ===

impl Counters {
    pub(super) fn new(id: KeyId) -> Self {
        Self {
            id,
            started: Instant::now(),
            in_flight: AtomicU32::new(0),
            requests: Meter::default(),
            tokens: Meter::default(),
            ends: Default::default(),
            prompt_tokens: AtomicU64::new(0),
            completion_tokens: AtomicU64::new(0),
            pending: Mutex::default(),
        }
    }

    /// Requests that ended so.
    pub(super) fn ended(&self, end: End) -> u64 {
        self.ends[end as usize].load(Ordering::Relaxed)
    }

    /// Tokens of prompts and of answers.
    pub(super) fn tokens(&self) -> (u64, u64) {
        (self.prompt_tokens.load(Ordering::Relaxed), self.completion_tokens.load(Ordering::Relaxed))
    }

    /// Takes what is not in the books yet.
    pub(super) fn drain(&self) -> Noted {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is anything that is not in the books yet.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    fn count(&self, end: End) {
        self.ends[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn note(&self, at: Timestamp, model: Option<&str>, counts: &Counts) {
        let model = model.map(|name| model_row(name).chars().take(MODEL_CHARS).collect::<String>());
        let model = model.filter(|name| !name.is_empty()).unwrap_or_else(|| OTHER.to_owned());
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut row = (Day::of(at), model);
        if pending.len() >= MOST_PENDING && !pending.contains_key(&row) {
            OTHER.clone_into(&mut row.1);
        }
        pending.entry(row).or_default().add(counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(change: impl FnOnce(&mut Key)) -> Arc<KeyHandle> {
        let mut key = Key::new("k".parse().unwrap());
        change(&mut key);
        Arc::new(KeyHandle::new(Arc::new(key), Arc::new(Counters::new("k".parse().unwrap()))))
    }

    fn enter(handle: &Arc<KeyHandle>) -> Result<Pass, KeyDenied> {
        handle.enter(&"f".parse().unwrap(), Operation::OllamaChat)
    }

    #[test]
    fn places_are_given_back_however_a_request_ends() {
        let handle = handle(|key| {
            key.max_parallel_requests = 2;
            key.requests_per_minute = 3;
        });
        let (one, two) = (enter(&handle).unwrap(), enter(&handle).unwrap());
        assert_eq!(enter(&handle).unwrap_err(), KeyDenied::Parallel { most: 2 });
        drop(one);
        let three = enter(&handle).unwrap();
        drop((two, three));
        assert!(matches!(enter(&handle), Err(KeyDenied::Requests { .. })));
        assert!(matches!(enter(&handle), Err(KeyDenied::Requests { .. })));
        let counters = handle.counters();
        assert_eq!(counters.in_flight.load(Ordering::Relaxed), 0);
        assert_eq!((counters.ended(End::Cancelled), counters.ended(End::Refused)), (3, 3));
    }

    #[test]
    fn tokens_are_charged_at_the_end_and_bar_what_follows() {
        let handle = handle(|key| key.tokens_per_minute = 10);
        let (one, two) = (enter(&handle).unwrap(), enter(&handle).unwrap());
        one.used(100, 20);
        assert!(matches!(enter(&handle), Err(KeyDenied::Tokens { per_minute: 10, .. })));
        one.end(End::Complete);
        drop((one, two));
        assert_eq!(handle.counters().tokens(), (100, 20));
    }

    #[test]
    fn what_was_let_in_is_noted_and_what_was_not_is_not() {
        let handle = handle(|_| {});
        let pass = enter(&handle).unwrap();
        pass.model("LLAMA3:latest");
        pass.used(3, 4);
        pass.end(End::Error);
        drop(pass);
        let refused = enter(&handle).unwrap();
        refused.end(End::Refused);
        refused.end(End::Error);
        drop(refused);
        let noted: Vec<_> = handle.counters().drain().into_iter().collect();
        let counts = Counts { requests: 1, errors: 1, prompt_tokens: 3, completion_tokens: 4 };
        assert_eq!(noted, [((Day::of(clock::now()), "llama3".to_owned()), counts)]);
        assert!(handle.counters().drain().is_empty());
    }

    #[test]
    fn names_of_models_from_clients_do_not_fill_the_memory() {
        let handle = handle(|_| {});
        for number in 0..2 * MOST_PENDING {
            enter(&handle).unwrap().model(&format!("m{number}"));
        }
        let noted = handle.counters().drain();
        assert_eq!(noted.len(), MOST_PENDING + 1);
        assert_eq!(noted.values().map(|counts| counts.requests).sum::<u64>(), 2 * MOST_PENDING as u64);
    }

    #[test]
    fn a_key_that_is_off_or_for_something_else_lets_nobody_in() {
        let past = Timestamp::from_micros(1);
        assert_eq!(enter(&handle(|key| key.active = false)).unwrap_err(), KeyDenied::Inactive);
        assert_eq!(enter(&handle(|key| key.expires_utc = Some(past))).unwrap_err(), KeyDenied::Expired);
        let elsewhere = handle(|key| key.frontends = vec!["g".parse().unwrap()]);
        assert_eq!(enter(&elsewhere).unwrap_err(), KeyDenied::Frontend("f".parse().unwrap()));
        let embeds = handle(|key| key.operations = vec![KeyOperation::Embeddings]);
        assert_eq!(enter(&embeds).unwrap_err(), KeyDenied::Operation("completions"));
    }
}
