//! Metrics of virtual keys: some series for each key that there is.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::family::Family;
use super::names;
use crate::keys::{KeyCounts, Keys};

/// The counts at the moment of a scrape.
#[derive(Debug)]
pub(super) struct KeyMetrics {
    pub(super) keys: Arc<Keys>,
}

impl Collector for KeyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let keys = self.keys.counts();
        let mut family = Family::begin(&mut encoder, &names::KEY_REQUESTS)?;
        for KeyCounts { id, ends, .. } in &keys {
            for (end, count) in ends {
                family.count(&[("key", id.as_ref()), ("outcome", end.label())], *count)?;
            }
        }
        let mut family = Family::begin(&mut encoder, &names::KEY_TOKENS)?;
        for KeyCounts { id, tokens: (prompt, completion), .. } in &keys {
            for (kind, tokens) in [("prompt", *prompt), ("completion", *completion)] {
                family.count(&[("key", id.as_ref()), ("kind", kind)], tokens)?;
            }
        }
        Ok(())
    }
}
