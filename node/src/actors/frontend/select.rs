//! Which backend takes a request: a decision over the published views, without I/O.
//!
//! Among the backends that are ready, the lowest number of `Priority` counts; there the client's session decides, and
//! without one the frontend's policy. Whoever prefers a busy backend may wait for it for a while.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ollamaflow_protocol::object::{ApiFormat, LoadBalancing};
use ollamaflow_protocol::route::Operation;
use smallvec::SmallVec;

use super::FrontendView;
use super::query::{Decision, Pick, Query, Wish};
use super::survey::{Exclusion, Standing, Survey, Surveyed, model, survey};
use super::tried::Tried;
use crate::actors::backend::{BackendHandle, Busy, Claimant, InMemory, RunnerNeed};
use crate::actors::policy::{self, Candidate, Choice, Situation, Warmth};

/// How often a slot may be snatched away between looking and taking before the request queues up.
const CLAIMS: usize = 4;

/// What became of a request that asked for a backend.
#[expect(clippy::large_enum_variant, reason = "made once per request and taken apart at once")]
pub(super) enum Selection {
    /// It has one.
    Taken(Pick),
    /// There are backends for it, but it has to wait.
    Wait(Waiting),
    /// There is none.
    Nobody(NoCandidate),
}

/// What a request waits for.
pub(super) struct Waiting {
    /// The backends that would take it if they had a free slot.
    pub(super) busy: SmallVec<[(Arc<BackendHandle>, Busy); 8]>,
    /// When to look again, even if no slot is freed.
    pub(super) until: Option<Instant>,
    /// Nothing was ready: all others of its class wait too.
    pub(super) nothing_ready: bool,
}

/// Nobody can take the request: each backend of the frontend with the reason.
#[derive(Clone, Debug, Default)]
pub struct NoCandidate {
    /// In the frontend's order.
    pub excluded: Vec<(Arc<BackendHandle>, Exclusion)>,
    operation: Option<Operation>,
}

/// What a look at the survey says.
pub(super) enum Verdict {
    /// This one, by its place in the survey.
    Take { index: usize, decision: Decision },
    /// Rather wait than take what is ready.
    Wait,
    /// Nothing is ready.
    Nothing,
}

/// Chooses a backend and takes a slot of it.
pub(super) fn select(
    frontend: &FrontendView,
    query: &Query,
    tried: &Tried,
    claimant: Claimant,
    waited: Duration,
    now: Instant,
) -> Selection {
    for _ in 0..CLAIMS {
        let survey = survey(frontend, query, tried, claimant, now);
        let (index, decision) = match decide(frontend, query, &survey, tried, waited, now, Turn::Take) {
            Verdict::Take { index, decision } => (index, decision),
            Verdict::Wait => return Selection::Wait(Waiting::of(frontend, &survey, Some(waited), now)),
            Verdict::Nothing if survey.iter().any(|it| matches!(it.standing, Standing::Busy(_))) => {
                return Selection::Wait(Waiting::of(frontend, &survey, None, now));
            }
            Verdict::Nothing => return Selection::Nobody(NoCandidate::of(&survey, query)),
        };
        let chosen = &survey[index];
        if let Some(permit) = chosen.member.backend.claim(&chosen.view, now) {
            return Selection::Taken(Pick { permit, view: chosen.view.clone(), decision });
        }
    }
    // Others are quicker; the queue is fair.
    let survey = survey(frontend, query, tried, claimant, now);
    Selection::Wait(Waiting::of(frontend, &survey, None, now))
}

/// Whether deciding takes a turn in the rotation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Take,
    /// For `explain`: nothing changes.
    Look,
}

