//! The servers of a node: what carries clients' requests, and the admin API where it has an address of its own.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{App, web};

use super::{NodeError, certificates, listen};
use crate::admin::{self, AdminState};
use crate::gateway::{Closing, Gateway, GatewaySettings, Shared};
use crate::listener::{self, ListenerSettings, ListenerTls};
use crate::media::{Fetcher, Limits, Media};
use crate::settings::{ListenTarget, Settings};
use crate::upstream::{Client, ClientSettings};

/// How long an idle client connection is kept: longer than clients and load balancers keep theirs, so that they
/// close first and no request meets a closing connection.
const CLIENT_KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long the servers wait, after requests in flight were ended, until these are written: then connections are cut.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Threads of an admin API that has an address of its own.
const ADMIN_WORKERS: usize = 1;

/// All that a node listens with.
pub(super) struct Sockets {
    pub(super) clients: Listeners,
    /// None if the admin API is where clients are.
    pub(super) admins: Option<Listeners>,
    pub(super) tls: Option<ListenerTls>,
}

// === impl Sockets ===

impl Sockets {
    pub(super) fn bind(settings: &Settings) -> Result<Self, NodeError> {
        let clients = Listeners::bind(&settings.webserver.listen_target())?;
        let admins = settings.admin.listen_target().map(|target| Listeners::bind(&target)).transpose()?;
        let tls = certificates::of(&settings.webserver.ssl)?;
        Ok(Self { clients, admins, tls })
    }
}

/// Bound sockets and where they are.
pub(super) struct Listeners {
    sockets: Vec<TcpListener>,
    pub(super) addresses: Vec<SocketAddr>,
}

// === impl Listeners ===

impl Listeners {
    fn bind(target: &ListenTarget) -> Result<Self, NodeError> {
        let sockets = listen::bind(target)?;
        let addresses = sockets.iter().map(TcpListener::local_addr).collect::<io::Result<_>>();
        Ok(Self { sockets, addresses: addresses.map_err(NodeError::Server)? })
    }

    /// Whether only this machine reaches them.
    pub(super) fn are_local(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().to_canonical().is_loopback())
    }
}

// === servers ===

/// What both servers have in common.
pub(super) struct Listening<'a> {
    pub(super) tls: Option<ListenerTls>,
    pub(super) shared: &'a Shared,
    pub(super) state: &'a web::Data<AdminState>,
    pub(super) closing: &'a Closing,
}

/// What carries requests to backends; the admin API too, unless it has an address of its own.
pub(super) fn serve_clients(
    settings: &Settings,
    listeners: Listeners,
    listening: &Listening<'_>,
    has_admin: bool,
) -> Result<Server, NodeError> {
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
    server.map_err(NodeError::Server)
}

/// The admin API at an address of its own, with the home page that the dashboard looks for.
pub(super) fn serve_admins(
    settings: &Settings,
    listeners: Listeners,
    listening: &Listening<'_>,
) -> Result<Server, NodeError> {
    // No frontend is known here, so nothing is carried to a backend, nor counted.
    let nobody =
        Shared { directory: Arc::default(), tally: Arc::default(), traces: None, ..listening.shared.clone() };
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
    server.map_err(NodeError::Server)
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

pub(super) fn gateway_settings(settings: &Settings, is_local: bool) -> Arc<GatewaySettings> {
    Arc::new(GatewaySettings {
        read_timeout: settings.webserver.io.read_timeout(),
        default_headers: default_headers(settings),
        trusted_proxies: settings.trusted_proxies.clone(),
        // Checked when they were read.
        sticky_headers: settings.sticky_headers.iter().filter_map(|name| name.parse().ok()).collect(),
        is_local,
    })
}

pub(super) fn default_headers(settings: &Settings) -> Vec<(HeaderName, HeaderValue)> {
    let headers = settings.webserver.headers.response_headers();
    headers.filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
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
