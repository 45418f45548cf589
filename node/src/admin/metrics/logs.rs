//! Metrics of the log: the lines that it lost.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::family::Family;
use super::names;
use crate::telemetry::Lost;

/// The counts at the moment of a scrape.
#[derive(Debug)]
pub(super) struct LogMetrics {
    /// By kind of sink.
    pub(super) losses: [(&'static str, Lost); 3],
}

impl Collector for LogMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::begin(&mut encoder, &names::LOG_LINES_LOST)?;
        for (sink, Lost { full, failed }) in self.losses {
            for (reason, count) in [("full", full), ("failed", failed)] {
                family.count(&[("sink", sink), ("reason", reason)], count)?;
            }
        }
        Ok(())
    }
}
