//! The thread that sends spans: it gathers what has come, and gives it to the collector, which may take its time.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_rt::time::sleep;
use awc::http::StatusCode;
use awc::{Client, Connector};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{mpsc, watch};

use super::message;
use super::span::Trace;
use crate::settings::Tracing;

/// How long spans are gathered before they are sent.
const LINGER: Duration = Duration::from_millis(500);

/// Requests whose spans go in one message. Each has a few, so a message stays far below the usual limit of 4 MiB.
const MAX_BATCH: usize = 512;

/// Pauses between attempts to send a message that the collector could not take. The last failure loses it.
const RETRIES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How long the sending may go on when the node stops.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// Time between two lines that tell of a collector that does not take spans.
const COMPLAINT: Duration = Duration::from_secs(60);

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) exported: AtomicU64,
    /// They came faster than they could be sent.
    pub(super) full: AtomicU64,
    /// The collector did not take them.
    pub(super) failed: AtomicU64,
}

/// What the thread works with.
pub(super) struct Exporter {
    pub(super) url: String,
    pub(super) settings: Tracing,
    pub(super) queue: mpsc::Receiver<Trace>,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) counts: Arc<Counts>,
}

/// Why a message did not get through.
struct Failure {
    why: String,
    /// Whether it makes sense to send it again.
    is_transient: bool,
}

// === impl Exporter ===

impl Exporter {
    /// Sends until the node stops, and then what is left.
    pub(super) async fn run(mut self) {
        let client = match self.client() {
            Ok(client) => Some(client),
            Err(error) => {
                tracing::error!(%error, "spans cannot be sent: TLS cannot be set up");
                None
            }
        };
        let mut complaint = None;
        let mut traces = Vec::with_capacity(MAX_BATCH);
        loop {
            // Nobody who ends a request has to wake this thread while it waits here.
            let is_closing = self.unless_closing(sleep(LINGER)).await.is_none();
            if is_closing {
                self.queue.close();
            }
            while self.take(&mut traces) {
                self.send(client.as_ref(), std::mem::take(&mut traces), &mut complaint).await;
            }
            if is_closing || self.queue.is_closed() {
                return;
            }
        }
    }

    fn take(&mut self, traces: &mut Vec<Trace>) -> bool {
        while traces.len() < MAX_BATCH
            && let Ok(trace) = self.queue.try_recv()
        {
            traces.push(trace);
        }
        !traces.is_empty()
    }

    /// Sends a message, more than once if need be.
    async fn send(&self, client: Option<&Client>, traces: Vec<Trace>, complaint: &mut Option<Instant>) {
        let spans: usize = traces.iter().map(|trace| trace.spans.len()).sum();
        let message = bytes::Bytes::from(message::encode(&self.settings.service_name, traces));
        let mut pauses = RETRIES.iter();
        let failure = loop {
            let Some(client) = client else { break "TLS cannot be set up".to_owned() };
            match self.post(client, message.clone()).await {
                Ok(()) => {
                    self.counts.exported.fetch_add(spans as u64, Ordering::Relaxed);
                    return;
                }
                Err(failure) => match pauses.next() {
                    Some(pause)
                        if failure.is_transient && self.unless_closing(sleep(*pause)).await.is_some() => {}
                    _ => break failure.why,
                },
            }
        };
        self.counts.failed.fetch_add(spans as u64, Ordering::Relaxed);
        if complaint.is_none_or(|last| last.elapsed() >= COMPLAINT) {
            *complaint = Some(Instant::now());
            tracing::warn!(
                url = self.url,
                reason = failure,
                spans,
                "spans are lost: the collector did not take them"
            );
        }
    }

    async fn post(&self, client: &Client, message: bytes::Bytes) -> Result<(), Failure> {
        let mut request = client.post(&self.url).insert_header(("content-type", "application/x-protobuf"));
        for (name, value) in &self.settings.headers {
            request = request.insert_header((name.as_str(), value.expose()));
        }
        let answered = async {
            let mut answer = request.send_body(message).await.map_err(|error| error.to_string())?;
            // Read, so that the connection can be used again.
            let _ = answer.body().limit(64 * 1024).await;
            Ok::<_, String>(answer.status())
        };
        match self.while_allowed(answered).await {
            Some(Ok(status)) if status.is_success() => Ok(()),
            Some(Ok(status)) => Err(Failure {
                why: format!("it answered {status}"),
                // Those that the specification of OTLP calls retryable.
                is_transient: matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS
                        | StatusCode::BAD_GATEWAY
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT
                ),
            }),
            Some(Err(why)) => Err(Failure { why, is_transient: true }),
            None => Err(Failure { why: "the node stops".to_owned(), is_transient: false }),
        }
    }

    /// Awaits `work`; none if the node stops before it is done.
    async fn unless_closing<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut closing = self.closing.clone();
        tokio::select! {
            done = work => Some(done),
            // Without its other end nobody will have spans any more, either.
            _ = closing.wait_for(|closing| *closing) => None,
        }
    }

    /// The same with a little time left when the node stops.
    async fn while_allowed<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut closing = self.closing.clone();
        let end = async {
            let _ = closing.wait_for(|closing| *closing).await;
            sleep(LAST_WORDS / 2).await;
        };
        tokio::select! {
            done = work => Some(done),
            () = end => None,
        }
    }

    fn client(&self) -> Result<Client, rustls::Error> {
        let timeout = self.settings.timeout();
        let mut connector = Connector::new().timeout(timeout);
        if self.url.starts_with("https:") {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            connector = connector.rustls_0_23(Arc::new(config));
        }
        Ok(Client::builder().connector(connector).disable_redirects().timeout(timeout).finish())
    }
}

/// Starts the thread. What it returns is closed when the thread has ended.
pub(super) fn start(exporter: Exporter) -> io::Result<std::sync::mpsc::Receiver<()>> {
    let (ending, ended) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("traces".to_owned()).spawn(move || {
        let _ending = ending;
        match actix_rt::Runtime::new() {
            Ok(runtime) => runtime.block_on(exporter.run()),
            Err(error) => tracing::error!(%error, "spans cannot be sent: there is no runtime for that"),
        }
    })?;
    Ok(ended)
}
