//! What has been begun and what has failed: the memory between two plans.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use super::{Action, ActionKind, Standing};
use crate::cluster::{Crowd, Work, WorkFailure};
use crate::id::BackendId;
use crate::model::canonical;
use crate::models::inventory::Disk;
use crate::models::satisfies;
use crate::time::{Timespan, Timestamp};

/// The wait after the first failure.
const FIRST_WAIT: i64 = 30_000_000;
/// The longest wait, before jitter.
const LONGEST_WAIT: i64 = 30 * 60 * 1_000_000;
/// Most failures that are remembered: beyond that the earliest to be tried again goes.
const MAX_FAILURES: usize = 10_000;
/// Longest message that is kept, in characters.
const MAX_MESSAGE: usize = 500;

/// How much may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pulls at one backend.
    pub pulls_per_backend: usize,
    /// Pulls at all backends together.
    pub pulls: usize,
    /// Loads at one backend: each may evict what another has just loaded.
    pub loads_per_backend: usize,
    /// A model that leaves memory sooner than this is kept there anew.
    pub refresh_before: Timespan,
}

/// Why a pull, load or delete failed, as far as it decides whether it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// There is no such model: final until the configuration changes.
    NotFound,
    /// There is no room: final until the configuration changes, or what is on the disk.
    DiskFull,
    /// Anything else: tried again, later each time.
    Transient,
}

/// A pull that runs, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulling<'a> {
    /// Where.
    pub backend: &'a BackendId,
    /// The model as it was named to the backend.
    pub model: &'a str,
    /// How much is done, if that is known.
    pub percent: Option<u8>,
}

/// What has been begun and what has failed. All nodes make the same one of the works that they agree on
/// ([`Ledger::of_works`]), so it is not lost with the leader; what a node is just about to claim it adds itself.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    running: BTreeMap<Key, Running>,
    pub(super) failed: BTreeMap<Key, Failed>,
}

/// What is done where; the model by its canonical name.
pub(super) type Key = (BackendId, ActionKind, String);

#[derive(Clone, Debug)]
struct Running {
    model: String,
    percent: Option<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Failed {
    why: Failure,
    message: String,
    attempts: u32,
    pub(super) until: Timestamp,
    pub(super) circumstances: Circumstances,
    /// It was done, at the cost of others, see `crowd`.
    pub(super) crowd: Option<Crowd>,
}

/// What a final failure depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Circumstances {
    pub(super) revision: u64,
    disk: u64,
}

/// The circumstances of an attempt at a backend.
pub(super) fn circumstances(revision: u64, disk: Option<&Disk>) -> Circumstances {
    let mut hash = Xxh3Default::new();
    for model in disk.into_iter().flat_map(Disk::models) {
        hash.update(model.canonical.as_bytes());
        hash.update(model.digest.as_deref().unwrap_or_default().as_bytes());
        hash.update(&model.size.to_le_bytes());
    }
    Circumstances { revision, disk: hash.digest() }
}

// === impl Ledger ===

impl Ledger {
    /// What the nodes have agreed on.
    pub fn of_works<'w>(works: impl IntoIterator<Item = &'w Work>) -> Self {
        let mut ledger = Self::default();
        for work in works {
            let key = (work.key.backend.clone(), work.key.kind, work.key.model.clone());
            if let Some(hold) = &work.hold {
                let running = Running { model: work.name.clone(), percent: hold.percent };
                ledger.running.insert(key.clone(), running);
            }
            if let Some(failure) = &work.failure {
                ledger.failed.insert(key, Failed::of(failure));
            }
        }
        ledger
    }

    /// An action is begun. False if it runs already, and then it must not be begun again.
    pub fn begin(&mut self, action: &Action) -> bool {
        let running = Running { model: action.model.clone(), percent: None };
        match self.running.entry(key(action)) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(running);
                true
            }
        }
    }

    /// A pull has come so far.
    pub fn progressed(&mut self, action: &Action, percent: u8) {
        if let Some(running) = self.running.get_mut(&key(action)) {
            running.percent = Some(percent.min(100));
        }
    }

    /// An action has succeeded. To be told when the inventory has been read anew, or it would be begun once more. A load
    /// after which the model is not in memory has failed: others have evicted it, and more loads would only evict them.
    pub fn succeeded(&mut self, action: &Action) {
        let key = key(action);
        self.running.remove(&key);
        self.failed.remove(&key);
    }

    /// An action was given up without a result, as when this node leads no more: it may be begun again at once.
    pub fn abandoned(&mut self, action: &Action) {
        self.running.remove(&key(action));
    }

    /// An action has failed. `message` is the backend's, `random` any number, `disk` and `revision` as they are now.
    pub fn failed(
        &mut self,
        action: &Action,
        message: &str,
        disk: Option<&Disk>,
        revision: u64,
        now: Timestamp,
        random: u64,
    ) -> Failure {
        let key = key(action);
        self.running.remove(&key);
        let before = self.failed.get(&key).map_or(0, |failed| failed.attempts);
        let failure = failure(before, message, disk, revision, now, random);
        if self.failed.len() >= MAX_FAILURES && !self.failed.contains_key(&key) {
            let earliest =
                self.failed.iter().min_by_key(|(_, failed)| failed.until).map(|(key, _)| key.clone());
            earliest.and_then(|earliest| self.failed.remove(&earliest));
        }
        self.failed.insert(key, Failed::of(&failure));
        failure.why
    }

    /// Forgets failures, those of one backend or of all: somebody says that it is to be tried again now.
    pub fn retry(&mut self, backend: Option<&BackendId>) {
        self.failed.retain(|(failed_at, ..), _| backend.is_some_and(|backend| backend != failed_at));
    }

    /// Forgets what is about backends that are no more. What runs there is for its actor to end.
    pub fn retain(&mut self, exists: impl Fn(&BackendId) -> bool) {
        self.running.retain(|(backend, ..), _| exists(backend));
        self.failed.retain(|(backend, ..), _| exists(backend));
    }

    /// The pulls that run.
    pub fn pulling_now(&self) -> impl Iterator<Item = Pulling<'_>> {
        self.running.iter().filter(|((_, kind, _), _)| *kind == ActionKind::Pull).map(
            |((backend, ..), running)| Pulling { backend, model: &running.model, percent: running.percent },
        )
    }

    /// How many pulls run.
    pub(super) fn pulls(&self) -> usize {
        self.pulling_now().count()
    }

    /// How much of a kind runs at a backend.
    pub(super) fn running(&self, backend: &BackendId, kind: ActionKind) -> usize {
        self.running.keys().filter(|(at, what, _)| at == backend && *what == kind).count()
    }

    pub(super) fn is_running(&self, backend: &BackendId, kind: ActionKind, canonical: &str) -> bool {
        self.running.contains_key(&(backend.clone(), kind, canonical.to_owned()))
    }

    /// The pull that runs and will fulfil the wish for `model`.
    pub(super) fn pulling(&self, backend: &BackendId, model: &str) -> Option<Pulling<'_>> {
        let fulfils = |pull: &Pulling<'_>| pull.backend == backend && satisfies(model, pull.model);
        self.pulling_now().find(fulfils)
    }

    /// Why something is not to be begun now, if it has failed before.
    pub(super) fn hindrance(
        &self,
        backend: &BackendId,
        kind: ActionKind,
        model: &str,
        now_there: Circumstances,
        now: Timestamp,
    ) -> Option<Standing> {
        let failed = self.failed.get(&(backend.clone(), kind, canonical(model)))?;
        if failed.crowd.is_some() {
            return None;
        }
        let then = failed.circumstances;
        let is_final = match failed.why {
            Failure::NotFound => then.revision == now_there.revision,
            Failure::DiskFull => then == now_there,
            Failure::Transient => {
                let waits = Standing::Waits { until: failed.until, why: failed.message.clone() };
                return (now < failed.until).then_some(waits);
            }
        };
        is_final.then(|| Standing::Final { why: failed.why, message: failed.message.clone() })
    }
}

