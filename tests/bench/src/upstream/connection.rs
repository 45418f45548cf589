//! One connection from a proxy (or, without a proxy, from the load generator): reads requests in order and answers each
//! by its script. Ends when the peer closes, when a script says so, or on the first error.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;

use super::answer::{self, Answers, Framing};
use super::pacer::{PacedStream, Pacer};
use super::request::{self, Wanted};
use crate::clock::monotonic_ns;
use crate::wire::script::{Cut, Script};

/// Enough for a 1 KiB request in one read.
const READ_BYTES: usize = 8 * 1024;
/// Chunks in one write of a flood: 32 KiB.
const FLOOD_WRITE_CHUNKS: u32 = 32;

/// A connection and what it answers with.
pub(crate) struct Connection {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    input: Vec<u8>,
    answers: Rc<Answers>,
    pacer: Pacer,
}

/// Whether the connection may carry another request.
enum Next {
    KeepAlive,
    Close,
}

// === impl Connection ===

impl Connection {
    pub(crate) fn new(socket: TcpStream, answers: Rc<Answers>, pacer: Pacer) -> Self {
        // Without it the kernel may hold a chunk back; a failure shows in the delays.
        drop(socket.set_nodelay(true));
        let (reader, writer) = socket.into_split();
        Self { reader, writer, input: Vec::with_capacity(READ_BYTES), answers, pacer }
    }

    /// Serves until the end of the connection, however it comes.
    pub(crate) async fn run(mut self) {
        while let Ok(Some(wanted)) = self.read_request().await {
            let next = match wanted {
                Wanted::Document(path) => self.write(&answer::document_for(&path)).await,
                Wanted::HeadOnly => self.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await,
                // Reading a request leaves none without a script.
                Wanted::Unscripted(_) => return,
                Wanted::Scripted(script, framing) => match self.play(script, framing).await {
                    Ok((kept, next)) => {
                        self = kept;
                        Ok(next)
                    }
                    Err(_) => return,
                },
            };
            if !matches!(next, Ok(Next::KeepAlive)) {
                return;
            }
        }
    }

    /// Reads one whole request and drops its body; `None` at the end of the connection.
    async fn read_request(&mut self) -> io::Result<Option<Wanted>> {
        loop {
            match request::parse(&self.input) {
                Ok(Some(request)) => {
                    let total = request.head_len + request.body_len;
                    while self.input.len() < total {
                        if self.reader.read_buf(&mut self.input).await? == 0 {
                            return Ok(None);
                        }
                    }
                    match request.wanted.with_body(&self.input[request.head_len..total]) {
                        Ok(wanted) => {
                            self.input.drain(..total);
                            return Ok(Some(wanted));
                        }
                        Err(problem) => {
                            self.writer.write_all(&answer::refusal(&problem.to_string())).await?;
                            return Ok(None);
                        }
                    }
                }
                Ok(None) => {}
                Err(problem) => {
                    self.writer.write_all(&answer::refusal(&problem.to_string())).await?;
                    return Ok(None);
                }
            }
            if self.reader.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<Next> {
        self.writer.write_all(bytes).await?;
        Ok(Next::KeepAlive)
    }

    async fn play(mut self, script: Script, framing: Framing) -> io::Result<(Self, Next)> {
        match script {
            Script::Answer => {
                self.writer.write_all(self.answers.document(framing)).await?;
                Ok((self, Next::KeepAlive))
            }
            Script::Stream { chunks, interval_us } => self.stream(framing, chunks, interval_us).await,
            Script::Idle => {
                self.begin_stream(framing, 1).await?;
                // Ends when the peer closes; a request in between would be a fault of the proxy.
                let next = self.reader.read_buf(&mut self.input).await.map(|_| Next::Close)?;
                Ok((self, next))
            }
            Script::Flood { chunks } => {
                self.flood(framing, chunks).await?;
                Ok((self, Next::KeepAlive))
            }
            Script::Truncate { after_chunks, cut } => {
                self.begin_stream(framing, after_chunks).await?;
                if cut == Cut::InsideChunk {
                    let mut partial = Vec::new();
                    let frame = self.answers.chunk(framing);
                    frame.append(monotonic_ns(), &mut partial);
                    partial.truncate(frame.len() / 2);
                    self.writer.write_all(&partial).await?;
                }
                Ok((self, Next::Close))
            }
            Script::CloseAfter { delay_us } => {
                self.writer.write_all(self.answers.document(framing)).await?;
                // A thread's sleep, since the runtime's timers resolve 1 ms and this race is about fractions of it.
                let delay = Duration::from_micros(u64::from(delay_us));
                drop(tokio::task::spawn_blocking(move || std::thread::sleep(delay)).await);
                Ok((self, Next::Close))
            }
        }
    }

    /// Head and the first `chunks` chunks, in one write.
    async fn begin_stream(&mut self, framing: Framing, chunks: u32) -> io::Result<()> {
        let mut bytes = self.answers.stream_head(framing).to_vec();
        for _ in 0..chunks {
            self.answers.chunk(framing).append(monotonic_ns(), &mut bytes);
        }
        self.writer.write_all(&bytes).await
    }

    /// All chunks at once, in pieces of [`FLOOD_WRITE_CHUNKS`]; waits while the peer takes nothing.
    async fn flood(&mut self, framing: Framing, chunks: u32) -> io::Result<()> {
        let mut bytes = self.answers.stream_head(framing).to_vec();
        for sent in 1..chunks {
            self.answers.flood_chunk(framing).append(monotonic_ns(), &mut bytes);
            if sent % FLOOD_WRITE_CHUNKS == 0 {
                self.writer.write_all(&bytes).await?;
                bytes.clear();
            }
        }
        self.answers.last_chunk(framing).append(monotonic_ns(), &mut bytes);
        self.writer.write_all(&bytes).await
    }

    async fn stream(mut self, framing: Framing, chunks: u32, interval_us: u32) -> io::Result<(Self, Next)> {
        if chunks == 1 {
            let mut bytes = self.answers.stream_head(framing).to_vec();
            self.answers.last_chunk(framing).append(monotonic_ns(), &mut bytes);
            self.writer.write_all(&bytes).await?;
            return Ok((self, Next::KeepAlive));
        }
        self.begin_stream(framing, 1).await?;
        let pause_ns = u64::from(interval_us) * 1_000;
        let phase_ns = fastrand::u64(0..=pause_ns);
        let (finished, mut writer_back) = oneshot::channel();
        let Self { mut reader, writer, mut input, answers, pacer } = self;
        pacer.pace(PacedStream {
            writer,
            chunk: answers.chunk(framing).clone(),
            last_chunk: answers.last_chunk(framing).clone(),
            chunks_left: chunks - 1,
            interval_ns: pause_ns,
            next_due_ns: monotonic_ns() + phase_ns,
            finished,
        });
        let writer = tokio::select! {
            biased;
            writer = &mut writer_back => writer,
            read = reader.read_buf(&mut input) => match read {
                // The client has gone: dropping the receiver ends the pacing.
                Ok(0) | Err(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
                // The next request, faster than the writer came back.
                Ok(_) => writer_back.await,
            },
        };
        let writer = writer.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok((Self { reader, writer, input, answers, pacer }, Next::KeepAlive))
    }
}
