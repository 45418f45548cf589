//! The composition root: builds every part in the order of the layers, connects them, and runs the node: as the program
//! that it is alone in, or as a [`Node`] of another program.

mod certificates;
mod clustering;
mod error;
mod listen;
mod node;
mod servers;
mod stop;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web;
use rustix::process::{Resource, getrlimit, setrlimit};

pub use self::error::NodeError;
pub use self::node::Node;
use self::servers::{Listening, Sockets};
use self::stop::{StopSignals, Stopping, Stops};
use crate::actors::{Actors, ProbeSettings};
pub use crate::admin::document as openapi;
use crate::admin::{AdminState, Authority, Readiness};
use crate::catalog::CatalogPublisher;
use crate::cluster::Remains;
use crate::gateway::{self, Shared};
use crate::keys::Usage;
use crate::models::{self, Claims, Reconciling};
use crate::settings::{Loaded, Settings};
use crate::telemetry::{Logs, Traces};

/// How long a stopped node may take to let go of its directory: its threads end, and close what they have open.
const RELEASE_PATIENCE: Duration = Duration::from_secs(10);

/// Who runs a node.
enum Owner {
    /// The program `ollamaflow`, whose process is the node's: signals stop it, and it says on standard output where it
    /// listens.
    Process,
    /// Another program, which has more to do with its process.
    Program {
        /// Who waits until the node listens.
        ready: std::sync::mpsc::Sender<Addresses>,
        stops: Stops,
    },
}

/// Where a node listens.
#[derive(Debug)]
struct Addresses {
    clients: Vec<SocketAddr>,
    /// Empty if admins are where clients are.
    admins: Vec<SocketAddr>,
}

/// Runs a node until it is told to stop by a signal. Installs logging and blocks the calling thread.
#[doc(hidden)]
pub fn serve(loaded: Loaded) -> Result<(), NodeError> {
    let logs = Logs::start(&loaded.settings.logging);
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    raise_open_files_limit();
    run(loaded, &logs, Owner::Process)
}

/// Runs a node until it is told to stop, and waits until nothing of it is left.
fn run(loaded: Loaded, logs: &Logs, owner: Owner) -> Result<(), NodeError> {
    let system = actix_web::rt::System::new();
    let mut remains = None;
    let result = system.block_on(live(loaded, logs, owner, &mut remains));
    // With it go the tasks that hold parts of the node.
    drop(system);
    if remains.is_some_and(|remains| !remains.wait(RELEASE_PATIENCE)) {
        tracing::warn!("the node has stopped, but something of it still has its directory open");
    }
    logs.finish();
    result
}

/// The life of a node. What may be left of it afterwards is put into `remains`.
async fn live(
    loaded: Loaded,
    logs: &Logs,
    owner: Owner,
    remains: &mut Option<Remains>,
) -> Result<(), NodeError> {
    let Loaded { settings, cluster: plan, .. } = loaded;
    // Listening comes first: a port that is taken should be known before anything else runs.
    let sockets = Sockets::bind(&settings)?;
    let has_peers = plan.listen.is_some();
    let cluster = clustering::start(&settings, plan).await?;
    *remains = Some(cluster.remains());
    let traces = Traces::start(&settings.tracing).map_err(NodeError::Thread)?;
    let (publisher, catalog) = CatalogPublisher::new(cluster.state().catalog().clone());
    let actors = Actors::start(catalog, probe_settings(&settings)).await;
    actix_web::rt::spawn(clustering::publish(cluster.clone(), publisher));
    actix_web::rt::spawn(models::heed(cluster.clone(), actors.directory()));
    let (keys, usage) = clustering::start_keys(&settings, &cluster)?;
    let claims = Claims::start(cluster.clone());
    let reconciling = Reconciling::start(cluster.clone(), actors.directory(), claims.clone());
    let shared = Shared {
        directory: actors.directory(),
        settings: servers::gateway_settings(&settings, sockets.clients.are_local()),
        cluster: cluster.clone(),
        claims,
        keys,
        tally: Arc::default(),
        lists: Arc::default(),
        access: logs.access().clone(),
        traces: traces.clone(),
    };
    let result = serve_until_stopped(&settings, sockets, shared, usage.clone(), logs, has_peers, owner).await;
    reconciling.stop().await;
    actors.stop();
    usage.stop().await;
    cluster.stop().await;
    if let Some(traces) = traces {
        // It waits for the collector, for two seconds at most; nothing else of this node runs any more.
        traces.finish();
    }
    tracing::info!("stopped");
    result
}

