//! Metrics of traces: spans that were sent, and those that were lost.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::telemetry::Lost;

/// The counts at the moment of a scrape.
#[derive(Debug)]
pub(super) struct TraceMetrics {
    pub(super) exported: u64,
    pub(super) lost: Lost,
}

impl Collector for TraceMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Spans of requests that the collector has taken";
        let sent = encoder.encode_descriptor("spans_exported", help, None, MetricType::Counter)?;
        ConstCounter::new(self.exported).encode(sent)?;
        let help = "Spans that did not get to the collector: it was too slow for them, or did not take them";
        let mut family = encoder.encode_descriptor("spans_lost", help, None, MetricType::Counter)?;
        for (reason, count) in [("full", self.lost.full), ("failed", self.lost.failed)] {
            ConstCounter::new(count).encode(family.encode_family(&[("reason", reason)])?)?;
        }
        Ok(())
    }
}
