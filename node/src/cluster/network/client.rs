//! The caller's side: seals a call, sends it, repeats it where that is safe, and believes sealed answers only.
//!
//! awc cannot leave its thread. So it has one of its own, to which calls go through a bounded queue.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use actix_http::error::ParseError;
use awc::body::SizedStream;
use awc::error::{ConnectError, SendRequestError};
use awc::http::{StatusCode, Uri};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot};

use super::call::{Call, MAX_ANSWER};
use super::connect;
use super::head::{HEAD, Head, Run, SEAL, parse_run};
use super::message::{CallError, Refusal, SharedPlace, Target};
use super::peers::{Lease, Peers};
use super::rejections::{Reason, Rejections};
use super::seal::{Digest, PeerSecret};
use super::tls::PeerTls;
use crate::cluster::codec;
use crate::random;

/// Calls that wait for the client's thread. It only begins them, so that they do not wait long.
const QUEUE: usize = 256;

/// How long a call goes on whose caller gave up. A connection that takes longer than a heartbeat to make must come to
/// be once, or each heartbeat would begin one and none would ever be used.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of a body that are handed to the connection at once, so that a long one leaves turns to other calls.
const PIECE: usize = 64 * 1024;

/// Calls other nodes. Clones share the connections; the thread ends with the last of them.
#[derive(Clone)]
pub struct PeerClient(mpsc::Sender<Job>);

struct Job {
    target: Target,
    call: Call,
    body: Bytes,
    answer: oneshot::Sender<Result<Vec<u8>, CallError>>,
}

/// What the client's thread has.
struct Courier {
    place: SharedPlace,
    secret: PeerSecret,
    rejections: Rejections,
    peers: Peers,
    scheme: &'static str,
    /// Sends on connections that are kept.
    kept: awc::Client,
    /// Sends on a new connection, because a kept one may be dead.
    fresh: awc::Client,
}

/// Why an attempt failed.
enum Failure {
    /// The call would fail again.
    Final(CallError),
    /// The connection broke before an answer came.
    Broken(String),
    /// The peer was told another run, or too low a counter, and has told its run.
    Renewed,
}

// === impl PeerClient ===

impl PeerClient {
    /// Starts the client's thread.
    ///
    /// # Errors
    /// The thread or its random numbers cannot be had.
    pub fn start(
        place: SharedPlace,
        secret: PeerSecret,
        tls: Option<PeerTls>,
        rejections: Rejections,
    ) -> io::Result<Self> {
        let run = random_run()?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let work = move || {
            let runtime = match actix_rt::Runtime::new() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            drop(started.send(Ok(())));
            runtime.block_on(carry(queue, || Courier::new(place, secret, tls, rejections, run)));
        };
        std::thread::Builder::new().name("peer-client".to_owned()).spawn(work)?;
        start.recv().map_err(io::Error::other)??;
        Ok(Self(jobs))
    }

    /// Makes a call and waits for its answer, `timeout` at most.
    ///
    /// A call whose connection breaks is sent once more, but for [those](Call::is_sent_again) whose callers must know.
    /// If this future is dropped the call is not taken back.
    pub async fn call(
        &self,
        to: &Target,
        call: Call,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let bytes = body.len() as u64;
        if bytes > call.max_body() {
            return Err(CallError::Refused(Refusal::TooLarge { bytes, limit: call.max_body() }));
        }
        let (answer, answered) = oneshot::channel();
        let job = Job { target: to.clone(), call, body: body.into(), answer };
        let exchange = async {
            let gone = || CallError::Unreachable("the client's thread has ended".to_owned());
            self.0.send(job).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(CallError::Timeout))
    }
}

/// The work of the client's thread: begins the calls as they come.
async fn carry(mut queue: mpsc::Receiver<Job>, courier: impl FnOnce() -> Courier) {
    // awc wants to be made where it is used.
    let courier = Rc::new(courier());
    while let Some(job) = queue.recv().await {
        actix_rt::spawn(Rc::clone(&courier).deliver(job));
    }
}

// === impl Courier ===

impl Courier {
    fn new(
        place: SharedPlace,
        secret: PeerSecret,
        tls: Option<PeerTls>,
        rejections: Rejections,
        run: Run,
    ) -> Self {
        let tls = tls.map(|tls| tls.client());
        Self {
            place,
            secret,
            rejections,
            peers: Peers::new(run),
            scheme: if tls.is_some() { "https" } else { "http" },
            kept: connect::client(tls.clone(), true),
            fresh: connect::client(tls, false),
        }
    }

    async fn deliver(self: Rc<Self>, job: Job) {
        let Job { target, call, body, mut answer } = job;
        let outcome = tokio::select! {
            biased;
            outcome = self.exchange(&target, call, &body) => outcome,
            () = lingered(&mut answer) => return,
        };
        // Who gave up does not miss it.
        let _ = answer.send(outcome);
    }