/// How an attempt failed, after so many `before` it. `message` is the backend's, `random` any number, `disk` and
/// `revision` as they are now.
pub fn failure(
    before: u32,
    message: &str,
    disk: Option<&Disk>,
    revision: u64,
    now: Timestamp,
    random: u64,
) -> WorkFailure {
    let attempts = before.saturating_add(1);
    let wait = backoff(attempts, random).as_micros();
    let Circumstances { revision, disk } = circumstances(revision, disk);
    WorkFailure {
        why: Failure::of(message),
        message: message.trim().chars().take(MAX_MESSAGE).collect(),
        attempts,
        until_utc: Timestamp::from_micros(now.as_micros().saturating_add(wait)),
        revision,
        disk,
        crowd: None,
    }
}

// === impl Failed ===

impl Failed {
    fn of(failure: &WorkFailure) -> Self {
        Self {
            why: failure.why,
            message: failure.message.clone(),
            attempts: failure.attempts,
            until: failure.until_utc,
            circumstances: Circumstances { revision: failure.revision, disk: failure.disk },
            crowd: failure.crowd.clone(),
        }
    }
}

// === impl Limits ===

impl Limits {
    pub(super) fn of(&self, kind: ActionKind) -> usize {
        match kind {
            ActionKind::Pull => self.pulls_per_backend,
            ActionKind::Load => self.loads_per_backend,
            // It takes no time and frees room.
            ActionKind::Delete => usize::MAX,
        }
    }
}

impl Default for Limits {
    /// Three pulls at once for each backend, as the original has it, and eight in all.
    fn default() -> Self {
        Self {
            pulls_per_backend: 3,
            pulls: 8,
            loads_per_backend: 1,
            refresh_before: Timespan::from_micros(120_000_000),
        }
    }
}

// === impl Failure ===

impl Failure {
    /// What a backend's message means.
    pub fn of(message: &str) -> Self {
        const FULL: [&str; 5] =
            ["no space left", "not enough space", "disk full", "disk quota exceeded", "insufficient disk"];
        const MISSING: [&str; 4] =
            ["file does not exist", "not found", "manifest unknown", "invalid model name"];
        let message = message.to_ascii_lowercase();
        let says = |marks: &[&str]| marks.iter().any(|mark| message.contains(mark));
        if says(&FULL) {
            Self::DiskFull
        } else if says(&MISSING) {
            Self::NotFound
        } else {
            Self::Transient
        }
    }
}

/// The wait after so many failures: doubled each time, and between half of that and all of it.
pub(super) fn backoff(attempts: u32, random: u64) -> Timespan {
    let doublings = attempts.saturating_sub(1).min(20);
    let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    let half = wait / 2;
    let jitter = (u128::from(random) * u128::from(half.unsigned_abs().saturating_add(1))) >> 64;
    Timespan::from_micros(half.saturating_add(i64::try_from(jitter).unwrap_or(half)))
}

fn key(action: &Action) -> Key {
    (action.backend.clone(), action.kind, canonical(&action.model))
}
