//! Runs an application on listening sockets, each connection behind its gate.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol, Request, Response};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;

use super::gate::GatedStream;
use super::socket::Socket;
use super::tls::ListenerTls;

/// The server reckons deadlines from a clock that it looks at this often: they may come so much too early.
const SERVER_CLOCK_TICK: Duration = Duration::from_millis(500);

/// How connections are treated.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Threads.
    pub workers: usize,
    /// Connections per thread; with more, none is accepted until one ends.
    pub max_connections: usize,
    /// How long an idle connection is kept; none serves one request per connection.
    pub keep_alive: Option<Duration>,
    /// TLS; none for plain connections.
    pub tls: Option<ListenerTls>,
    /// How long the head of a request may take, and the handshake of TLS before it.
    pub head_timeout: Duration,
    /// How long requests in flight may go on after a stop was asked for; rounded up to seconds.
    pub shutdown: Duration,
}

/// Starts to serve. `app` makes the application, once on each thread.
pub fn serve<F, I, S, B>(sockets: Vec<TcpListener>, settings: &ListenerSettings, app: F) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let mut builder = Server::build()
        .workers(settings.workers)
        .max_concurrent_connections(settings.max_connections)
        .shutdown_timeout(settings.shutdown.as_secs() + u64::from(settings.shutdown.subsec_nanos() > 0))
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    for socket in sockets {
        let name = format!("listener-{}", socket.local_addr()?);
        let (app, settings, stopping) = (app.clone(), settings.clone(), stopping.clone());
        builder = builder.listen(name, socket, move || {
            let stopping = stopping.clone();
            let (head_timeout, tls) = (settings.head_timeout, settings.tls.clone());
            let app = app().into_factory().map_err(|e| e.into().error_response());
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(settings.keep_alive.map_or(KeepAlive::Disabled, KeepAlive::Timeout))
                .client_request_timeout(head_timeout.saturating_add(SERVER_CLOCK_TICK))
                // Without this the server does not see that a client left before or between the pieces of its answer.
                .h1_allow_half_closed(false)
                .on_connect_ext(|stream: &GatedStream, data| {
                    data.insert(stream.connection());
                })
                .finish(map_config(app, |()| AppConfig::default()));
            fn_service(move |socket: TcpStream| {
                let tls = tls.clone();
                async move {
                    // Nagle's algorithm would hold chunks back for 25 to 40 ms. A socket that is gone already says so soon.
                    let _ = socket.set_nodelay(true);
                    let peer = socket.peer_addr().ok();
                    let socket = match tls {
                        None => Socket::Plain(socket),
                        Some(tls) => {
                            let stream = tls.accept(socket, head_timeout).await.inspect_err(|error| {
                                tracing::debug!(?peer, %error, "a TLS handshake failed");
                            });
                            Socket::Tls(Box::new(stream.map_err(DispatchError::Io)?))
                        }
                    };
                    Ok::<_, DispatchError>((GatedStream::new(socket, head_timeout), Protocol::Http1, peer))
                }
            })
            .and_then(http)
        })?;
    }
    Ok(builder.run())
}
