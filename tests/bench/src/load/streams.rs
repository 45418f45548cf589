//! Clients of streamed answers: how long each chunk was under way (from the stamp in it to the read that brought it) and
//! how long the first one took from the request.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Probe;
use super::client::{Client, Read};
use crate::clock::{CpuTime, monotonic_ns};
use crate::latency::Latency;
use crate::wire::stamp;

/// How many streams and how they come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Streams at the same time, one connection each.
    pub(crate) streams: u32,
    /// Chunks of each: one that ends properly but has lost some is not complete.
    pub(crate) chunks: u32,
    /// Requests are spread over this time, so that they do not queue behind each other.
    pub(crate) spread: Duration,
    /// A run that takes longer is given up; what came until then counts.
    pub(crate) limit: Duration,
}

/// What came.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Chunks received.
    pub(crate) chunks: u64,
    /// Streams that ended properly, with all their chunks.
    pub(crate) complete: u64,
    /// From the first request to the last end.
    pub(crate) elapsed: Duration,
    /// CPU time of the process under test meanwhile.
    pub(crate) cpu: CpuTime,
    /// One-way delay of every chunk.
    pub(crate) delay: Latency,
    /// From the request to the first body byte.
    pub(crate) first_byte: Latency,
}

/// How a streamed answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The message is complete and the last chunk says it is done.
    Complete,
    /// The message is complete but reports an error.
    ErrorReported,
    /// The message is complete, without the last chunk and without an error: a reader takes it for whole.
    SilentlyShort,
    /// The connection ended inside the message: a reader sees the fault.
    Cut,
    /// Not a streamed answer at all.
    Refused,
}

/// Collects the lines of a streamed body.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    done: bool,
    error: bool,
}

struct Tally {
    chunks: u64,
    complete: u64,
    delay: Latency,
    first_byte: Latency,
}

/// Opens `shape.streams` connections, sends `request` on each and reads to the end.
pub(crate) async fn run(addr: SocketAddr, request: &[u8], shape: Shape, cpu: Probe<'_>) -> Outcome {
    let request: Rc<[u8]> = request.into();
    let tally = Rc::new(RefCell::new(Tally {
        chunks: 0,
        complete: 0,
        delay: Latency::new(),
        first_byte: Latency::new(),
    }));
    let mut clients = Vec::new();
    for _ in 0..shape.streams {
        if let Ok(client) = Client::connect(addr).await {
            clients.push(client);
        }
    }
    let cpu_before = cpu();
    let start = Instant::now();
    let mut streams = JoinSet::new();
    for (index, client) in (0..).zip(clients) {
        let wait = shape.spread * index / shape.streams.max(1);
        streams.spawn_local(one(client, Rc::clone(&request), shape.chunks, wait, Rc::clone(&tally)));
    }
    drop(tokio::time::timeout(shape.limit, async { while streams.join_next().await.is_some() {} }).await);
    let elapsed = start.elapsed();
    let cpu = cpu().since(cpu_before);
    let tally = tally.borrow();
    Outcome {
        chunks: tally.chunks,
        complete: tally.complete,
        elapsed,
        cpu,
        delay: tally.delay.clone(),
        first_byte: tally.first_byte.clone(),
    }
}

async fn one(mut client: Client, request: Rc<[u8]>, chunks: u32, wait: Duration, tally: Rc<RefCell<Tally>>) {
    tokio::time::sleep(wait).await;
    let start_ns = monotonic_ns();
    if client.send(&request).await.is_err() {
        return;
    }
    let mut lines = Lines::default();
    let (mut first, mut received) = (true, 0);
    let ending = read_to_end(&mut client, &mut lines, |sent_ns| {
        let now_ns = monotonic_ns();
        let mut tally = tally.borrow_mut();
        tally.chunks += 1;
        received += 1;
        tally.delay.record(now_ns.saturating_sub(sent_ns));
        if std::mem::take(&mut first) {
            tally.first_byte.record(now_ns - start_ns);
        }
    })
    .await;
    if ending == Ending::Complete && received == chunks {
        tally.borrow_mut().complete += 1;
    }
}

/// Reads the answer to the last request; `on_stamp` gets the send time in each chunk as it arrives.
pub(crate) async fn read_to_end(
    client: &mut Client,
    lines: &mut Lines,
    mut on_stamp: impl FnMut(u64),
) -> Ending {
    loop {
        let read = client.read(&mut |bytes| lines.push(bytes, &mut on_stamp)).await;
        match read {
            Ok(Read::More) => {}
            Ok(Read::Done) if client.status() != 200 => return Ending::Refused,
            Ok(Read::Done) => return lines.ending(),
            Ok(Read::Cut) | Err(_) if client.status() == 200 => return Ending::Cut,
            Ok(Read::Cut) | Err(_) => return Ending::Refused,
        }
    }
}

// === impl Lines ===

impl Lines {
    /// Takes body bytes; `on_stamp` is called for each complete line that has a stamp.
    pub(crate) fn push(&mut self, bytes: &[u8], on_stamp: &mut impl FnMut(u64)) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            if self.partial.is_empty() {
                self.line(line, on_stamp);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole, on_stamp);
            }
        }
        self.partial.extend_from_slice(rest);
    }

    fn line(&mut self, line: &[u8], on_stamp: &mut impl FnMut(u64)) {
        if let Some(sent_ns) = stamp::read(line) {
            on_stamp(sent_ns);
            self.done |= memchr::memmem::find(line, br#""done":true"#).is_some();
        } else {
            self.done |= memchr::memmem::find(line, b"[DONE]").is_some();
            self.error |= memchr::memmem::find(line, br#""error""#).is_some();
        }
    }

    /// How the body ended, when the message around it is complete.
    fn ending(&mut self) -> Ending {
        // An error may stand on a last line without its end.
        let rest = std::mem::take(&mut self.partial);
        self.line(&rest, &mut |_| {});
        match (self.error, self.done) {
            (true, _) => Ending::ErrorReported,
            (false, true) => Ending::Complete,
            (false, false) => Ending::SilentlyShort,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], step: usize) -> (Vec<u64>, Ending) {
        let (mut lines, mut stamps) = (Lines::default(), Vec::new());
        for piece in body.chunks(step) {
            lines.push(piece, &mut |ns| stamps.push(ns));
        }
        (stamps, lines.ending())
    }

    #[test]
    fn every_stamp_is_found_however_the_body_is_split() {
        let body = b"{\"content\":\"@0000000000000001 word\",\"done\":false}\n{\"content\":\"@0000000000000002\",\"done\":true}\n";
        for step in 1..=body.len() {
            assert_eq!(read(body, step), (vec![1, 2], Ending::Complete));
        }
    }

    #[test]
    fn events_end_with_their_own_mark() {
        let body = b"data: {\"content\":\"@0000000000000003\"}\n\ndata: [DONE]\n\n";
        assert_eq!(read(body, 5), (vec![3], Ending::Complete));
    }

    #[test]
    fn a_body_without_its_last_chunk_is_short() {
        let body = b"{\"content\":\"@0000000000000001 word\",\"done\":false}\n";
        assert_eq!(read(body, 9), (vec![1], Ending::SilentlyShort));
    }

    #[test]
    fn a_reported_error_is_told_apart() {
        let body = b"{\"content\":\"@0000000000000001 word\",\"done\":false}\n{\"error\":\"backend closed\"}";
        assert_eq!(read(body, 64), (vec![1], Ending::ErrorReported));
    }
}