/// The decision itself.
pub(super) fn decide(
    frontend: &FrontendView,
    query: &Query,
    survey: &Survey<'_>,
    tried: &Tried,
    waited: Duration,
    now: Instant,
    turn: Turn,
) -> Verdict {
    let is_ready = |it: &&Surveyed<'_>| it.standing == Standing::Ready;
    let Some(tier) = survey.iter().filter(is_ready).map(|it| it.view.config.priority).min() else {
        return Verdict::Nothing;
    };
    let config = &frontend.config;
    let patience = Duration::from_millis(config.affinity_wait_ms.into()).saturating_sub(waited);
    if let Some(verdict) = session(query, survey, tier, patience) {
        return verdict;
    }
    let in_tier = |it: &Surveyed<'_>| it.view.config.priority == tier;
    let mut places: SmallVec<[usize; 8]> = SmallVec::new();
    let mut ready: SmallVec<[Candidate<'_>; 8]> = SmallVec::new();
    let mut busy: SmallVec<[Candidate<'_>; 8]> = SmallVec::new();
    for (index, surveyed) in survey.iter().enumerate().filter(|(_, it)| in_tier(it)) {
        match surveyed.standing {
            Standing::Ready => {
                places.push(index);
                ready.push(candidate(frontend, query, surveyed, now));
            }
            // Others will not have a slot any sooner by waiting for it.
            Standing::Busy(Busy::Full | Busy::Awaited) => {
                busy.push(candidate(frontend, query, surveyed, now));
            }
            Standing::Busy(_) | Standing::Out(_) => {}
        }
    }
    let policy = config.load_balancing;
    let situation = |key| Situation { ready: &ready, busy: &busy, patience, key };
    let (by, choice) = match query.client {
        Some(client) => ("Sticky", policy::sticky(&situation(Some(client)))),
        None => (
            Decision::name(policy),
            match policy {
                LoadBalancing::RoundRobin | LoadBalancing::Weighted => {
                    let turns = places.iter().map(|&place| {
                        let surveyed = &survey[place];
                        let weighted = policy == LoadBalancing::Weighted;
                        (&*surveyed.member.turn, if weighted { surveyed.view.config.weight } else { 1 })
                    });
                    // A second attempt costs its backend no turn, or a rotation of two would start at the sick one for ever.
                    let index = if tried.is_empty() && turn == Turn::Take {
                        frontend.turns.take(&turns)
                    } else {
                        frontend.turns.peek(turns)
                    };
                    index.map(|index| Choice::Take { index, why: "" })
                }
                LoadBalancing::Random => policy::random(&situation(None), fastrand::u64(..)),
                LoadBalancing::LeastConnections => {
                    policy::least_connections(&situation(None), fastrand::u64(..))
                }
                LoadBalancing::LeastLatency => policy::least_latency(&situation(None), fastrand::u64(..)),
                LoadBalancing::ModelAffinity => {
                    policy::model_affinity(&situation(model_key(frontend, query, survey)), fastrand::u64(..))
                }
                LoadBalancing::PrefixAffinity => {
                    policy::prefix_affinity(&situation(query.prefix), fastrand::u64(..))
                }
            },
        ),
    };
    match choice {
        Some(Choice::Take { index, why }) => {
            Verdict::Take { index: places[index], decision: Decision::of(by, why) }
        }
        Some(Choice::Wait) => Verdict::Wait,
        None => Verdict::Nothing,
    }
}

/// The backend of the client's session goes before policies, as long as it can take the request and no better tier can.
fn session(query: &Query, survey: &Survey<'_>, tier: u16, patience: Duration) -> Option<Verdict> {
    let bound = query.session.as_ref()?;
    let is_bound = |it: &Surveyed<'_>| it.member.backend.id() == bound && it.view.config.priority <= tier;
    let index = survey.iter().position(is_bound)?;
    match survey[index].standing {
        Standing::Ready => Some(Verdict::Take { index, decision: Decision::of("Sticky", "session") }),
        Standing::Busy(_) if !patience.is_zero() => Some(Verdict::Wait),
        _ => None,
    }
}

fn candidate<'a>(
    frontend: &FrontendView,
    query: &Query,
    surveyed: &'a Surveyed<'_>,
    now: Instant,
) -> Candidate<'a> {
    let backend = &surveyed.member.backend;
    let mut candidate = Candidate {
        id: backend.id().as_ref(),
        weight: surveyed.view.config.weight,
        in_flight: backend.in_flight(),
        capacity: surveyed.view.config.max_parallel_requests,
        first_token: None,
        service: None,
        load_time: None,
        warmth: Warmth::Unknown,
        residents: 0,
        key: query.wish.as_ref().and_then(|wish| key_at(frontend, query, wish, surveyed)),
    };
    match frontend.config.load_balancing {
        LoadBalancing::LeastLatency => candidate.first_token = backend.readings(now).first_token,
        LoadBalancing::ModelAffinity => {
            let readings = backend.readings(now);
            (candidate.first_token, candidate.service) = (readings.first_token, readings.service);
            candidate.load_time = readings.load;
            candidate.residents = backend.residents();
            candidate.warmth = warmth(frontend, query, surveyed);
        }
        _ => {}
    }
    candidate
}

