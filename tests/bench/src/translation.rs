//! Measures what translation costs beside passing on: CPU time per KB of a chat request and per chunk of its answer, for
//! each API of a client before each of a backend. One thread, no network, no node.
//!
//! [`talk`] has the requests and streams, [`stopwatch`] times, [`report`] tells.

mod report;
mod stopwatch;
mod talk;

use std::hint::black_box;
use std::io::{self, Write as _};

use ollamaflow_protocol::inspect::inspect;
use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::time::Timestamp;
use ollamaflow_protocol::translate::{Answer, Occasion, Refused, Request, Translated};
use ollamaflow_protocol::wire::{Ending, StreamWatch, Usage};

use self::report::{Report, Row};
use self::talk::{CLIENTS, Client, SIZES};
use crate::cli::TranslationArgs;
use crate::measure::machine::{Machine, load_average};
use crate::suite::progress;

/// Where `--save` puts the published result.
const PUBLISHED: &str = "docs/benchmarks";
/// The moment and the random number of every request.
const OCCASION: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 1 };

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TranslationError {
    /// The result cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A request of ours cannot be translated.
    #[error("{client} to {backend}: {refused}")]
    Refused {
        /// The client's API.
        client: &'static str,
        /// The backend's API.
        backend: &'static str,
        /// Why.
        refused: Refused,
    },
    /// What was measured is not what was meant.
    #[error("{client} from {backend}: the stream ended as {ending:?}, with {usage:?}")]
    NotWhole {
        /// The client's API.
        client: &'static str,
        /// The backend's API.
        backend: &'static str,
        /// How the stream ended.
        ending: Ending,
        /// What it counted.
        usage: Usage,
    },
}

/// Measures and reports; takes some ten seconds.
///
/// # Errors
/// The result cannot be written, or a request or a stream is not translated.
pub(crate) fn run(args: TranslationArgs) -> Result<(), TranslationError> {
    let (machine, load_before) = (Machine::describe(), load_average());
    let mut rows = Vec::new();
    for client in &CLIENTS {
        progress(&format!("{}: passed on", client.name));
        rows.push(passed_on(client)?);
        for backend in [ApiFormat::Ollama, ApiFormat::OpenAI] {
            if Request::is_translatable(client.operation, backend) {
                progress(&format!("{} to {}", client.name, talk::name(backend)));
                rows.push(translated(client, backend)?);
            }
        }
    }
    publish(args, &Report { machine, load_before, load_after: load_average(), rows })?;
    Ok(())
}

/// Requests are looked at for routing; streams for their end and their counts.
fn passed_on(client: &Client) -> Result<Row, TranslationError> {
    let mut row = Row::new(client.name, "(passed on)");
    for size in SIZES {
        let body = talk::request(client.operation, size);
        row.add_request(&body, stopwatch::time(|| inspect(client.operation, black_box(&body))));
    }
    let chunks = match client.spoken_by {
        Some(backend) => talk::stream(backend),
        None => written_for(client)?,
    };
    let watch = || {
        let mut watch = StreamWatch::new(client.format);
        for chunk in &chunks {
            watch.push(black_box(chunk));
        }
        (watch.ending(), watch.usage())
    };
    row.check(watch())?;
    row.add_stream(&chunks, stopwatch::time(watch));
    Ok(row)
}

/// Requests are read and written; streams from the backend's chunks to the client's.
fn translated(client: &Client, backend: ApiFormat) -> Result<Row, TranslationError> {
    let mut row = Row::new(client.name, talk::name(backend));
    for size in SIZES {
        let body = talk::request(client.operation, size);
        ask(client, backend, &body)?;
        row.add_request(&body, stopwatch::time(|| ask(client, backend, black_box(&body))));
    }
    let (body, chunks) = (talk::request(client.operation, 0), talk::stream(backend));
    let translate = || {
        let answer = ask(client, backend, &body)?.answer;
        Ok::<_, TranslationError>(translate_stream(answer, &chunks, |written| drop(black_box(written))))
    };
    row.check(translate()?)?;
    row.add_stream(&chunks, stopwatch::time(translate));
    Ok(row)
}

/// A stream in the API of a client that no backend here speaks.
fn written_for(client: &Client) -> Result<Vec<Vec<u8>>, TranslationError> {
    let backend = ApiFormat::OpenAI;
    let answer = ask(client, backend, &talk::request(client.operation, 0))?.answer;
    let mut chunks = Vec::new();
    translate_stream(answer, &talk::stream(backend), |written| chunks.push(written));
    chunks.retain(|chunk| !chunk.is_empty());
    Ok(chunks)
}

fn ask(client: &Client, backend: ApiFormat, body: &[u8]) -> Result<Translated, TranslationError> {
    Request::read(client.operation, None, body).and_then(|request| request.write(backend, OCCASION)).map_err(
        |refused| TranslationError::Refused { client: client.name, backend: talk::name(backend), refused },
    )
}

/// Gives what is written for each chunk to `each`. Each in memory of its own, as the node does it.
fn translate_stream(
    mut answer: Answer,
    chunks: &[Vec<u8>],
    mut each: impl FnMut(Vec<u8>),
) -> (Ending, Usage) {
    for chunk in chunks {
        let mut written = Vec::new();
        answer.push(black_box(chunk), OCCASION.now, &mut written);
        each(written);
    }
    let mut written = Vec::new();
    answer.finish(OCCASION.now, &mut written);
    each(written);
    (answer.ending(), answer.usage())
}

fn publish(args: TranslationArgs, report: &Report) -> io::Result<()> {
    let markdown = report.markdown();
    if args.save {
        std::fs::create_dir_all(PUBLISHED)?;
        std::fs::write(format!("{PUBLISHED}/translation.json"), serde_json::to_vec_pretty(report)?)?;
        std::fs::write(format!("{PUBLISHED}/translation.md"), &markdown)?;
        progress(&format!("wrote {PUBLISHED}/translation.md and {PUBLISHED}/translation.json"));
    }
    io::stdout().write_all(markdown.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_translates_what_is_measured() {
        for client in &CLIENTS {
            for backend in [ApiFormat::Ollama, ApiFormat::OpenAI] {
                if !Request::is_translatable(client.operation, backend) {
                    assert_eq!(client.spoken_by, Some(backend), "{}", client.name);
                    continue;
                }
                let asked = ask(client, backend, &talk::request(client.operation, 1024)).unwrap();
                assert_eq!(asked.dropped, [""; 0], "{}", client.name);
                let mut written = 0;
                let end =
                    translate_stream(asked.answer, &talk::stream(backend), |bytes| written += bytes.len());
                assert_eq!(end, (Ending::Complete, talk::USAGE), "{}", client.name);
                assert!(written > 100 * talk::CHUNKS, "{}: {written}", client.name);
            }
        }
    }
}
