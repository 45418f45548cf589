//! The reconciler: an actor on each node that makes the backends have what they should, while its node leads.
//!
//! It wakes when a state is applied, when something that it has begun ends, and each second: for what the backends'
//! actors have read, for waits that are over, and for a leadership that comes or goes. On every node it keeps the inventory
//! of those backends fresh where any node has ended some work, so that a new leader does not repeat it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::fut::wrap_future;
use actix::prelude::*;
use arc_swap::ArcSwapOption;
use ollamaflow_protocol::cluster::{ClusterState, Roll, WorkKey};
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::model::canonical;
use ollamaflow_protocol::models::desired::{Action, ActionKind};
use tokio::sync::watch;

use super::claim::Claims;
use super::deed::Doer;
use super::outlook::Outlook;
use crate::actors::Directory;
use crate::clock::now;
use crate::cluster::Cluster;

/// Time between two looks without any other reason.
const TICK: Duration = Duration::from_secs(1);
/// States that are applied within so short a time cost one look.
const COALESCED: Duration = Duration::from_millis(50);
/// Pause after a reading of an inventory that failed.
const READING_PAUSE: Duration = Duration::from_secs(5);
/// How often a dead reconciler is looked for.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait at a stop for what was begun to be given up, so that another node can go on with it at once.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The reconciler of a node.
pub struct Reconciling {
    stop: watch::Sender<bool>,
    current: Arc<ArcSwapOption<Addr<Reconciler>>>,
}

/// The actor.
struct Reconciler {
    doer: Doer,
    stopping: watch::Receiver<bool>,
    /// What was begun here and has not ended.
    begun: BTreeMap<WorkKey, Action>,
    /// The works that were held by any node when it looked last, with their claims.
    held: BTreeMap<WorkKey, u128>,
    /// Backends whose inventory may be older than work that has ended there.
    stale: BTreeSet<BackendId>,
    is_leading: bool,
    is_clearing: bool,
    /// Drained backends of which this node is just telling.
    telling: BTreeSet<(String, BackendId)>,
    next_look: Option<SpawnHandle>,
}

/// Something may have changed.
#[derive(Message)]
#[rtype(result = "()")]
struct Changed;

/// What was begun has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Ended(WorkKey);

/// How much is under way.
#[derive(Message)]
#[rtype(result = "usize")]
struct Pending;

// === impl Reconciling ===

impl Reconciling {
    /// Starts the actor on this thread, and another one should it die. Must be called inside an actix system.
    pub fn start(cluster: Cluster, directory: Arc<Directory>, claims: Claims) -> Self {
        let doer = Doer { cluster, directory, claims, hearing: Arc::default() };
        let (stop, stopping) = watch::channel(false);
        let current = Arc::new(ArcSwapOption::empty());
        let cell = current.clone();
        actix_rt::spawn(async move {
            let mut ticks = tokio::time::interval(WATCHDOG_INTERVAL);
            let mut mine: Option<Addr<Reconciler>> = None;
            while !*stopping.borrow() {
                if mine.as_ref().is_none_or(|reconciler| !reconciler.connected()) {
                    if mine.is_some() {
                        tracing::error!("the reconciler of models died; starting another one");
                    }
                    let reconciler = Reconciler::new(doer.clone(), stopping.clone()).start();
                    cell.store(Some(Arc::new(reconciler.clone())));
                    mine = Some(reconciler);
                }
                ticks.tick().await;
            }
        });
        Self { stop, current }
    }

    /// Begins nothing more, gives up what runs here, and waits until the others know that they may go on with it.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let Some(reconciler) = self.current.load_full() else { return };
        let given_up = async {
            while matches!(reconciler.send(Pending).await, Ok(pending) if pending > 0) {
                actix_rt::time::sleep(COALESCED).await;
            }
        };
        if actix_rt::time::timeout(STOP_TIMEOUT, given_up).await.is_err() {
            tracing::warn!(
                "work on models is cut off; other nodes go on with it when its claims have lapsed"
            );
        }
    }
}

// === impl Reconciler ===

impl Reconciler {
    fn new(doer: Doer, stopping: watch::Receiver<bool>) -> Self {
        Self {
            doer,
            stopping,
            begun: BTreeMap::new(),
            held: BTreeMap::new(),
            stale: BTreeSet::new(),
            is_leading: false,
            is_clearing: false,
            telling: BTreeSet::new(),
            next_look: None,
        }
    }