/// Carries requests until the owner stops the node, and those that are in flight to their ends.
async fn serve_until_stopped(
    settings: &Settings,
    sockets: Sockets,
    shared: Shared,
    usage: Arc<Usage>,
    logs: &Logs,
    has_peers: bool,
    owner: Owner,
) -> Result<(), NodeError> {
    let Sockets { clients, admins, tls } = sockets;
    let readiness = Readiness::new();
    let state = web::Data::new(AdminState {
        cluster: shared.cluster.clone(),
        directory: shared.directory.clone(),
        readiness: readiness.clone(),
        authority: Authority::new(&settings.admin_bearer_tokens),
        gateway: shared.settings.clone(),
        tally: shared.tally.clone(),
        keys: shared.keys.clone(),
        usage,
        logs: logs.clone(),
        traces: shared.traces.clone(),
        read_timeout: settings.webserver.io.read_timeout(),
        default_headers: servers::default_headers(settings),
    });
    let addresses = Addresses {
        clients: clients.addresses.clone(),
        admins: admins.as_ref().map(|admins| admins.addresses.clone()).unwrap_or_default(),
    };
    // Whoever reads that the node listens may send it a signal at once.
    let (hangups, ready, stops) = match owner {
        Owner::Process => {
            let hangups = certificates::hangups().map_err(NodeError::Signals)?;
            let signals = StopSignals::install().map_err(NodeError::Signals)?;
            (Some(hangups), None, Stops::Signals(signals))
        }
        Owner::Program { ready, stops } => (None, Some(ready), stops),
    };
    let (closer, closing) = gateway::closing();
    let listening = Listening { tls: tls.clone(), shared: &shared, state: &state, closing: &closing };
    let server = servers::serve_clients(settings, clients, &listening, admins.is_none())?;
    let admin_server =
        admins.map(|listeners| servers::serve_admins(settings, listeners, &listening)).transpose()?;
    let servers = std::iter::once(&server).chain(&admin_server).map(Server::handle).collect();
    match ready {
        None => announce(&addresses, tls.is_some()),
        Some(ready) => {
            tell(&addresses);
            // Who does not wait any more has dropped the other end of `stops`, too.
            let _ = ready.send(addresses);
        }
    }
    actix_web::rt::spawn(certificates::follow(tls, hangups));
    let stopping = Stopping {
        readiness,
        settle: settings.shutdown_settle(has_peers),
        grace: settings.shutdown_grace(),
        cluster: shared.cluster.clone(),
        servers,
        closer,
    };
    actix_web::rt::spawn(stops.obey(stopping));
    let admin_server = async {
        match admin_server {
            Some(server) => server.await,
            None => Ok(()),
        }
    };
    tokio::try_join!(server, admin_server).map(drop).map_err(NodeError::Server)
}

/// Raises the soft limit of open files to the hard one: a stream needs two, and the soft limit is often 1,024.
fn raise_open_files_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(error = %e, "the limit of open files could not be raised");
    }
}

/// One line per address on standard output: scripts wait for it, and with port 0 learn the port from it.
fn announce(addresses: &Addresses, has_tls: bool) {
    let scheme = if has_tls { "https" } else { "http" };
    let mut out = io::stdout().lock();
    // Nobody may be reading any more; that is no reason not to serve.
    for address in &addresses.clients {
        let _ = writeln!(out, "listening on {scheme}://{address}");
    }
    for address in &addresses.admins {
        let _ = writeln!(out, "admin API on {scheme}://{address}");
    }
    let _ = out.flush();
    tell(addresses);
}

/// The same to the log.
fn tell(addresses: &Addresses) {
    for address in &addresses.clients {
        tracing::info!(%address, "listening");
    }
    for address in &addresses.admins {
        tracing::info!(%address, "listening for admins");
    }
}

fn probe_settings(settings: &Settings) -> ProbeSettings {
    let checks = &settings.health_check;
    ProbeSettings {
        interval: checks.interval(),
        timeout: checks.timeout(),
        startup_interval: checks.startup_interval(),
        jitter_percent: checks.jitter_percent,
    }
}
