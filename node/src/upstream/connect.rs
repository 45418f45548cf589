//! A fresh connection: resolve, connect, TLS handshake, all within one deadline.
//!
//! Addresses are tried in the resolver's order; the next one is started when one fails, or when it keeps silent for a
//! moment while others wait (RFC 8305 in its simplest form), and the first to answer wins.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use smallvec::{SmallVec, smallvec};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::SendError;
use super::io::Io;
use super::target::{Host, Target};

/// How long a silent address delays the next one (RFC 8305 §5 recommends 250 ms).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried at most.
const MAX_ADDRESSES: usize = 8;

/// Lookups of one worker that may occupy a blocking thread at the same time; a resolver that hangs must not take them
/// all. A lookup whose caller gave up counts until it is done.
const MAX_LOOKUPS: usize = 16;

/// Makes connections.
#[derive(Debug)]
pub(super) struct Connector {
    timeout: Duration,
    lookups: Arc<Semaphore>,
}

/// Addresses of one name, in the resolver's order.
pub type Addresses = SmallVec<[SocketAddr; MAX_ADDRESSES]>;

/// The address that failed last, and how. Without one there was no address.
type ConnectFailure = Option<(SocketAddr, io::Error)>;

impl Connector {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    /// A connection to `target`, ready for a request.
    pub(super) async fn connect(&self, target: &Target) -> Result<Io, SendError> {
        match timeout(self.timeout, self.establish(target)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SendError::ConnectTimeout(self.timeout)),
        }
    }

    async fn establish(&self, target: &Target) -> Result<Io, SendError> {
        let addresses = self.resolve(target).await?;
        // With a short deadline the last address must still get its turn.
        let turns = u32::try_from(addresses.len()).unwrap_or(u32::MAX).saturating_add(1);
        let delay = ATTEMPT_DELAY.min(self.timeout / turns);
        let tcp = match connect_first(addresses, delay, TcpStream::connect).await {
            Ok(tcp) => tcp,
            Err(Some((address, source))) => return Err(SendError::Connect { address, source }),
            Err(None) => {
                let source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                return Err(SendError::Resolve { host: target.host().to_string(), source });
            }
        };
        if let Err(error) = tcp.set_nodelay(true) {
            // Only slower, not wrong.
            tracing::debug!(%error, "nagle's algorithm could not be switched off");
        }
        match target.tls() {
            None => Ok(Io::Tcp(tcp)),
            Some(tls) => {
                let connector = TlsConnector::from(Arc::clone(&tls.config));
                let stream = connector.connect(tls.server_name.clone(), tcp).await.map_err(SendError::Tls)?;
                Ok(Io::Tls(Box::new(stream)))
            }
        }
    }

    async fn resolve(&self, target: &Target) -> Result<Addresses, SendError> {
        if let Some(known) = target.addresses() {
            return Ok(known.iter().copied().take(MAX_ADDRESSES).collect());
        }
        let port = target.port();
        let name = match target.host() {
            Host::Address(address) => return Ok(smallvec![SocketAddr::new(*address, port)]),
            Host::Name(name) => name.clone(),
        };
        self.lookup(name, port)
            .await
            .map_err(|source| SendError::Resolve { host: target.host().to_string(), source })
    }

    async fn lookup(&self, name: Box<str>, port: u16) -> io::Result<Addresses> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        lookup(name, port, permit).await
    }
}

/// The first addresses of a name, eight at most, as the operating system knows them. `held` is dropped when the resolver
/// is done, which may be long after the caller gave up.
pub async fn lookup(name: Box<str>, port: u16, held: impl Send + 'static) -> io::Result<Addresses> {
    let lookup = tokio::task::spawn_blocking(move || {
        let _held = held;
        (&*name, port).to_socket_addrs().map(|found| found.take(MAX_ADDRESSES).collect())
    });
    lookup.await.map_err(io::Error::other)?
}

/// Connects to the first of `addresses` that answers, starting the next one after a failure or `delay`.
async fn connect_first<C, F, T>(
    addresses: Addresses,
    delay: Duration,
    connect: C,
) -> Result<T, ConnectFailure>
where
    C: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
{
    let connect = &connect;
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            running.push(async move { connect(address).await.map_err(|error| (address, error)) });
        }
        let finished = if waiting.len() == 0 {
            running.next().await
        } else {
            match timeout(delay, running.next()).await {
                Ok(finished) => finished,
                Err(_) => continue,
            }
        };
        match finished {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(failed)) => failure = Some(failed),
            None => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;

    use super::super::tests::run;
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const ENDLESS: Duration = Duration::from_secs(3600);

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Ports 1 refuse, ports 2 keep silent, all others answer with their address; tells which were tried.
    async fn attempt(ports: &[u16], delay: Duration) -> (Result<SocketAddr, ConnectFailure>, Vec<u16>) {
        let tried = RefCell::new(Vec::new());
        let addresses = ports.iter().copied().map(address).collect();
        let connect = async |address: SocketAddr| {
            tried.borrow_mut().push(address.port());
            match address.port() {
                1 => Err(io::ErrorKind::ConnectionRefused.into()),
                2 => pending().await,
                _ => Ok(address),
            }
        };
        let outcome = connect_first(addresses, delay, connect).await;
        (outcome, tried.into_inner())
    }

    #[test]
    fn the_first_address_that_answers_is_the_only_one_tried() {
        run(async {
            let (outcome, tried) = attempt(&[80, 1, 2], ENDLESS).await;
            assert_eq!((outcome.unwrap(), tried), (address(80), vec![80]));
        });
    }

    #[test]
    fn a_refusal_moves_on_at_once() {
        run(async {
            let (outcome, tried) = attempt(&[1, 1, 80], ENDLESS).await;
            assert_eq!((outcome.unwrap(), tried), (address(80), vec![1, 1, 80]));
        });
    }

    #[test]
    fn a_silent_address_does_not_hold_up_the_next() {
        run(async {
            let (outcome, tried) = attempt(&[2, 1, 80], SHORT).await;
            assert_eq!((outcome.unwrap(), tried), (address(80), vec![2, 1, 80]));
        });
    }

    #[test]
    fn the_last_failure_is_reported() {
        run(async {
            let (outcome, _) = attempt(&[1, 1], ENDLESS).await;
            let (failed, error) = outcome.unwrap_err().unwrap();
            assert_eq!((failed, error.kind()), (address(1), io::ErrorKind::ConnectionRefused));
            assert!(attempt(&[], ENDLESS).await.0.unwrap_err().is_none());
        });
    }
}
