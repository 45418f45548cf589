//! The actor of one backend: owns its health and what is known of its models, and publishes both.
//!
//! Probes and discovery use `awc`, off the request path. Requests read the published view and count themselves
//! by a [`Lease`]; their failed connections come back as messages, and count as failed probes.

mod handle;
mod health;
mod models;
mod probe;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use ollamaflow_protocol::object::Backend;

pub use self::handle::{BackendHandle, BackendView, Lease, Outcome};
pub use self::health::HealthView;
use self::health::{Change, Health};
use self::probe::Prober;
use crate::clock::now;

/// How often the list of models is read while a backend is healthy.
const MODELS_INTERVAL: Duration = Duration::from_secs(30);

/// Cadence of the health checks; settings `HealthCheck.*`.
#[derive(Clone, Debug)]
pub struct ProbeSettings {
    /// Pause between two probes of a backend whose state is known.
    pub interval: Duration,
    /// Longest wait for a probe's answer.
    pub timeout: Duration,
    /// Pause between probes until the first verdict, healthy or not.
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
    models_read: Option<SystemTime>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Configure(pub(super) Arc<Backend>);

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Retire;

/// A request could not connect to the backend at this address.
#[derive(Message)]
#[rtype(result = "()")]
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
            models_read: None,
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
        let probing = self.prober.probe(&view.config);
        let target = view.target_id();
        drop(view);
        let probing = probing.into_actor(self).map(move |result, actor, ctx| {
            actor.next_probe = None;
            if actor.handle.view().target_id() == target {
                let why = result.as_ref().err().map(ToString::to_string);
                if let Some(why) = &why {
                    tracing::debug!(backend = %actor.handle.id(), error = why, "probe failed");
                }
                actor.record(result.is_ok(), why.as_deref());
                actor.read_models(ctx);
            }
            let pause = actor.pause();
            actor.probe_after(pause, ctx);
        });
        self.next_probe = Some(ctx.spawn(probing));
    }

    fn pause(&self) -> Duration {
        if !self.health.has_verdict() {
            return self.settings.startup_interval;
        }
        let spread = f64::from(self.settings.jitter_percent) / 100.0;
        self.settings.interval.mul_f64(1.0 + spread * (fastrand::f64() * 2.0 - 1.0))
    }

    /// Counts a probe, or a request's failed connection; `why` is for the log.
    fn record(&mut self, success: bool, why: Option<&str>) {
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
        if change.is_some() || had_verdict != self.health.has_verdict() {
            self.handle.publish_health(self.health.view());
        }
        if change.is_some() {
            self.models_read = None;
        }
    }

    fn warn_of_bad_health(&self, why: Option<&str>) {
        tracing::warn!(
            backend = %self.handle.id(),
            address = %self.handle.view().authority(),
            why = why.unwrap_or("connections of requests failed"),
            "backend is unhealthy; check that it runs and that its health check url answers 2xx"
        );
    }

    fn read_models(&mut self, ctx: &mut Context<Self>) {
        let now = SystemTime::now();
        let fresh =
            self.models_read.is_some_and(|at| now.duration_since(at).is_ok_and(|age| age < MODELS_INTERVAL));
        if fresh || !self.health.view().is_healthy() {
            return;
        }
        self.models_read = Some(now);
        let target = self.handle.view().target_id();
        let reading = probe::models(&self.config);
        ctx.spawn(reading.into_actor(self).map(move |result, actor, _| match result {
            Ok(models) if actor.handle.view().target_id() == target => actor.handle.publish_models(models),
            Ok(_) => {}
            Err(e) => {
                tracing::debug!(backend = %actor.handle.id(), error = %e, "the list of models was not read");
            }
        }));
    }
}

impl Actor for BackendActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.probe_after(Duration::ZERO, ctx);
    }
}

impl Handler<Configure> for BackendActor {
    type Result = ();

    fn handle(&mut self, Configure(config): Configure, ctx: &mut Context<Self>) {
        if config == self.config {
            return;
        }
        let moved = handle::is_elsewhere(&self.config, &config);
        let probed_otherwise = moved
            || (&config.health_check_url, config.health_check_method, config.active)
                != (&self.config.health_check_url, self.config.health_check_method, self.config.active);
        let reactivated = config.active && !self.config.active;
        self.config = config;
        if moved || reactivated {
            // What was known is of another server, or of another time.
            tracing::info!(backend = %self.handle.id(), moved, reactivated, "health starts anew");
            self.health = Health::new(now());
            self.models_read = None;
        }
        self.handle.publish_config(&self.config, self.health.view(), self.health.has_verdict());
        if probed_otherwise {
            self.probe_after(Duration::ZERO, ctx);
        }
    }
}

impl Handler<ConnectionFailed> for BackendActor {
    type Result = ();

    fn handle(&mut self, ConnectionFailed { target }: ConnectionFailed, _: &mut Context<Self>) {
        if self.config.active && self.handle.view().target_id() == Some(target) {
            self.record(false, None);
        }
    }
}

impl Handler<Retire> for BackendActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