    fn look_soon(&mut self, ctx: &mut Context<Self>) {
        if self.next_look.is_none() {
            self.next_look = Some(ctx.run_later(COALESCED, |reconciler, ctx| {
                reconciler.next_look = None;
                reconciler.look(ctx);
            }));
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if *self.stopping.borrow() {
            return;
        }
        let state = self.doer.cluster.state();
        // Before the plan: it must not be made from an inventory that is older than what has ended.
        self.notice_ends(&state, ctx);
        self.tell_drained(&state, ctx);
        let leads = self.doer.cluster.leads();
        if leads != self.is_leading {
            self.is_leading = leads;
            tracing::debug!(leads, "this node sees to the models at the backends only while it leads");
        }
        if !leads {
            return;
        }
        self.clear_lapsed(&state, ctx);
        if state.rolls().any(|roll| roll.next().is_some()) {
            self.doer.hearing.observe(&self.doer.cluster.status(), Instant::now());
        }
        for roll in state.rolls() {
            self.go_on_with(roll, &state, ctx);
        }
        let outlook = Outlook::new(&state, &self.doer.directory, now()).without(&self.stale);
        for action in outlook.with_begun(self.begun.values()).plan().actions {
            self.begin(action, ctx);
        }
    }

    /// Has the inventories read where work was held that is not held any more.
    fn notice_ends(&mut self, state: &ClusterState, ctx: &mut Context<Self>) {
        let hold = |key: &WorkKey| Some(state.work(key)?.hold.as_ref()?.token);
        let ended: BTreeSet<_> = self
            .held
            .iter()
            .filter(|(key, token)| hold(key) != Some(**token))
            .map(|(key, _)| key.backend.clone())
            .collect();
        let works = state.works().filter_map(|work| Some((work.key.clone(), work.hold.as_ref()?.token)));
        self.held = works.collect();
        for backend in ended {
            // A reading that is under way may have begun too early.
            self.stale.insert(backend.clone());
            self.read_anew(backend, ctx);
        }
    }

    fn read_anew(&self, backend: BackendId, ctx: &mut Context<Self>) {
        let Some(handle) = self.doer.directory.backend(&backend) else { return };
        let reading = async move { handle.refresh_inventory().await };
        ctx.spawn(wrap_future::<_, Self>(reading).map(move |is_read, reconciler, ctx| {
            if is_read {
                reconciler.stale.remove(&backend);
                reconciler.look_soon(ctx);
            } else if reconciler.stale.contains(&backend) {
                ctx.run_later(READING_PAUSE, move |reconciler, ctx| {
                    if reconciler.doer.directory.backend(&backend).is_none() {
                        reconciler.stale.remove(&backend);
                    } else {
                        reconciler.read_anew(backend, ctx);
                    }
                });
            }
        }));
    }

    /// Ends the claims of nodes that died, so that what they did is planned anew.
    fn clear_lapsed(&mut self, state: &ClusterState, ctx: &mut Context<Self>) {
        let has_lapsed = |key: &WorkKey| !self.begun.contains_key(key) && !self.doer.claims.is_held(key);
        let any = state.works().any(|work| work.hold.is_some() && has_lapsed(&work.key));
        if any && !self.is_clearing {
            self.is_clearing = true;
            let claims = self.doer.claims.clone();
            let clearing = async move { claims.clear_lapsed().await };
            ctx.spawn(wrap_future::<_, Self>(clearing).map(|(), reconciler, ctx| {
                reconciler.is_clearing = false;
                reconciler.look_soon(ctx);
            }));
        }
    }

    fn begin(&mut self, action: Action, ctx: &mut Context<Self>) {
        let (doer, stopping) = (self.doer.clone(), self.stopping.clone());
        self.do_once(action.clone(), async move { doer.perform(&action, stopping).await }, ctx);
    }

    /// Begins the next step of a roll, unless somebody is at it.
    fn go_on_with(&mut self, roll: &Roll, state: &ClusterState, ctx: &mut Context<Self>) {
        let Some(step) = roll.next() else { return };
        let backend = step.backend.clone();
        let key = WorkKey { backend: backend.clone(), kind: ActionKind::Pull, model: roll.model.clone() };
        let is_worked_on = |key: &WorkKey| state.is_held(key) || self.begun.contains_key(key);
        if is_worked_on(&key) || state.roll_before(roll, is_worked_on).is_some() {
            return;
        }
        let action = Action { backend: backend.clone(), kind: ActionKind::Pull, model: roll.name.clone() };
        let (doer, stopping, roll) = (self.doer.clone(), self.stopping.clone(), roll.clone());
        self.do_once(action, async move { doer.roll(&roll, &backend, stopping).await }, ctx);
    }

    /// Does what an action stands for, which is not begun again before that has ended.
    fn do_once(&mut self, action: Action, deed: impl Future<Output = ()> + 'static, ctx: &mut Context<Self>) {
        let (backend, kind) = (action.backend.clone(), action.kind);
        let key = WorkKey { backend, kind, model: canonical(&action.model) };
        self.begun.insert(key.clone(), action);
        let own = ctx.address().downgrade();
        // It outlives this actor: its claim is renewed by itself.
        actix_rt::spawn(async move {
            deed.await;
            if let Some(own) = own.upgrade() {
                let _ = own.send(Ended(key)).await;
            }
        });
    }

    /// Tells of the backends that drain for a roll and have no requests of this node any more.
    fn tell_drained(&mut self, state: &ClusterState, ctx: &mut Context<Self>) {
        for told in self.doer.drained_here(state) {
            if self.telling.insert(told.clone()) {
                let (doer, (model, backend)) = (self.doer.clone(), told.clone());
                let telling = async move { doer.tell_drained(model, backend).await };
                ctx.spawn(wrap_future::<_, Self>(telling).map(move |(), reconciler, _| {
                    reconciler.telling.remove(&told);
                }));
            }
        }
    }
}

impl Actor for Reconciler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(TICK, Self::look);
        let mut states = self.doer.cluster.subscribe();
        let own = ctx.address().downgrade();
        ctx.spawn(wrap_future(async move {
            while states.changed().await.is_ok() {
                // A failed send means that this actor is gone, and its successor has its own loop.
                let Some(own) = own.upgrade() else { return };
                if own.send(Changed).await.is_err() {
                    return;
                }
            }
        }));
    }
}

impl Handler<Changed> for Reconciler {
    type Result = ();

    fn handle(&mut self, _: Changed, ctx: &mut Context<Self>) {
        self.look_soon(ctx);
    }
}

impl Handler<Ended> for Reconciler {
    type Result = ();

    fn handle(&mut self, Ended(key): Ended, ctx: &mut Context<Self>) {
        self.begun.remove(&key);
        self.look_soon(ctx);
    }
}

impl Handler<Pending> for Reconciler {
    type Result = usize;

    fn handle(&mut self, _: Pending, _: &mut Context<Self>) -> usize {
        self.begun.len()
    }
}
