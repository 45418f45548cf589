//! Images that requests name by URL, for backends that take none by URL: fetched, checked, and handed on as base64.
//!
//! A URL comes from a client and is fetched from inside the operator's network, so a [`Fetcher`] goes to the public internet
//! only. What a URL may say is in `link`, which addresses may be connected to in `guard`. A name is resolved once, all
//! its addresses are checked, and a connection goes to one of these; each redirect begins anew. Nothing of the client's
//! request is sent along, nothing is kept, and no proxy of the environment is used. Everything is bounded by [`Limits`].

mod fetch;
mod guard;
mod image;
mod link;
mod machine;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::machine::Machine;
use crate::upstream::{Client, ClientSettings, TlsError};

/// Bytes of one response head. Real ones with long policies in them have a few thousand.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Header lines of one response.
const MAX_HEADERS: usize = 128;

/// What may be fetched, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one image.
    pub image_bytes: u64,
    /// Images of one request.
    pub images: usize,
    /// Bytes of all images of one request together.
    pub request_bytes: u64,
    /// How long one image may take, the wait for its turn and all redirects included.
    pub timeout: Duration,
    /// How long all images of one request may take.
    pub request_timeout: Duration,
    /// Redirects that are followed for one image.
    pub redirects: usize,
    /// Fetches of one node that run at once.
    pub concurrent: usize,
    /// Fetches of one request that run at once, so that no request takes all.
    pub concurrent_per_request: usize,
    /// Ports that may be connected to.
    pub ports: Vec<u16>,
    /// Networks that may be connected to although they are not the public internet.
    pub allowed_networks: Vec<IpNet>,
}

/// What all fetchers of a node have in common: the limits, and how many fetches run.
#[derive(Debug)]
pub struct Media {
    limits: Limits,
    running: Arc<Semaphore>,
}

/// Fetches images. One for each worker thread, made on that thread; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Fetcher {
    media: Arc<Media>,
    client: Client,
    machine: Machine,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes in base64, with padding.
    pub base64: String,
    /// What it is, by its header and its first bytes alike: `image/png`, `image/jpeg`, `image/webp` or `image/gif`.
    pub media_type: &'static str,
}

/// Why not all images of a request were fetched.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotFetched {
    /// The place of the one that was not among those asked for, if one alone is to blame.
    pub which: Option<usize>,
    /// Why.
    #[source]
    pub error: FetchError,
}

impl From<FetchError> for NotFetched {
    fn from(error: FetchError) -> Self {
        Self { which: None, error }
    }
}

