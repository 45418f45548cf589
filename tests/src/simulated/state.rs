//! What all connections of one simulated backend share, and the commands that reach its server.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::config::{ApiFormat, SimConfig};
use super::fault::Fault;
use super::fault_book::FaultBook;
use super::knobs::Knobs;
use super::library::Library;
use super::record::RequestRing;
use super::registry::Registry;
use super::scheduler::Scheduler;
use super::stats::StatsBook;

/// Commands under way at once; each caller waits for its own.
pub(super) const COMMAND_LIMIT: usize = 64;

/// What the server can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Make the listener as the armed faults want it.
    ApplyFaults,
    /// Reset all connections and refuse connects.
    Stop,
    /// Listen again, on the same port.
    Restart,
    /// Stop and end the server.
    Shutdown,
}

/// An order and what to do when it has taken effect.
pub(super) struct Command {
    pub order: Order,
    pub done: Box<dyn FnOnce() + Send>,
}

/// The shared state.
pub(super) struct Shared {
    /// What a reset returns to.
    initial: SimConfig,
    knobs: Mutex<Arc<Knobs>>,
    pub faults: FaultBook,
    pub stats: StatsBook,
    pub ring: RequestRing,
    pub library: Library,
    pub registry: Registry,
    pub scheduler: Arc<Scheduler>,
    commands: mpsc::Sender<Command>,
}

impl Shared {
    pub(super) fn new(config: SimConfig, commands: mpsc::Sender<Command>) -> Arc<Self> {
        let stats = StatsBook::default();
        for model in &config.models {
            config.registry.publish_if_new(model);
        }
        Arc::new(Self {
            knobs: Mutex::new(Arc::new(config.knobs.clone())),
            faults: FaultBook::new(config.faults.clone(), config.seed),
            ring: RequestRing::default(),
            library: Library::new(&config.models),
            registry: config.registry.clone(),
            scheduler: Scheduler::new(&config.knobs, stats.clone()),
            stats,
            initial: config,
            commands,
        })
    }

    pub(super) fn format(&self) -> ApiFormat {
        self.initial.format
    }

    pub(super) fn knobs(&self) -> Arc<Knobs> {
        Arc::clone(&self.knobs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_knobs(&self, knobs: Knobs) {
        self.scheduler.set_limits(&knobs);
        *self.knobs.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(knobs);
    }

    /// Replaces all faults. The listener follows with [`Order::ApplyFaults`].
    pub(super) fn set_faults(&self, faults: Vec<Fault>) {
        self.faults.replace(faults);
    }

    /// Everything as it was at the start, models in memory dropped, counters at zero. The listener follows with
    /// [`Order::ApplyFaults`].
    pub(super) fn reset(&self) {
        self.set_knobs(self.initial.knobs.clone());
        self.faults.replace(self.initial.faults.clone());
        self.library.replace(&self.initial.models);
        self.scheduler.clear();
        self.ring.clear();
        self.stats.reset();
    }

    /// Gives the server an order; `done` is called once it has taken effect. False when the server is gone.
    pub(super) fn order(&self, order: Order, done: impl FnOnce() + Send + 'static) -> bool {
        self.commands.try_send(Command { order, done: Box::new(done) }).is_ok()
    }
}
