//! The request body: decoded, read within the frontend's bounds, pinned properties merged in, kept small or passed on.

mod decoding;

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use ollamaflow_protocol::inspect::{RequestFacts, inspect, inspect_with_prefix};
use ollamaflow_protocol::json::{PinError, merge_pins};
use ollamaflow_protocol::object::{Backend, Frontend, LoadBalancing};
use ollamaflow_protocol::route::{Kind, Operation};
use ollamaflow_protocol::translate::{Native, Request};
use serde_json::{Map, Value};
use tokio::task::yield_now;

use self::decoding::{Coding, Decoding, Step};
use super::GatewaySettings;
use super::ingress::Admitted;
use super::journal;
use super::keyed;
use super::manage;
use super::naming;
use super::patience::{Progress, within};
use super::refusal::Refusal;
use crate::clock;
use crate::listener::Connection;
use crate::telemetry::Excerpt;
use crate::upstream::{BodySourceError, RequestBody};

pub(super) use self::decoding::{ACCEPTED_CODINGS, is_decoded};

/// Bodies up to this size are kept until the first byte of the answer, so that another backend can be tried.
/// Larger ones (blobs, mostly) stream through.
const KEPT_BYTES: usize = 1024 * 1024;

/// A body that pins are merged into is held whole, so it has a bound of its own: enough for a request with many
/// images.
const PINNED_BYTES: u64 = 64 * 1024 * 1024;

/// A body slower than this on average, past one read timeout, is a stalled client: bytes per second.
const MIN_RATE: u64 = 1024;

/// A request body, and what routing needs to know of it.
pub(super) struct Received {
    pub(super) body: Intake,
    pub(super) facts: RequestFacts,
}

/// A request body, ready to be sent.
pub(super) enum Intake {
    /// Whole, in memory; can be sent again.
    Kept(Bytes),
    /// Whole, but too large to be held for a retry: pins had to be merged into it.
    Once(Bytes),
    /// Still arriving; with its beginning, if that may be wanted in the log.
    Streaming(RequestBody, Progress, Option<Box<Excerpt>>),
}

// === impl Intake ===

impl Intake {
    /// All of the body, if it is there.
    pub(super) fn whole_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            Self::Kept(bytes) | Self::Once(bytes) => Some(bytes),
            Self::Streaming(..) => None,
        }
    }
}

