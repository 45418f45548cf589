//! What is to be done so that each backend has the models that it should have: a pure function.
//!
//! In: what frontends want ([`Desired`]), what is known of each backend ([`Situation`]), what has been begun and what has
//! failed ([`Ledger`]), [`Limits`] and the time. Out: the actions to begin now, and a [`Verdict`] on each wish.
//!
//! A model is there if the rule of [`super::satisfies`] says so. A model to be kept in memory is one to be had, too. A
//! model that one frontend requires and another forbids stays, and the verdict says that it is both. Whoever begins
//! actions tells the ledger ([`Ledger::begin`]); so a plan that is made again names nothing twice.

mod crowd;
mod ledger;
mod want;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::crowd::{crowd, crowded};
pub use self::ledger::{Failure, Ledger, Limits, Pulling, failure};
pub use self::want::{Desired, Wanted, Wish};

use super::inventory::{Disk, DiskModel, Memory};
use super::satisfies;
use crate::id::BackendId;
use crate::model::canonical;
use crate::time::Timestamp;

/// What is known of one backend.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The backend.
    pub backend: &'a BackendId,
    /// Whether it takes part and answers. Nothing is begun at one that does not.
    pub available: bool,
    /// Whether it can pull, load and delete: those of OpenAI's API cannot.
    pub manageable: bool,
    /// What is on its disk; `None` while that is not known, and then nothing is begun.
    pub disk: Option<&'a Disk>,
    /// What is in its memory, if that is known.
    pub memory: Option<&'a Memory>,
}

/// Something to be done at a backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Action {
    /// Where.
    pub backend: BackendId,
    /// What.
    pub kind: ActionKind,
    /// The model as it is to be named to the backend.
    pub model: String,
}

/// What can be done with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum ActionKind {
    /// `POST /api/pull`
    Pull,
    /// An empty `POST /api/generate` with the frontend's `keep_alive`, to load the model or to keep it loaded.
    Load,
    /// `DELETE /api/delete`
    Delete,
}

/// What the plan says of one wish at one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The backend.
    pub backend: BackendId,
    /// The model as the frontend names it.
    pub model: String,
    /// What is wished.
    pub wish: Wish,
    /// How it stands.
    pub standing: Standing,
}

/// How it stands with a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as it should be.
    Fulfilled,
    /// This is begun now.
    Begins(ActionKind),
    /// This has been begun; how far a pull is, in percent, as far as that is known.
    Running(ActionKind, Option<u8>),
    /// It waits for others to end: a limit is reached.
    Queued(ActionKind),
    /// It has failed and will be tried again then.
    Waits {
        /// When.
        until: Timestamp,
        /// Why it failed.
        why: String,
    },
    /// It has failed, and nothing but a change of the circumstances will help.
    Final {
        /// Why.
        why: Failure,
        /// In the backend's words.
        message: String,
    },
    /// It is not loaded, because others that are to be in memory, too, would have to leave.
    Crowded {
        /// Beside which ones it does not fit.
        why: String,
    },
    /// The model is missing, and the backend cannot pull.
    CannotPull,
    /// The model is forbidden and there, and nobody is told to delete it, or the backend cannot.
    Tolerated,
    /// The model is forbidden, and required by another frontend: it stays.
    Contradicted,
    /// The model is to be loaded when it is there.
    AwaitsPull,
    /// The backend is off or does not answer.
    Unavailable,
    /// Nobody knows yet what the backend has.
    Unknown,
}

/// What is to be done, and why the rest is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be begun now. Each backend gets its first before any gets its second.
    pub actions: Vec<Action>,
    /// One for each backend and wish.
    pub verdicts: Vec<Verdict>,
}

/// Makes the plan. It changes nothing: what is begun is told to the ledger by whoever begins it.
///
/// `revision` is that of the configuration: a model that was not found is looked for again when it has changed.
pub fn plan(
    desired: &Desired,
    situations: &[Situation<'_>],
    ledger: &Ledger,
    limits: &Limits,
    revision: u64,
    now: Timestamp,
) -> Plan {
    let planner = Planner { ledger, limits, revision, now };
    let mut drafts: Vec<Draft<'_>> = situations
        .iter()
        .filter_map(|situation| Some(planner.draft(situation, desired.backends.get(situation.backend)?)))
        .collect();
    let actions = planner.admit(&mut drafts);
    Plan { actions, verdicts: drafts.into_iter().flat_map(|draft| draft.verdicts).collect() }
}

struct Planner<'a> {
    ledger: &'a Ledger,
    limits: &'a Limits,
    revision: u64,
    now: Timestamp,
}

