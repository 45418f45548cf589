//! What others hold of a backend: its published view, its slots and meters, and a way to tell its actor something.

mod inventory;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::Addr;
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::object::{ApiFormat, Backend};
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate::{Native, Version, native};

use super::breaker::{Admission, BreakerChange, BreakerLimits, BreakerState, Recorded};
use super::capabilities::KnownCapabilities;
use super::health::HealthView;
use super::meters::{Meters, Readings};
use super::refresh::Refreshes;
use super::residency::{Residency, Warmth};
use super::slots::Slots;
use super::speech::Speech;
pub use super::view::BackendView;
use super::view::is_elsewhere;
use super::{BackendActor, Configure, ConnectionFailed, Look, Retire};
use crate::actors::mailbox::{Mailbox, Waiting};
use crate::actors::traffic::BackendTraffic;

/// One backend, shared by every part that deals with it. It outlives its actor and its configuration.
#[derive(Debug)]
pub struct BackendHandle {
    id: BackendId,
    view: ArcSwap<BackendView>,
    actor: ArcSwapOption<Mailbox<BackendActor>>,
    waiting: Waiting,
    /// Written by requests too, unlike the view: a model is on its way into memory when the first one is sent.
    residency: ArcSwap<Residency>,
    pub(super) slots: Slots,
    pub(super) meters: Meters,
    traffic: BackendTraffic,
    speech: Speech,
    refreshes: Refreshes,
    /// How often requests have changed what is in memory.
    loads: AtomicU64,
    /// How many of these the published memory has seen.
    loads_seen: AtomicU64,
}

/// What the circuit breaker says to one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) enum Circuit {
    /// It may go.
    Passes,
    /// None may go for a while.
    Open,
    /// One has gone, and its end decides.
    OnTrial,
}

/// What a request asks of the memory of a backend.
#[derive(Clone, Copy, Debug)]
pub struct RunnerNeed<'a> {
    /// Canonical name of the model.
    pub model: &'a str,
    /// Key of the runner options; 0 without any.
    pub options: u64,
    /// The context length that it names.
    pub num_ctx: Option<u64>,
}

// === impl BackendHandle ===

impl BackendHandle {
    pub(in crate::actors) fn new(config: Arc<Backend>, capabilities: Arc<KnownCapabilities>) -> Arc<Self> {
        let handle = Self {
            id: config.identifier.clone(),
            slots: Slots::default(),
            meters: Meters::default(),
            traffic: BackendTraffic::new(),
            speech: Speech::default(),
            refreshes: Refreshes::default(),
            loads: AtomicU64::new(0),
            loads_seen: AtomicU64::new(0),
            residency: ArcSwap::from_pointee(Residency::default()),
            actor: ArcSwapOption::empty(),
            waiting: Waiting::default(),
            view: ArcSwap::from_pointee(BackendView::new(config, capabilities)),
        };
        Arc::new(handle)
    }

    /// The backend's identifier.
    pub fn id(&self) -> &BackendId {
        &self.id
    }

    /// The newest view.
    pub fn view(&self) -> Guard<Arc<BackendView>> {
        self.view.load()
    }

    /// What requests and probes have left behind.
    pub fn traffic(&self) -> &BackendTraffic {
        &self.traffic
    }

    /// Messages that its actor has not taken yet.
    pub fn mail(&self) -> u32 {
        self.waiting.count()
    }