/// Why an image was not fetched, in words for the client. They tell nothing about networks that are not public.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// More images than [`Limits::images`].
    #[error("the request names more than {maximum} images by URL")]
    TooMany {
        /// The limit.
        maximum: usize,
    },
    /// It is no URL, or none that names a host.
    #[error("an image URL is no proper URL: {0}")]
    Url(&'static str),
    /// Neither `http` nor `https`.
    #[error("images are fetched by http and https only")]
    Scheme,
    /// A name or password stands before the host.
    #[error("an image URL must not carry a user name or password")]
    UserInfo,
    /// A port that is not in [`Limits::ports`].
    #[error("images are not fetched from port {0}")]
    Port(u16),
    /// The name has no address, or not only addresses on the public internet. Which of both is nobody's business: it
    /// would tell what names there are inside.
    #[error("the image host '{0}' is not known on the public internet")]
    NotPublic(String),
    /// No address of the host took the connection.
    #[error("the image host '{0}' cannot be reached")]
    Unreachable(String),
    /// The host did not prove who it is.
    #[error("no trusted TLS connection to the image host '{0}' is possible")]
    Untrusted(String),
    /// More redirects than [`Limits::redirects`].
    #[error("the image host '{host}' redirects more than {maximum} times")]
    Redirects {
        /// The last one.
        host: String,
        /// The limit.
        maximum: usize,
    },
    /// Anything but 200.
    #[error("the image host '{host}' answered with status {status}")]
    Status {
        /// Who answered.
        host: String,
        /// Its status.
        status: u16,
    },
    /// The answer is said to be something else than an image that is known here, or is compressed.
    #[error("what '{host}' sent is said to be {what}: not image/png, image/jpeg, image/webp or image/gif")]
    Type {
        /// Who sent it.
        host: String,
        /// What it is said to be.
        what: String,
    },
    /// It is said to be an image, but begins differently.
    #[error("what '{host}' sent is no {said}, though it is said to be")]
    Lie {
        /// Who sent it.
        host: String,
        /// What it is said to be.
        said: &'static str,
    },
    /// It is larger than [`Limits::image_bytes`].
    #[error("the image from '{host}' is larger than {maximum} bytes")]
    TooLarge {
        /// Who sent it.
        host: String,
        /// The limit.
        maximum: u64,
    },
    /// All images are larger than [`Limits::request_bytes`].
    #[error("the images of the request are larger than {maximum} bytes together")]
    TooLargeTogether {
        /// The limit.
        maximum: u64,
    },
    /// The connection failed, or the answer is no proper HTTP or not whole.
    #[error("the image from '{0}' did not arrive whole")]
    Broken(String),
    /// [`Limits::timeout`] is over.
    #[error("the image from '{host}' did not arrive within {after:?}")]
    Timeout {
        /// Who was asked.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// [`Limits::request_timeout`] is over.
    #[error("the images of the request did not arrive within {after:?}")]
    TimeoutTogether {
        /// The limit.
        after: Duration,
    },
    /// Too many others are fetched. Not the client's fault.
    #[error("this node fetches too many images at the moment")]
    Busy,
    /// The node cannot speak TLS. Not the client's fault.
    #[error("this node cannot fetch images by https: {0}")]
    Tls(#[from] TlsError),
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            image_bytes: 10 * 1024 * 1024,
            images: 100,
            request_bytes: 64 * 1024 * 1024,
            timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            redirects: 3,
            concurrent: 16,
            concurrent_per_request: 4,
            ports: vec![80, 443],
            allowed_networks: Vec::new(),
        }
    }
}

// === impl Media ===

impl Media {
    /// With nothing running yet. One for a node.
    pub fn new(limits: Limits) -> Arc<Self> {
        let running = Arc::new(Semaphore::new(limits.concurrent));
        Arc::new(Self { limits, running })
    }
}

// === impl Fetcher ===

impl Fetcher {
    /// A fetcher without connections; it keeps none.
    ///
    /// # Panics
    /// Outside of a `LocalSet`, as [`Client::new`] does.
    pub fn new(media: Arc<Media>) -> Self {
        let client = Client::new(&ClientSettings {
            connect_timeout: media.limits.timeout,
            max_idle_per_target: 0,
            max_head_bytes: MAX_HEAD_BYTES,
            max_headers: MAX_HEADERS,
            ..ClientSettings::default()
        });
        Self { media, client, machine: Machine::default() }
    }

    /// Fetches one image. Dropping the future ends it at once.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(&self, url: &str) -> Result<Fetched, FetchError> {
        self.fetch_within(url, &Cell::new(self.media.limits.request_bytes)).await
    }

    /// Fetches all images of a request, in their order. The first that fails fails all.
    ///
    /// # Errors
    /// See [`FetchError`], and which image it was.
    pub async fn fetch_all(&self, urls: &[impl AsRef<str>]) -> Result<Vec<Fetched>, NotFetched> {
        let limits = &self.media.limits;
        if urls.len() > limits.images {
            return Err(FetchError::TooMany { maximum: limits.images }.into());
        }
        let left = Cell::new(limits.request_bytes);
        let left = &left;
        let fetches = urls.iter().enumerate().map(|(index, url)| async move {
            let fetched = self.fetch_within(url.as_ref(), left).await;
            fetched.map_err(|error| NotFetched { which: Some(index), error })
        });
        let all = stream::iter(fetches).buffered(limits.concurrent_per_request).try_collect();
        let after = limits.request_timeout;
        timeout(after, all).await.unwrap_or_else(|_| Err(FetchError::TimeoutTogether { after }.into()))
    }
}