/// The plan for one backend before limits are looked at: everything that could begin counts as queued.
struct Draft<'a> {
    backend: &'a BackendId,
    verdicts: Vec<Verdict>,
    /// What could begin, with the verdicts that hang on it.
    ready: Vec<(Action, Vec<usize>)>,
}

// === impl Planner ===

impl Planner<'_> {
    fn draft<'a>(&self, situation: &Situation<'a>, wanted: &Wanted) -> Draft<'a> {
        let mut draft = Draft { backend: situation.backend, verdicts: Vec::new(), ready: Vec::new() };
        // Names with a tag come first: what they pull may be what a name without one is satisfied by.
        let mut wishes: Vec<_> = wanted.wishes.iter().collect();
        wishes.sort_by_key(|(model, _)| !has_tag(model));
        for (model, wish) in wishes {
            if wish.required || wish.preload {
                self.required(&mut draft, situation, model);
            }
            if wish.preload {
                self.preload(&mut draft, situation, wanted, model);
            }
            if wish.forbidden {
                self.forbidden(&mut draft, situation, wanted, model, wish.delete);
            }
        }
        draft
    }

    fn required(&self, draft: &mut Draft<'_>, situation: &Situation<'_>, model: &str) {
        let backend = situation.backend;
        let standing = match blocked(situation) {
            Some(standing) => standing,
            None if present(situation, model).is_some() => Standing::Fulfilled,
            None if !situation.manageable => Standing::CannotPull,
            None => {
                if let Some(pull) = self.ledger.pulling(backend, model) {
                    Standing::Running(ActionKind::Pull, pull.percent)
                } else if draft.joins(ActionKind::Pull, model, Wish::Required) {
                    return;
                } else {
                    let circumstances = ledger::circumstances(self.revision, situation.disk);
                    match self.ledger.hindrance(backend, ActionKind::Pull, model, circumstances, self.now) {
                        Some(standing) => standing,
                        None => return draft.begin(ActionKind::Pull, model, model, Wish::Required),
                    }
                }
            }
        };
        draft.verdict(model, Wish::Required, standing);
    }

    fn preload(&self, draft: &mut Draft<'_>, situation: &Situation<'_>, wanted: &Wanted, model: &str) {
        let backend = situation.backend;
        let Some(there) = present(situation, model).filter(|_| blocked(situation).is_none()) else {
            let standing = blocked(situation).unwrap_or(Standing::AwaitsPull);
            return draft.verdict(model, Wish::Preload, standing);
        };
        // What an engine of OpenAI's API serves is in memory.
        if !situation.manageable || self.stays_loaded(situation, there) {
            return draft.verdict(model, Wish::Preload, Standing::Fulfilled);
        }
        let Some(memory) = situation.memory else {
            return draft.verdict(model, Wish::Preload, Standing::Unknown);
        };
        if self.ledger.is_running(backend, ActionKind::Load, &there.canonical) {
            return draft.verdict(model, Wish::Preload, Standing::Running(ActionKind::Load, None));
        }
        let name = &there.canonical;
        let circumstances = ledger::circumstances(self.revision, situation.disk);
        let hindrance = self.ledger.hindrance(backend, ActionKind::Load, name, circumstances, self.now);
        // What is there is only to be kept there.
        let is_out = memory.find(name).is_none();
        let crowding = || self.ledger.crowding(backend, name, memory, wanted, self.revision, self.now);
        match hindrance.or_else(|| is_out.then(crowding).flatten()) {
            Some(standing) => draft.verdict(model, Wish::Preload, standing),
            None if draft.joins(ActionKind::Load, &there.name, Wish::Preload) => {}
            None => draft.begin(ActionKind::Load, &there.name, model, Wish::Preload),
        }
    }

    /// Whether the model is in memory for long enough that nothing has to be done before the next plan.
    fn stays_loaded(&self, situation: &Situation<'_>, model: &DiskModel) -> bool {
        let loaded = situation.memory.and_then(|memory| memory.find(&model.canonical));
        loaded.is_some_and(|loaded| {
            let left = loaded.expires_at.map(|expires| expires.since(self.now).as_micros());
            left.is_none_or(|left| left > self.limits.refresh_before.as_micros())
        })
    }

    fn forbidden(
        &self,
        draft: &mut Draft<'_>,
        situation: &Situation<'_>,
        wanted: &Wanted,
        model: &str,
        delete: bool,
    ) {
        if let Some(standing) = blocked(situation) {
            return draft.verdict(model, Wish::Forbidden, standing);
        }
        let mut there = situation.disk.into_iter().flat_map(|disk| disk.satisfying(model)).peekable();
        if there.peek().is_none() {
            return draft.verdict(model, Wish::Forbidden, Standing::Fulfilled);
        }
        for found in there {
            let is_wanted = wanted.wants(&found.name);
            if is_wanted || !delete || !situation.manageable {
                let standing = if is_wanted { Standing::Contradicted } else { Standing::Tolerated };
                draft.verdict(model, Wish::Forbidden, standing);
            } else if self.ledger.is_running(situation.backend, ActionKind::Delete, &found.canonical) {
                let running = Standing::Running(ActionKind::Delete, None);
                draft.verdict(model, Wish::Forbidden, running);
            } else if !draft.joins(ActionKind::Delete, &found.name, Wish::Forbidden) {
                let circumstances = ledger::circumstances(self.revision, situation.disk);
                let kind = ActionKind::Delete;
                match self.ledger.hindrance(
                    situation.backend,
                    kind,
                    &found.canonical,
                    circumstances,
                    self.now,
                ) {
                    Some(standing) => draft.verdict(model, Wish::Forbidden, standing),
                    None => draft.begin(kind, &found.name, model, Wish::Forbidden),
                }
            }
        }
    }

    /// Lets begin what the limits have room for, one after the other for each backend.
    fn admit(&self, drafts: &mut [Draft<'_>]) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut begun: BTreeMap<(&BackendId, ActionKind), usize> = BTreeMap::new();
        let mut pulls = self.ledger.pulls();
        let most = drafts.iter().map(|draft| draft.ready.len()).max().unwrap_or_default();
        for turn in 0..most {
            for draft in drafts.iter_mut() {
                let Some((action, verdicts)) = draft.ready.get(turn) else { continue };
                let kind = action.kind;
                let own = begun
                    .entry((draft.backend, kind))
                    .or_insert_with(|| self.ledger.running(draft.backend, kind));
                let is_pull = kind == ActionKind::Pull;
                if *own >= self.limits.of(kind) || (is_pull && pulls >= self.limits.pulls) {
                    continue;
                }
                *own += 1;
                pulls += usize::from(is_pull);
                for at in verdicts {
                    if let Some(verdict) = draft.verdicts.get_mut(*at) {
                        verdict.standing = Standing::Begins(kind);
                    }
                }
                actions.push(action.clone());
            }
        }
        actions
    }
}

