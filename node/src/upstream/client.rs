//! The client of one worker: its settings, its pool, its read buffer, and the one retry it makes by itself.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::body::RequestBody;
use super::connect::Connector;
use super::decode::DecodeLimits;
use super::error::SendError;
use super::exchange::exchange;
use super::head::RequestHead;
use super::pool::{Pool, Sweeper};
use super::response::Response;
use super::target::Target;

/// The read buffer that all exchanges of a worker share; the largest piece a body yields at once.
const READ_BUFFER_BYTES: usize = 32 * 1024;

/// Bounds of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// For resolving, connecting and the TLS handshake together.
    pub connect_timeout: Duration,
    /// Idle connections are not used after this time, and closed soon after. Keep it below the servers' own: uvicorn
    /// and llama.cpp close after 5 s.
    pub pool_idle_timeout: Duration,
    /// Idle connections kept per target (and worker); 0 turns reuse off.
    pub max_idle_per_target: usize,
    /// Bytes of one response head.
    pub max_head_bytes: usize,
    /// Header lines of one response head, up to 256.
    pub max_headers: usize,
    /// Bytes of the trailers after a chunked body (they are dropped).
    pub max_trailer_bytes: usize,
}

/// Sends requests and keeps connections; belongs to one thread, cloning it is cheap.
#[derive(Clone)]
pub struct Client {
    shared: Rc<Shared>,
}

/// What the exchanges of one client have in common.
pub(super) struct Shared {
    pub(super) pool: Rc<Pool>,
    pub(super) limits: DecodeLimits,
    /// Borrowed only within one poll, never across a wait.
    pub(super) scratch: RefCell<Box<[u8]>>,
    connector: Connector,
    _sweeper: Sweeper,
}

impl Client {
    /// A client without connections.
    ///
    /// # Panics
    /// Outside of a `LocalSet` (an actix worker is one): the task that closes idle connections is started on it.
    pub fn new(settings: &ClientSettings) -> Self {
        let pool = Pool::new(settings.pool_idle_timeout, settings.max_idle_per_target);
        let sweeper = Sweeper::start(&pool);
        let limits = DecodeLimits {
            head_bytes: settings.max_head_bytes,
            headers: settings.max_headers,
            trailer_bytes: settings.max_trailer_bytes,
        };
        let shared = Shared {
            pool,
            limits,
            scratch: RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice()),
            connector: Connector::new(settings.connect_timeout),
            _sweeper: sweeper,
        };
        Self { shared: Rc::new(shared) }
    }

    /// Sends a request and waits for the head of its response. There is no deadline but the one for connecting; dropping
    /// the future closes the connection.
    ///
    /// A request that meets a reused connection which fails before a byte of an answer is sent once more, on a fresh
    /// connection. A streamed body, which cannot be sent twice, gets a fresh connection to begin with.
    ///
    /// # Errors
    /// See [`SendError`]. `body` can be given to another attempt while it
    /// [is replayable](RequestBody::is_replayable).
    pub async fn send(
        &self,
        target: &Arc<Target>,
        head: &RequestHead,
        body: &mut RequestBody,
    ) -> Result<Response, SendError> {
        let mut reused = match body {
            RequestBody::Empty | RequestBody::Full(_) => self.shared.pool.take(target.id()),
            RequestBody::Stream(_) => None,
        };
        // One place for both tries: what waits for an answer is a large part of what a request holds.
        loop {
            let is_reused = reused.is_some();
            let io = match reused.take() {
                Some(io) => io,
                // In a box: nearly all requests find a connection.
                None => Box::pin(self.shared.connector.connect(target)).await?,
            };
            match exchange(&self.shared, target, io, is_reused, head, body).await {
                Ok(response) => return Ok(response),
                Err(failure) if !(is_reused && failure.stale) => return Err(failure.error),
                Err(failure) => {
                    tracing::debug!(
                        authority = target.authority(),
                        error = %failure.error,
                        "reused connection was stale, sending once more on a fresh one"
                    );
                }
            }
        }
    }

    /// Idle connections kept at the moment, of all targets.
    pub fn idle_connections(&self) -> usize {
        self.shared.pool.len()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("idle_connections", &self.idle_connections()).finish_non_exhaustive()
    }
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            pool_idle_timeout: Duration::from_secs(4),
            max_idle_per_target: 256,
            max_head_bytes: 64 * 1024,
            max_headers: 128,
            max_trailer_bytes: 16 * 1024,
        }
    }
}
