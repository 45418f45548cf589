//! Metrics of traces: spans that were sent, and those that were lost.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::family::Family;
use super::names;
use crate::telemetry::Lost;

/// The counts at the moment of a scrape.
#[derive(Debug)]
pub(super) struct TraceMetrics {
    pub(super) exported: u64,
    pub(super) lost: Lost,
}

impl Collector for TraceMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        Family::begin(&mut encoder, &names::SPANS_EXPORTED)?.one_count(self.exported)?;
        let mut family = Family::begin(&mut encoder, &names::SPANS_LOST)?;
        for (reason, count) in [("full", self.lost.full), ("failed", self.lost.failed)] {
            family.count(&[("reason", reason)], count)?;
        }
        Ok(())
    }
}
