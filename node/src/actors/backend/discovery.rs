//! The actor's reading of what a backend has: its models on disk and in memory, what they can do, and which release it
//! is. Each list is published when it is there, so that a slow one keeps no other back.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use actix::prelude::*;
use ollamaflow_protocol::models::inventory::Memory;
use ollamaflow_protocol::object::ApiFormat;

use super::BackendActor;
use super::probe::{self, List, Listed, ProbeError};
use super::refresh::Covering;
use super::residency::listed;
use crate::clock::now;

/// How old the list of models of a healthy backend may become. It is read after a probe, so the one before which it would
/// become older reads it; probes that come less often read it each time. What clients change through another node is seen
/// here by then.
const MODELS_INTERVAL: Duration = Duration::from_secs(5);

/// Least pause between two looks into a backend's memory. A request asks for one when it has had a model loaded: every
/// request does, if the backend unloads the model at once or lists it under another name.
const MEMORY_PAUSE: Duration = Duration::from_secs(1);

/// Most models that one reading asks the capabilities of.
const MOST_SHOWN: usize = 8;

/// What the actor knows of its readings.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    models_read: Option<SystemTime>,
    /// The list that is published.
    list: Option<List>,
    reading: Option<Reading>,
    /// How many readings have begun.
    readings: u64,
    /// Somebody asked for a reading while one was under way, which may have come too early for them.
    is_wanted_again: bool,
    memory_being_read: bool,
    memory_asked_at: Option<Instant>,
    /// When the memory that is published was asked for.
    memory_known_at: Option<Instant>,
    /// The look that a request has asked for and that is still to come.
    next_look: Option<SpawnHandle>,
    capabilities_being_read: bool,
}

/// A reading that is under way.
#[derive(Debug)]
struct Reading {
    /// Which one it is.
    number: u64,
    covering: Covering,
    /// How many of its lists are still to come.
    left: u8,
    has_disk: bool,
}

// === impl Discovery ===

impl Discovery {
    /// The backend may have changed: what is known is not recent, whenever it was read.
    pub(super) fn expire(&mut self) {
        self.models_read = None;
    }

    /// How long ago the list of models was last asked for.
    fn age(&self) -> Option<Duration> {
        self.models_read.and_then(|at| SystemTime::now().duration_since(at).ok())
    }
}

// === impl BackendActor ===

impl BackendActor {
    /// It is another server: nothing is known, and what is being read is of no use.
    pub(super) fn forget_inventory(&mut self) {
        self.discovery.expire();
        self.discovery.list = None;
        self.discovery.is_wanted_again = false;
        if let Some(reading) = self.discovery.reading.take() {
            self.handle.end_reading(reading.covering, false, Instant::now());
        }
    }

    /// After a probe: reads the models if that is due, and the memory in any case.
    pub(super) fn discover(&mut self, ctx: &mut Context<Self>) {
        if !self.health.view().is_healthy() {
            return;
        }
        if is_due(self.discovery.age(), self.settings.interval) {
            self.read_anew(ctx);
            self.read_version(ctx);
        } else {
            self.read_memory(ctx);
        }
    }

    /// A request has met something that the list does not say. It is read again, but not more often than probes go
    /// there: a client may ask for missing models all day.
    pub(super) fn doubt_models(&mut self, ctx: &mut Context<Self>) {
        if self.discovery.age().is_none_or(|age| age >= self.settings.interval) {
            self.discovery.expire();
            self.discover(ctx);
        }
    }

    /// Somebody waits for a reading that begins from now on.
    pub(super) fn refresh(&mut self, ctx: &mut Context<Self>) {
        self.handle.heard_of_reading();
        if self.discovery.reading.is_some() {
            self.discovery.is_wanted_again = true;
        } else {
            self.read_anew(ctx);
        }
    }

