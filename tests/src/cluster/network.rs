//! The network between the nodes of a test: each node has an address at which the others reach it, and behind that
//! address a forwarder, which the test owns. So a node keeps its address over restarts, ports are the OS's choice, and
//! two nodes can be cut off from each other although all of them live on one machine.
//!
//! A forwarder must know who connects: it looks the connection up in `/proc`, finds the process that holds it, and
//! takes the node whose directory that process runs in. It runs on a thread of its own, so that a busy test does not
//! delay the heartbeats of its nodes.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

mod sender;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Bytes a forwarder reads at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// How two nodes are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// Nothing arrives and nothing is refused. What was sent meanwhile arrives after healing, late.
    Silent,
    /// Connections break at once, and new ones too.
    Refused,
}

/// Pairs of nodes that are kept apart, the lower number first.
type Partitions = BTreeMap<(usize, usize), Partition>;

/// The forwarders of all nodes. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Network {
    runtime: Option<Runtime>,
    partitions: Arc<watch::Sender<Partitions>>,
    directories: Arc<watch::Sender<Vec<PathBuf>>>,
    /// Connections that were forwarded.
    forwarded: Arc<AtomicU64>,
}

/// Where a node is found by the others, and where it really listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The forwarder's address.
    pub(super) advertised: SocketAddr,
    /// The node's own.
    pub(super) listen: SocketAddr,
}

impl Network {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("network")
            .enable_all()
            .build()
            .unwrap_or_else(|e| panic!("no runtime for the network: {e}"));
        Self {
            runtime: Some(runtime),
            partitions: Arc::new(watch::Sender::default()),
            directories: Arc::new(watch::Sender::default()),
            forwarded: Arc::default(),
        }
    }

    /// A place without a forwarder.
    pub(super) fn direct() -> Place {
        let listen = own_address();
        Place { advertised: listen, listen }
    }

    /// A place for one more node, which runs in this directory.
    pub(super) fn admit(&self, directory: PathBuf) -> Place {
        let listen = own_address();
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (advertised, listener) = listener.unwrap_or_else(|e| panic!("no port for a forwarder: {e}"));
        let mut node = 0;
        self.directories.send_modify(|directories| {
            node = directories.len();
            directories.push(directory);
        });
        let forwarder = Forwarder {
            node,
            target: listen,
            partitions: self.partitions.subscribe(),
            directories: self.directories.subscribe(),
            forwarded: Arc::clone(&self.forwarded),
        };
        if let Some(runtime) = &self.runtime {
            runtime.spawn(forwarder.run(listener));
        }
        Place { advertised, listen }
    }

    /// Keeps two nodes apart.
    pub(super) fn part(&self, one: usize, other: usize, partition: Partition) {
        self.partitions.send_modify(|partitions| {
            partitions.insert(pair(one, other), partition);
        });
    }

    /// Connects all nodes again.
    pub(super) fn heal(&self) {
        self.partitions.send_modify(BTreeMap::clear);
    }

    /// Connections forwarded so far.
    pub(super) fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An address for a node to listen at: a loopback address which no other node has, so that its port stays free while
/// the node does not run.
fn own_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = (std::process::id() << 8).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let [_, high, middle, low] = number.to_be_bytes();
    // Neither 127.0.0.x, where everything else listens, nor the last byte 0 or 255.
    let address = Ipv4Addr::new(127, high | 0x40, middle, low.clamp(1, 254));
    let bound = StdListener::bind((address, 0)).and_then(|listener| listener.local_addr());
    bound.unwrap_or_else(|e| panic!("no port at {address}: {e}"))
}

fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

// === Forwarder ===

/// What stands at one node's advertised address.
#[derive(Clone)]
struct Forwarder {
    node: usize,
    target: SocketAddr,
    partitions: watch::Receiver<Partitions>,
    directories: watch::Receiver<Vec<PathBuf>>,
    forwarded: Arc<AtomicU64>,
}

impl Forwarder {
    async fn run(self, listener: StdListener) {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => drop(tokio::spawn(self.clone().forward(stream, peer))),
                // Out of descriptors: others may become free.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    async fn forward(self, incoming: TcpStream, peer: SocketAddr) {
        let directories = self.directories.borrow().clone();
        let Ok(local) = incoming.local_addr() else { return };
        let sender = tokio::task::spawn_blocking(move || sender::find(peer, local, &directories)).await;
        let sender = sender.ok().flatten();
        let mut gate =
            Gate { pair: sender.map(|sender| pair(sender, self.node)), partitions: self.partitions };
        // Whatever ends without a farewell is a reset, as from a host that is gone.
        drop(incoming.set_zero_linger());
        let mut breaking = gate.clone();
        tokio::select! {
            () = relay(incoming, self.target, &mut gate, &self.forwarded) => {}
            () = breaking.broken() => {}
        }
    }
}

