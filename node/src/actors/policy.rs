//! The balancing policies: which of the backends that may take a request takes it.
//!
//! In: a [`Situation`], made of snapshots. Out: a [`Choice`]. Pure functions: chance comes in as a number (`dice`), time
//! as durations. Who is a candidate at all (health, labels, models, breaker, tier, session) is decided before;
//! `RoundRobin` and `Weighted` remember turns and are in the frontend's `balance`.

mod least_connections;
mod least_latency;
mod model_affinity;
mod prefix_affinity;
mod random;
pub(in crate::actors) mod rendezvous;
#[cfg(test)]
mod simulation;
mod sticky;

use std::time::Duration;

pub(in crate::actors) use self::least_connections::least_connections;
pub(in crate::actors) use self::least_latency::least_latency;
pub(in crate::actors) use self::model_affinity::model_affinity;
pub(in crate::actors) use self::prefix_affinity::prefix_affinity;
pub(in crate::actors) use self::random::random;
pub(in crate::actors) use self::sticky::sticky;

/// A backend as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub(in crate::actors) struct Candidate<'a> {
    /// Its identifier, which all nodes hash alike.
    pub(in crate::actors) id: &'a str,
    /// Its share relative to that of others; at least 1.
    pub(in crate::actors) weight: u16,
    /// Requests of this node that hold a slot there.
    pub(in crate::actors) in_flight: u32,
    /// Slots; at least 1.
    pub(in crate::actors) capacity: u32,
    /// Peak average of the time to the first token.
    pub(in crate::actors) first_token: Option<Duration>,
    /// Average time for which a request holds a slot.
    pub(in crate::actors) service: Option<Duration>,
    /// How near the requested model is to answering.
    pub(in crate::actors) warmth: Warmth,
    /// Average time to load the model there: measured for this model, else for any.
    pub(in crate::actors) load_time: Option<Duration>,
    /// Models in its memory.
    pub(in crate::actors) residents: u32,
    /// Its own [`Situation::key`], if it would be asked for another model than the rest.
    pub(in crate::actors) key: Option<u64>,
}

/// How near a model is to answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) enum Warmth {
    /// In memory, or on its way there, with the options that the request asks for.
    Loaded,
    /// In memory with other options: it would be loaded again, and whoever uses it now would lose it.
    OtherOptions,
    /// On the disk.
    OnDisk,
    /// Nobody knows.
    Unknown,
}

/// What a policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) enum Choice {
    /// This one of the ready ones takes the request.
    Take {
        /// Its place among [`Situation::ready`].
        index: usize,
        /// What tipped the balance, for the decision header; empty where the policy's name says it all.
        why: &'static str,
    },
    /// One of the busy ones is worth waiting for.
    Wait,
}

/// What a policy decides about.
#[derive(Clone, Copy, Debug)]
pub(in crate::actors) struct Situation<'a> {
    /// Candidates with a free slot.
    pub(in crate::actors) ready: &'a [Candidate<'a>],
    /// Candidates without one.
    pub(in crate::actors) busy: &'a [Candidate<'a>],
    /// For how long the request may still wait for a backend of its choice; zero for not at all.
    pub(in crate::actors) patience: Duration,
    /// Hash of what should stay together: the model or the beginning of the conversation; `None` without any.
    pub(in crate::actors) key: Option<u64>,
}

// === impl Candidate ===

impl Candidate<'_> {
    /// Part of its slots that would be taken with one more request, as a fraction: numerator and denominator.
    fn load(&self) -> (u64, u64) {
        (u64::from(self.in_flight) + 1, u64::from(self.capacity.max(1)))
    }
}

// === impl Choice ===

impl Choice {
    /// Takes one without a reason to tell.
    fn take(index: usize) -> Self {
        Self::Take { index, why: "" }
    }
}

/// One of `count`, by chance; `None` of none.
fn one_of(count: usize, dice: u64) -> Option<usize> {
    let index = dice.checked_rem(u64::try_from(count).ok()?)?;
    usize::try_from(index).ok()
}

#[cfg(test)]
fn candidate(id: &str) -> Candidate<'_> {
    Candidate {
        id,
        weight: 1,
        in_flight: 0,
        capacity: 4,
        first_token: None,
        service: None,
        warmth: Warmth::OnDisk,
        load_time: None,
        residents: 0,
        key: None,
    }
}

#[cfg(test)]
fn situation<'a>(ready: &'a [Candidate<'a>], busy: &'a [Candidate<'a>]) -> Situation<'a> {
    Situation { ready, busy, patience: Duration::ZERO, key: Some(7) }
}
