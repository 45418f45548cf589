//! The composition root: builds every part in the order of the layers, connects them, and runs the node.

mod certificates;
mod clustering;
mod listen;
mod stop;

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{App, web};
use rustix::process::{Resource, getrlimit, setrlimit};

use self::stop::{StopSignals, Stopping};
use crate::actors::{Actors, ProbeSettings};
pub use crate::admin::document as openapi;
use crate::admin::{self, AdminState, Authority, Readiness};
use crate::catalog::CatalogPublisher;
use crate::cluster::{PeerTlsError, SecretError, StartError};
use crate::gateway::{self, Closing, Gateway, GatewaySettings, Shared};
use crate::listener::{self, ListenerSettings, ListenerTls, ListenerTlsError};
use crate::media::{Fetcher, Limits, Media};
use crate::models::{self, Claims, Reconciling};
use crate::settings::{ListenTarget, Loaded, Settings};
use crate::telemetry::Logs;
use crate::upstream::{Client, ClientSettings};

/// How long an idle client connection is kept: longer than clients and load balancers keep theirs, so that they
/// close first and no request meets a closing connection.
const CLIENT_KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long the servers wait, after requests in flight were ended, until these are written: then connections are cut.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Threads of an admin API that has an address of its own.
const ADMIN_WORKERS: usize = 1;

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
    /// The node cannot take its part in the cluster.
    #[error(transparent)]
    Cluster(#[from] StartError),
    /// The certificates for the other nodes cannot be used.
    #[error("Cluster.Tls: {0}")]
    PeerTls(#[from] PeerTlsError),
    /// The secret cannot be used.
    #[error("Cluster.Secret: {0}")]
    Secret(#[from] SecretError),
    /// TLS towards clients cannot be set up.
    #[error("Webserver.Ssl: {0}")]
    ClientTls(#[from] ListenerTlsError),
    /// The server stopped with an error.
    #[error("the server stopped: {0}")]
    Server(#[source] io::Error),
}

/// Runs a node until it is told to stop by a signal. Installs logging and blocks the calling thread.
pub fn serve(loaded: Loaded) -> Result<(), AppError> {
    let logs = Logs::start(&loaded.settings.logging);
    let result = actix_web::rt::System::new().block_on(run(loaded, &logs));
    logs.finish();
    result
}

async fn run(loaded: Loaded, logs: &Logs) -> Result<(), AppError> {
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    raise_open_files_limit();
    let settings = &loaded.settings;
    // Listening comes first: a port that is taken should be known before anything else runs.
    let clients = Listeners::bind(&settings.webserver.listen_target())?;
    let admins = settings.admin.listen_target().map(|target| Listeners::bind(&target)).transpose()?;
    let tls = certificates::of(&settings.webserver.ssl)?;
    let has_peers = loaded.cluster.listen.is_some();
    let cluster = clustering::start(settings, loaded.cluster.clone()).await?;
    let (publisher, catalog) = CatalogPublisher::new(cluster.state().catalog().clone());
    let actors = Actors::start(catalog, probe_settings(settings)).await;
    actix_web::rt::spawn(clustering::publish(cluster.clone(), publisher));
    actix_web::rt::spawn(models::heed(cluster.clone(), actors.directory()));
    let claims = Claims::start(cluster.clone());
    let reconciling = Reconciling::start(cluster.clone(), actors.directory(), claims.clone());
    let readiness = Readiness::new();
    let shared = Shared {
        directory: actors.directory(),
        settings: gateway_settings(settings, clients.are_local()),
        cluster: cluster.clone(),
        claims,
        tally: Arc::default(),
        lists: Arc::default(),
        access: logs.access().clone(),
    };
    let state = web::Data::new(AdminState {
        cluster: cluster.clone(),
        directory: actors.directory(),
        readiness: readiness.clone(),
        authority: Authority::new(&settings.admin_bearer_tokens),
        gateway: shared.settings.clone(),
        tally: shared.tally.clone(),
        logs: logs.clone(),
        read_timeout: settings.webserver.io.read_timeout(),
        default_headers: default_headers(settings),
    });
    let (addresses, admin_addresses) =
        (clients.addresses.clone(), admins.as_ref().map(|it| it.addresses.clone()));
    let (closer, closing) = gateway::closing();
    let listening = Listening { tls: tls.clone(), shared: &shared, state: &state, closing: &closing };
    let server = serve_clients(settings, clients, &listening, admins.is_none())?;
    let admin_server = admins.map(|listeners| serve_admins(settings, listeners, &listening)).transpose()?;
    // Whoever reads that the node listens may send it a signal at once.
    let hangups = certificates::hangups().map_err(AppError::Signals)?;
    let stop_signals = StopSignals::install().map_err(AppError::Signals)?;
    announce(&addresses, &admin_addresses.unwrap_or_default(), tls.is_some());
    actix_web::rt::spawn(certificates::follow(tls, hangups));
    let stopping = Stopping {
        readiness,
        settle: settings.shutdown_settle(has_peers),
        grace: settings.shutdown_grace(),
        cluster: cluster.clone(),
        servers: std::iter::once(&server).chain(&admin_server).map(Server::handle).collect(),
        closer,
    };
    actix_web::rt::spawn(stop_signals.obey(stopping));
    let admin_server = async {
        match admin_server {
            Some(server) => server.await,
            None => Ok(()),
        }
    };
    let result = tokio::try_join!(server, admin_server).map_err(AppError::Server);
    reconciling.stop().await;
    actors.stop();
    cluster.stop().await;
    tracing::info!("stopped");
    result.map(drop)
}

/// Bound sockets and where they are.
struct Listeners {
    sockets: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

// === impl Listeners ===

impl Listeners {
    fn bind(target: &ListenTarget) -> Result<Self, AppError> {
        let sockets = listen::bind(target)?;
        let addresses = sockets.iter().map(TcpListener::local_addr).collect::<io::Result<_>>();
        Ok(Self { sockets, addresses: addresses.map_err(AppError::Server)? })
    }

    /// Whether only this machine reaches them.
    fn are_local(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().to_canonical().is_loopback())
    }
}

// === servers ===

/// What both servers have in common.
struct Listening<'a> {
    tls: Option<ListenerTls>,
    shared: &'a Shared,
    state: &'a web::Data<AdminState>,
    closing: &'a Closing,
}

/// What carries requests to backends; the admin API too, unless it has an address of its own.
fn serve_clients(
    settings: &Settings,
    listeners: Listeners,
    listening: &Listening<'_>,
    has_admin: bool,
) -> Result<Server, AppError> {
    let workers = settings.webserver.worker_count();
    let (shared, client) = (listening.shared.clone(), client_settings(settings));
    let (state, closing) = (listening.state.clone(), listening.closing.clone());
    let media = Media::new(Limits::default());
    let how = listener_settings(settings, workers, listening.tls.clone());
    let server = listener::serve(listeners.sockets, &how, move || {
        // Runs once on each worker thread: the upstream client and its connections belong to that thread.
        let client = Client::new(&client);
        let fetcher = Fetcher::new(media.clone());
        let gateway = Gateway::new(shared.clone(), client, fetcher, closing.clone());
        let app = App::new().service(admin::probes(state.clone()));
        let app = if has_admin { app.service(admin::service(state.clone())) } else { app };
        app.default_service(gateway.into_service())
    });
    server.map_err(AppError::Server)
}

/// The admin API at an address of its own, with the home page that the dashboard looks for.
fn serve_admins(
    settings: &Settings,
    listeners: Listeners,
    listening: &Listening<'_>,
) -> Result<Server, AppError> {
    // No frontend is known here, so nothing is carried to a backend, nor counted.
    let nobody = Shared { directory: Arc::default(), tally: Arc::default(), ..listening.shared.clone() };
    let client = client_settings(settings);
    let (state, closing) = (listening.state.clone(), listening.closing.clone());
    let media = Media::new(Limits::default());
    let how = listener_settings(settings, ADMIN_WORKERS, listening.tls.clone());
    let server = listener::serve(listeners.sockets, &how, move || {
        let client = Client::new(&client);
        let fetcher = Fetcher::new(media.clone());
        let gateway = Gateway::new(nobody.clone(), client, fetcher, closing.clone());
        App::new()
            .service(admin::probes(state.clone()))
            .service(admin::service(state.clone()))
            .default_service(gateway.into_service())
    });
    server.map_err(AppError::Server)
}

fn listener_settings(settings: &Settings, workers: usize, tls: Option<ListenerTls>) -> ListenerSettings {
    let io = &settings.webserver.io;
    let connections = usize::try_from(io.max_requests).unwrap_or(usize::MAX);
    ListenerSettings {
        workers,
        max_connections: connections.div_ceil(workers),
        keep_alive: io.enable_keep_alive.then_some(CLIENT_KEEP_ALIVE),
        tls,
        head_timeout: io.read_timeout(),
        shutdown: settings.shutdown_grace().saturating_add(LAST_WORDS),
    }
}

fn gateway_settings(settings: &Settings, is_local: bool) -> Arc<GatewaySettings> {
    Arc::new(GatewaySettings {
        read_timeout: settings.webserver.io.read_timeout(),
        default_headers: default_headers(settings),
        trusted_proxies: settings.trusted_proxies.clone(),
        // Checked when they were read.
        sticky_headers: settings.sticky_headers.iter().filter_map(|name| name.parse().ok()).collect(),
        is_local,
    })
}

fn default_headers(settings: &Settings) -> Vec<(HeaderName, HeaderValue)> {
    let headers = settings.webserver.headers.response_headers();
    headers.filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
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
fn announce(addresses: &[SocketAddr], admin_addresses: &[SocketAddr], has_tls: bool) {
    let scheme = if has_tls { "https" } else { "http" };
    let mut out = io::stdout().lock();
    // Nobody may be reading any more; that is no reason not to serve.
    for address in addresses {
        let _ = writeln!(out, "listening on {scheme}://{address}");
        tracing::info!(%address, "listening");
    }
    for address in admin_addresses {
        let _ = writeln!(out, "admin API on {scheme}://{address}");
        tracing::info!(%address, "listening for admins");
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
