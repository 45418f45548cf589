//! Nodes that call each other over loopback sockets, and strangers that try to.

mod exchange;
mod proof;
mod raft;
mod replays;
mod stale;
mod tls;

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::head::{HEAD, Head, Run, SEAL};
use super::seal::Digest;
use super::*;

/// No step of a test takes this long: only a hang does.
const HANG: Duration = Duration::from_secs(60);

const SECRET: &str = "the secret of the cluster";

/// Runs a test as the core runs: on a runtime that is not actix's.
fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(HANG, test).await.expect("the test hangs") })
}

fn secret(text: &str) -> PeerSecret {
    PeerSecret::new(text).unwrap()
}

/// The place of a node in a cluster.
fn place(cluster: &str, node: u64) -> Place {
    Place { cluster: Some(cluster.parse().unwrap()), node: Some(node) }
}

fn shared(place: Place) -> SharedPlace {
    Arc::new(ArcSwap::from_pointee(place))
}

/// A client of a node in that place.
fn client(place: Place) -> PeerClient {
    client_with(place, SECRET, None)
}

fn client_with(place: Place, text: &str, tls: Option<PeerTls>) -> PeerClient {
    PeerClient::start(shared(place), secret(text), tls, Rejections::default()).unwrap()
}

/// A service that answers with what it was called, by whom, and the body.
struct Echo;

impl Service for Echo {
    fn handle(&self, incoming: Incoming) -> BoxFuture<'static, Result<Vec<u8>, ServiceError>> {
        async move {
            let mut answer = format!("{:?} {:?} ", incoming.call, incoming.from).into_bytes();
            answer.extend_from_slice(&incoming.body);
            Ok(answer)
        }
        .boxed()
    }
}

/// A service made of a function.
struct Answer<F>(F);

impl<F> Service for Answer<F>
where
    F: Fn(Incoming) -> BoxFuture<'static, Result<Vec<u8>, ServiceError>> + Send + Sync + 'static,
{
    fn handle(&self, incoming: Incoming) -> BoxFuture<'static, Result<Vec<u8>, ServiceError>> {
        (self.0)(incoming)
    }
}

/// A node that listens. Dropping it stops it.
struct Node {
    listener: TcpListener,
    rejections: Rejections,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

// === impl Node ===

impl Node {
    /// A node in that place that echoes.
    fn start(place: Place) -> Self {
        Self::with(place, Echo, None)
    }

    fn with(place: Place, service: impl Service, tls: Option<PeerTls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, shared(place), Arc::new(service), tls)
    }

    fn on(
        listener: TcpListener,
        place: SharedPlace,
        service: Arc<dyn Service>,
        tls: Option<PeerTls>,
    ) -> Self {
        let rejections = Rejections::default();
        let (send, receive) = mpsc::channel();
        let (socket, counts) = (listener.try_clone().unwrap(), rejections.clone());
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async {
                let server = serve(socket, service, place, secret(SECRET), tls, counts).unwrap();
                send.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let handle = receive.recv().unwrap();
        Self { listener, rejections, handle, thread: Some(thread) }
    }

    /// Ends the node, and starts another one at the same address.
    fn restart(self, place: Place) -> Self {
        let listener = self.listener.try_clone().unwrap();
        drop(self);
        Self::on(listener, shared(place), Arc::new(Echo), None)
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// This node as the target of a call.
    fn target(&self, node: u64) -> Target {
        Target { address: self.address(), node: Some(node) }
    }

    /// Whoever listens there.
    fn anyone(&self) -> Target {
        Target { address: self.address(), node: None }
    }

    /// Sends bytes as they are; answers what comes back until the connection ends.
    fn raw(&self, request: &[u8]) -> Reply {
        let mut socket = TcpStream::connect(self.address()).unwrap();
        socket.set_read_timeout(Some(HANG)).unwrap();
        socket.write_all(request).unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        Reply::parse(&bytes)
    }

    /// The node's run, as anyone with the secret is told.
    fn present_run(&self) -> Run {
        let reply = self.raw(&sealed(Call::Hello, SECRET, &head(1, 0, b""), b""));
        assert_eq!(reply.status, 409);
        Run::from_str_radix(std::str::from_utf8(&reply.body).unwrap(), 16).unwrap()
    }

    fn rejected(&self, reason: Reason) -> u64 {
        self.rejections.count(reason)
    }

    /// How many requests were rejected, for whatever reason.
    fn rejected_at_all(&self) -> u64 {
        Reason::ALL.into_iter().map(|reason| self.rejected(reason)).sum()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// The head of node 1's request to node 2 of the cluster "home", in run 5 of its own.
fn head(counter: u64, receiver: Run, body: &[u8]) -> Head {
    Head {
        cluster: Some("home".parse().unwrap()),
        from: Some(1),
        to: Some(2),
        sender: 5,
        receiver,
        counter,
        length: body.len() as u64,
        digest: run(Digest::of(body)),
    }
}

/// The bytes of a request that is sealed as it should be.
fn sealed(call: Call, text: &str, head: &Head, body: &[u8]) -> Vec<u8> {
    let head = head.to_string();
    let seal = secret(text).of_request(call, &head).to_hex();
    let mut request = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{HEAD}: {head}\r\n{SEAL}: {seal}\r\n\r\n",
        call.path(),
        body.len(),
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// An answer as it came.
#[derive(Debug)]
struct Reply {
    status: u16,
    is_sealed: bool,
    body: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("no head came");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            is_sealed: head.to_lowercase().contains(SEAL),
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// Whether this tells nothing.
    fn is_nothing(&self) -> bool {
        self.status == 403 && !self.is_sealed && self.body.is_empty()
    }
}
