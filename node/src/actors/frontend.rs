//! The router actor of one frontend: owns its routing state and publishes the table that requests read.

mod balance;
mod budget;
mod clients;
mod explain;
mod quantile;
mod query;
mod queue;
mod select;
mod session;
mod survey;
mod tried;
mod waiting;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use ollamaflow_protocol::id::{BackendId, FrontendId};
use ollamaflow_protocol::inspect::RunnerOptions;
use ollamaflow_protocol::object::Frontend;
use ollamaflow_protocol::route::{Kind, Operation};

use self::balance::Turn;
pub use self::balance::Turns;
use self::budget::RetryBudget;
pub use self::clients::ClientLimits;
pub use self::explain::{CandidateReport, Explanation};
use self::quantile::P95;
pub use self::query::{Decision, Denied, Pick, Query, Wish};
use self::queue::Queue;
pub use self::select::NoCandidate;
pub use self::session::{ClientKey, Moment, SessionView, Sessions};
pub use self::survey::Exclusion;
pub use self::tried::Tried;
use super::backend::{BackendHandle, BackendView, PinnedModels, RunnerNeed};
use super::bell::Bell;
use super::mailbox::{Letter, Mailbox, Takes, Waiting};
use super::traffic::{FrontendTraffic, RouteTraffic};

/// One frontend as other parts hold it: its published view, and a way to reach its actor.
#[derive(Debug)]
pub struct FrontendHandle {
    id: FrontendId,
    view: ArcSwap<FrontendView>,
    actor: ArcSwapOption<Mailbox<FrontendActor>>,
    waiting: Waiting,
    sessions: Sessions,
    clients: ClientLimits,
    /// Requests in the queue.
    queued: AtomicU32,
    /// Those among them that the actor has not taken up yet.
    joining: Arc<AtomicU32>,
    budget: RetryBudget,
    embedding_times: P95,
    traffic: FrontendTraffic,
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
    pinned_models: PinnedModels,
}

/// A backend and its place in the rotation.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) backend: Arc<BackendHandle>,
    pub(super) turn: Arc<Turn>,
    /// What the frontend's requests leave behind there.
    pub(super) traffic: Arc<RouteTraffic>,
}

/// The actor. Only requests that have to wait for a backend anyway wait for it.
pub(super) struct FrontendActor {
    handle: Arc<FrontendHandle>,
    queue: Queue,
    /// There once the actor has an address.
    bell: Option<Arc<Bell>>,
    turns: Arc<Turns>,
    /// The backends of the published table.
    rotation: HashMap<BackendId, Member>,
}

struct Configure {
    config: Arc<Frontend>,
    members: Vec<Arc<BackendHandle>>,
}

struct Retire;

// === impl FrontendHandle ===

