//! The actor of one backend: owns its health and what is known of its models, and publishes both.
//!
//! Probes and discovery use `awc`, off the request path. Requests read the published view and hold a
//! [`Permit`] each; their failed connections come back as messages, and count as failed probes.

mod breaker;
mod capabilities;
mod cooldown;
mod discovery;
mod handle;
mod health;
mod inventory;
mod latency;
mod meters;
mod probe;
pub(super) mod rate;
mod refresh;
mod residency;
mod slots;
mod speech;
mod tls;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use ollamaflow_protocol::object::Backend;

pub(super) use self::capabilities::KnownCapabilities;
use self::discovery::Discovery;
pub(super) use self::handle::Circuit;
pub use self::handle::{BackendHandle, RunnerNeed};
pub use self::health::HealthView;
use self::health::{Change, Health};
use self::probe::Prober;
pub use self::probe::control_request;
pub(super) use self::residency::Warmth as InMemory;
pub(super) use self::slots::Claimant;
pub use self::slots::{Busy, Outcome, Permit};
pub use self::tls::check_tls;
pub use self::view::{BackendView, PinnedModels};
use super::mailbox::{Letter, Takes};
use crate::clock::now;

/// How long a backend that has become healthy for the first time is held back until its models are known: before that, it
/// would get requests for models that it does not have.
const FIRST_LIST: Duration = Duration::from_secs(5);

/// How much sooner than [`ProbeSettings::startup_interval`] a probe follows a good one before the first verdict.
const SOONER: u32 = 10;

/// Cadence of the health checks; settings `HealthCheck.*`.
#[derive(Clone, Debug)]
pub struct ProbeSettings {
    /// Pause between two probes of a backend whose state is known.
    pub interval: Duration,
    /// Longest wait for a probe's answer.
    pub timeout: Duration,
    /// Pause between probes until the first verdict, healthy or not; a tenth of it after a good probe.
    pub startup_interval: Duration,
    /// Random spread of `interval`, in percent of it, both ways.
    pub jitter_percent: u8,
}

/// The actor.
pub(super) struct BackendActor {
    handle: Arc<BackendHandle>,
    settings: ProbeSettings,
    prober: Prober,
    config: Arc<Backend>,
    health: Health,
    /// The one scheduled or running probe.
    next_probe: Option<SpawnHandle>,
    discovery: Discovery,
    /// There while a first good verdict is held back: it is published when the models are known, or when this ends.
    held_back: Option<SpawnHandle>,
}

pub(super) struct Configure(pub(super) Arc<Backend>);

pub(super) struct Retire;

/// Something is not as it was published, or may not be.
pub(super) enum Look {
    /// The backend's list of models is wrong.
    AtModels,
    /// A model was loaded.
    IntoMemory,
    /// Somebody waits for all of it to be read anew.
    Anew,
}

/// A request could not connect to the backend at this address.
pub(super) struct ConnectionFailed {
    pub(super) target: u64,
}

// === impl BackendActor ===

impl BackendActor {
    /// Starts the actor behind `handle`, on the current arbiter. What an earlier actor published is kept.
    pub(super) fn start(handle: &Arc<BackendHandle>, settings: ProbeSettings) {
        let view = handle.view();
        let actor = Self {
            handle: handle.clone(),
            prober: Prober::new(settings.timeout),
            settings,
            config: view.config.clone(),
            health: Health::resume(&view.health),
            next_probe: None,
            discovery: Discovery::default(),
            held_back: None,
        };
        drop(view);
        handle.attach(Actor::start(actor));
    }

    /// Replaces whatever probe is scheduled by one after `pause`.
    fn probe_after(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        if let Some(scheduled) = self.next_probe.take() {
            ctx.cancel_future(scheduled);
        }
        self.next_probe = self.config.active.then(|| ctx.run_later(pause, Self::probe));
    }

    fn probe(&mut self, ctx: &mut Context<Self>) {
        let view = self.handle.view();
        let (probing, began) = (self.prober.probe(&view.config), Instant::now());
        let target = view.target_id();
        drop(view);
        let probing = probing.into_actor(self).map(move |result, actor, ctx| {
            actor.next_probe = None;
            actor.handle.traffic().probe(result.is_ok(), began.elapsed());
            if actor.handle.view().target_id() == target {
                let why = result.as_ref().err().map(ToString::to_string);
                if let Some(why) = &why {
                    tracing::debug!(backend = %actor.handle.id(), error = why, "probe failed");
                }
                actor.record(result.is_ok(), why.as_deref(), ctx);
                actor.discover(ctx);
            }
            let pause = actor.pause(result.is_ok());
            actor.probe_after(pause, ctx);
        });
        self.next_probe = Some(ctx.spawn(probing));
    }