    async fn exchange(&self, target: &Target, call: Call, body: &Bytes) -> Result<Vec<u8>, CallError> {
        let uri = self.uri(target, call)?;
        let lease = self.peers.lease(&target.address, call);
        let lease = lease.map_err(|error| CallError::Unreachable(error.to_string()))?;
        let digest = Digest::of(body).await;
        let (mut on_fresh, mut renewed) = (false, false);
        loop {
            let sent = self.send(&uri, &lease, target, call, body, digest, on_fresh).await;
            match sent {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Broken(_)) if !on_fresh && call.is_sent_again() => on_fresh = true,
                Err(Failure::Broken(reason)) => return Err(CallError::Unreachable(reason)),
                Err(Failure::Renewed) if !renewed => renewed = true,
                Err(Failure::Renewed) => {
                    let reason = "the peer was restarted twice during the call";
                    return Err(CallError::Unreachable(reason.to_owned()));
                }
            }
        }
    }

    /// One attempt, with a counter of its own.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the call, and what was made of it once for all attempts"
    )]
    async fn send(
        &self,
        uri: &Uri,
        lease: &Lease,
        target: &Target,
        call: Call,
        body: &Bytes,
        digest: Digest,
        on_fresh: bool,
    ) -> Result<Vec<u8>, Failure> {
        let head = self.head(lease, target, body, digest).to_string();
        let seal = self.secret.of_request(call, &head);
        let client = if on_fresh { &self.fresh } else { &self.kept };
        let mut request =
            client.post(uri).no_decompress().insert_header((HEAD, head)).insert_header((SEAL, seal.to_hex()));
        if on_fresh {
            request = request.force_close();
        }
        let mut response = request.send_body(in_pieces(body.clone())).await?;

        let status = response.status();
        let claimed = response.headers().get(SEAL).cloned();
        let answer = response.body().limit(MAX_ANSWER).await.map_err(|error| {
            Failure::Final(CallError::Unreachable(format!("the answer broke off: {error}")))
        })?;
        let expected = self.secret.of_answer(&seal, status.as_u16(), &Digest::of(&answer).await);
        match claimed {
            Some(claimed) if expected.is(claimed.as_bytes()) => read(status, answer, lease),
            None if status == StatusCode::FORBIDDEN && answer.is_empty() => {
                Err(Failure::Final(CallError::Refused(Refusal::Unproven)))
            }
            _ => {
                self.rejections.add(Reason::Seal);
                let reason = "it is not sealed with the cluster's secret".to_owned();
                Err(Failure::Final(CallError::Malformed(reason)))
            }
        }
    }

    fn head(&self, lease: &Lease, target: &Target, body: &Bytes, digest: Digest) -> Head {
        let place = self.place.load();
        Head {
            cluster: place.cluster.clone(),
            from: place.node,
            to: target.node,
            sender: lease.sender(),
            receiver: lease.receiver(),
            counter: lease.count(),
            length: body.len() as u64,
            digest,
        }
    }

    fn uri(&self, target: &Target, call: Call) -> Result<Uri, CallError> {
        let address = target.address.as_str();
        format!("{}://{address}{}", self.scheme, call.path())
            .parse::<Uri>()
            .ok()
            // Nothing of the address may have become another part of the URL.
            .filter(|uri| uri.path() == call.path() && uri.port().is_some())
            .filter(|uri| !address.contains('@') && uri.query().is_none())
            .ok_or_else(|| CallError::Unreachable(format!("{address:?} is not a host and a port")))
    }
}

/// Reads an answer whose seal is good.
fn read(status: StatusCode, answer: Bytes, lease: &Lease) -> Result<Vec<u8>, Failure> {
    let unreadable = || Failure::Final(CallError::Malformed("its version is unknown".to_owned()));
    match status {
        StatusCode::OK => Ok(answer.into()),
        StatusCode::CONFLICT => {
            let run = std::str::from_utf8(&answer).ok().and_then(parse_run).ok_or_else(unreadable)?;
            lease.learn(run);
            Err(Failure::Renewed)
        }
        StatusCode::FORBIDDEN => {
            let refusal = codec::decode(&answer).map_err(|_| unreadable())?;
            Err(Failure::Final(CallError::Refused(refusal)))
        }
        _ => Err(unreadable()),
    }
}

fn in_pieces(body: Bytes) -> SizedStream<impl futures_util::Stream<Item = Result<Bytes, io::Error>>> {
    let length = body.len() as u64;
    let pieces = stream::iter((0..body.len()).step_by(PIECE).map(move |start| {
        let end = (start + PIECE).min(body.len());
        Ok(body.slice(start..end))
    }));
    SizedStream::new(length, pieces)
}

/// Ends a while after the caller gave up.
async fn lingered(answer: &mut oneshot::Sender<Result<Vec<u8>, CallError>>) {
    answer.closed().await;
    actix_rt::time::sleep(LINGER).await;
}

/// A run that no process ever had, but with a chance of 2^-128.
pub(super) fn random_run() -> io::Result<Run> {
    Ok(random::number()?.max(1))
}

// === impl Failure ===

impl From<SendRequestError> for Failure {
    fn from(error: SendRequestError) -> Self {
        match error {
            SendRequestError::Connect(ConnectError::Disconnected)
            | SendRequestError::Response(ParseError::Io(_) | ParseError::Incomplete)
            | SendRequestError::Send(_) => Self::Broken("the connection broke".to_owned()),
            SendRequestError::Response(error) => Self::Final(CallError::Malformed(error.to_string())),
            other => Self::Final(CallError::Unreachable(other.to_string())),
        }
    }
}
