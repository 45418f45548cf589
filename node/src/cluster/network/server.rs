//! The listener for peers: hands calls that prove themselves to the service, and tells all others nothing.
//!
//! One worker serves it, whatever the other listeners do. A request is judged by its head; only then is its body read.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::{Method, StatusCode};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::call::{Call, MAX_ANSWER};
use super::client::random_run;
use super::head::{HEAD, Head, SEAL, format_run};
use super::message::{Incoming, Place, Refusal, Service, SharedPlace};
use super::rejections::{Reason, Rejections};
use super::replay::{Freshness, Replays};
use super::seal::{Digest, Digesting, PeerSecret, Seal};
use super::tls::PeerTls;
use crate::cluster::codec;

/// Connections that are served. Each peer has a few; more wait in the backlog.
const MAX_CONNECTIONS: usize = 1024;

/// Longest wait for the head of a connection's first request, and for its TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for the next bytes of a body.
const PIECE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for a whole body, also if it is thrown away: 64 MiB at 10 Mbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an unused connection is kept; longer than the client keeps it, so that the client closes.
const KEEP: Duration = Duration::from_secs(75);

/// What is read of an unproven request's body and thrown away, in bytes and time. Closing a connection with unread
/// bytes resets it, and its client would often lose the answer.
const COURTESY: (u64, Duration) = (64 * 1024, Duration::from_secs(1));

/// Serves calls on `listener` until the server is stopped. Nothing happens before the server is polled.
///
/// # Errors
/// The listener or random numbers cannot be used.
pub fn serve(
    listener: TcpListener,
    service: Arc<dyn Service>,
    place: SharedPlace,
    secret: PeerSecret,
    tls: Option<PeerTls>,
    rejections: Rejections,
) -> io::Result<Server> {
    let replays = Mutex::new(Replays::new(random_run()?));
    let gate = web::Data::new(Gate { service, place, secret, rejections, replays });
    let server = HttpServer::new(move || App::new().app_data(gate.clone()).default_service(web::to(receive)))
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        .client_request_timeout(HEAD_TIMEOUT)
        .tls_handshake_timeout(HEAD_TIMEOUT)
        .keep_alive(KEEP)
        .tcp_nodelay(true)
        .h1_allow_half_closed(false)
        .disable_signals();
    let server = match tls {
        None => server.listen(listener)?,
        Some(tls) => server.listen_rustls_0_23(listener, tls.server())?,
    };
    Ok(server.run())
}

/// What requests must pass.
struct Gate {
    service: Arc<dyn Service>,
    place: SharedPlace,
    secret: PeerSecret,
    rejections: Rejections,
    replays: Mutex<Replays>,
}

/// What is to be done with a request, by its head.
enum Verdict {
    /// It proves nothing.
    Unproven,
    /// It is proven; the caller is to repeat it for this run.
    Repeat(Seal, Call, String),
    /// It is proven, but not for this node.
    Refuse(Seal, Call, Refusal),
    /// It is proven, and taken.
    Take(Seal, Call, Head),
}

/// Why there is no body.
enum Unread {
    /// It is not what was sealed.
    Altered,
    /// It did not come, or not in time.
    Broken,
}

async fn receive(request: HttpRequest, mut payload: web::Payload, gate: web::Data<Gate>) -> HttpResponse {
    match gate.judge(&request) {
        Verdict::Unproven => {
            let (bytes, time) = COURTESY;
            skip(&mut payload, bytes, time).await;
            unproven()
        }
        Verdict::Repeat(seal, call, run) => {
            skip(&mut payload, call.max_body(), BODY_TIMEOUT).await;
            // It may be a recording: no connection is kept for those.
            gate.answer(&seal, StatusCode::CONFLICT, run.into_bytes(), false).await
        }
        Verdict::Refuse(seal, call, refusal) => {
            let whole = skip(&mut payload, call.max_body(), BODY_TIMEOUT).await;
            gate.refuse(&seal, &refusal, whole).await
        }
        Verdict::Take(seal, call, head) => match timeout(BODY_TIMEOUT, read(&mut payload, &head)).await {
            Ok(Ok(body)) => gate.serve(&seal, call, head, body).await,
            Ok(Err(Unread::Altered)) => {
                gate.rejections.add(Reason::Seal);
                unproven()
            }
            Ok(Err(Unread::Broken)) | Err(_) => unproven(),
        },
    }
}

// === impl Gate ===

impl Gate {
    /// Judges a request by its head, and counts it if it is rejected.
    fn judge(&self, request: &HttpRequest) -> Verdict {
        let Some((seal, call, head)) = self.prove(request) else {
            self.rejections.add(Reason::Seal);
            return Verdict::Unproven;
        };
        let freshness = {
            let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
            replays.take(head.sender, head.receiver, head.counter)
        };
        match freshness {
            Freshness::Fresh => {}
            Freshness::Taken => {
                self.rejections.add(Reason::Replay);
                return Verdict::Unproven;
            }
            Freshness::TooOld(run) => {
                self.rejections.add(Reason::Replay);
                return Verdict::Repeat(seal, call, format_run(run));
            }
            Freshness::OtherRun(run) => {
                if head.receiver != 0 {
                    self.rejections.add(Reason::EarlierRun);
                }
                return Verdict::Repeat(seal, call, format_run(run));
            }
        }
        match admit(call, &head, &self.place.load()) {
            Ok(()) => Verdict::Take(seal, call, head),
            Err((reason, refusal)) => {
                self.rejections.add(reason);
                Verdict::Refuse(seal, call, refusal)
            }
        }
    }