/// The hash by which the request finds its place at this backend, where each may be asked for another model: the same as
/// that of a request that names the model itself.
fn key_at(frontend: &FrontendView, query: &Query, wish: &Wish, surveyed: &Surveyed<'_>) -> Option<u64> {
    // Sessions go by the client.
    if query.client.is_some() {
        return None;
    }
    match frontend.config.load_balancing {
        LoadBalancing::ModelAffinity => model(frontend, &surveyed.view, query).map(key_of),
        LoadBalancing::PrefixAffinity => {
            let target = wish.renaming.canonical_target(surveyed.member.backend.id());
            Some(wish.beginning?.under(target?))
        }
        _ => None,
    }
}

/// Where the backend has the model that it would be asked for.
pub(super) fn warmth(frontend: &FrontendView, query: &Query, surveyed: &Surveyed<'_>) -> Warmth {
    let Some(model) = model(frontend, &surveyed.view, query) else { return Warmth::Unknown };
    let runner = super::runner(frontend, &surveyed.view, query);
    let need = RunnerNeed { model, options: runner.key(), num_ctx: runner.num_ctx() };
    match surveyed.member.backend.warmth(&surveyed.view, need) {
        InMemory::Loaded => Warmth::Loaded,
        InMemory::OtherOptions => Warmth::OtherOptions,
        InMemory::Cold if surveyed.has_model == Some(true) => Warmth::OnDisk,
        InMemory::Cold => Warmth::Unknown,
    }
}

/// The hash of the model, by which all nodes find the same place for it.
fn model_key(frontend: &FrontendView, query: &Query, survey: &Survey<'_>) -> Option<u64> {
    survey.iter().find_map(|it| model(frontend, &it.view, query)).map(key_of)
}

fn key_of(model: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(model.as_bytes())
}

// === impl Waiting ===

impl Waiting {
    fn of(
        frontend: &FrontendView,
        survey: &Survey<'_>,
        prefers_since: Option<Duration>,
        now: Instant,
    ) -> Self {
        let mut busy = SmallVec::new();
        let patience = Duration::from_millis(frontend.config.affinity_wait_ms.into());
        // A preference ends with the patience of the one who has waited so long.
        let mut until = prefers_since.map(|waited| now + patience.saturating_sub(waited));
        let nothing_ready = survey.iter().all(|it| it.standing != Standing::Ready);
        for surveyed in survey {
            let Standing::Busy(why) = surveyed.standing else { continue };
            busy.push((surveyed.member.backend.clone(), why));
            if let Busy::RateLimited(left) | Busy::CoolingDown(left) = why {
                let then = now + left;
                until = Some(until.map_or(then, |until: Instant| until.min(then)));
            }
        }
        Self { busy, until, nothing_ready }
    }
}

// === impl NoCandidate ===

impl NoCandidate {
    pub(super) fn of(survey: &Survey<'_>, query: &Query) -> Self {
        let excluded = survey
            .iter()
            .filter_map(|surveyed| match surveyed.standing {
                Standing::Out(why) => Some((surveyed.member.backend.clone(), why)),
                _ => None,
            })
            .collect();
        Self { excluded, operation: Some(query.operation) }
    }
}

impl fmt::Display for NoCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let formats: Vec<ApiFormat> = self
            .excluded
            .iter()
            .filter_map(|(_, why)| match why {
                Exclusion::Format(format) => Some(*format),
                _ => None,
            })
            .collect();
        if let (Some(operation), Some(_)) = (self.operation, formats.first()) {
            let mut names: Vec<String> = formats.iter().map(ToString::to_string).collect();
            names.sort();
            names.dedup();
            return write!(
                f,
                "no healthy backend speaks the {} API that this request uses: they speak {}",
                operation.format(),
                names.join(", "),
            );
        }
        write!(f, "no backend can take this request")?;
        let mut separator = ": ";
        for which in [
            Exclusion::Unhealthy,
            Exclusion::Inactive,
            Exclusion::Draining,
            Exclusion::CircuitOpen,
            Exclusion::NotPermitted,
            Exclusion::Label,
            Exclusion::ModelMissing,
            Exclusion::NoTarget,
            Exclusion::Tried,
        ] {
            let count = self.excluded.iter().filter(|(_, why)| *why == which).count();
            if count > 0 {
                write!(f, "{separator}{count} {which}")?;
                separator = ", ";
            }
        }
        if self.excluded.is_empty() {
            write!(f, ": the frontend has none")?;
        }
        Ok(())
    }
}
