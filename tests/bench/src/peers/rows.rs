//! Rows of the scenarios that only `peers` has: medians and quartiles over the repetitions. Pure.

use std::collections::BTreeSet;

use super::failover::FailoverSample;
use crate::proxies::Target;
use crate::samples::{Sample, SlowSample};
use crate::summary::{ByRep, Quartiles};

/// From the start of the process to the first answer through it.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct ColdSample {
    pub(crate) rep: u32,
    pub(crate) target: Target,
    pub(crate) ms: f64,
}

/// Cold starts of one target.
#[derive(Debug, serde::Serialize)]
pub(crate) struct ColdRow {
    pub(crate) target: Target,
    pub(crate) ms: Option<Quartiles>,
    pub(crate) worst_ms: f64,
}

/// Clients that read nothing, of one target.
#[derive(Debug, serde::Serialize)]
pub(crate) struct SlowRow {
    pub(crate) target: Target,
    /// Streams that had begun, in the worst repetition.
    pub(crate) readers: usize,
    pub(crate) rss_kib_per_reader: Option<Quartiles>,
    pub(crate) read: usize,
    pub(crate) whole: usize,
}

/// One figure of the failover.
#[derive(Debug, serde::Serialize)]
pub(crate) struct FailoverRow {
    pub(crate) what: &'static str,
    pub(crate) ms: Option<Quartiles>,
    pub(crate) worst_ms: f64,
}

pub(crate) fn cold(samples: &[ColdSample]) -> Vec<ColdRow> {
    let targets: BTreeSet<Target> = samples.iter().map(|sample| sample.target).collect();
    let row = |target| {
        let own = samples.iter().filter(|sample| sample.target == target);
        let by_rep: ByRep = own.map(|sample| (sample.rep, sample.ms)).collect();
        ColdRow { target, ms: Quartiles::of(&by_rep), worst_ms: worst(&by_rep) }
    };
    targets.into_iter().map(row).collect()
}

pub(crate) fn slow(samples: &[SlowSample]) -> Vec<SlowRow> {
    let targets: BTreeSet<Target> = samples.iter().map(Sample::target).collect();
    let row = |target| {
        let own: Vec<_> = samples.iter().filter(|sample| sample.target == target).collect();
        let by_rep: ByRep = own.iter().map(|sample| (sample.rep, sample.rss_kib_per_reader)).collect();
        SlowRow {
            target,
            readers: own.iter().map(|sample| sample.readers).min().unwrap_or(0),
            rss_kib_per_reader: Quartiles::of(&by_rep),
            read: own.iter().map(|sample| sample.read).sum(),
            whole: own.iter().map(|sample| sample.whole).sum(),
        }
    };
    targets.into_iter().map(row).collect()
}

pub(crate) fn failover(samples: &[FailoverSample]) -> Vec<FailoverRow> {
    let row = |what, figure: fn(&FailoverSample) -> f64| {
        let by_rep: ByRep = samples.iter().map(|sample| (sample.round, figure(sample))).collect();
        FailoverRow { what, ms: Quartiles::of(&by_rep), worst_ms: worst(&by_rep) }
    };
    if samples.is_empty() {
        return Vec::new();
    }
    vec![
        row("no answered request on a surviving node", |sample| sample.request_gap),
        row("the same before the kill", |sample| sample.quiet_request_gap),
        row("one request of a client that goes on to the next node", |sample| sample.wanderer_wait),
        row("no acknowledged change", |sample| sample.write_gap),
        row("the same before the kill", |sample| sample.quiet_write_gap),
    ]
}

fn worst(by_rep: &ByRep) -> f64 {
    by_rep.values().copied().fold(0.0, f64::max)
}

/// Requests on surviving nodes: how many failed, and of how many.
pub(crate) fn failures(samples: &[FailoverSample]) -> (u64, u64) {
    let failed: u64 = samples.iter().map(|sample| sample.failed).sum();
    let succeeded: u64 = samples.iter().map(|sample| sample.succeeded).sum();
    (failed, failed + succeeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    }

    #[test]
    fn cold_starts_have_a_median_and_a_worst() {
        let sample = |rep, ms| ColdSample { rep, target: Target::Ours, ms };
        let rows = cold(&[sample(0, 40.0), sample(1, 90.0), sample(2, 50.0)]);
        assert_eq!(rows.len(), 1);
        assert_close(rows[0].ms.unwrap().median, 50.0);
        assert_close(rows[0].worst_ms, 90.0);
    }

    #[test]
    fn readers_are_those_of_the_worst_repetition() {
        let sample = |rep, readers, rss_kib_per_reader, whole| SlowSample {
            rep,
            target: Target::Ours,
            readers,
            base_rss_kib: 1,
            rss_kib_per_reader,
            read: 4,
            whole,
        };
        let rows = slow(&[sample(0, 64, 100.0, 4), sample(1, 60, 120.0, 3)]);
        assert_eq!((rows[0].readers, rows[0].read, rows[0].whole), (60, 8, 7));
        assert_close(rows[0].rss_kib_per_reader.unwrap().median, 110.0);
    }

    #[test]
    fn failed_requests_are_counted_over_all_rounds() {
        let sample = |round, failed, succeeded| FailoverSample {
            round,
            request_gap: 10.0,
            quiet_request_gap: 5.0,
            wanderer_wait: 12.0,
            write_gap: 900.0 + f64::from(round),
            quiet_write_gap: 3.0,
            failed,
            succeeded,
        };
        let samples = [sample(0, 1, 99), sample(1, 0, 100)];
        assert_eq!(failures(&samples), (1, 200));
        let rows = failover(&samples);
        assert_close(rows[3].worst_ms, 901.0);
        assert!(failover(&[]).is_empty());
    }
}