    /// The request's seal, call and head, if its seal is good.
    fn prove(&self, request: &HttpRequest) -> Option<(Seal, Call, Head)> {
        if request.method() != Method::POST {
            return None;
        }
        let call = Call::of_path(request.path())?;
        let text = request.headers().get(HEAD)?.to_str().ok()?;
        let claimed = request.headers().get(SEAL)?;
        let seal = self.secret.of_request(call, text);
        if !seal.is(claimed.as_bytes()) {
            return None;
        }
        Some((seal, call, Head::parse(text)?))
    }

    async fn serve(&self, seal: &Seal, call: Call, head: Head, body: Bytes) -> HttpResponse {
        let incoming = Incoming { call, from: head.from, cluster: head.cluster, body };
        match self.service.handle(incoming).await {
            Ok(answer) if answer.len() <= MAX_ANSWER => self.answer(seal, StatusCode::OK, answer, true).await,
            Ok(answer) => {
                let reason = format!("its answer has {} bytes, more than {MAX_ANSWER}", answer.len());
                self.refuse(seal, &Refusal::Failed(reason), true).await
            }
            Err(error) => self.refuse(seal, &error.into(), true).await,
        }
    }

    async fn refuse(&self, seal: &Seal, refusal: &Refusal, whole: bool) -> HttpResponse {
        match codec::encode(refusal) {
            Ok(bytes) => self.answer(seal, StatusCode::FORBIDDEN, bytes, whole).await,
            Err(_) => unproven(),
        }
    }

    /// A sealed answer. `whole` tells that the whole request was read, so that the connection can be kept.
    async fn answer(&self, seal: &Seal, status: StatusCode, body: Vec<u8>, whole: bool) -> HttpResponse {
        let digest = Digest::of(&body).await;
        let sealed = self.secret.of_answer(seal, status.as_u16(), &digest).to_hex();
        let mut response = HttpResponse::build(status);
        if !whole {
            response.force_close();
        }
        response.insert_header((SEAL, sealed)).body(body)
    }
}

/// Whether a proven request is for a node in that place, and of a length that it may have.
fn admit(call: Call, head: &Head, place: &Place) -> Result<(), (Reason, Refusal)> {
    let same_cluster = match (&head.cluster, &place.cluster) {
        (Some(theirs), Some(mine)) => theirs == mine,
        _ => call.is_open(),
    };
    if !same_cluster {
        return Err((Reason::Cluster, Refusal::WrongCluster));
    }
    let same_node = match head.to {
        Some(_) => head.to == place.node,
        None => call.is_open(),
    };
    if !same_node {
        return Err((Reason::Node, Refusal::WrongNode));
    }
    let limit = call.max_body();
    if head.length > limit {
        return Err((Reason::TooLarge, Refusal::TooLarge { bytes: head.length, limit }));
    }
    Ok(())
}

/// The answer to everyone who proves nothing, always the same.
fn unproven() -> HttpResponse {
    HttpResponse::Forbidden().force_close().finish()
}

/// Reads the body that the head announces, and not a byte more.
async fn read(payload: &mut web::Payload, head: &Head) -> Result<Bytes, Unread> {
    // The length is proven, and within the call's limit.
    let mut body = BytesMut::with_capacity(usize::try_from(head.length).unwrap_or_default());
    let mut digesting = Digesting::new();
    while let Some(piece) = next(payload).await {
        let piece = piece?;
        if (body.len() + piece.len()) as u64 > head.length {
            return Err(Unread::Altered);
        }
        digesting.add(&piece);
        body.extend_from_slice(&piece);
    }
    if body.len() as u64 != head.length || digesting.finish() != head.digest {
        return Err(Unread::Altered);
    }
    Ok(body.freeze())
}

/// Throws a body away. False if it is longer than `limit`, takes longer than `time`, or breaks off.
async fn skip(payload: &mut web::Payload, limit: u64, time: Duration) -> bool {
    let pieces = async {
        let mut left = limit;
        while let Some(piece) = next(payload).await {
            match piece {
                Ok(piece) if piece.len() as u64 <= left => left -= piece.len() as u64,
                _ => return false,
            }
        }
        true
    };
    timeout(time, pieces).await.unwrap_or(false)
}

/// The next piece of a body.
async fn next(payload: &mut web::Payload) -> Option<Result<Bytes, Unread>> {
    match timeout(PIECE_TIMEOUT, payload.next()).await {
        Ok(piece) => piece.map(|piece| piece.map_err(|_| Unread::Broken)),
        Err(_) => Some(Err(Unread::Broken)),
    }
}