/// Reads the body as far as it has to be read before a backend can be chosen.
pub(super) async fn read(
    request: &HttpRequest,
    payload: Payload,
    admitted: &Admitted,
    settings: &GatewaySettings,
) -> Result<Received, Refusal> {
    let operation = admitted.operation;
    let inspect = match admitted.config.load_balancing {
        LoadBalancing::PrefixAffinity => inspect_with_prefix,
        _ => inspect,
    };
    let whole = |body: Intake| {
        let facts = match &body {
            Intake::Kept(bytes) | Intake::Once(bytes) => inspect(operation, bytes),
            Intake::Streaming(..) => RequestFacts::default(),
        };
        Received { body, facts }
    };
    let pinned = must_be_whole(admitted);
    let largest = if pinned { PINNED_BYTES } else { u64::MAX };
    let maximum = admitted.config.max_request_body_size.min(largest);
    let declared = declared_length(request)?;
    if declared.is_some_and(|length| length > maximum) {
        return Err(Refusal::TooLarge { maximum });
    }
    let has_body = declared.is_some_and(|length| length > 0)
        || request.headers().contains_key(header::TRANSFER_ENCODING);
    if !has_body {
        return Ok(whole(Intake::Kept(Bytes::new())));
    }
    let decoding = decoding(request, operation)?;
    Connection::passed_on(request).await;
    // What is decoded has another length.
    let declared = declared.filter(|_| decoding.is_none());
    let pace = Pace { start: None, timeout: settings.read_timeout };
    let mut source = Source { payload, pace, received: 0, maximum, decoding, decoded: 0 };
    let mut all = pinned || declared.is_some_and(|n| n <= KEPT_BYTES as u64);
    let Some(first) = source.next().await.transpose()? else { return Ok(whole(Intake::Kept(Bytes::new()))) };
    // The usual case: the whole body came with the head, in one piece that needs no copy.
    if declared == Some(first.len() as u64) && first.len() <= KEPT_BYTES {
        return Ok(whole(Intake::Kept(first)));
    }
    let mut read = BytesMut::with_capacity(capacity(declared, all).max(first.len()));
    read.extend_from_slice(&first);
    drop(first);
    let mut facts = RequestFacts::default();
    // How much there must be before the rest may stream through.
    let mut enough = KEPT_BYTES;
    while all || read.len() <= enough {
        let Some(piece) = source.next().await.transpose()? else {
            let body = read.freeze();
            return Ok(whole(if body.len() <= KEPT_BYTES { Intake::Kept(body) } else { Intake::Once(body) }));
        };
        read.extend_from_slice(&piece);
        if !all && read.len() > enough && operation.kind() != Kind::Other {
            // The model decides who may get the request: it is looked for ever further behind long prompts.
            facts = inspect(operation, &read);
            if facts.model.is_none() && read.len() as u64 <= PINNED_BYTES {
                enough = read.len() * 2;
            } else if naming::is_renamed(operation, &admitted.config, facts.model.as_deref()) {
                // Another name is to be put into it.
                all = true;
                source.maximum = maximum.min(PINNED_BYTES);
                if declared.unwrap_or(0).max(read.len() as u64) > source.maximum {
                    return Err(Refusal::TooLarge { maximum: source.maximum });
                }
            }
        }
    }
    let shown = journal::start_of(admitted, &read);
    let start = stream::once(std::future::ready(Ok(read.freeze())));
    let progress = Progress::start();
    let rest = stream::unfold((source, progress.clone()), |(mut source, progress)| async move {
        progress.await_client();
        let piece = source.next().await;
        progress.await_backend();
        Some((piece?.map_err(|refusal| BodySourceError::from(Stalled(refusal))), (source, progress)))
    });
    let body = Intake::Streaming(RequestBody::stream(declared, start.chain(rest)), progress, shown);
    Ok(Received { body, facts })
}

/// The pins that apply, frontend's first; the backend's win.
pub(super) fn pins<'a>(
    operation: Operation,
    frontend: &'a Frontend,
    backend: &'a Backend,
) -> [&'a Map<String, Value>; 2] {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    match operation.kind() {
        Kind::Embeddings => [&frontend.pinned_embeddings_properties, &backend.pinned_embeddings_properties],
        Kind::Completions => {
            [&frontend.pinned_completions_properties, &backend.pinned_completions_properties]
        }
        Kind::Other => [&NONE, &NONE],
    }
}

/// The body with these pins in it.
pub(super) fn merged(body: &Bytes, pins: &[&Map<String, Value>]) -> Result<Bytes, PinError> {
    Ok(match merge_pins(body, pins)? {
        Cow::Borrowed(_) => body.clone(),
        Cow::Owned(merged) => Bytes::from(merged),
    })
}

/// The refusal that ended a streamed body, if that is what it was.
pub(super) fn refusal_of(error: BodySourceError) -> Refusal {
    match error.downcast::<Stalled>() {
        Ok(stalled) => (*stalled).0,
        Err(_) => Refusal::BodyBroken,
    }
}

/// Carries a refusal through the upstream client, which does not know refusals.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Stalled(Refusal);

/// Whether a backend that may be chosen needs all of the body before it is sent: it merges pins into it, or speaks (or may
/// turn out to speak) another API. Or what the request asks for is not found out otherwise.
fn must_be_whole(admitted: &Admitted) -> bool {
    let (operation, config) = (admitted.operation, &admitted.config);
    if operation == Operation::AnthropicCountTokens
        || manage::is_read_whole(operation)
        || keyed::must_be_whole(admitted)
        || (operation.kind() == Kind::Other && naming::is_possible(operation, config))
    {
        return true;
    }
    admitted.frontend.view().backends().any(|(backend, view)| {
        pins(operation, config, &view.config).iter().any(|pins| !pins.is_empty())
            || (Request::is_translatable(operation, view.config.api_format)
                && backend.native(&view, operation) != Native::Yes)
    })
}