// === impl Draft ===

impl Draft<'_> {
    fn verdict(&mut self, model: &str, wish: Wish, standing: Standing) {
        let (backend, model) = (self.backend.clone(), model.to_owned());
        self.verdicts.push(Verdict { backend, model, wish, standing });
    }

    /// Something that could begin, for the wish for `model`.
    fn begin(&mut self, kind: ActionKind, target: &str, model: &str, wish: Wish) {
        let action = Action { backend: self.backend.clone(), kind, model: target.trim().to_owned() };
        self.ready.push((action, vec![self.verdicts.len()]));
        self.verdict(model, wish, Standing::Queued(kind));
    }

    /// Hangs the wish on something that begins already and fulfils it.
    fn joins(&mut self, kind: ActionKind, model: &str, wish: Wish) -> bool {
        let at = self.verdicts.len();
        let fulfils = |action: &Action| match kind {
            ActionKind::Pull => satisfies(model, &action.model),
            _ => canonical(model) == canonical(&action.model),
        };
        let Some((_, verdicts)) =
            self.ready.iter_mut().find(|(action, _)| action.kind == kind && fulfils(action))
        else {
            return false;
        };
        verdicts.push(at);
        self.verdict(model, wish, Standing::Queued(kind));
        true
    }
}

/// Why nothing can be said or done at all.
fn blocked(situation: &Situation<'_>) -> Option<Standing> {
    match (situation.available, situation.disk) {
        (false, _) => Some(Standing::Unavailable),
        (true, None) => Some(Standing::Unknown),
        (true, Some(_)) => None,
    }
}

/// The model that fulfils a wish: the very one, or else the first that does.
fn present<'a>(situation: &Situation<'a>, model: &str) -> Option<&'a DiskModel> {
    let disk = situation.disk?;
    disk.find(&canonical(model))
        .or_else(|| disk.models().iter().find(|available| satisfies(model, &available.name)))
}

/// Whether the name says which tag is meant.
fn has_tag(model: &str) -> bool {
    model.rsplit('/').next().is_some_and(|name| name.contains(':'))
}

#[cfg(test)]
mod tests;
