//! One image: its turn, its redirects, and its bytes.

use std::cell::Cell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderStringWriter;
use futures_util::StreamExt;
use http::header::{self, HeaderName};
use http::{Method, StatusCode};
use smallvec::{SmallVec, smallvec};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::image::{ImageType, TOLD_BY};
use super::link::Link;
use super::{FetchError, Fetched, Fetcher, guard};
use crate::upstream::{Addresses, BodyKind, RequestBody, RequestHead, Response, SendError, Target};

/// All that is sent. Some hosts refuse clients that do not say who they are.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::ACCEPT, "image/png, image/jpeg, image/webp, image/gif"),
    (header::ACCEPT_ENCODING, "identity"),
    (header::USER_AGENT, concat!("ollamaflow/", env!("CARGO_PKG_VERSION"))),
    (header::CONNECTION, "close"),
];

/// How much of a type that is not taken is told to the client.
const MAX_TOLD_CHARS: usize = 80;

// === impl Fetcher ===

impl Fetcher {
    /// Fetches an image when it is its turn. What it has of bytes is taken off `left`.
    pub(super) async fn fetch_within(&self, url: &str, left: &Cell<u64>) -> Result<Fetched, FetchError> {
        let limits = &self.media.limits;
        let link = Link::parse(url, limits)?;
        let host = link.host().to_owned();
        let deadline = Instant::now() + limits.timeout;
        let turn = timeout_at(deadline, Arc::clone(&self.media.running).acquire_owned()).await;
        let Ok(Ok(permit)) = turn else { return Err(FetchError::Busy) };
        // A lookup that hangs has its share in it until it is done.
        let permit = Arc::new(permit);
        timeout_at(deadline, self.follow(link, &permit, left))
            .await
            .unwrap_or(Err(FetchError::Timeout { host, after: limits.timeout }))
    }

    /// Asks one host after the other, until one of them has the image.
    async fn follow(
        &self,
        mut link: Link,
        permit: &Arc<OwnedSemaphorePermit>,
        left: &Cell<u64>,
    ) -> Result<Fetched, FetchError> {
        let limits = &self.media.limits;
        for _ in 0..=limits.redirects {
            let addresses = self.addresses(&link, permit).await?;
            let response = self.ask(&link, &addresses).await?;
            link = match redirection(&response) {
                Some(location) => link.follow(location, limits)?,
                None => return self.receive(&link, response, left).await,
            };
        }
        Err(FetchError::Redirects { host: link.host().to_owned(), maximum: limits.redirects })
    }

    /// Where the host is. These addresses were checked, and no others are connected to.
    async fn addresses(
        &self,
        link: &Link,
        permit: &Arc<OwnedSemaphorePermit>,
    ) -> Result<Addresses, FetchError> {
        let host = || link.host().to_owned();
        let addresses = match link.address() {
            Ok(address) => smallvec![SocketAddr::new(address, link.port())],
            Err(name) => {
                let found = self.machine.lookup(name, link.port(), Arc::clone(permit)).await;
                found.map_err(|error| {
                    tracing::debug!(host = link.host(), %error, "image was not fetched: no such host");
                    FetchError::NotPublic(host())
                })?
            }
        };
        if addresses.is_empty() || !guard::permits(&addresses, &self.media.limits) {
            tracing::debug!(host = link.host(), ?addresses, "image was not fetched: the host is not public");
            return Err(FetchError::NotPublic(host()));
        }
        Ok(addresses)
    }

    async fn ask(&self, link: &Link, addresses: &[SocketAddr]) -> Result<Response, FetchError> {
        let unusable = FetchError::Url("its host or path cannot be asked for");
        let tls = if link.is_https() { Some(self.machine.tls().await?) } else { None };
        let Ok(target) = Target::at(addresses, link.host(), link.port(), tls) else { return Err(unusable) };
        let Ok(head) = head(link) else { return Err(unusable) };
        self.client.send(&target, &head, &mut RequestBody::Empty).await.map_err(|error| {
            tracing::debug!(host = link.host(), %error, "image was not fetched");
            let host = link.host().to_owned();
            match error {
                SendError::Tls(_) => FetchError::Untrusted(host),
                error if error.is_connect() => FetchError::Unreachable(host),
                _ => FetchError::Broken(host),
            }
        })
    }

    /// Takes the image, as far as it is one.
    async fn receive(
        &self,
        link: &Link,
        mut response: Response,
        left: &Cell<u64>,
    ) -> Result<Fetched, FetchError> {
        let limits = &self.media.limits;
        let host = || link.host().to_owned();
        let kind = kind(link, &response)?;
        let lie = || FetchError::Lie { host: host(), said: kind.name() };
        let too_large = || FetchError::TooLarge { host: host(), maximum: limits.image_bytes };
        if matches!(response.body.kind(), BodyKind::Sized(length) if length > limits.image_bytes) {
            return Err(too_large());
        }
        let mut base64 = EncoderStringWriter::new(&STANDARD);
        let mut start = SmallVec::<[u8; TOLD_BY]>::new();
        let mut length = 0;
        while let Some(piece) = response.body.next().await {
            let piece = piece.map_err(|error| {
                tracing::debug!(host = link.host(), %error, "image was not fetched whole");
                FetchError::Broken(host())
            })?;
            length += piece.len() as u64;
            if length > limits.image_bytes {
                return Err(too_large());
            }
            let rest = left.get().checked_sub(piece.len() as u64);
            left.set(rest.ok_or(FetchError::TooLargeTogether { maximum: limits.request_bytes })?);
            if start.len() < TOLD_BY {
                start.extend(piece.iter().copied().take(TOLD_BY - start.len()));
                if start.len() == TOLD_BY && !kind.begins(&start) {
                    return Err(lie());
                }
            }
            base64.write_all(&piece).map_err(|_| FetchError::Broken(host()))?;
        }
        if start.len() < TOLD_BY {
            return Err(lie());
        }
        Ok(Fetched { base64: base64.into_inner(), media_type: kind.name() })
    }
}

fn head(link: &Link) -> Result<RequestHead, crate::upstream::InvalidHead> {
    let mut head = RequestHead::new(&Method::GET, link.path_and_query())?;
    for (name, value) in &HEADERS {
        head.header(name, value.as_bytes())?;
    }
    Ok(head)
}

/// Where the answer leads to, if it is elsewhere.
fn redirection(response: &Response) -> Option<&[u8]> {
    let leads_on = matches!(
        response.status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    value(response, &header::LOCATION).filter(|_| leads_on)
}

/// What the head of an answer says that it is.
fn kind(link: &Link, response: &Response) -> Result<ImageType, FetchError> {
    let host = || link.host().to_owned();
    if response.status != StatusCode::OK {
        return Err(FetchError::Status { host: host(), status: response.status.as_u16() });
    }
    let coding = value(response, &header::CONTENT_ENCODING).unwrap_or(b"identity");
    if !coding.eq_ignore_ascii_case(b"identity") {
        return Err(FetchError::Type { host: host(), what: "compressed".to_owned() });
    }
    let said = String::from_utf8_lossy(value(response, &header::CONTENT_TYPE).unwrap_or(b"nothing"));
    let what = || said.chars().take(MAX_TOLD_CHARS).collect();
    ImageType::named(&said).ok_or_else(|| FetchError::Type { host: host(), what: what() })
}

fn value<'r>(response: &'r Response, name: &HeaderName) -> Option<&'r [u8]> {
    response.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_bytes())
}
