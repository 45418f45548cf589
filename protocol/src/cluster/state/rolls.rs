//! Commands on rolls. The state of a backend that drains for one changes with its phase, in the same entry.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ClusterState;
use super::apply::Entering;
use crate::catalog::Catalog;
use crate::cluster::command::Precondition;
use crate::cluster::nodes::NodeId;
use crate::cluster::outcome::{ObjectKind, ObjectRef, Outcome};
use crate::cluster::rejection::Rejection;
use crate::cluster::roll::{MAX_ROLLS, Roll, RollPhase, RollStep};
use crate::cluster::work::{MAX_WORK_MESSAGE, WorkKey};
use crate::id::BackendId;
use crate::model::canonical;
use crate::models::desired::ActionKind;
use crate::object::{Backend, BackendState};

/// Why the steps behind a failed one are not done.
const EARLIER_FAILED: &str = "an earlier backend failed";

/// Rolls, the oldest first.
pub(super) type Rolls = Vec<Arc<Roll>>;

// === ClusterState ===

impl ClusterState {
    /// The rolls that are under way, and the last ones that have ended; the oldest first.
    pub fn rolls(&self) -> impl Iterator<Item = &Roll> {
        self.rolls.iter().map(AsRef::as_ref)
    }

    /// The last roll of a model, by its canonical name.
    pub fn roll(&self, model: &str) -> Option<&Roll> {
        self.rolls().find(|roll| roll.model == model)
    }

    /// The roll for which the next step of `roll` waits: a backend that the step needs drains for it, or is about to. A step
    /// needs its backend and, unless it is forced, those that stand in for it: the others of its frontends. Of two rolls
    /// that are about to begin the older one goes first; `is_worked_on` tells which work has been begun.
    pub fn roll_before(&self, roll: &Roll, is_worked_on: impl Fn(&WorkKey) -> bool) -> Option<&Roll> {
        let step = roll.next().filter(|step| step.phase == RollPhase::Waiting)?;
        let frontends = self.catalog.frontends_using(&step.backend).filter(|it| it.active && !roll.force);
        let mut needed: BTreeSet<_> = frontends.flat_map(|frontend| &frontend.backends).collect();
        needed.insert(&step.backend);
        let own = self.rolls().position(|known| known.model == roll.model);
        let mut others = self.rolls().enumerate().filter(|(_, other)| other.model != roll.model);
        let found = others.find(|(place, other)| {
            other.next().is_some_and(|step| {
                let is_older = own.is_none_or(|own| *place < own);
                let is_first = is_older && is_worked_on(&other.pull_at(&step.backend));
                needed.contains(&step.backend) && (step.phase != RollPhase::Waiting || is_first)
            })
        });
        found.map(|(_, other)| other)
    }

    /// Somebody has said himself which state a backend is to have: that is what it has after its step, too.
    pub(super) fn with_state_meant(self, backend: &BackendId, state: BackendState) -> Self {
        let concerned = |step: &RollStep| {
            step.backend == *backend && !step.phase.has_ended() && step.former_state.is_some()
        };
        if !self.rolls().any(|roll| roll.steps.iter().any(concerned)) {
            return self;
        }
        let meant = |roll: &Arc<Roll>| {
            let mut roll = Roll::clone(roll);
            for step in roll.steps.iter_mut().filter(|step| concerned(step)) {
                step.former_state = Some(state);
            }
            Arc::new(roll)
        };
        Self { rolls: Arc::new(self.rolls.iter().map(meant).collect()), ..self }
    }

    pub(super) fn begin_roll(
        &self,
        entering: Entering<'_>,
        name: &str,
        backends: &[BackendId],
        force: bool,
        drain_ms: u64,
    ) -> Result<(Self, Outcome), Rejection> {
        let model = canonical(name);
        let object = || ObjectRef::new(ObjectKind::Work, &model.chars().take(80).collect::<String>());
        let mut seen = BTreeSet::new();
        let mut steps = Vec::new();
        for backend in backends {
            if !self.catalog.backends.contains_key(backend) {
                return Err(Rejection::NotFound { object: ObjectRef::new(ObjectKind::Backend, backend) });
            }
            let key = WorkKey { backend: backend.clone(), kind: ActionKind::Pull, model: model.clone() };
            if let Some(fault) = key.fault(name) {
                return Err(Rejection::Invalid { object: object(), message: fault.to_owned() });
            }
            if seen.insert(backend) {
                steps.push(RollStep::new(backend.clone()));
            }
        }
        if steps.is_empty() {
            return Err(Rejection::Invalid { object: object(), message: "no backend has it".to_owned() });
        }
        if self.roll(&model).is_some_and(|roll| roll.next().is_some()) {
            return Err(Rejection::Exists { object: object() });
        }
        let mut rolls: Rolls = self.rolls.iter().filter(|roll| roll.model != model).cloned().collect();
        if rolls.len() >= MAX_ROLLS {
            let Some(ended) = rolls.iter().position(|roll| roll.next().is_none()) else {
                return Err(Rejection::TooMany { kind: ObjectKind::Work, limit: MAX_ROLLS as u64 });
            };
            rolls.remove(ended);
        }
        let name = name.trim().to_owned();
        let begun_utc = entering.envelope.at;
        rolls.push(Arc::new(Roll { model, name, force, drain_ms, begun_utc, steps }));
        Ok((Self { rolls: Arc::new(rolls), ..self.clone() }, Outcome::Created))
    }

