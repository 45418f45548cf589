//! A backend that sends nothing by itself: each request is handed to the test, which sends the answer's bytes when and as
//! it likes. Health checks are answered.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use ollamaflow_tests::client::{Collected, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::simulated::probe_paths;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a request, or a departure, may be waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bodies up to this are received before the test gets the request: closing a connection with unread bytes is a reset.
const READ_BODY_BYTES: usize = 64 * 1024;

/// A fixed size, so that what the kernel holds of a stream that nobody reads is not megabytes.
const SEND_BUFFER_BYTES: u32 = 64 * 1024;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 1024;

/// Requests that may wait for the test to take them.
const WAITING: usize = 1024;

/// The backend. It lives as long as the test's runtime.
pub struct ScriptedBackend {
    address: SocketAddr,
    conversations: mpsc::Receiver<Conversation>,
}

/// A request as far as it was received, and the connection to answer it on.
pub struct Conversation {
    pub stream: TcpStream,
    /// Request line and header lines.
    pub head: String,
    /// What was read of the body so far.
    pub body: BytesMut,
}

impl ScriptedBackend {
    pub fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(SEND_BUFFER_BYTES).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
        let (sender, conversations) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, sender.clone()));
            }
        });
        Self { address, conversations }
    }

    /// The next request.
    pub async fn next(&mut self) -> Conversation {
        timeout(PATIENCE, self.conversations.recv()).await.expect("a request arrives").unwrap()
    }

    /// What a client gets when this backend answers its request with exactly these bytes and then closes.
    pub async fn relays(&mut self, node: &Node, request: &Request, wire: impl AsRef<[u8]>) -> Collected {
        let asking = async { request.send(node.addr()).await.collect().await };
        let answering = async {
            let mut conversation = self.next().await;
            conversation.send(wire).await;
        };
        tokio::join!(asking, answering).0
    }
}

impl From<&ScriptedBackend> for SocketAddr {
    fn from(backend: &ScriptedBackend) -> Self {
        backend.address
    }
}

impl Conversation {
    /// Sends these bytes now.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends these bytes as one chunk.
    pub async fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        self.send(chunk(bytes)).await;
    }

    /// Dies.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Reads the body until it has this many bytes.
    pub async fn read_body(&mut self, bytes: usize) {
        while self.body.len() < bytes {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.body)).await;
            assert_ne!(read.expect("the body goes on").unwrap(), 0, "the body ended early");
        }
    }

    /// Reads on, whatever comes, until the other side has closed or reset the connection.
    pub async fn gone(&mut self) {
        let leaving = async {
            loop {
                self.body.clear();
                self.body.reserve(READ_BODY_BYTES);
                if !matches!(self.stream.read_buf(&mut self.body).await, Ok(1..)) {
                    return;
                }
            }
        };
        timeout(PATIENCE, leaving).await.expect("the other side leaves");
    }
}

/// Bytes as one chunk of a chunked body.
pub fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn content_length(head: &str) -> usize {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.map_or(0, |(_, length)| length.trim().parse().unwrap())
}

/// Answers health checks until another request comes, and hands that over with its connection.
async fn converse(mut stream: TcpStream, conversations: mpsc::Sender<Conversation>) {
    stream.set_nodelay(true).unwrap();
    let mut inbox = BytesMut::new();
    loop {
        let end = loop {
            if let Some(at) = inbox.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !matches!(stream.read_buf(&mut inbox).await, Ok(1..)) {
                return;
            }
        };
        let head = String::from_utf8(inbox.split_to(end).to_vec()).unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let length = content_length(&head);
        while inbox.len() < length.min(READ_BODY_BYTES) {
            if !matches!(stream.read_buf(&mut inbox).await, Ok(1..)) {
                return;
            }
        }
        if !probe_paths().contains(&path) {
            // The test has ended if nobody takes it.
            drop(conversations.send(Conversation { stream, head, body: inbox }).await);
            return;
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.is_err() {
            return;
        }
    }
}
