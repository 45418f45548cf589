//! Rows of the streaming scenario, one per target.

use super::{Selection, reference_of, targets};
use crate::proxies::Target;
use crate::samples::StreamSample;
use crate::summary::{Quartiles, differences, ratios};

/// The streams of one target.
#[derive(Debug, serde::Serialize)]
pub(crate) struct StreamRow {
    pub(crate) target: Target,
    pub(crate) cpu_us: Option<Quartiles>,
    /// To the mean of nginx and haproxy.
    pub(crate) cpu_ratio: Option<Quartiles>,
    pub(crate) delay_p50_us: Option<Quartiles>,
    /// Median delay above the one without a proxy.
    pub(crate) added_p50_us: Option<Quartiles>,
    /// The added median delay, relative to haproxy's.
    pub(crate) added_to_haproxy: Option<Quartiles>,
    pub(crate) delay_p99_us: Option<Quartiles>,
    pub(crate) delay_p999_us: Option<Quartiles>,
    pub(crate) delayed_share: Option<Quartiles>,
    pub(crate) first_byte_p50_us: Option<Quartiles>,
    pub(crate) first_byte_p99_us: Option<Quartiles>,
    /// Streams that did not arrive whole, of all repetitions.
    pub(crate) incomplete: u64,
}

pub(super) fn rows(samples: &[StreamSample]) -> Vec<StreamRow> {
    targets(samples).into_iter().map(|target| row(samples, target)).collect()
}

fn row(samples: &[StreamSample], target: Target) -> StreamRow {
    let select = |target| Selection::of(samples, move |sample| sample.target == target);
    let cpu = |target| select(target).by_rep_if_any(|sample| sample.cpu_us);
    let delay = |target| select(target).by_rep(|sample| sample.delay_p50_us);
    let added = |target| differences(&delay(target), &delay(Target::Direct));
    let own = select(target);
    StreamRow {
        target,
        cpu_us: Quartiles::of(&cpu(target)),
        cpu_ratio: Quartiles::of(&ratios(&cpu(target), &reference_of(samples, cpu))),
        delay_p50_us: Quartiles::of(&delay(target)),
        added_p50_us: match target {
            Target::Direct => None,
            _ => Quartiles::of(&added(target)),
        },
        added_to_haproxy: match target {
            Target::Direct => None,
            _ => Quartiles::of(&ratios(&added(target), &added(Target::Haproxy))),
        },
        delay_p99_us: own.quartiles(|sample| sample.delay_p99_us),
        delay_p999_us: own.quartiles(|sample| sample.delay_p999_us),
        delayed_share: own.quartiles(|sample| sample.delayed_share),
        first_byte_p50_us: own.quartiles(|sample| sample.first_byte_p50_us),
        first_byte_p99_us: own.quartiles(|sample| sample.first_byte_p99_us),
        incomplete: own
            .0
            .iter()
            .map(|sample| u64::from(sample.streams).saturating_sub(sample.complete))
            .sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(target: Target, delay_p50_us: f64) -> StreamSample {
        StreamSample { delay_p50_us, ..StreamSample::example(target, 9) }
    }

    #[test]
    fn the_added_delay_is_relative_to_no_proxy_and_to_haproxy() {
        let samples =
            [sample(Target::Direct, 100.0), sample(Target::Haproxy, 170.0), sample(Target::Ours, 177.0)];
        let rows = rows(&samples);
        let ours = rows.last().unwrap();
        assert!((ours.added_p50_us.unwrap().median - 77.0).abs() < 1e-9);
        assert!((ours.added_to_haproxy.unwrap().median - 1.1).abs() < 1e-9);
        assert_eq!(ours.incomplete, 1);
        assert!(rows[0].added_p50_us.is_none());
    }
}