/// How much to reserve; a declared length is only believed up to what is kept anyway.
fn capacity(declared: Option<u64>, whole: bool) -> usize {
    let declared = usize::try_from(declared.unwrap_or(0)).unwrap_or(usize::MAX);
    if whole { declared.min(16 * KEPT_BYTES) } else { declared.min(KEPT_BYTES) }
}

/// What takes the body out of its coding, if it has one.
fn decoding(request: &HttpRequest, operation: Operation) -> Result<Option<Box<Decoding>>, Refusal> {
    if !is_decoded(operation) {
        return Ok(None);
    }
    let coding = Coding::of(request.headers())?;
    coding.map(|coding| Decoding::begin(coding).map(Box::new)).transpose()
}

fn declared_length(request: &HttpRequest) -> Result<Option<u64>, Refusal> {
    let Some(value) = request.headers().get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.trim_ascii().parse().ok());
    length.map(Some).ok_or(Refusal::BodyBroken)
}

/// The pieces of a body, bounded in size and time.
struct Source {
    payload: Payload,
    pace: Pace,
    /// Bytes that have arrived.
    received: u64,
    /// Largest body, before and after it is decoded.
    maximum: u64,
    /// There if the body has a coding.
    decoding: Option<Box<Decoding>>,
    /// Bytes that came out of the coding.
    decoded: u64,
}

/// How long the next piece may take.
struct Pace {
    /// When it was first waited for; none before that.
    start: Option<Instant>,
    timeout: Duration,
}

// === impl Source ===

impl Source {
    /// The next piece, decoded.
    async fn next(&mut self) -> Option<Result<Bytes, Refusal>> {
        if self.decoding.is_none() {
            return self.arrived().await;
        }
        self.decoded().await.transpose()
    }

    /// The next piece that comes out of the coding.
    async fn decoded(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let Some(decoding) = &mut self.decoding else { return Ok(None) };
            match decoding.step()? {
                Step::Piece(piece) => {
                    self.decoded += piece.len() as u64;
                    if self.decoded > self.maximum {
                        return Err(Refusal::TooLarge { maximum: self.maximum });
                    }
                    // What has arrived may unfold for long: others get their turn after each piece.
                    yield_now().await;
                    return Ok(Some(piece));
                }
                Step::Complete => return Ok(None),
                Step::Starved => {}
            }
            let arrived = self.arrived().await.transpose()?;
            let Some(decoding) = &mut self.decoding else { return Ok(None) };
            match arrived {
                Some(bytes) => decoding.feed(bytes),
                // No body at all, in whatever coding.
                None if self.received == 0 => return Ok(None),
                None => decoding.end(),
            }
        }
    }

    /// The next piece as it arrives.
    async fn arrived(&mut self) -> Option<Result<Bytes, Refusal>> {
        let pause = self.pace.pause(self.received);
        let Some(piece) = within(Some(pause), self.payload.next()).await else {
            return Some(Err(Refusal::BodyTimeout));
        };
        Some(match piece? {
            Ok(bytes) => {
                self.received += bytes.len() as u64;
                if self.received > self.maximum {
                    Err(Refusal::TooLarge { maximum: self.maximum })
                } else {
                    Ok(bytes)
                }
            }
            Err(_) => Err(Refusal::BodyBroken),
        })
    }
}

// === impl Pace ===

impl Pace {
    /// The pause is bounded, and so is the average rate: a client that trickles single bytes is cut too.
    fn pause(&mut self, received: u64) -> Duration {
        let Some(start) = self.start else {
            self.start = Some(clock::turn());
            return self.timeout;
        };
        let allowed = self.timeout.saturating_add(Duration::from_secs(received / MIN_RATE));
        self.timeout.min(allowed.saturating_sub(clock::since(start)))
    }
}