    pub(super) fn advance_roll(
        &self,
        entering: Entering<'_>,
        key: &WorkKey,
        token: u128,
        phase: RollPhase,
        detail: Option<&str>,
    ) -> Result<(Self, Outcome), Rejection> {
        self.held(key, token)?;
        let mut roll = self.roll_at(&key.model, &key.backend)?;
        let Some(at) = roll.steps.iter().position(|step| step.backend == key.backend) else {
            return Err(no_roll(&key.model));
        };
        let step = &mut roll.steps[at];
        if step.phase.has_ended() {
            return Ok((self.clone(), Outcome::Unchanged));
        }
        let mut next = self.clone();
        if phase == RollPhase::Draining && step.former_state.is_none() {
            step.former_state = self.catalog.backends.get(&key.backend).map(|backend| backend.state);
            next = next.with_state(entering, &key.backend, BackendState::Active, BackendState::Draining)?;
        }
        if phase.has_ended() && step.former_state == Some(BackendState::Active) {
            next = next.with_state(entering, &key.backend, BackendState::Draining, BackendState::Active)?;
        }
        step.phase = phase;
        step.detail = detail.map(|detail| detail.chars().take(MAX_WORK_MESSAGE).collect());
        if phase == RollPhase::Failed {
            for waiting in roll.steps.iter_mut().filter(|step| step.phase == RollPhase::Waiting) {
                waiting.phase = RollPhase::Skipped;
                waiting.detail = Some(EARLIER_FAILED.to_owned());
            }
        }
        Ok((next.with_roll(roll), Outcome::Updated))
    }

    /// A node has no requests in flight at the backend any more.
    pub(super) fn tell_drained(
        &self,
        model: &str,
        backend: &BackendId,
        node: NodeId,
    ) -> Result<(Self, Outcome), Rejection> {
        let mut roll = self.roll_at(model, backend)?;
        let is_node = self.nodes.active().contains_key(&node);
        let step = roll.steps.iter_mut().find(|step| step.backend == *backend);
        let Some(step) = step.filter(|step| is_node && step.phase == RollPhase::Draining) else {
            return Ok((self.clone(), Outcome::Unchanged));
        };
        step.drained.insert(node);
        Ok((self.with_roll(roll), Outcome::Updated))
    }

    fn roll_at(&self, model: &str, backend: &BackendId) -> Result<Roll, Rejection> {
        let roll = self.roll(model).filter(|roll| roll.step(backend).is_some());
        roll.cloned().ok_or_else(|| no_roll(model))
    }

    /// The state with another state of a backend, if it has the expected one: an operator's change stands.
    fn with_state(
        self,
        entering: Entering<'_>,
        backend: &BackendId,
        expected: BackendState,
        state: BackendState,
    ) -> Result<Self, Rejection> {
        match self.catalog.backends.get(backend) {
            Some(stored) if stored.state == expected => {
                let changed = Backend { state, ..Backend::clone(stored) };
                self.put_backend(entering, &changed, Precondition::Any).map(|(next, _)| next)
            }
            _ => Ok(self),
        }
    }

    fn with_roll(&self, roll: Roll) -> Self {
        let roll = Arc::new(roll);
        let replaced = |known: &Arc<Roll>| Arc::clone(if known.model == roll.model { &roll } else { known });
        Self { rolls: Arc::new(self.rolls.iter().map(replaced).collect()), ..self.clone() }
    }
}

/// The rolls without the steps at backends that are no more.
pub(super) fn without_strangers(rolls: &Arc<Rolls>, catalog: &Catalog) -> Arc<Rolls> {
    let is_known = |step: &RollStep| catalog.backends.contains_key(&step.backend);
    if rolls.iter().all(|roll| roll.steps.iter().all(is_known)) {
        return Arc::clone(rolls);
    }
    let kept = |roll: &Arc<Roll>| {
        let mut roll = Roll::clone(roll);
        roll.steps.retain(is_known);
        (!roll.steps.is_empty()).then(|| Arc::new(roll))
    };
    Arc::new(rolls.iter().filter_map(kept).collect())
}

/// Whether there can be such rolls.
pub(super) fn are_possible(rolls: &Rolls) -> bool {
    let models: BTreeSet<_> = rolls.iter().map(|roll| &roll.model).collect();
    rolls.len() <= MAX_ROLLS && models.len() == rolls.len()
}

fn no_roll(model: &str) -> Rejection {
    let model: String = model.chars().take(80).collect();
    Rejection::NotFound { object: ObjectRef::new(ObjectKind::Work, &model) }
}
