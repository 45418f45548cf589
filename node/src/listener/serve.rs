//! Runs an application on listening sockets, each connection behind its gate.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol, Request, Response};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, boxed, fn_service,
    map_config,
};
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;

use super::gate::GatedStream;
use super::socket::Socket;
use super::stopping::Stopping;
use super::tls::ListenerTls;
use crate::clock::Turns;

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
            let signal = stopping.clone();
            let stopping = Stopping::when(async move { signal.notified().await });
            let (head_timeout, keep_alive) = (settings.head_timeout, settings.keep_alive);
            let tls = settings.tls.clone();
            let app = app().into_factory().map_err(|e| e.into().error_response());
            let http = HttpService::build()
                .graceful_shutdown_signal(move || stopping.stopped())
                // The gate ends those that are idle for too long.
                .keep_alive(settings.keep_alive.map_or(KeepAlive::Disabled, |_| KeepAlive::Os))
                .client_request_timeout(head_timeout.saturating_add(SERVER_CLOCK_TICK))
                // Without this the server does not see that a client left before or between the pieces of its answer.
                .h1_allow_half_closed(false)
                .on_connect_ext(|stream: &GatedStream, data| {
                    data.insert(stream.connection());
                })
                .finish(map_config(app, |()| AppConfig::default()));
            let connections = fn_service(move |socket: TcpStream| {
                let tls = tls.clone();
                async move {
                    // Nagle's algorithm would hold chunks back for 25 to 40 ms. A socket that is gone already says so soon.
                    let _ = socket.set_nodelay(true);
                    let peer = socket.peer_addr().ok();
                    let socket = match tls {
                        None => Socket::Plain(socket),
                        Some(tls) => {
                            // In a box: a connection's task would keep the room for a handshake for all its life.
                            let stream =
                                Box::pin(tls.accept(socket, head_timeout)).await.inspect_err(|error| {
                                    tracing::debug!(?peer, %error, "a TLS handshake failed");
                                });
                            Socket::Tls(Box::new(stream.map_err(DispatchError::Io)?))
                        }
                    };
                    let stream = GatedStream::new(socket, head_timeout, keep_alive);
                    Ok::<_, DispatchError>((stream, Protocol::Http1, peer))
                }
            })
            .and_then(http);
            // In a box: the server's task would hold what it awaits twice, for as long as the connection lives.
            let connections = boxed::factory(connections);
            apply_fn_factory(connections, |socket, connections| Turns(connections.call(socket)))
        })?;
    }
    Ok(builder.run())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use actix_web::body::BodyStream;
    use actix_web::rt::time::sleep;
    use actix_web::web::Bytes;
    use actix_web::{App, HttpRequest, HttpResponse, web};
    use futures_util::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::listener::{Connection, Keeping};

    /// Serves on a thread's runtime; every request is answered with the body that it has.
    fn echo(keep_alive: Duration) -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let settings = ListenerSettings {
            workers: 1,
            max_connections: 16,
            keep_alive: Some(keep_alive),
            tls: None,
            head_timeout: Duration::from_secs(60),
            shutdown: Duration::ZERO,
        };
        let answer = |request: HttpRequest, body: Bytes| async move {
            let piece = stream::once(std::future::ready(Ok::<_, io::Error>(body)));
            let body = BodyStream::new(Box::pin(piece));
            HttpResponse::Ok().body(Keeping::new(body, Connection::answer(&request)))
        };
        let app = move || App::new().default_service(web::to(answer));
        actix_web::rt::spawn(serve(vec![socket], &settings, app).unwrap());
        address
    }

    /// So many answers, which may come together.
    async fn answers(client: &mut TcpStream, count: usize) -> String {
        let mut text = Vec::new();
        let end: &[u8] = b"\r\n0\r\n\r\n";
        while text.windows(end.len()).filter(|window| *window == end).count() < count {
            assert!(
                client.read_buf(&mut text).await.unwrap() > 0,
                "closed: {}",
                String::from_utf8_lossy(&text)
            );
        }
        String::from_utf8(text).unwrap()
    }

    #[actix_web::test]
    async fn an_idle_connection_is_closed_in_time_and_a_slow_request_is_not_idle() {
        const KEEP_ALIVE: Duration = Duration::from_secs(1);
        let mut client = TcpStream::connect(echo(KEEP_ALIVE)).await.unwrap();
        for _ in 0..2 {
            client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\na").await.unwrap();
            // The body takes longer than a connection may be idle.
            sleep(KEEP_ALIVE * 2).await;
            client.write_all(b"b").await.unwrap();
            assert!(answers(&mut client, 1).await.contains("\r\nab\r\n"));
        }
        let started = Instant::now();
        assert_eq!(client.read(&mut [0; 16]).await.unwrap(), 0);
        // The answer was complete before this client has read it.
        assert!(started.elapsed() > KEEP_ALIVE / 2, "{:?}", started.elapsed());
    }

    #[actix_web::test]
    async fn a_long_body_arrives_whole_whatever_the_server_gets_at_once() {
        let mut client = TcpStream::connect(echo(Duration::from_secs(60))).await.unwrap();
        for length in [1, 4095, 4096, 4097, 9000, 70_000, 200_000] {
            let body = "x".repeat(length);
            let request = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
            client.write_all(request.repeat(2).as_bytes()).await.unwrap();
            assert_eq!(answers(&mut client, 2).await.matches(&body).count(), 2, "{length}");
        }
    }
}
