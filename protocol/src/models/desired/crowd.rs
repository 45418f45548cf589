//! Models that do not fit into a backend's memory together.
//!
//! An engine makes room for a model by driving out others, so that a load never fails for want of room. A load that has
//! done so is remembered like a failure, with those that it has cost their place. As long as memory is as full as
//! it was then, neither they nor the model itself, once it is out, are loaded again at once:
//!
//! - Where nothing but preloaded models is in memory, not at all: one would only take the place of the other.
//! - Where clients' models are, when a wait is over that grows with each load at the cost of others.
//!
//! A change of the configuration ends it, and so does a model less in memory.

use super::ledger::{Ledger, backoff};
use super::want::Wanted;
use super::{ActionKind, Standing};
use crate::cluster::{Crowd, WorkFailure};
use crate::id::BackendId;
use crate::models::inventory::Memory;
use crate::time::Timestamp;

/// So much longer than after the first failure is the first wait, in doublings: what clients use is seldom out of memory
/// within half a minute.
const DOUBLINGS: u32 = 2;

/// A load that was done at the cost of others, as a failure after so many `before` it. `random` is any number, `revision`
/// that of the configuration.
pub fn crowded(before: u32, crowd: Crowd, revision: u64, now: Timestamp, random: u64) -> WorkFailure {
    let names: Vec<&str> = crowd.out.iter().map(String::as_str).collect();
    let message = format!("it has taken the place of {} in memory", listed(&names));
    let failure = super::failure(before, &message, None, revision, now, random);
    let wait = backoff(failure.attempts.saturating_add(DOUBLINGS), random).as_micros();
    let until_utc = Timestamp::from_micros(now.as_micros().saturating_add(wait));
    WorkFailure { why: super::Failure::Transient, until_utc, crowd: Some(crowd), ..failure }
}

/// The models that were in memory before a load and are not after it, although their time was not over: by canonical name.
/// None if it has cost nobody the place.
pub fn crowd(before: &Memory, after: &Memory, now: Timestamp) -> Option<Crowd> {
    let has_left = |name: &str| after.find(name).is_none();
    let out = before
        .models()
        .iter()
        .filter(|model| has_left(&model.canonical) && model.expires_at.is_none_or(|expires| expires > now));
    let out: Vec<_> = out.map(|model| model.canonical.clone()).collect();
    (!out.is_empty()).then_some(Crowd { out, count: after.models().len() })
}

impl Ledger {
    /// Why a model that is not in memory is not to be loaded now although nothing has failed: there is no room for it.
    pub(super) fn crowding(
        &self,
        backend: &BackendId,
        model: &str,
        memory: &Memory,
        wanted: &Wanted,
        revision: u64,
        now: Timestamp,
    ) -> Option<Standing> {
        let start = (backend.clone(), ActionKind::Load, String::new());
        let loads = self.failed.range(start..);
        let here = loads.take_while(|((at, kind, _), _)| at == backend && *kind == ActionKind::Load);
        let until = here.filter_map(|((.., taker), failed)| {
            let crowd = failed.crowd.as_ref()?;
            let is_full = memory.models().len() >= crowd.count && failed.circumstances.revision == revision;
            let was_driven_out = crowd.out.iter().any(|out| out == model) && memory.find(taker).is_some();
            (is_full && (taker == model || was_driven_out)).then_some(failed.until)
        });
        let until = until.max()?;
        let mut beside: Vec<&str> = memory.models().iter().map(|loaded| &*loaded.name).collect();
        beside.sort_unstable();
        let why = format!("others take its place in memory: it does not fit beside {}", listed(&beside));
        if beside.iter().all(|name| wanted.preloads(name)) {
            return Some(Standing::Crowded { why });
        }
        (now < until).then_some(Standing::Waits { until, why })
    }
}

/// Names in a row, the later ones of many as a number.
fn listed(names: &[&str]) -> String {
    const MOST: usize = 5;
    match names.split_at_checked(MOST) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => names.join(", "),
    }
}
