//! The clients: each request goes out at its instant over a connection of its own, and its answer is read to the end. Times
//! count from the instant at which the request was to go out, so nothing that holds up a client is left out.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::plan::{MODELS, Plan};
use super::workload::Arrival;
use crate::load::client::{Client, ClientError, Read};

/// Bytes of an answer's end that are looked at: its last frame.
const TAIL_BYTES: usize = 1_024;

/// What became of one request.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Sample {
    /// When it was to go out, in milliseconds after the start.
    pub(super) at_ms: f64,
    /// The model's name.
    pub(super) model: &'static str,
    /// 0 for the first of its conversation.
    pub(super) turn: u32,
    /// How late it did go out: what the load generator itself adds.
    pub(super) late_ms: f64,
    /// Until the first token; of a failed request until it failed.
    pub(super) first_token_ms: f64,
    /// Until the end.
    pub(super) total_ms: f64,
    /// Tokens of the answer.
    pub(super) tokens: u64,
    /// What was wrong.
    pub(super) error: Option<String>,
}

/// An answer as it comes.
#[derive(Debug, Default)]
struct Answer {
    frames: u64,
    tail: Vec<u8>,
    first: Option<Instant>,
}

/// Sends everything and waits for the answers; what is not answered in time is a failed request.
pub(super) async fn run(addr: SocketAddr, plan: &Plan, arrivals: &[Arrival]) -> Vec<Sample> {
    let samples = Rc::new(RefCell::new(Vec::with_capacity(arrivals.len())));
    let mut clients = JoinSet::new();
    let start = Instant::now() + Duration::from_millis(50);
    let limit = start + plan.arrivals() + Duration::from_secs(plan.drain_s.into());
    for arrival in arrivals {
        let (arrival, samples) = (arrival.clone(), Rc::clone(&samples));
        clients.spawn_local(async move {
            let sample = one(addr, start, limit, &arrival).await;
            samples.borrow_mut().push(sample);
        });
    }
    while clients.join_next().await.is_some() {}
    let mut samples = samples.take();
    samples.sort_by(|one: &Sample, other: &Sample| one.at_ms.total_cmp(&other.at_ms));
    samples
}

async fn one(addr: SocketAddr, start: Instant, limit: Instant, arrival: &Arrival) -> Sample {
    let intended = start + arrival.at;
    tokio::time::sleep_until(intended).await;
    let late = intended.elapsed();
    let mut answer = Answer::default();
    let asked = tokio::time::timeout_at(limit, ask(addr, &arrival.body, &mut answer)).await;
    let ended = Instant::now();
    let error = match asked {
        Err(_) => Some("not answered in time".to_owned()),
        Ok(Err(error)) => Some(error.to_string()),
        Ok(Ok(200)) if answer.is_complete() && answer.tokens() == u64::from(arrival.answer_tokens) => None,
        Ok(Ok(status)) => {
            let (tokens, tail) = (answer.tokens(), String::from_utf8_lossy(&answer.tail));
            Some(format!("status {status}, {tokens} of {} tokens: {tail}", arrival.answer_tokens))
        }
    };
    let first = answer.first.filter(|_| error.is_none()).unwrap_or(ended);
    Sample {
        at_ms: millis(arrival.at),
        model: MODELS[arrival.model].0,
        turn: arrival.turn,
        late_ms: millis(late),
        first_token_ms: millis(first.saturating_duration_since(intended)),
        total_ms: millis(ended.saturating_duration_since(intended)),
        tokens: answer.tokens(),
        error,
    }
}

/// Asks and reads; gives the status.
async fn ask(addr: SocketAddr, body: &str, answer: &mut Answer) -> Result<u16, ClientError> {
    let head = format!(
        "POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut client = Client::connect(addr).await?;
    client.send(&[head.as_bytes(), body.as_bytes()].concat()).await?;
    loop {
        match client.read(&mut |bytes| answer.take(bytes)).await? {
            Read::More => {}
            Read::Done => return Ok(client.status()),
            Read::Cut => return Err(ClientError::Io(std::io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// In milliseconds, to the tenth: more is noise.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

impl Answer {
    fn take(&mut self, bytes: &[u8]) {
        self.first.get_or_insert_with(Instant::now);
        self.frames += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.tail.extend_from_slice(bytes);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
    }

    /// The last frame has the figures and no token.
    fn tokens(&self) -> u64 {
        self.frames.saturating_sub(1)
    }

    fn is_complete(&self) -> bool {
        memchr::memmem::find(&self.tail, br#""done":true"#).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_frame() {
        let mut answer = Answer::default();
        for word in 0..200 {
            answer.take(format!("{{\"message\":{{\"content\":\" {word}\"}},\"done\":false}}\n").as_bytes());
        }
        assert!(!answer.is_complete() && answer.first.is_some() && answer.tail.len() <= TAIL_BYTES);
        answer.take(b"{\"done\":tr");
        answer.take(b"ue}\n");
        assert!(answer.is_complete());
        assert_eq!(answer.frames, 201);
    }
}