/// Carries bytes both ways until both sides have ended, or one breaks.
async fn relay(incoming: TcpStream, target: SocketAddr, gate: &mut Gate, forwarded: &AtomicU64) {
    gate.open().await;
    let Ok(outgoing) = TcpStream::connect(target).await else { return };
    drop((outgoing.set_zero_linger(), outgoing.set_nodelay(true), incoming.set_nodelay(true)));
    forwarded.fetch_add(1, Ordering::Relaxed);
    let (from_sender, to_sender) = incoming.into_split();
    let (from_node, to_node) = outgoing.into_split();
    // An error on one way ends both; an orderly end of one way leaves the other open.
    let ways = tokio::try_join!(
        carry(from_sender, to_node, gate.clone()),
        carry(from_node, to_sender, gate.clone()),
    );
    drop(ways);
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: Gate) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        gate.open().await;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

// === Gate ===

/// What the partitions say about one connection. Connections that no node makes are never held.
#[derive(Clone)]
struct Gate {
    pair: Option<(usize, usize)>,
    partitions: watch::Receiver<Partitions>,
}

impl Gate {
    /// Waits until bytes may pass.
    async fn open(&mut self) {
        self.wait_until(|partition| partition != Some(Partition::Silent)).await;
    }

    /// Waits until connections break.
    async fn broken(&mut self) {
        self.wait_until(|partition| partition == Some(Partition::Refused)).await;
    }

    async fn wait_until(&mut self, condition: impl Fn(Option<Partition>) -> bool) {
        let pair = self.pair;
        let seen = |partitions: &Partitions| {
            let partition = pair.and_then(|pair| partitions.get(&pair).copied());
            condition(partition)
        };
        if self.partitions.wait_for(seen).await.is_err() {
            // The network is gone, and this task with it.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A node that sends everything back.
    async fn echo(place: Place) {
        let listener = TcpListener::bind(place.listen).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    drop(tokio::io::copy(&mut reader, &mut writer).await);
                });
            }
        });
    }

    async fn answered(stream: &mut TcpStream) -> io::Result<usize> {
        stream.write_all(b"x").await?;
        stream.read(&mut [0; 8]).await
    }

    /// Node 0 is this process, node 1 an echo.
    async fn network() -> (Network, Place) {
        let network = Network::new();
        network.admit(std::env::current_dir().unwrap());
        let place = network.admit(PathBuf::from("/nonexistent"));
        echo(place).await;
        (network, place)
    }

    #[tokio::test]
    async fn bytes_are_forwarded_and_every_node_has_an_address_of_its_own() {
        let (network, place) = network().await;
        let mut stream = TcpStream::connect(place.advertised).await.unwrap();
        assert_eq!(answered(&mut stream).await.unwrap(), 1);
        assert_ne!(place.listen.ip(), network.admit(PathBuf::new()).listen.ip());
        assert_eq!(network.forwarded(), 1);
    }

    #[tokio::test]
    async fn a_silent_partition_holds_bytes_until_it_is_healed() {
        let (network, place) = network().await;
        let mut stream = TcpStream::connect(place.advertised).await.unwrap();
        answered(&mut stream).await.unwrap();
        network.part(1, 0, Partition::Silent);
        let held = tokio::time::timeout(Duration::from_millis(200), answered(&mut stream)).await;
        assert!(held.is_err(), "{held:?}");
        network.heal();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_refusing_partition_breaks_old_connections_and_new_ones() {
        let (network, place) = network().await;
        let mut old = TcpStream::connect(place.advertised).await.unwrap();
        answered(&mut old).await.unwrap();
        network.part(0, 1, Partition::Refused);
        assert!(!matches!(old.read(&mut [0; 8]).await, Ok(1..)));
        let mut new = TcpStream::connect(place.advertised).await.unwrap();
        assert!(!matches!(answered(&mut new).await, Ok(1..)));
        network.heal();
        let mut after = TcpStream::connect(place.advertised).await.unwrap();
        assert_eq!(answered(&mut after).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn other_pairs_are_not_affected() {
        let (network, place) = network().await;
        network.part(1, 2, Partition::Silent);
        let mut stream = TcpStream::connect(place.advertised).await.unwrap();
        assert_eq!(answered(&mut stream).await.unwrap(), 1);
    }
}
