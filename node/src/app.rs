//! The composition root: builds every part in the order of the layers, connects them, and runs the node.

mod listen;
mod reload;
mod stop;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, web};
use rustix::process::{Resource, getrlimit, setrlimit};

use self::stop::StopSignals;
use crate::actors::{Actors, Directory, ProbeSettings};
use crate::admin::{self, AdminState};
use crate::catalog::{CatalogPublisher, CatalogReader};
use crate::gateway::{Gateway, GatewaySettings};
use crate::listener::{self, ListenerSettings};
use crate::settings::{Loaded, Settings, Sources};
use crate::telemetry;
use crate::upstream::{Client, ClientSettings};

/// How long an idle client connection is kept: longer than clients and load balancers keep theirs, so that they
/// close first and no request meets a closing connection.
const CLIENT_KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long requests in flight may go on after a stop was asked for: seconds.
const SHUTDOWN_SECONDS: u64 = 30;

/// Why a node does not start or stops on its own.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As configured.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(#[source] io::Error),
    /// The server stopped with an error.
    #[error("the server stopped: {0}")]
    Server(#[source] io::Error),
}

/// Runs a node until it is told to stop by a signal. Installs logging and blocks the calling thread.
pub fn serve(loaded: Loaded, sources: Sources) -> Result<(), AppError> {
    telemetry::init(&loaded.settings.logging);
    actix_web::rt::System::new().block_on(run(loaded, sources))
}

async fn run(loaded: Loaded, sources: Sources) -> Result<(), AppError> {
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    raise_open_files_limit();
    let Loaded { settings, catalog, .. } = loaded;
    let (publisher, reader) = CatalogPublisher::new(catalog);
    // Listening comes first: a port that is taken should be known before anything else runs.
    let listeners = listen::bind(&settings.webserver)?;
    let addresses = listeners.iter().map(std::net::TcpListener::local_addr).collect::<io::Result<Vec<_>>>();
    let addresses = addresses.map_err(AppError::Server)?;
    let actors = Actors::start(reader.clone(), probe_settings(&settings)).await;
    let server = start_server(&settings, listeners, reader, actors.directory())?;
    // Whoever reads that the node listens may send it a signal at once.
    let hangups = reload::hangups().map_err(AppError::Signals)?;
    let stop_signals = StopSignals::install().map_err(AppError::Signals)?;
    announce(&addresses);
    actix_web::rt::spawn(reload::on_hangup(hangups, sources, publisher));
    actix_web::rt::spawn(stop_signals.obey(server.handle()));
    let result = server.await.map_err(AppError::Server);
    actors.stop();
    tracing::info!("stopped");
    result
}

fn start_server(
    settings: &Settings,
    listeners: Vec<std::net::TcpListener>,
    catalog: CatalogReader,
    directory: Arc<Directory>,
) -> Result<Server, AppError> {
    let io = &settings.webserver.io;
    let read_timeout = io.read_timeout();
    let workers = settings.webserver.worker_count();
    let connections = usize::try_from(io.max_requests).unwrap_or(usize::MAX);
    let client = client_settings(settings);
    let default_headers: Vec<_> = settings
        .webserver
        .headers
        .response_headers()
        .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
        .collect();
    let state = web::Data::new(AdminState {
        catalog,
        directory: directory.clone(),
        tokens: settings.admin_bearer_tokens.clone(),
        default_headers: default_headers.clone(),
    });
    let gateway = Arc::new(GatewaySettings { read_timeout, default_headers });
    let listening = ListenerSettings {
        workers,
        max_connections: connections.div_ceil(workers),
        keep_alive: io.enable_keep_alive.then_some(CLIENT_KEEP_ALIVE),
        head_timeout: read_timeout,
        shutdown_seconds: SHUTDOWN_SECONDS,
    };
    let server = listener::serve(listeners, &listening, move || {
        // Runs once on each worker thread: the upstream client and its connections belong to that thread.
        let gateway = Gateway::new(directory.clone(), gateway.clone(), Client::new(&client));
        App::new().service(admin::service(state.clone())).default_service(gateway.into_service())
    });
    server.map_err(AppError::Server)
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
fn announce(addresses: &[SocketAddr]) {
    let mut out = io::stdout().lock();
    for address in addresses {
        // Nobody may be reading any more; that is no reason not to serve.
        let _ = writeln!(out, "listening on http://{address}");
        tracing::info!(%address, "listening");
    }
    let _ = out.flush();
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

fn client_settings(settings: &Settings) -> ClientSettings {
    let upstream = &settings.upstream;
    ClientSettings {
        connect_timeout: upstream.connect_timeout(),
        pool_idle_timeout: upstream.idle_timeout(),
        max_idle_per_target: usize::try_from(upstream.max_idle_connections).unwrap_or(usize::MAX),
        ..ClientSettings::default()
    }
}
