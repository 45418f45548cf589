//! Metrics of virtual keys: some series for each key that there is.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::keys::{KeyCounts, Keys};

/// The counts at the moment of a scrape.
#[derive(Debug)]
pub(super) struct KeyMetrics {
    pub(super) keys: Arc<Keys>,
}

impl Collector for KeyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let keys = self.keys.counts();
        let help = "Client requests with a virtual key, by how they ended";
        let mut family = encoder.encode_descriptor("key_requests", help, None, MetricType::Counter)?;
        for KeyCounts { id, ends, .. } in &keys {
            for (end, count) in ends {
                let labels = [("key", id.as_ref()), ("outcome", end.label())];
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Tokens of requests with a virtual key, as far as their backends have told";
        let mut family = encoder.encode_descriptor("key_tokens", help, None, MetricType::Counter)?;
        for KeyCounts { id, tokens: (prompt, completion), .. } in &keys {
            for (kind, tokens) in [("prompt", *prompt), ("completion", *completion)] {
                let labels = [("key", id.as_ref()), ("kind", kind)];
                ConstCounter::new(tokens).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
