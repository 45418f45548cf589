//! Statistics of few, noisy samples: medians and quartiles, and ratios to a reference of the same repetition, so that
//! what slows the whole machine for a while cancels out. Pure.

use std::collections::BTreeMap;

/// Median and quartiles of a set of samples.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Quartiles {
    /// A quarter of the samples is below.
    pub(crate) q1: f64,
    /// Half of the samples is below.
    pub(crate) median: f64,
    /// Three quarters of the samples are below.
    pub(crate) q3: f64,
    /// Number of samples.
    pub(crate) n: usize,
}

/// One value per repetition.
pub(crate) type ByRep = BTreeMap<u32, f64>;

/// Counts as floating-point numbers, exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds of a run stay far below 2^53")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

/// The mean of the references of each repetition that has all of them.
pub(crate) fn reference(references: &[&ByRep]) -> ByRep {
    let Some((first, others)) = references.split_first() else { return ByRep::new() };
    first
        .iter()
        .filter_map(|(&rep, &value)| {
            let sum = others.iter().try_fold(value, |sum, other| Some(sum + other.get(&rep)?))?;
            Some((rep, sum / as_f64(references.len() as u64)))
        })
        .collect()
}

/// `values` divided by the reference of the same repetition; repetitions without a positive reference are left out.
pub(crate) fn ratios(values: &ByRep, reference: &ByRep) -> ByRep {
    pairs(values, reference)
        .filter(|&(_, _, base)| base > 0.0)
        .map(|(rep, value, base)| (rep, value / base))
        .collect()
}

/// `values` minus the base of the same repetition.
pub(crate) fn differences(values: &ByRep, base: &ByRep) -> ByRep {
    pairs(values, base).map(|(rep, value, base)| (rep, value - base)).collect()
}

fn pairs(values: &ByRep, base: &ByRep) -> impl Iterator<Item = (u32, f64, f64)> {
    values.iter().filter_map(|(&rep, &value)| Some((rep, value, *base.get(&rep)?)))
}

// === impl Quartiles ===

impl Quartiles {
    /// Of the values of all repetitions, with linear interpolation between neighbours; `None` without values.
    pub(crate) fn of(values: &ByRep) -> Option<Self> {
        let mut sorted: Vec<f64> = values.values().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |quarter: usize| {
            let (below, rest) = (quarter * last / 4, quarter * last % 4);
            let above = (below + 1).min(last);
            sorted[below] + (sorted[above] - sorted[below]) * as_f64(rest as u64) / 4.0
        };
        Some(Self { q1: at(1), median: at(2), q3: at(3), n: sorted.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_rep(values: &[f64]) -> ByRep {
        (0..).zip(values.iter().copied()).collect()
    }

    #[test]
    fn quartiles_do_not_depend_on_the_order() {
        let quartiles = Quartiles::of(&by_rep(&[5.0, 1.0, 4.0, 2.0, 3.0])).unwrap();
        assert_eq!(quartiles, Quartiles { q1: 2.0, median: 3.0, q3: 4.0, n: 5 });
        let quartiles = Quartiles::of(&by_rep(&[1.0, 2.0])).unwrap();
        assert_eq!(quartiles, Quartiles { q1: 1.25, median: 1.5, q3: 1.75, n: 2 });
    }

    #[test]
    fn one_value_is_its_own_quartiles_and_none_has_none() {
        assert_eq!(Quartiles::of(&by_rep(&[7.0])), Some(Quartiles { q1: 7.0, median: 7.0, q3: 7.0, n: 1 }));
        assert_eq!(Quartiles::of(&ByRep::new()), None);
    }

    #[test]
    fn a_slow_repetition_cancels_in_the_ratio() {
        let (nginx, haproxy) = (by_rep(&[30.0, 60.0]), by_rep(&[50.0, 100.0]));
        let mean = reference(&[&nginx, &haproxy]);
        assert_eq!(mean, by_rep(&[40.0, 80.0]));
        assert_eq!(ratios(&by_rep(&[44.0, 88.0]), &mean), by_rep(&[1.1, 1.1]));
    }

    #[test]
    fn a_repetition_without_all_references_is_left_out() {
        let (nginx, haproxy) = (by_rep(&[30.0, 60.0]), by_rep(&[50.0]));
        let mean = reference(&[&nginx, &haproxy]);
        assert_eq!(mean, by_rep(&[40.0]));
        assert_eq!(ratios(&by_rep(&[44.0, 88.0]), &mean).len(), 1);
        assert!(reference(&[]).is_empty());
        assert!(ratios(&by_rep(&[1.0]), &by_rep(&[0.0])).is_empty());
        assert_eq!(differences(&by_rep(&[5.0, 5.0]), &by_rep(&[2.0])), by_rep(&[3.0]));
    }
}
