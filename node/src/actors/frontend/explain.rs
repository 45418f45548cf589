//! What would become of a request now, and why: the same survey and decision, without taking anything.

use std::time::{Duration, Instant};

use super::FrontendHandle;
use super::query::{Decision, Query};
use super::select::{NoCandidate, Turn, Verdict, decide, warmth};
use super::survey::{self, Standing};
use super::tried::Tried;
use crate::actors::backend::Claimant;
use crate::actors::policy::Warmth;

/// What would be chosen, and how each backend stands.
#[derive(Debug)]
pub struct Explanation {
    /// The name of the policy.
    pub policy: &'static str,
    /// The identifier of the backend that would get the request, and what decides for it.
    pub chosen: Option<(String, Decision)>,
    /// The request would wait.
    pub waits: bool,
    /// The canonical name of the model that is asked for.
    pub model: Option<String>,
    /// The backends of the frontend, in its order.
    pub candidates: Vec<CandidateReport>,
}

/// One backend.
#[derive(Debug)]
pub struct CandidateReport {
    /// Its identifier.
    pub backend: String,
    /// Whether it can take the request, now or after a wait.
    pub is_candidate: bool,
    /// Why not, or why not now.
    pub reason: Option<String>,
    /// Requests in flight from this node.
    pub in_flight: u32,
    /// The most there may be.
    pub capacity: u32,
    /// Its tier.
    pub priority: u16,
    /// Its weight.
    pub weight: u16,
    /// Whether it has the model in memory, as the request needs it.
    pub loaded: Option<bool>,
    /// Whether it has the model at all.
    pub has_model: Option<bool>,
    /// `Closed`, `Open` or `HalfOpen`.
    pub breaker: &'static str,
    /// Mean time to the first content.
    pub first_token: Option<Duration>,
}

// === impl FrontendHandle ===

impl FrontendHandle {
    /// Why no backend could take the request if none can.
    pub fn nobody(&self, query: &Query) -> NoCandidate {
        let view = self.view();
        NoCandidate::of(
            &survey::survey(&view, query, &Tried::new(), Claimant::Arriving, Instant::now()),
            query,
        )
    }

    /// What would become of the request if it came now.
    pub fn explain(&self, query: &Query) -> Explanation {
        let now = Instant::now();
        let view = self.view();
        let tried = Tried::new();
        let surveyed_all = survey::survey(&view, query, &tried, Claimant::Arriving, now);
        let verdict = decide(&view, query, &surveyed_all, &tried, Duration::ZERO, now, Turn::Look);
        let chosen = match verdict {
            Verdict::Take { index, decision } => {
                Some((surveyed_all[index].member.backend.id().to_string(), decision))
            }
            _ => None,
        };
        let waits =
            chosen.is_none() && surveyed_all.iter().any(|it| matches!(it.standing, Standing::Busy(_)));
        let model = match &query.wish {
            // Each backend may be asked for another one.
            Some(_) => query.model.clone(),
            None => {
                surveyed_all.iter().find_map(|it| survey::model(&view, &it.view, query)).map(str::to_owned)
            }
        };
        let candidates = surveyed_all.iter().map(|surveyed| {
            let backend = &surveyed.member.backend;
            let config = &surveyed.view.config;
            let (is_candidate, reason) = match surveyed.standing {
                Standing::Ready => (true, None),
                Standing::Busy(why) => (true, Some(why.to_string())),
                Standing::Out(why) => (false, Some(why.to_string())),
            };
            let loaded = model.as_ref().map(|_| warmth(&view, query, surveyed) == Warmth::Loaded);
            CandidateReport {
                backend: backend.id().to_string(),
                is_candidate,
                reason,
                in_flight: backend.in_flight(),
                capacity: config.max_parallel_requests,
                priority: config.priority,
                weight: config.weight,
                loaded,
                has_model: surveyed.has_model,
                breaker: backend.breaker(now).name(),
                first_token: backend.readings(now).first_token,
            }
        });
        let policy = Decision::name(view.config.load_balancing);
        Explanation { policy, chosen, waits, candidates: candidates.collect(), model }
    }
}
