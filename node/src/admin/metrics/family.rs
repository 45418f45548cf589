//! How the samples of a family are written.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::names::Metric;
use crate::actors::Distribution;

/// The labels of a sample.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A family whose head is written, and whose samples follow.
pub(super) struct Family<'a>(MetricEncoder<'a>);

// === impl Family ===

impl<'a> Family<'a> {
    /// Writes the head. A family may have no sample yet.
    pub(super) fn begin(
        encoder: &'a mut DescriptorEncoder<'_>,
        metric: &'a Metric,
    ) -> Result<Self, fmt::Error> {
        let Metric { name, help, unit, kind } = metric;
        Ok(Self(encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?))
    }

    /// A sample of a counter.
    pub(super) fn count(&mut self, labels: Labels<'_>, value: u64) -> fmt::Result {
        self.sample(labels, &ConstCounter::new(value))
    }

    /// The one sample of a counter without labels.
    pub(super) fn one_count(self, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.0)
    }

    /// The same in seconds.
    pub(super) fn one_count_of_seconds(self, value: f64) -> fmt::Result {
        ConstCounter::new(value).encode(self.0)
    }

    /// A sample of a gauge.
    pub(super) fn gauge(&mut self, labels: Labels<'_>, value: u64) -> fmt::Result {
        self.sample(labels, &ConstGauge::new(value))
    }

    /// The one sample of a gauge without labels.
    pub(super) fn one_gauge(self, value: u64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0)
    }

    /// The same in seconds.
    pub(super) fn one_gauge_of_seconds(self, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0)
    }

    /// One of several states, which is 1 while the others are 0.
    pub(super) fn state<'s>(
        &mut self,
        object: (&str, &str),
        states: impl IntoIterator<Item = &'s str>,
        present: &str,
    ) -> fmt::Result {
        for state in states {
            self.gauge(&[object, ("state", state)], u64::from(state == present))?;
        }
        Ok(())
    }

    /// The one sample of a family that only has labels.
    pub(super) fn info(&mut self, labels: Labels<'_>) -> fmt::Result {
        self.0.encode_info(&labels)
    }

    /// The samples of a histogram.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, read: &Distribution) -> fmt::Result {
        let mut encoder = self.0.encode_family(&labels)?;
        encoder.encode_histogram::<NoLabelSet>(read.sum, read.count, &read.buckets, None)
    }

    fn sample(&mut self, labels: Labels<'_>, value: &impl EncodeMetric) -> fmt::Result {
        value.encode(self.0.encode_family(&labels)?)
    }
}
