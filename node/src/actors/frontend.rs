//! The router actor of one frontend: owns its routing state and publishes the table that requests read.

mod balance;
mod select;

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use ollamaflow_protocol::id::{BackendId, FrontendId};
use ollamaflow_protocol::object::Frontend;

use self::balance::Turn;
pub use self::balance::Turns;
pub use self::select::{Exclusion, NoCandidate, Pick, Query, select};
use super::backend::{BackendHandle, BackendView};

/// One frontend as other parts hold it: its published view, and a way to reach its actor.
#[derive(Debug)]
pub struct FrontendHandle {
    id: FrontendId,
    view: ArcSwap<FrontendView>,
    actor: ArcSwapOption<Addr<FrontendActor>>,
}

/// The routing table of a frontend at one moment.
#[derive(Debug)]
pub struct FrontendView {
    /// The frontend's configuration.
    pub config: Arc<Frontend>,
    /// Its backends in configured order, those that exist.
    pub(super) members: Vec<Member>,
    /// The clock of the balancing policy.
    pub(super) turns: Arc<Turns>,
}

/// A backend and its place in the rotation.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) backend: Arc<BackendHandle>,
    pub(super) turn: Arc<Turn>,
}

/// The actor. Requests never wait for it.
#[derive(Debug)]
pub(super) struct FrontendActor {
    handle: Arc<FrontendHandle>,
    turns: Arc<Turns>,
    rotation: HashMap<BackendId, Arc<Turn>>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Configure {
    config: Arc<Frontend>,
    members: Vec<Arc<BackendHandle>>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Retire;

// === impl FrontendHandle ===

impl FrontendHandle {
    /// A handle whose view is complete from the start, so that no request meets an empty table.
    pub(super) fn new(config: &Arc<Frontend>, members: &[Arc<BackendHandle>]) -> Arc<Self> {
        let turns = Arc::<Turns>::default();
        let members = members.iter().map(|backend| Member::new(backend.clone(), Arc::default())).collect();
        let view = FrontendView { config: config.clone(), members, turns };
        Arc::new(Self {
            id: config.identifier.clone(),
            view: ArcSwap::from_pointee(view),
            actor: ArcSwapOption::empty(),
        })
    }

    /// The frontend's identifier.
    pub fn id(&self) -> &FrontendId {
        &self.id
    }

    /// The current routing table.
    pub fn view(&self) -> Guard<Arc<FrontendView>> {
        self.view.load()
    }

    /// Makes the actor panic, for tests of what happens then.
    #[cfg(test)]
    pub(super) fn tell_crash(&self) {
        self.actor.load_full().unwrap().do_send(super::tests::Crash);
    }

    pub(super) fn is_alive(&self) -> bool {
        self.actor.load().as_ref().is_some_and(|actor| actor.connected())
    }

    pub(super) fn configure(&self, config: Arc<Frontend>, members: Vec<Arc<BackendHandle>>) {
        if let Some(actor) = &*self.actor.load() {
            actor.do_send(Configure { config, members });
        }
    }

    pub(super) fn retire(&self) {
        if let Some(actor) = self.actor.swap(None) {
            actor.do_send(Retire);
        }
    }
}

// === impl FrontendView ===

impl FrontendView {
    /// The current views of its backends, in configured order.
    pub fn backends(&self) -> impl Iterator<Item = Guard<Arc<BackendView>>> {
        self.members.iter().map(|member| member.backend.view())
    }
}

// === impl Member ===

impl Member {
    fn new(backend: Arc<BackendHandle>, turn: Arc<Turn>) -> Self {
        Self { backend, turn }
    }
}

// === impl FrontendActor ===

impl FrontendActor {
    /// Starts the actor behind `handle`, on the current arbiter. State that an earlier actor published is kept.
    pub(super) fn start(
        handle: &Arc<FrontendHandle>,
        config: Arc<Frontend>,
        members: Vec<Arc<BackendHandle>>,
    ) {
        let view = handle.view.load_full();
        let rotation =
            view.members.iter().map(|member| (member.backend.id().clone(), member.turn.clone())).collect();
        let mut actor = Self { handle: handle.clone(), turns: view.turns.clone(), rotation };
        actor.publish(config, members);
        handle.actor.store(Some(Arc::new(Actor::start(actor))));
    }

    /// Publishes a table; a backend that stays keeps its place in the rotation.
    fn publish(&mut self, config: Arc<Frontend>, members: Vec<Arc<BackendHandle>>) {
        let members: Vec<Member> = members
            .into_iter()
            .map(|backend| {
                let turn = self.rotation.get(backend.id()).cloned().unwrap_or_default();
                Member::new(backend, turn)
            })
            .collect();
        self.rotation =
            members.iter().map(|member| (member.backend.id().clone(), member.turn.clone())).collect();
        let view = FrontendView { config, members, turns: self.turns.clone() };
        self.handle.view.store(Arc::new(view));
    }
}

impl Actor for FrontendActor {
    type Context = Context<Self>;
}

impl Handler<Configure> for FrontendActor {
    type Result = ();

    fn handle(&mut self, Configure { config, members }: Configure, _: &mut Context<Self>) {
        self.publish(config, members);
    }
}

impl Handler<Retire> for FrontendActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