    /// Reads what is on the disk and in memory, whatever the health.
    fn read_anew(&mut self, ctx: &mut Context<Self>) {
        if self.discovery.reading.is_some() {
            return;
        }
        self.discovery.models_read = Some(SystemTime::now());
        let is_ollama = self.config.api_format == ApiFormat::Ollama;
        let covering = self.handle.begin_reading(Instant::now());
        self.discovery.readings += 1;
        let number = self.discovery.readings;
        let left = 1 + u8::from(is_ollama);
        self.discovery.reading = Some(Reading { number, covering, left, has_disk: false });
        let target = self.handle.view().target_id();
        let reading = probe::models(&self.config, self.discovery.list.clone());
        ctx.spawn(reading.into_actor(self).map(move |result, actor, ctx| {
            let is_current = actor.discovery.reading.as_ref().is_some_and(|it| it.number == number)
                && actor.handle.view().target_id() == target;
            let has_disk = is_current && actor.take_models(result);
            actor.end_part(number, has_disk, ctx);
            if is_current {
                actor.publish_held_back(ctx);
            }
            if has_disk {
                actor.read_capabilities(ctx);
            }
        }));
        if is_ollama {
            // Another one may be under way, which has begun too early.
            self.ask_for_memory(ctx, move |actor, ctx| actor.end_part(number, false, ctx));
        }
    }

    /// One list of the reading has come, or will not.
    fn end_part(&mut self, number: u64, has_disk: bool, ctx: &mut Context<Self>) {
        let Some(mut reading) = self.discovery.reading.take_if(|it| it.number == number) else { return };
        reading.left -= 1;
        reading.has_disk |= has_disk;
        if reading.left > 0 {
            self.discovery.reading = Some(reading);
            return;
        }
        self.handle.end_reading(reading.covering, reading.has_disk, Instant::now());
        if std::mem::take(&mut self.discovery.is_wanted_again) {
            self.read_anew(ctx);
        }
    }

    /// Publishes what is on the disk. Returns whether that is known now.
    fn take_models(&mut self, result: Result<Listed, ProbeError>) -> bool {
        let Listed { list, disk } = match result {
            Ok(listed) => listed,
            Err(e) => {
                tracing::debug!(backend = %self.handle.id(), error = %e, "the list of models was not read");
                return false;
            }
        };
        if let Some(disk) = &disk
            && disk.left_out() > 0
        {
            tracing::warn!(
                backend = %self.handle.id(), entries = disk.left_out(),
                "the backend lists models in a way that clients cannot read; they are left out"
            );
        }
        let known = self.handle.view().disk().cloned();
        let Some(disk) = disk.or(known) else { return false };
        let now = now();
        // Each reading would give another time at which it leaves memory.
        let is_news = self.discovery.list.as_ref() != Some(&list);
        match list.memory(now).filter(|_| is_news) {
            Some(Ok(memory)) => self.handle.publish_memory(Arc::new(memory), now),
            Some(Err(e)) => {
                tracing::debug!(backend = %self.handle.id(), error = %e, "the list tells no memory");
            }
            None => self.handle.confirm_memory(self.config.api_format, now),
        }
        self.handle.publish_disk(disk);
        self.discovery.list = Some(list);
        true
    }

    /// Asks what some of the models can do of which nobody has told yet.
    fn read_capabilities(&mut self, ctx: &mut Context<Self>) {
        if self.discovery.capabilities_being_read || self.config.api_format != ApiFormat::Ollama {
            return;
        }
        let Some(claim) = self.handle.claim_capabilities(MOST_SHOWN, fastrand::usize(..)) else { return };
        self.discovery.capabilities_being_read = true;
        let (config, timeout) = (self.config.clone(), self.settings.timeout);
        let asking = async move {
            let mut answers = Vec::with_capacity(claim.models().len());
            let mut failure = None;
            for (model, digest) in claim.models() {
                match probe::capabilities(&config, model, timeout).await {
                    Ok(capabilities) => answers.push((digest.clone(), capabilities)),
                    // The model may have gone meanwhile.
                    Err(e @ ProbeError::Status(_)) => failure = Some(e),
                    Err(e) => {
                        failure = Some(e);
                        break;
                    }
                }
            }
            claim.learn(&answers);
            failure
        };
        ctx.spawn(asking.into_actor(self).map(|failure, actor, _| {
            actor.discovery.capabilities_being_read = false;
            if let Some(e) = failure {
                tracing::debug!(backend = %actor.handle.id(), error = %e, "what models can do was not read");
            }
        }));
    }

    /// Reads which version of Ollama this is: which APIs it speaks follows from it.
    fn read_version(&mut self, ctx: &mut Context<Self>) {
        if self.config.api_format != ApiFormat::Ollama {
            return;
        }
        let target = self.handle.view().target_id();
        let reading = probe::version(&self.config, self.settings.timeout);
        ctx.spawn(reading.into_actor(self).map(move |result, actor, _| match result {
            Ok(version) if actor.handle.view().target_id() == target => {
                actor.handle.publish_version(&version);
            }
            Ok(_) => {}
            Err(e) => tracing::debug!(backend = %actor.handle.id(), error = %e, "the version was not read"),
        }));
    }
}