impl FrontendHandle {
    /// A handle whose view is complete from the start, so that no request meets an empty table.
    pub(super) fn new(config: &Arc<Frontend>, members: &[Arc<BackendHandle>]) -> Arc<Self> {
        let turns = Arc::<Turns>::default();
        let members = members.iter().cloned().map(Member::new).collect();
        Arc::new(Self {
            id: config.identifier.clone(),
            view: ArcSwap::from_pointee(FrontendView::new(config.clone(), members, turns)),
            actor: ArcSwapOption::empty(),
            waiting: Waiting::default(),
            sessions: Sessions::default(),
            clients: ClientLimits::default(),
            queued: AtomicU32::new(0),
            joining: Arc::default(),
            budget: RetryBudget::default(),
            embedding_times: P95::default(),
            traffic: FrontendTraffic::new(),
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

    /// What requests have left behind.
    pub fn traffic(&self) -> &FrontendTraffic {
        &self.traffic
    }

    /// Messages that its actor has not taken yet.
    pub fn mail(&self) -> u32 {
        self.waiting.count()
    }

    /// Which backend each client is bound to.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// How fast each client may send.
    pub fn clients(&self) -> &ClientLimits {
        &self.clients
    }

    /// Notes that the request makes the backend load its model: the model, if it is not in memory yet.
    pub fn model_started(
        &self,
        backend: &BackendHandle,
        view: &BackendView,
        query: &Query,
        now: Instant,
    ) -> Option<String> {
        if query.operation.kind() == Kind::Other {
            return None;
        }
        let frontend = self.view();
        let model = survey::model(&frontend, view, query)?;
        let runner = runner(&frontend, view, query);
        let need = RunnerNeed { model, options: runner.key(), num_ctx: runner.num_ctx() };
        backend.model_started(view, need, now).then(|| model.to_owned())
    }

    /// Whether the backend has the model that it would be asked for; `None` if that is not known, or no model is asked for.
    pub fn has_model(&self, view: &BackendView, query: &Query) -> Option<bool> {
        let frontend = self.view();
        survey::model(&frontend, view, query).and_then(|model| view.has_model(model))
    }

    /// The canonical name of the model that the request asks this backend for, if the backend is known to have it.
    pub fn known_model<T>(
        &self,
        view: &BackendView,
        query: &Query,
        told: impl FnOnce(Option<&str>) -> T,
    ) -> T {
        let frontend = self.view();
        let model = survey::model(&frontend, view, query);
        told(model.filter(|model| view.has_model(model) == Some(true)))
    }

    /// A request has come: retries are paid from a share of these.
    pub fn request_came(&self, config: &Frontend) {
        self.budget.deposit(config.retry_budget_percent);
    }

    /// Whether the budget allows one more retry, which is then taken from it.
    pub fn may_retry(&self, config: &Frontend, now: Instant) -> bool {
        self.budget.try_withdraw(config.retry_budget_percent, now)
    }

    /// What 95 % of the embeddings requests take at most; `None` before enough were seen.
    pub fn usual_embedding_time(&self) -> Option<Duration> {
        self.embedding_times.get()
    }

    /// An embeddings request was answered.
    pub fn embedding_took(&self, time: Duration) {
        self.embedding_times.observe(time);
    }

    /// Makes the actor panic, for tests of what happens then.
    #[cfg(test)]
    pub(super) fn tell_crash(&self) {
        self.actor.load_full().unwrap().tell(super::tests::Crash);
    }

    pub(super) fn is_alive(&self) -> bool {
        self.actor.load().as_ref().is_some_and(|actor| actor.is_open())
    }

    pub(super) fn configure(&self, config: Arc<Frontend>, members: Vec<Arc<BackendHandle>>) {
        if let Some(actor) = &*self.actor.load() {
            actor.tell(Configure { config, members });
        }
    }

    pub(super) fn retire(&self) {
        if let Some(actor) = self.actor.swap(None) {
            actor.tell(Retire);
        }
    }
}

// === impl FrontendView ===

impl FrontendView {
    fn new(config: Arc<Frontend>, members: Vec<Member>, turns: Arc<Turns>) -> Self {
        let pinned_models =
            PinnedModels::of(&config.pinned_embeddings_properties, &config.pinned_completions_properties);
        Self { config, members, turns, pinned_models }
    }

    /// Its backends with their current views, in configured order.
    pub fn backends(&self) -> impl Iterator<Item = (&Arc<BackendHandle>, Guard<Arc<BackendView>>)> {
        self.members.iter().map(|member| (&member.backend, member.backend.view()))
    }

    /// What its requests leave behind at this backend; none if that is none of its backends any more.
    pub fn route_to(&self, backend: &Arc<BackendHandle>) -> Option<&Arc<RouteTraffic>> {
        let member = self.members.iter().find(|member| Arc::ptr_eq(&member.backend, backend));
        member.map(|member| &member.traffic)
    }

    /// What its requests have left behind at each of its backends.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<RouteTraffic>> {
        self.members.iter().map(|member| &member.traffic)
    }

    /// How many backends it has.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Those of its backends that suit the request by their configuration, whether or not they are well. Any of them
    /// suits the question for a version: of engines that have none, this node tells its own.
    pub fn suiting(
        &self,
        query: &Query,
    ) -> impl Iterator<Item = (&Arc<BackendHandle>, Guard<Arc<BackendView>>)> {
        let suits = |view: &BackendView| match survey::misfit(view, query) {
            None => true,
            Some(Exclusion::Format(_)) => query.operation == Operation::OllamaVersion,
            Some(_) => false,
        };
        self.backends().filter(move |(_, view)| suits(view))
    }
}

// === impl Member ===

impl Member {
    fn new(backend: Arc<BackendHandle>) -> Self {
        let traffic = RouteTraffic::new(backend.clone());
        Self { backend, turn: Arc::default(), traffic }
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
        let rotation = by_id(&view.members);
        let turns = view.turns.clone();
        let mut actor = Self { handle: handle.clone(), queue: Queue::default(), bell: None, turns, rotation };
        actor.publish(config, members);
        handle.actor.store(Some(Arc::new(Mailbox::new(Actor::start(actor), &handle.waiting))));
    }

    /// Publishes a table; a backend that stays keeps its place in the rotation.
    fn publish(&mut self, config: Arc<Frontend>, members: Vec<Arc<BackendHandle>>) {
        let members: Vec<Member> = members
            .into_iter()
            .map(|backend| {
                let known = self.rotation.get(backend.id()).cloned();
                // One that was removed and made again is another.
                known
                    .filter(|known| Arc::ptr_eq(&known.backend, &backend))
                    .unwrap_or_else(|| Member::new(backend))
            })
            .collect();
        self.rotation = by_id(&members);
        let is_sticky = config.use_sticky_sessions;
        let view = FrontendView::new(config, members, self.turns.clone());
        self.handle.view.store(Arc::new(view));
        self.handle.sessions.end_of(|backend| is_sticky && self.rotation.contains_key(backend));
    }
}

impl Actor for FrontendActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.bell = Some(Bell::new(ctx.address().recipient(), &self.handle.waiting));
    }
}

impl Drop for FrontendActor {
    /// After a panic too: a bell of a dead queue would keep others from its backends for ever.
    fn drop(&mut self) {
        if let Some(bell) = &self.bell {
            self.queue.close(bell);
        }
    }
}

fn by_id(members: &[Member]) -> HashMap<BackendId, Member> {
    members.iter().map(|member| (member.backend.id().clone(), member.clone())).collect()
}

/// The runner options with which a backend would be asked: the client's, under the pins of frontend and backend.
fn runner(frontend: &FrontendView, backend: &BackendView, query: &Query) -> RunnerOptions {
    let pins = match query.operation.kind() {
        Kind::Embeddings => {
            [&frontend.config.pinned_embeddings_properties, &backend.config.pinned_embeddings_properties]
        }
        _ => [&frontend.config.pinned_completions_properties, &backend.config.pinned_completions_properties],
    };
    if pins.iter().all(|pins| pins.is_empty()) { query.runner } else { query.runner.overlaid(&pins) }
}

impl<M: 'static> Handler<Letter<M>> for FrontendActor
where
    Self: Takes<M>,
{
    type Result = ();

    fn handle(&mut self, letter: Letter<M>, ctx: &mut Context<Self>) {
        self.take(letter.open(), ctx);
    }
}

impl Takes<Configure> for FrontendActor {
    fn take(&mut self, Configure { config, members }: Configure, ctx: &mut Context<Self>) {
        self.publish(config, members);
        self.serve_queue(ctx);
    }
}

impl Takes<Retire> for FrontendActor {
    fn take(&mut self, _: Retire, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