    /// Until the next probe, after one that was good or was not.
    fn pause(&self, good: bool) -> Duration {
        if !self.health.has_verdict() {
            // What answers is up, and needs no time to get there; what does not answer may be about to start.
            return self.settings.startup_interval / if good { SOONER } else { 1 };
        }
        let spread = f64::from(self.settings.jitter_percent) / 100.0;
        self.settings.interval.mul_f64(1.0 + spread * (fastrand::f64() * 2.0 - 1.0))
    }

    /// Counts a probe, or a request's failed connection; `why` is for the log.
    fn record(&mut self, success: bool, why: Option<&str>, ctx: &mut Context<Self>) {
        let had_verdict = self.health.has_verdict();
        let thresholds = (self.config.healthy_threshold, self.config.unhealthy_threshold);
        let change = self.health.record(success, thresholds, now());
        match change {
            Some(Change::Up) => tracing::info!(backend = %self.handle.id(), "backend is healthy"),
            Some(Change::Down) => self.warn_of_bad_health(why),
            // The first verdict is no change, and the first thing that a newcomer has to know.
            None if !had_verdict && self.health.has_verdict() && !success => self.warn_of_bad_health(why),
            None => {}
        }
        let is_first = !had_verdict && self.health.has_verdict();
        if is_first && self.health.view().is_healthy() && self.handle.view().disk().is_none() {
            self.held_back = Some(ctx.run_later(FIRST_LIST, Self::publish_held_back));
        } else if change.is_some() || is_first {
            self.forget_held_back(ctx);
            self.handle.publish_health(self.health.view());
        }
        if change.is_some() {
            self.discovery.expire();
        }
        if change == Some(Change::Up) {
            // It may have been updated meanwhile.
            self.handle.forget_speech();
        }
    }

    /// The models are known, or cannot be found out: the first verdict counts from now on.
    fn publish_held_back(&mut self, ctx: &mut Context<Self>) {
        if self.forget_held_back(ctx) {
            self.handle.publish_health(self.health.view());
        }
    }

    /// Whether there was anything.
    fn forget_held_back(&mut self, ctx: &mut Context<Self>) -> bool {
        let Some(timer) = self.held_back.take() else { return false };
        ctx.cancel_future(timer);
        true
    }

    fn warn_of_bad_health(&self, why: Option<&str>) {
        tracing::warn!(
            backend = %self.handle.id(),
            address = %self.handle.view().authority(),
            why = why.unwrap_or("connections of requests failed"),
            "backend is unhealthy; check that it runs and that its health check url answers 2xx"
        );
    }
}

impl Actor for BackendActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.probe_after(Duration::ZERO, ctx);
    }
}

impl<M: 'static> Handler<Letter<M>> for BackendActor
where
    Self: Takes<M>,
{
    type Result = ();

    fn handle(&mut self, letter: Letter<M>, ctx: &mut Context<Self>) {
        self.take(letter.open(), ctx);
    }
}

impl Takes<Configure> for BackendActor {
    fn take(&mut self, Configure(config): Configure, ctx: &mut Context<Self>) {
        if config == self.config {
            return;
        }
        let moved = view::is_elsewhere(&self.config, &config);
        let probed_otherwise = moved
            || (&config.health_check_url, config.health_check_method, config.active)
                != (&self.config.health_check_url, self.config.health_check_method, self.config.active);
        let is_other_api = config.api_format != self.config.api_format;
        let reactivated = config.active && !self.config.active;
        self.config = config;
        if moved || reactivated {
            // What was known is of another server, or of another time.
            tracing::info!(backend = %self.handle.id(), moved, reactivated, "health starts anew");
            self.health = Health::new(now());
            self.forget_inventory();
            self.forget_held_back(ctx);
        }
        if is_other_api {
            self.forget_inventory();
        }
        self.handle.publish_config(&self.config, self.health.view(), self.health.has_verdict());
        if probed_otherwise {
            self.probe_after(Duration::ZERO, ctx);
        }
    }
}

impl Takes<ConnectionFailed> for BackendActor {
    fn take(&mut self, ConnectionFailed { target }: ConnectionFailed, ctx: &mut Context<Self>) {
        if self.config.active && self.handle.view().target_id() == Some(target) {
            self.record(false, None, ctx);
        }
    }
}

impl Takes<Look> for BackendActor {
    fn take(&mut self, look: Look, ctx: &mut Context<Self>) {
        match look {
            Look::AtModels => self.doubt_models(ctx),
            Look::IntoMemory => self.look_into_memory(ctx),
            Look::Anew => self.refresh(ctx),
        }
    }
}

impl Takes<Retire> for BackendActor {
    fn take(&mut self, _: Retire, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
