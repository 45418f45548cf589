//! Metrics of the log: the lines that it lost.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::telemetry::Lost;

/// The counts at the moment of a scrape.
#[derive(Debug)]
pub(super) struct LogMetrics {
    /// By kind of sink.
    pub(super) losses: [(&'static str, Lost); 3],
}

impl Collector for LogMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help =
            "Log lines that did not get to their sink: it was too slow for them, or could not be written";
        let mut family = encoder.encode_descriptor("log_lines_lost", help, None, MetricType::Counter)?;
        for (sink, Lost { full, failed }) in self.losses {
            for (reason, count) in [("full", full), ("failed", failed)] {
                let labels = [("sink", sink), ("reason", reason)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