impl BackendActor {
    /// Reads which models are in memory, at once or after the pause since the last time.
    pub(super) fn look_into_memory(&mut self, ctx: &mut Context<Self>) {
        if self.discovery.next_look.is_some() {
            return;
        }
        let age = self.discovery.memory_asked_at.map_or(MEMORY_PAUSE, |at| at.elapsed());
        let left = MEMORY_PAUSE.saturating_sub(age);
        if left.is_zero() {
            return self.read_memory(ctx);
        }
        self.discovery.next_look = Some(ctx.run_later(left, |actor, ctx| {
            actor.discovery.next_look = None;
            actor.read_memory(ctx);
        }));
    }

    /// Reads which models are in memory, unless that is under way.
    fn read_memory(&mut self, ctx: &mut Context<Self>) {
        let is_ollama = self.config.api_format == ApiFormat::Ollama;
        if self.discovery.memory_being_read || !is_ollama || !self.health.view().is_healthy() {
            return;
        }
        self.discovery.memory_being_read = true;
        self.ask_for_memory(ctx, |actor, _| actor.discovery.memory_being_read = false);
    }

    fn ask_for_memory(
        &mut self,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let target = self.handle.view().target_id();
        let (asked_at, loads) = (Instant::now(), self.handle.loads());
        self.discovery.memory_asked_at = Some(asked_at);
        let reading = probe::memory(&self.config, self.settings.timeout);
        ctx.spawn(reading.into_actor(self).map(move |result, actor, ctx| {
            match result {
                Ok(memory) if actor.handle.view().target_id() == target => {
                    actor.take_memory(memory, asked_at);
                    actor.handle.saw_loads(loads);
                }
                Ok(_) => {}
                Err(e) => {
                    tracing::debug!(backend = %actor.handle.id(), error = %e, "the models in memory were not read");
                }
            }
            then(actor, ctx);
        }));
    }

    /// Publishes what is in memory, unless a later question was answered already.
    fn take_memory(&mut self, memory: Memory, asked_at: Instant) {
        if self.discovery.memory_known_at.is_some_and(|known| known > asked_at) {
            return;
        }
        self.discovery.memory_known_at = Some(asked_at);
        let before = self.handle.view().memory().map_or(0, |before| before.left_out());
        if memory.left_out() > 0 && memory.left_out() != before {
            tracing::warn!(
                backend = %self.handle.id(), entries = memory.left_out(),
                "the backend tells what is in memory in a way that clients cannot read; it is left out"
            );
        }
        let listed = listed(&memory);
        self.handle.publish_residency(|known| known.with_listed(listed.clone(), asked_at));
        self.handle.publish_memory(Arc::new(memory), now());
    }
}

/// Whether a list of this age is to be read now: at the next probe it would be too old.
fn is_due(age: Option<Duration>, interval: Duration) -> bool {
    age.is_none_or(|age| age + interval > MODELS_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_never_becomes_older_than_its_interval_and_the_spread_of_one_probe() {
        for interval in [200, 1000, 2500, 4900, 5000] {
            for spread in [0.9, 1.0, 1.1] {
                let interval = Duration::from_millis(interval);
                let (mut age, mut oldest, mut probes, mut readings) = (None, Duration::ZERO, 0, 0);
                while probes < 1000 {
                    if is_due(age, interval) {
                        age = Some(Duration::ZERO);
                        readings += 1;
                    }
                    age = age.map(|age| age + interval.mul_f64(spread));
                    oldest = oldest.max(age.unwrap_or_default());
                    probes += 1;
                }
                assert!(
                    oldest <= MODELS_INTERVAL + interval.mul_f64(0.1),
                    "{oldest:?} at {interval:?} x {spread}"
                );
                let most = 1 + probes * u32::try_from(interval.as_millis()).unwrap() / 2000;
                assert!(readings <= most.max(2), "{readings} at {interval:?}");
            }
        }
        assert!(is_due(Some(Duration::from_secs(60)), Duration::from_secs(60)), "each rare probe reads");
    }
}