    /// The name of the state of its circuit.
    pub fn circuit_name(&self, now: Instant) -> &'static str {
        self.breaker(now).name()
    }

    /// Whether it is left alone for a while because it has said that it is busy.
    pub fn is_cooling_down(&self, now: Instant) -> bool {
        self.meters.cooldown.left(now).is_some()
    }

    /// What requests have measured.
    pub fn readings(&self, now: Instant) -> Readings {
        Readings {
            first_token: self.meters.first_token.value(now),
            service: self.meters.service.get(),
            load: self.meters.load.get(),
        }
    }

    /// Whether the circuit breaker lets a request through now.
    pub(in crate::actors) fn circuit(&self, now: Instant) -> Circuit {
        match self.meters.breaker.peek(now) {
            Admission::Normal | Admission::Trial | Admission::Proven => Circuit::Passes,
            Admission::Refused { until: Some(_) } => Circuit::Open,
            Admission::Refused { until: None } => Circuit::OnTrial,
        }
    }

    /// The state of the circuit.
    pub(in crate::actors) fn breaker(&self, now: Instant) -> BreakerState {
        self.meters.breaker.state(now)
    }

    // --- what requests report

    /// Reports that a connection to `view`'s address failed. Lost when the actor is far behind: by then it has
    /// more reports than any threshold needs.
    pub fn connection_failed(&self, view: &BackendView) {
        if let (Some(actor), Some(target)) = (&*self.actor.load(), view.target_id()) {
            let _ = actor.try_tell(ConnectionFailed { target });
        }
    }

    /// The backend has said that it is busy: it gets nothing for so long.
    pub fn cool_down(&self, time: Duration, now: Instant) {
        self.meters.cooldown.begin(time, now);
    }

    /// The first content of an answer came `elapsed` after the request was sent; `cold`: a model had to be loaded for it.
    pub fn first_content(&self, elapsed: Duration, cold: bool, now: Instant) {
        if cold {
            self.meters.load.observe(elapsed);
        } else {
            self.meters.first_token.observe(elapsed, now);
        }
    }

    /// An answer that was kept for comparison turned out to be the backend's own failure.
    pub fn blame(&self) {
        self.report(Admission::Normal, Recorded::Failure, Instant::now());
    }

    /// The backend lacks a model that its list names: the list is to be read again.
    pub fn models_changed(&self) {
        if let Some(actor) = &*self.actor.load() {
            let _ = actor.try_tell(Look::AtModels);
        }
    }

    pub(super) fn report(&self, admission: Admission, recorded: Recorded, now: Instant) {
        let limits = BreakerLimits::of(&self.view.load().config);
        match self.meters.breaker.record(admission, recorded, &limits, now) {
            None => {}
            Some(BreakerChange::Opened { until }) => {
                self.traffic.open();
                let pause = until.saturating_duration_since(now);
                tracing::warn!(backend = %self.id, ?pause, "too many requests failed: the circuit is open");
            }
            Some(BreakerChange::Closed) => tracing::info!(backend = %self.id, "the circuit is closed again"),
        }
    }

    // --- the APIs that it speaks

    /// Whether the backend takes requests for `operation` as they are.
    pub fn native(&self, view: &BackendView, operation: Operation) -> Native {
        match native(operation, view.config.api_format, view.version) {
            Native::Perhaps => self.speech.of(operation),
            known => known,
        }
    }

    /// The backend has answered a request for `operation` that was not translated.
    pub fn speaks(&self, operation: Operation) {
        self.speech.learn(operation, true);
    }

    /// The backend has turned out not to know the path of `operation`.
    pub fn does_not_speak(&self, operation: Operation) {
        if self.speech.learn(operation, false) {
            tracing::info!(backend = %self.id, ?operation, "backend does not speak this API: requests are translated");
        }
    }

    pub(super) fn forget_speech(&self) {
        self.speech.forget();
    }

    // --- models in memory

    /// How many models are in memory, as far as that is known.
    pub(in crate::actors) fn residents(&self) -> u32 {
        self.residency.load().count()
    }

    /// Whether the model that a request needs is in memory. Engines but Ollama's have what they serve there.
    pub(in crate::actors) fn warmth(&self, view: &BackendView, need: RunnerNeed<'_>) -> Warmth {
        if view.config.api_format != ApiFormat::Ollama {
            return Warmth::Loaded;
        }
        self.residency.load().warmth(need.model, need.options, need.num_ctx)
    }

    /// A request for this model is on its way, so that the backend has it in memory soon. Returns whether it had to
    /// be loaded.
    pub fn model_started(&self, view: &BackendView, need: RunnerNeed<'_>, now: Instant) -> bool {
        if view.config.api_format != ApiFormat::Ollama {
            return false;
        }
        let start = |known: &Arc<Residency>| {
            known.with_started(need.model, need.options, need.num_ctx, now).map(Arc::new)
        };
        let Some(_) = start(&self.residency.load()) else { return false };
        self.residency.rcu(|known| start(known).unwrap_or_else(|| known.clone()));
        true
    }

    /// The model has answered. What it has displaced is to be found out.
    pub fn model_ready(&self, model: &str) {
        let ready = |known: &Arc<Residency>| known.with_ready(model).map(Arc::new);
        let Some(_) = ready(&self.residency.load()) else { return };
        self.residency.rcu(|known| ready(known).unwrap_or_else(|| known.clone()));
        self.loads.fetch_add(1, Ordering::Release);
        if let Some(actor) = &*self.actor.load() {
            let _ = actor.try_tell(Look::IntoMemory);
        }
    }

    /// The request that was to load the model has failed.
    pub fn model_failed(&self, model: &str) {
        self.residency.rcu(|known| Arc::new(known.without(model)));
    }

    pub(super) fn publish_residency(&self, change: impl Fn(&Residency) -> Residency) {
        self.residency.rcu(|known| Arc::new(change(known)));
    }

    // --- the actor's side

    pub(in crate::actors) fn is_alive(&self) -> bool {
        self.actor.load().as_ref().is_some_and(|actor| actor.is_open())
    }

    pub(in crate::actors) fn configure(&self, config: Arc<Backend>) {
        if let Some(actor) = &*self.actor.load() {
            actor.tell(Configure(config));
        }
    }

    pub(in crate::actors) fn retire(&self) {
        if let Some(actor) = self.actor.swap(None) {
            actor.tell(Retire);
        }
        // Nobody reads it any more.
        self.abandon_readings();
    }

    /// Makes the actor panic, for tests of what happens then.
    #[cfg(test)]
    pub(in crate::actors) fn tell_crash(&self) {
        self.actor.load_full().unwrap().tell(crate::actors::tests::Crash);
    }

    pub(super) fn attach(&self, actor: Addr<BackendActor>) {
        // What the one before has been told is lost.
        self.refreshes.heard();
        self.actor.store(Some(Arc::new(Mailbox::new(actor, &self.waiting))));
    }

    /// Publishes a verdict of the probes.
    pub(super) fn publish_health(&self, health: HealthView) {
        self.update(|view| {
            view.health = health;
            view.has_verdict = true;
        });
    }

    pub(super) fn publish_version(&self, text: &str) {
        let version: Option<Version> = text.parse().ok();
        let known = self.view.load().version;
        let is_told = self.view.load().version_text().is_some_and(|told| **told == *text);
        if known != version || (version.is_some() && !is_told) {
            // What a request has shown before the version was first read stands.
            if known.is_some() && known != version {
                self.speech.forget();
            }
            self.update(|view| view.take_version(version, text));
        }
    }

    /// Publishes a configuration together with the health that goes with it: no request finds the one without the
    /// other.
    pub(super) fn publish_config(&self, config: &Arc<Backend>, health: HealthView, has_verdict: bool) {
        let known = &self.view.load().config;
        if known.api_format != config.api_format {
            self.speech.forget();
        }
        if is_elsewhere(known, config) {
            self.residency.store(Arc::default());
            self.meters.breaker.reset(Instant::now());
            self.meters.cooldown.end();
            self.speech.forget();
        }
        self.update(|view| {
            view.configure(config);
            view.health = health;
            view.has_verdict = has_verdict;
        });
    }

    /// Only the actor writes, so that read, change and store need no loop.
    fn update(&self, change: impl FnOnce(&mut BackendView)) {
        let mut view = BackendView::clone(&self.view.load());
        change(&mut view);
        self.view.store(Arc::new(view));
    }
}
