//! The cheap upstream: an HTTP/1.1 server that answers like an inference server and costs as little as it can, so that
//! the proxy in front of it is what is measured. Every request says by itself how it is to be answered
//! ([`Script`](crate::wire::script::Script)); nothing is configured and nothing is remembered. Knows nothing of the
//! load generator or of proxies.

mod answer;
mod connection;
mod pacer;
mod request;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use self::answer::Answers;
use self::connection::Connection;
use self::pacer::Pacer;

/// What the first line on standard output begins with; the bound address follows.
pub(crate) const READY: &str = "listening on ";

/// Connections the kernel may hold before they are accepted: more than any scenario opens at once.
const BACKLOG: u32 = 4096;
/// Pause when a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A bound listener, not yet serving.
#[derive(Debug)]
pub(crate) struct Upstream {
    listener: TcpListener,
}

/// Serves on 127.0.0.1 until the process is ended, after saying where on standard output.
///
/// # Errors
/// The port cannot be bound or the pacing thread cannot be started.
pub(crate) async fn serve(port: u16) -> io::Result<()> {
    let upstream = Upstream::bind(port)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{READY}{}", upstream.addr()?)?;
    stdout.flush()?;
    upstream.run().await
}

// === impl Upstream ===

impl Upstream {
    /// Binds to `port` of 127.0.0.1; 0 lets the system choose.
    pub(crate) fn bind(port: u16) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        Ok(Self { listener: socket.listen(BACKLOG)? })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for ever, on the current thread.
    pub(crate) async fn run(self) -> io::Result<()> {
        let pacer = Pacer::start()?;
        let answers = Rc::new(Answers::new());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        let connection = Connection::new(socket, Rc::clone(&answers), pacer.clone());
                        connections.spawn_local(connection.run());
                    }
                    // Out of descriptors: let some streams end first.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}
