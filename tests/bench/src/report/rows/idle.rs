//! Rows of the idle scenario, one per prompt size and target.

use std::collections::BTreeSet;

use super::Selection;
use crate::proxies::Target;
use crate::samples::IdleSample;
use crate::summary::{Quartiles, as_f64};

/// The idle streams of one target.
#[derive(Debug, serde::Serialize)]
pub(crate) struct IdleRow {
    pub(crate) target: Target,
    pub(crate) prompt_bytes: usize,
    /// Streams open, in the worst repetition.
    pub(crate) streams: usize,
    pub(crate) base_rss_mib: Option<Quartiles>,
    pub(crate) rss_kib_per_stream: Option<Quartiles>,
    pub(crate) cpu_ms_per_s: Option<Quartiles>,
}

pub(super) fn rows(samples: &[IdleSample]) -> Vec<IdleRow> {
    let keys: BTreeSet<_> = samples.iter().map(|sample| (sample.prompt_bytes, sample.target)).collect();
    let row = |(prompt_bytes, target)| {
        let own =
            Selection::of(samples, |sample| (sample.prompt_bytes, sample.target) == (prompt_bytes, target));
        IdleRow {
            target,
            prompt_bytes,
            streams: own.0.iter().map(|sample| sample.streams).min().unwrap_or(0),
            base_rss_mib: own.quartiles(|sample| as_f64(sample.base_rss_kib) / 1024.0),
            rss_kib_per_stream: own.quartiles(|sample| sample.rss_kib_per_stream),
            cpu_ms_per_s: own.quartiles(|sample| sample.cpu_ms_per_s),
        }
    };
    keys.into_iter().map(row).collect()
}
