//! The listener's life: accepting, refusing, stopping, starting again on the same port, and ending every connection.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use super::connection::{Context, Surface, serve};
use super::exchange::Ending;
use super::fault::{EndBy, OpenConnections};
use super::fault_book::ListenerState;
use super::link::{Farewell, Link};
use super::state::{Command, Order, Shared};

/// Connections the kernel queues for a busy accept loop.
const BACKLOG: u32 = 1024;
/// Pause after a failed accept, which is the lack of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// What open connections are told, by the number each has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Notice {
    /// Connections up to this one close once they are idle.
    pub close_idle_up_to: u64,
    /// Connections up to this one are reset.
    pub reset_up_to: u64,
}

/// The number of connections which no notice concerns: those of the control port.
const EXEMPT: u64 = u64::MAX;

/// A bound port: listened on or not, it stays ours.
#[derive(Debug)]
pub(super) struct Port {
    pub address: SocketAddr,
    /// Bound and never listening, so that connects are refused and nobody else gets the port while we do not listen.
    _reservation: TcpSocket,
}

/// The server of one simulated backend.
pub(super) struct Server {
    pub shared: Arc<Shared>,
    pub port: Port,
    pub control: Option<TcpListener>,
    pub commands: mpsc::Receiver<Command>,
}

/// What changes while the server runs.
struct Running {
    listener: Option<TcpListener>,
    stopped: bool,
    reopen_at: Option<Instant>,
    connections: JoinSet<()>,
    last_connection: u64,
    notice: watch::Sender<Notice>,
}

impl Port {
    /// Binds; port 0 lets the OS choose.
    pub(super) fn reserve(address: SocketAddr) -> io::Result<Self> {
        let reservation = socket_at(address)?;
        let address = reservation.local_addr()?;
        Ok(Self { address, _reservation: reservation })
    }

    /// Listens. Within a runtime only.
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        socket_at(self.address)?.listen(BACKLOG)
    }
}

impl Server {
    /// Runs until told to shut down.
    pub(super) async fn run(mut self, listener: TcpListener) {
        let mut running = Running {
            listener: Some(listener),
            stopped: false,
            reopen_at: None,
            connections: JoinSet::new(),
            last_connection: 0,
            notice: watch::Sender::new(Notice::default()),
        };
        let mut control_connections = JoinSet::new();
        self.apply_faults(&mut running).await;
        loop {
            tokio::select! {
                command = self.commands.recv() => {
                    let Some(Command { order, done }) = command else { return };
                    self.obey(order, &mut running).await;
                    done();
                    if order == Order::Shutdown {
                        return;
                    }
                }
                accepted = accept(running.listener.as_ref()) => self.admit(accepted, &mut running).await,
                accepted = accept(self.control.as_ref()) => {
                    if let Ok((stream, _)) = accepted {
                        let context = self.context(Surface::Control, EXEMPT, running.notice.subscribe());
                        control_connections.spawn(converse(stream, context));
                    }
                }
                Some(_) = running.connections.join_next() => {}
                Some(_) = control_connections.join_next() => {}
                () = reached(running.reopen_at) => {
                    self.shared.faults.forget_refusal();
                    self.apply_faults(&mut running).await;
                }
            }
        }
    }

    async fn obey(&self, order: Order, running: &mut Running) {
        match order {
            Order::ApplyFaults => self.apply_faults(running).await,
            Order::Restart => {
                running.stopped = false;
                self.apply_faults(running).await;
            }
            Order::Stop | Order::Shutdown => {
                running.stopped = true;
                running.listener = None;
                reset_all(running).await;
            }
        }
    }

    async fn apply_faults(&self, running: &mut Running) {
        if running.stopped {
            return;
        }
        match self.shared.faults.listener_state() {
            ListenerState::Listening => {
                running.reopen_at = None;
                if running.listener.is_none() {
                    running.listener = self.port.listen().ok();
                }
            }
            ListenerState::Refusing { reopen_after, open_connections } => {
                if running.listener.take().is_some() {
                    running.reopen_at = reopen_after.map(|after| Instant::now() + after);
                }
                match open_connections {
                    OpenConnections::Keep => {}
                    OpenConnections::CloseWhenIdle => {
                        let last = running.last_connection;
                        running.notice.send_modify(|notice| notice.close_idle_up_to = last);
                    }
                    OpenConnections::Reset => reset_all(running).await,
                }
            }
        }
    }

    async fn admit(&self, accepted: io::Result<(TcpStream, SocketAddr)>, running: &mut Running) {
        let Ok((stream, _)) = accepted else { return tokio::time::sleep(ACCEPT_RETRY).await };
        let counted = self.shared.stats.connection();
        let end = self.shared.faults.on_accept();
        if end == Some(EndBy::Reset) {
            return drop(stream.set_zero_linger());
        }
        running.last_connection += 1;
        let surface = if end.is_some() { Surface::None } else { Surface::Main };
        let context = self.context(surface, running.last_connection, running.notice.subscribe());
        running.connections.spawn(async move {
            converse(stream, context).await;
            drop(counted);
        });
    }

    fn context(&self, surface: Surface, id: u64, notice: watch::Receiver<Notice>) -> Context {
        Context { shared: Arc::clone(&self.shared), surface, id, notice }
    }
}

/// Serves a connection to its end, or until it is to be reset.
async fn converse(stream: TcpStream, context: Context) {
    let mut link = Link::new(stream);
    let (mut notice, id) = (context.notice.clone(), context.id);
    let ending = tokio::select! {
        ending = serve(&mut link, context) => ending,
        Ok(_) = notice.wait_for(|notice| id <= notice.reset_up_to) => Ending::Reset,
    };
    let farewell = if ending == Ending::Reset { Farewell::Reset } else { Farewell::Fin };
    link.close(farewell).await;
}

async fn reset_all(running: &mut Running) {
    let last = running.last_connection;
    running.notice.send_modify(|notice| notice.reset_up_to = last);
    while running.connections.join_next().await.is_some() {}
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => pending().await,
    }
}

async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => pending().await,
    }
}

fn socket_at(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
