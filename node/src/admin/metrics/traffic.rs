//! Metrics of the requests that this node carries, as far as dispatch knows them.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::actors::Directory;
use crate::gateway::{End, Tally};

/// The counts at the moment of a scrape.
#[derive(Debug)]
pub(super) struct TrafficMetrics {
    pub(super) tally: Arc<Tally>,
    pub(super) directory: Arc<Directory>,
}

impl Collector for TrafficMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Client requests that were let in, by how they ended";
        let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for end in End::ALL {
            let labels = [("outcome", end.label())];
            ConstCounter::new(self.tally.count(end)).encode(family.encode_family(&labels)?)?;
        }
        let help = "Streams whose backend died and that went on at another one";
        let resumed = encoder.encode_descriptor("streams_resumed", help, None, MetricType::Counter)?;
        ConstCounter::new(self.tally.resumed()).encode(resumed)?;

        let help = "Tokens of requests that have ended, as far as their backends have told";
        let mut family = encoder.encode_descriptor("tokens", help, None, MetricType::Counter)?;
        let (prompt, completion) = self.tally.tokens();
        for (kind, tokens) in [("prompt", prompt), ("completion", completion)] {
            ConstCounter::new(tokens).encode(family.encode_family(&[("kind", kind)])?)?;
        }

        let help = "Requests that wait for a free backend";
        let mut family = encoder.encode_descriptor("queue_length", help, None, MetricType::Gauge)?;
        for frontend in self.directory.frontends() {
            let labels = [("frontend", frontend.id().as_ref())];
            ConstGauge::new(u64::from(frontend.queued())).encode(family.encode_family(&labels)?)?;
        }
        let help = "Requests in flight at a backend";
        let mut family = encoder.encode_descriptor("backend_in_flight", help, None, MetricType::Gauge)?;
        for backend in self.directory.backends() {
            let labels = [("backend", backend.id().as_ref())];
            ConstGauge::new(u64::from(backend.in_flight())).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
