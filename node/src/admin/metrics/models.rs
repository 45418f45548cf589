//! Metrics of the work on models, as all nodes agree on it.

use std::fmt;

use ollamaflow_protocol::cluster::{ClusterState, Work};
use ollamaflow_protocol::models::desired::{ActionKind, Failure};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// The works at the moment of a scrape.
#[derive(Debug)]
pub(super) struct ModelMetrics {
    pub(super) state: ClusterState,
    pub(super) missing: usize,
}

const KINDS: [(ActionKind, &str); 3] =
    [(ActionKind::Pull, "pull"), (ActionKind::Load, "load"), (ActionKind::Delete, "delete")];

const STATES: [&str; 3] = ["running", "waiting", "final"];

impl Collector for ModelMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Work on models at backends: running, waiting for another try, or failed for good";
        let mut family = encoder.encode_descriptor("model_works", help, None, MetricType::Gauge)?;
        for (kind, name) in KINDS {
            for state in STATES {
                let is_so = |work: &&Work| work.key.kind == kind && state_of(work) == state;
                let count = self.state.works().filter(is_so).count();
                let labels = [("kind", name), ("state", state)];
                ConstGauge::new(count as u64).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Models that are not where a frontend wants them";
        let encoder = encoder.encode_descriptor("models_missing", help, None, MetricType::Gauge)?;
        ConstGauge::new(self.missing as u64).encode(encoder)
    }
}

fn state_of(work: &Work) -> &'static str {
    match (&work.hold, &work.failure) {
        (Some(_), _) => "running",
        (None, Some(failure)) if failure.why != Failure::Transient => "final",
        (None, _) => "waiting",
    }
}
