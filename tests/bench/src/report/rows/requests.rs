//! Rows of the small-request scenario, one per concurrency and target.

use std::collections::BTreeSet;

use super::{Selection, reference_of};
use crate::proxies::Target;
use crate::samples::RequestSample;
use crate::summary::{Quartiles, ratios};

/// One target at one concurrency.
#[derive(Debug, serde::Serialize)]
pub(crate) struct RequestRow {
    pub(crate) target: Target,
    pub(crate) concurrency: usize,
    pub(crate) requests_per_s: Option<Quartiles>,
    pub(crate) cpu_us: Option<Quartiles>,
    /// To the mean of nginx and haproxy.
    pub(crate) cpu_ratio: Option<Quartiles>,
    pub(crate) p50_us: Option<Quartiles>,
    pub(crate) p99_us: Option<Quartiles>,
    pub(crate) failed: u64,
}

pub(super) fn rows(samples: &[RequestSample]) -> Vec<RequestRow> {
    let keys: BTreeSet<_> = samples.iter().map(|sample| (sample.concurrency, sample.target)).collect();
    keys.into_iter().map(|(concurrency, target)| row(samples, concurrency, target)).collect()
}

fn row(samples: &[RequestSample], concurrency: usize, target: Target) -> RequestRow {
    let select = |target| {
        Selection::of(samples, move |sample| (sample.concurrency, sample.target) == (concurrency, target))
    };
    let cpu = |target| select(target).by_rep_if_any(|sample| sample.cpu_us);
    let own = select(target);
    RequestRow {
        target,
        concurrency,
        requests_per_s: own.quartiles(|sample| sample.requests_per_s),
        cpu_us: Quartiles::of(&cpu(target)),
        cpu_ratio: Quartiles::of(&ratios(&cpu(target), &reference_of(samples, cpu))),
        p50_us: own.quartiles(|sample| sample.p50_us),
        p99_us: own.quartiles(|sample| sample.p99_us),
        failed: own.0.iter().map(|sample| sample.failed).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rep: u32, target: Target, cpu_us: Option<f64>) -> RequestSample {
        RequestSample { failed: 1, ..RequestSample::example(rep, target, cpu_us) }
    }

    #[test]
    fn the_ratio_is_taken_within_each_repetition() {
        let mut samples = Vec::new();
        for (rep, slowness) in [(0, 1.0), (1, 3.0), (2, 2.0)] {
            samples.push(sample(rep, Target::Direct, None));
            samples.push(sample(rep, Target::Nginx, Some(30.0 * slowness)));
            samples.push(sample(rep, Target::Haproxy, Some(50.0 * slowness)));
            samples.push(sample(rep, Target::Ours, Some(50.0 * slowness)));
        }
        let rows = rows(&samples);
        assert_eq!(rows.len(), 4);
        let ours = rows.iter().find(|row| row.target == Target::Ours).unwrap();
        assert_eq!(ours.cpu_ratio, Some(Quartiles { q1: 1.25, median: 1.25, q3: 1.25, n: 3 }));
        assert_eq!(ours.failed, 3);
        assert!(rows[0].cpu_us.is_none());
    }

    #[test]
    fn without_a_reference_there_is_no_ratio() {
        let rows = rows(&[sample(0, Target::Ours, Some(1.0))]);
        assert!(rows[0].cpu_us.is_some());
        assert!(rows[0].cpu_ratio.is_none());
    }
}
