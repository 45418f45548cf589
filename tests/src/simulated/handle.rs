//! The in-process handle: a simulated backend on a thread of its own, so that it works from any test, async or not.
#![expect(clippy::panic, reason = "a test harness reports failure by panicking")]

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, mpsc::RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::config::SimConfig;
use super::fault::Fault;
use super::knobs::Knobs;
use super::library::{ModelSpec, StoredBlob};
use super::record::ReceivedRequest;
use super::registry::Registry;
use super::scheduler::LoadedModel;
use super::server::{Port, Server};
use super::state::{COMMAND_LIMIT, Order, Shared};
use super::stats::Stats;

/// How long the server may take for an order; it takes no time but that of a busy machine.
const ORDER_PATIENCE: Duration = Duration::from_secs(30);

/// A running simulated backend. Dropping it resets its connections and frees its port.
pub struct SimulatedBackend {
    shared: Arc<Shared>,
    address: SocketAddr,
    control_address: Option<SocketAddr>,
    thread: Option<JoinHandle<()>>,
}

/// What the server's thread reports when it is up.
struct Started {
    shared: Arc<Shared>,
    address: SocketAddr,
    control_address: Option<SocketAddr>,
}

impl SimulatedBackend {
    /// Starts. Panics when the address cannot be listened on.
    pub fn start(config: SimConfig) -> Self {
        Self::try_start(config).unwrap_or_else(|e| panic!("simulated backend did not start: {e}"))
    }

    /// Starts; an error when the address cannot be listened on.
    pub fn try_start(config: SimConfig) -> io::Result<Self> {
        let (report, started) = std_mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("simulated-backend".to_owned())
            .spawn(move || run_thread(config, &report))?;
        let started: io::Result<Started> =
            started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended early")));
        let Started { shared, address, control_address } = started?;
        Ok(Self { shared, address, control_address, thread: Some(thread) })
    }

    /// Where it listens, or will again.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port of [`address`](Self::address).
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The listener of the control API alone, if there is one.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control_address
    }

    /// Adds a fault. When it returns, the listener has followed.
    pub fn set_fault(&self, fault: impl Into<Fault>) {
        self.shared.faults.add(fault.into());
        self.order(Order::ApplyFaults);
    }

    /// Makes these the only faults.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.shared.set_faults(faults);
        self.order(Order::ApplyFaults);
    }

    /// Removes all faults; a refused port is listened on again.
    pub fn clear_faults(&self) {
        self.set_faults(Vec::new());
    }

    /// The armed faults with what is left of their counts.
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.faults.list()
    }

    /// Changes knobs, for requests from now on.
    pub fn knobs(&self, change: impl FnOnce(&mut Knobs)) {
        let mut knobs = Knobs::clone(&self.shared.knobs());
        change(&mut knobs);
        self.shared.set_knobs(knobs);
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.shared.stats.snapshot()
    }

    /// The requests received last, oldest first.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.ring.list()
    }

    /// Those whose path begins with this.
    pub fn requests_to(&self, path_prefix: &str) -> Vec<ReceivedRequest> {
        let mut requests = self.requests();
        requests.retain(|request| request.path.starts_with(path_prefix));
        requests
    }

    /// The models in memory, longest expiry first.
    pub fn loaded_models(&self) -> Vec<LoadedModel> {
        self.shared.scheduler.loaded()
    }

    /// Names of the installed models, as listed.
    pub fn installed_models(&self) -> Vec<String> {
        self.shared.library.list().into_iter().map(|model| model.spec.name).collect()
    }

    /// The digest of an installed model, as listed.
    pub fn digest_of(&self, name: &str) -> Option<String> {
        self.shared.library.find(name).map(|model| model.digest)
    }

    /// The whole blobs on disk, by digest.
    pub fn blobs(&self) -> Vec<StoredBlob> {
        self.shared.library.blobs()
    }

    /// What it pulls from.
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// Installs a model, at once. Its registry has it too, if it had none of the name.
    pub fn add_model(&self, model: impl Into<ModelSpec>) {
        let model = model.into();
        self.shared.registry.publish_if_new(&model);
        self.shared.library.install(model);
    }

    /// Removes a model; whether it was there.
    pub fn remove_model(&self, name: &str) -> bool {
        self.shared.library.remove(name).is_some()
    }

    /// Knobs, faults and models as at the start, nothing in memory, counters at zero, requests forgotten.
    pub fn reset(&self) {
        self.shared.reset();
        self.order(Order::ApplyFaults);
    }

    /// Dies as a killed process does: connections are reset, connects refused. What it had on disk and counted stays.
    pub fn stop(&self) {
        self.order(Order::Stop);
        self.shared.scheduler.clear();
    }

    /// Listens again on the same port, with no model in memory.
    pub fn restart(&self) {
        self.order(Order::Restart);
    }

    fn order(&self, order: Order) {
        let (done, effective) = std_mpsc::sync_channel(1);
        let taken = self.shared.order(order, move || done.send(()).unwrap_or_default());
        assert!(taken, "the simulated backend does not take the order {order:?}");
        match effective.recv_timeout(ORDER_PATIENCE) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => panic!("{order:?} did not take effect in {ORDER_PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the simulated backend ended during {order:?}"),
        }
    }
}

impl Drop for SimulatedBackend {
    fn drop(&mut self) {
        self.shared.order(Order::Shutdown, || {});
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl From<&SimulatedBackend> for SocketAddr {
    fn from(backend: &SimulatedBackend) -> Self {
        backend.address()
    }
}

impl std::fmt::Debug for SimulatedBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedBackend").field("address", &self.address).finish_non_exhaustive()
    }
}

fn run_thread(config: SimConfig, report: &std_mpsc::SyncSender<io::Result<Started>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return drop(report.send(Err(e))),
    };
    runtime.block_on(async {
        let (commands, inbox) = mpsc::channel(COMMAND_LIMIT);
        let begun = async {
            let port = Port::reserve(config.listen)?;
            let listener = port.listen()?;
            let control = match config.control_listen {
                Some(address) => Some(tokio::net::TcpListener::bind(address).await?),
                None => None,
            };
            Ok((port, listener, control))
        };
        match begun.await {
            Err(e) => drop(report.send(Err(e))),
            Ok((port, listener, control)) => {
                let shared = Shared::new(config, commands);
                let address = port.address;
                let control_address = control.as_ref().and_then(|control| control.local_addr().ok());
                let started = Started { shared: Arc::clone(&shared), address, control_address };
                drop(report.send(Ok(started)));
                Server { shared, port, control, commands: inbox }.run(listener).await;
            }
        }
    });
}
