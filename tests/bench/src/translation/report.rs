//! The costs as Markdown, with every sample as JSON beside it. Pure.

use std::fmt::Write as _;

use ollamaflow_protocol::wire::{Ending, Usage};

use super::TranslationError;
use super::stopwatch::{REPETITIONS, ROUND_MS};
use super::talk::{CHUNKS, SIZES, USAGE};
use crate::measure::machine::Machine;
use crate::summary::{Quartiles, as_f64};

/// What was measured, and on what.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) load_before: String,
    pub(super) load_after: String,
    pub(super) rows: Vec<Row>,
}

/// A client's API before a backend's.
#[derive(Debug, serde::Serialize)]
pub(super) struct Row {
    client: &'static str,
    backend: &'static str,
    /// In the order of [`SIZES`].
    requests: Vec<Cost>,
    stream: Option<Cost>,
}

/// What some bytes cost as a whole.
#[derive(Debug, serde::Serialize)]
struct Cost {
    /// Bytes that came in.
    bytes: usize,
    /// Pieces in which they came.
    pieces: usize,
    /// CPU time of each repetition, in nanoseconds.
    ns: Vec<f64>,
}

// === impl Row ===

impl Row {
    pub(super) fn new(client: &'static str, backend: &'static str) -> Self {
        Self { client, backend, requests: Vec::new(), stream: None }
    }

    pub(super) fn add_request(&mut self, body: &[u8], ns: Vec<f64>) {
        self.requests.push(Cost { bytes: body.len(), pieces: 1, ns });
    }

    pub(super) fn add_stream(&mut self, chunks: &[Vec<u8>], ns: Vec<f64>) {
        let bytes = chunks.iter().map(Vec::len).sum();
        self.stream = Some(Cost { bytes, pieces: chunks.len(), ns });
    }

    /// Whether the stream was what it was meant to be.
    pub(super) fn check(&self, (ending, usage): (Ending, Usage)) -> Result<(), TranslationError> {
        if (ending, usage) == (Ending::Complete, USAGE) {
            return Ok(());
        }
        Err(TranslationError::NotWhole { client: self.client, backend: self.backend, ending, usage })
    }

    fn markdown(&self) -> String {
        let mut text = format!("| {} | {} |", self.client, self.backend);
        for cost in &self.requests {
            // Writing to a string cannot fail.
            let _ = write!(text, " {:.2} |", cost.us() / (as_f64(cost.bytes as u64) / 1024.0));
        }
        match &self.stream {
            Some(cost) => {
                let pieces = as_f64(cost.pieces as u64);
                let _ =
                    write!(text, " {:.2} | {:.0} |", cost.us() / pieces, as_f64(cost.bytes as u64) / pieces);
            }
            None => text.push_str(" - | - |"),
        }
        text
    }
}

// === impl Cost ===

impl Cost {
    /// The median of the repetitions, in microseconds; 0 without any.
    fn us(&self) -> f64 {
        let by_rep = (0..).zip(self.ns.iter().copied()).collect();
        Quartiles::of(&by_rep).map_or(0.0, |quartiles| quartiles.median / 1000.0)
    }
}

// === impl Report ===

impl Report {
    pub(super) fn markdown(&self) -> String {
        let Machine { date, cpu, cpus, memory_mib, kernel, system, virtualised, .. } = &self.machine;
        let kind = if *virtualised { ", virtual machine" } else { "" };
        let sizes: Vec<String> = SIZES.iter().map(|size| format!("request of {} KB", size / 1024)).collect();
        let mut text = format!(
            "# Translation benchmark\n\nPrinted by `scripts/bench-translation`: what translating costs beside passing on, in CPU time \
             of one thread, without network and node. Requests in microseconds per KB, streams in microseconds per chunk. A \
             benchmark, never a test. Every sample is in the JSON file beside this one.\n\n\
             | client | backend | {} | chunk | bytes of a chunk |\n|---|---|---|---|---|---|---|\n",
            sizes.join(" | ")
        );
        for row in &self.rows {
            text.push_str(&row.markdown());
            text.push('\n');
        }
        let _ = write!(
            text,
            "\n## Reading it\n\n\
             - Passed on: a request is looked at for routing (`inspect`), a stream for its end and its token counts (`StreamWatch`). \
             A translated one costs that too, besides what its row says.\n\
             - Requests are streamed chats with a system message, one tool and messages of 200 bytes; streams have {CHUNKS} chunks \
             from the backend, each a token of text in a piece of its own. The stream's column has the backend's bytes.\n\
             - The streams of Responses and Messages that are passed on are those that are translated from OpenAI's.\n\
             - Each figure is the median of {REPETITIONS} repetitions of {ROUND_MS} ms after {ROUND_MS} ms of warm-up.\n\n\
             ## Conditions\n\n- Date: {date}\n- Machine: {cpus} × {cpu}{kind}, {memory_mib} MiB\n- System: {system}, Linux \
             {kernel}\n- Load average: {} before, {} after (the run's own load included)\n",
            self.load_before, self.load_after,
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_medians_per_kilobyte_and_per_chunk() {
        let mut row = Row::new("a", "b");
        row.add_request(&[0; 2048], vec![1000.0, 9000.0, 3000.0]);
        row.add_stream(&[vec![0; 100], vec![0; 300]], vec![1000.0]);
        assert_eq!(row.markdown(), "| a | b | 1.50 | 0.50 | 200 |");
    }

    #[test]
    fn a_stream_that_is_cut_is_not_measured() {
        let row = Row::new("a", "b");
        assert!(row.check((Ending::Complete, USAGE)).is_ok());
        assert!(row.check((Ending::Missing, USAGE)).is_err());
        assert!(row.check((Ending::Complete, Usage::default())).is_err());
    }
}
